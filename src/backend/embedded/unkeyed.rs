//! Keys that DataFusion's optimizer must not know of.
//!
//! DataFusion 55.2 takes the groups of an aggregation for determined by any of its keys that is
//! unique in one of the tables joined below, and then drops other keys of GROUP BY and ORDER BY: in
//! `GROUP BY period, country` over rows joined to distinct periods it saw groups by period. So what
//! is unique before a join is hidden from it, behind a function that gives its argument.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Column, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Distinct, Expr, LogicalPlan, Projection, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// A join whose inputs have no unique columns, and distinct rows that aren't known to be so; None
/// for anything else.
pub(super) fn unkeyed(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        // It becomes an aggregation, with its columns as key.
        LogicalPlan::Distinct(Distinct::All(_)) => Ok(Some(hidden(plan, &BTreeSet::from([0]))?)),
        LogicalPlan::Join(_) => {
            let mut inputs = Vec::new();
            let mut is_changed = false;
            for input in plan.inputs() {
                let keys = input.schema().functional_dependencies().iter();
                let firsts = keys.filter_map(|key| key.source_indices.first().copied());
                let firsts: BTreeSet<usize> = firsts.collect();
                is_changed |= !firsts.is_empty();
                inputs.push(match firsts.is_empty() {
                    true => input.clone(),
                    false => hidden(input, &firsts)?,
                });
            }
            match is_changed {
                true => plan.with_new_exprs(plan.expressions(), inputs).map(Some),
                false => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// The plan with some of its columns behind [`Same`].
fn hidden(plan: &LogicalPlan, columns: &BTreeSet<usize>) -> Result<LogicalPlan> {
    let exprs = plan.schema().iter().enumerate().map(|(index, (qualifier, field))| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match columns.contains(&index) {
            true => SAME.call(vec![column]).alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let exprs = exprs.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan.clone()))?))
}

static SAME: LazyLock<ScalarUDF> =
    LazyLock::new(|| ScalarUDF::from(Same { signature: Signature::any(1, Volatility::Immutable) }));

/// Gives its argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Same {
    signature: Signature,
}

impl ScalarUDFImpl for Same {
    fn name(&self) -> &str {
        "canon_same"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [data_type] => Ok(data_type.clone()),
            _ => internal_err!("one argument is expected"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(Arc::clone(field)),
            _ => internal_err!("one argument is expected"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(value) => Ok(value),
            None => internal_err!("one argument is expected"),
        }
    }
}
