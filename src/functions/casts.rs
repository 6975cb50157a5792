//! Casts within casts, as DataFusion 55.2 can plan them: one asks its operand twice whether it may
//! be NULL, each time that it is asked itself, so that conditions over casts over conditions take
//! 2^depth. A function has worked that out when it is made, so one stands in between at times.

use std::sync::LazyLock;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF};

use super::names::keeping_names;
use super::transparent::transparent;

/// Casts within each other, without a function between them.
const CASTS_MAX: usize = 6;

static KNOWN: LazyLock<ScalarUDF> = LazyLock::new(|| transparent("canon_known"));

/// The plan with a function between casts that are too deep, for the last step before it becomes a
/// physical one: other rules must see casts as they are.
///
/// # Errors
/// DataFusion's, of plans that are wrong already.
pub(crate) fn with_known_casts(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down(|node| keeping_names(node, |expr| Ok(bounded(expr)?.0))).data()
}

/// The expression, and how deep its casts are.
fn bounded(expr: Expr) -> Result<(Transformed<Expr>, usize)> {
    let mut deepest = 0;
    let expr = expr.map_children(|child| {
        let (child, depth) = bounded(child)?;
        deepest = deepest.max(depth);
        Ok(child)
    })?;
    Ok(match expr.data {
        Expr::ScalarFunction(_) => (expr, 0),
        Expr::Cast(_) | Expr::TryCast(_) if deepest >= CASTS_MAX => {
            (Transformed::yes(KNOWN.call(vec![expr.data])), 0)
        }
        Expr::Cast(_) | Expr::TryCast(_) => (expr, deepest + 1),
        _ => (expr, deepest),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::{EmptyRelation, LogicalPlanBuilder, cast, col, lit};

    use super::*;

    fn planned(depth: usize) -> String {
        let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true)]);
        let schema = Arc::new(DFSchema::try_from(schema).unwrap());
        let rows = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
        let nested = |inner: Expr| cast(inner.like(lit("a%")), DataType::Utf8);
        let expr = (0..depth).fold(col("a"), |inner, _| nested(inner));
        let plan = LogicalPlanBuilder::from(rows).project(vec![expr.alias("a")]).unwrap();
        let plan = with_known_casts(plan.build().unwrap()).unwrap();
        assert_eq!(plan.schema().field(0).name(), "a");
        plan.expressions().remove(0).to_string()
    }

    #[test]
    fn deep_casts_have_functions_between_them() {
        assert_eq!(planned(CASTS_MAX).matches("canon_known").count(), 0);
        assert_eq!(planned(CASTS_MAX + 1).matches("canon_known").count(), 1);
        assert_eq!(planned(4 * CASTS_MAX).matches("canon_known").count(), 3);
    }
}
