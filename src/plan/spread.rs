//! Rows repeated over a range of numbers, as a plan node.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, Operator, UserDefinedLogicalNodeCore,
    binary_expr, lit,
};

use super::PlanError;
use crate::functions::registry;

/// Each row of `input` once for every number from `from` to `to`, which is a column or a constant
/// of type int8; never, where `to` is smaller or NULL. The schema is the input's, and behind it the
/// number, under `name`.
///
/// A node of its own, because each backend has its way to say so, and because filters on the
/// input's columns may pass below.
#[derive(Debug, Clone)]
pub struct Spread {
    pub input: LogicalPlan,
    pub name: String,
    pub from: i64,
    pub to: Expr,
    schema: DFSchemaRef,
}

impl Spread {
    pub(crate) fn plan(
        input: LogicalPlan,
        name: &str,
        from: i64,
        to: Expr,
    ) -> std::result::Result<LogicalPlan, PlanError> {
        let node = Self::new(input, name.to_owned(), from, to)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn new(input: LogicalPlan, name: String, from: i64, to: Expr) -> Result<Self> {
        let number = Arc::new(Field::new(&name, DataType::Int64, false));
        let fields = input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let fields = fields.chain([(None, number)]).collect();
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self { input, name, from, to, schema: Arc::new(schema) })
    }

    /// The node behind an extension, if it is this one.
    pub fn of(extension: &Extension) -> Option<&Spread> {
        extension.node.as_any().downcast_ref::<Spread>()
    }

    /// What DataFusion runs for it: a list of the numbers, unnested.
    pub(crate) fn unnested(&self) -> Result<LogicalPlan> {
        let Some(range) = registry().scalar.get("range") else {
            return internal_err!("no function range");
        };
        let end = binary_expr(self.to.clone(), Operator::Plus, lit(1i64));
        let numbers = range.call(vec![lit(self.from), end]).alias(&self.name);
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
            && self.to == other.to
            && self.input == other.input
    }
}

impl Eq for Spread {}

impl Hash for Spread {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.input, &self.name, self.from, &self.to).hash(state);
    }
}

impl PartialOrd for Spread {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |it: &Self| (it.name.clone(), it.from);
        match key(self).cmp(&key(other)) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
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
        vec![self.to.clone()]
    }

    /// All but those on the number itself.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Spread: {} from {} to {}", self.name, self.from, self.to)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Ok([to]), Ok([input])) =
            (<[Expr; 1]>::try_from(exprs), <[LogicalPlan; 1]>::try_from(inputs))
        else {
            return internal_err!("Spread has one input and one expression");
        };
        Self::new(input, self.name.clone(), self.from, to)
    }
}
