//! Rows repeated over a range of numbers, as a plan node.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef, internal_err};
use datafusion::error::Result;
use datafusion::functions_nested::range::range_udf;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
};

use super::PlanError;

/// Each row of `input` once for every number from `from` up to `end`, the end itself excluded: both
/// are expressions over its columns of type int8, not NULL and not negative. The schema is the
/// input's, and behind it the number, under `name`.
///
/// A node of its own, because each backend has its way to say so, and because filters on the
/// input's columns may pass below.
#[derive(Debug, Clone)]
pub struct Spread {
    pub input: LogicalPlan,
    pub name: String,
    pub from: Expr,
    pub end: Expr,
    schema: DFSchemaRef,
}

impl Spread {
    pub(crate) fn plan(
        input: LogicalPlan,
        name: &str,
        from: Expr,
        end: Expr,
    ) -> std::result::Result<LogicalPlan, PlanError> {
        let node = Self::new(input, name.to_owned(), from, end)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn new(input: LogicalPlan, name: String, from: Expr, end: Expr) -> Result<Self> {
        let number = Arc::new(Field::new(&name, DataType::Int64, false));
        let fields =
            input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let fields = fields.chain([(None, number)]).collect();
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self { input, name, from, end, schema: Arc::new(schema) })
    }

    /// The node behind an extension, if it is this one.
    pub fn of(extension: &Extension) -> Option<&Spread> {
        extension.node.as_any().downcast_ref::<Spread>()
    }

    /// What DataFusion runs for it: a list of the numbers, unnested.
    pub(crate) fn unnested(&self) -> Result<LogicalPlan> {
        let numbers = range_udf().call(vec![self.from.clone(), self.end.clone()]).alias(&self.name);
        let columns = self.input.schema().columns().into_iter().map(Expr::Column);
        LogicalPlanBuilder::from(self.input.clone())
            .project(columns.chain([numbers]))?
            .unnest_column(Column::new_unqualified(&self.name))?
            .build()
    }
}

impl PartialEq for Spread {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.from == other.from
            && self.end == other.end
            && self.input == other.input
    }
}

impl Eq for Spread {}

impl Hash for Spread {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.input, &self.name, &self.from, &self.end).hash(state);
    }
}

impl PartialOrd for Spread {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.name.cmp(&other.name) {
            Ordering::Equal => {
                let key = |it: &Self| (it.from.clone(), it.end.clone(), it.input.clone());
                key(self).partial_cmp(&key(other))
            }
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for Spread {
    fn name(&self) -> &str {
        "Spread"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.from.clone(), self.end.clone()]
    }

    /// All but those on the number itself.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Spread: {} from {} up to {}", self.name, self.from, self.end)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Ok([from, end]), Ok([input])) =
            (<[Expr; 2]>::try_from(exprs), <[LogicalPlan; 1]>::try_from(inputs))
        else {
            return internal_err!("Spread has one input and two expressions");
        };
        Self::new(input, self.name.clone(), from, end)
    }
}
