//! The functions and operators of canon's SQL, with Postgres's meaning: one registry for the
//! definitions' expressions, clients' statements and the catalogue.
//!
//! DataFusion's own functions are the ground; what differs from Postgres is replaced in
//! [`semantics`], before types are coerced, so that every later stage and both backends see one
//! plan that means what Postgres means.

mod aggregates;
mod arrays;
mod calendar;
mod casts;
mod coalesce;
mod decimals;
mod deviations;
mod dialect;
mod error;
pub mod fiscal;
mod floats;
mod grain;
mod greatest;
mod growth;
mod int4;
mod interval;
mod json;
mod jsonb;
mod lengths;
mod maths;
mod moments;
mod names;
pub mod numeric;
pub mod operators;
mod order;
pub(crate) mod parameters;
mod patterns;
pub mod percentile;
mod random;
mod regex;
mod rows;
pub mod semantics;
mod shape;
pub mod shares;
mod simplify;
mod single;
mod statement;
mod strings;
mod sums;
mod text;
pub mod time;
mod transparent;
mod types;
mod udf;
mod unknown;
mod varying;
mod zones;

pub use calendar::Unit;
pub(crate) use casts::with_known_casts;
pub(crate) use dialect::Postgres;
pub use error::FunctionError;
pub use fiscal::FiscalCalendar;
pub use grain::Grain;
pub(crate) use interval::Interval;
pub(crate) use maths::NEGATIVE_ROOT;
pub(crate) use names::{keeping_name, keeping_names};
use patterns::shows_zone;
pub(crate) use patterns::{PatternPart, exact_unit, finest_unit, pattern_parts};
pub(crate) use rows::record_text;
pub(crate) use shape::{is_comparison, quoted};
pub(crate) use simplify::Simplify;
pub use simplify::{applied, simplify};
pub(crate) use single::{SEVERAL_ROWS, SINGLE_VALUE, single_value};
pub(crate) use statement::planned;
pub(crate) use text::read as read_text;
pub(crate) use transparent::{NULLABLE, nullable, nullable_constant, transparent};
pub(crate) use types::{character, is_unconstrained, of_length, retyped, unconstrained_numeric};
pub(crate) use varying::with_varying_keys;
pub use zones::{StatementZones, apply as in_zones};

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::TableReference;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DFSchemaRef, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, EmptyRelation, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, Projection,
    ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;

/// Every function that a statement or definition may call, by lower-case name, aliases included.
pub struct Registry {
    pub scalar: HashMap<String, Arc<ScalarUDF>>,
    pub aggregate: HashMap<String, Arc<AggregateUDF>>,
    pub window: HashMap<String, Arc<WindowUDF>>,
    pub expr_planners: Vec<Arc<dyn ExprPlanner>>,
    pub type_planner: Option<Arc<dyn TypePlanner>>,
    pub options: ConfigOptions,
}

/// The registry: the same for the whole process.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
    &REGISTRY
}

/// DataFusion's functions that make as many items as they are told: Postgres doesn't have them, and no
/// answer needs them.
const UNBOUNDED: [&str; 5] =
    ["range", "array_repeat", "list_repeat", "array_resize", "list_resize"];

impl Registry {
    fn new() -> Self {
        let mut registry = Self {
            scalar: HashMap::new(),
            aggregate: HashMap::new(),
            window: HashMap::new(),
            expr_planners: expr_planners(),
            type_planner: Some(Arc::new(types::PostgresTypes)),
            options: options(),
        };
        for udf in SessionStateDefaults::default_scalar_functions() {
            registry.add_scalar(udf);
        }
        registry.scalar.retain(|name, _| !UNBOUNDED.contains(&name.as_str()));
        // A session has its own.
        registry.scalar.remove("version");
        // Ours come last: they replace DataFusion's of the same name.
        for udf in numeric::all()
            .into_iter()
            .chain(time::all())
            .chain(fiscal::all())
            .chain(text::all())
            .chain(rows::all())
            .chain(shares::all())
        {
            registry.add_scalar(udf);
        }
        if let Some(power) = registry.scalar.get("power").map(Arc::clone) {
            registry.scalar.insert("pow".to_owned(), power);
        }
        registry.add_scalar(statement::named_cast());
        registry.add_scalar(random::uuid());
        registry.add_scalar(coalesce::function());
        for udf in SessionStateDefaults::default_aggregate_functions() {
            registry.add_aggregate(udf);
        }
        for udf in aggregates::all() {
            registry.add_aggregate(udf);
        }
        for (alias, name) in [("every", "bool_and"), ("variance", "var_samp")] {
            if let Some(udf) = registry.aggregate.get(name).map(Arc::clone) {
                registry.aggregate.insert(alias.to_owned(), udf);
            }
        }
        registry.add_aggregate(Arc::clone(percentile::percentile_cont()));
        registry.add_aggregate(Arc::clone(percentile::percentile_disc()));
        for udf in SessionStateDefaults::default_window_functions() {
            for name in udf.aliases().iter().cloned().chain([udf.name().to_owned()]) {
                registry.window.insert(name, Arc::clone(&udf));
            }
        }
        registry
    }

    fn add_scalar(&mut self, udf: Arc<ScalarUDF>) {
        for name in udf.aliases().iter().cloned().chain([udf.name().to_owned()]) {
            self.scalar.insert(name, Arc::clone(&udf));
        }
    }

    fn add_aggregate(&mut self, udf: Arc<AggregateUDF>) {
        for name in udf.aliases().iter().cloned().chain([udf.name().to_owned()]) {
            self.aggregate.insert(name, Arc::clone(&udf));
        }
    }
}

/// The planner keeps all orders that are written: see [`order`].
fn options() -> ConfigOptions {
    let mut options = ConfigOptions::new();
    options.sql_parser.enable_subquery_sort_elimination = false;
    options
}

/// DataFusion's own, after ours.
fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    let own: [Arc<dyn ExprPlanner>; 7] = [
        Arc::new(parameters::Operands),
        Arc::new(jsonb::Operators),
        Arc::new(arrays::Operators),
        Arc::new(unknown::QuotedOperands),
        Arc::new(types::IntervalProducts),
        Arc::new(types::Extracts),
        Arc::new(types::AggregatedItems),
    ];
    own.into_iter().chain(SessionStateDefaults::default_expr_planners()).collect()
}

/// How SQL text becomes plans, for every use of [`SqlToRel`].
pub fn parser_options() -> ParserOptions {
    ParserOptions {
        parse_float_as_decimal: true,
        enable_ident_normalization: true,
        support_varchar_with_length: true,
        enable_options_value_normalization: false,
        collect_spans: true,
        map_string_types_to_utf8view: false,
        default_null_ordering: NullOrdering::NullsMax,
    }
}

/// An expression over the columns of `schema`: names resolved, Postgres's meaning given to
/// functions and operators, types coerced. Gives its type too.
///
/// # Errors
/// DataFusion's planning errors: unknown columns and functions, types that don't go together.
pub fn compile(expr: ast::Expr, schema: &DFSchema) -> Result<(Expr, DataType)> {
    let provider = FunctionsOnly;
    let planner = SqlToRel::new_with_options(&provider, parser_options());
    let planned = planner.sql_to_expr(expr, schema, &mut PlannerContext::new())?;
    coerce(planned, schema)
}

/// As [`compile`], of an expression that has its names already.
pub fn coerce(expr: Expr, schema: &DFSchema) -> Result<(Expr, DataType)> {
    let schema: DFSchemaRef = Arc::new(schema.clone());
    let input = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
    let plan = LogicalPlan::Projection(Projection::try_new(vec![expr], Arc::new(input))?);
    match analyze(plan)? {
        LogicalPlan::Projection(Projection { mut expr, input, .. }) if expr.len() == 1 => {
            let expr = expr.remove(0).unalias();
            let data_type = expr.get_type(input.schema())?;
            Ok((expr, data_type))
        }
        other => plan_err!("unexpected plan of an expression: {other}"),
    }
}

/// A whole plan with Postgres's meaning and coerced types. What depends on a session's zone is written
/// out before (see [`zones`]).
pub fn analyze(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = grouping_resolved(plan)?;
    let plan = semantics::apply(plan)?;
    growth::check(&plan)?;
    TypeCoercion::new().analyze(plan, &registry().options)
}

/// A plan with `grouping()` as an expression over the grouping id. DataFusion's rule (55.2) leaves nodes
/// above with the columns that there were before.
pub(crate) fn grouping_resolved(plan: LogicalPlan) -> Result<LogicalPlan> {
    let resolved = ResolveGroupingFunction::new().analyze(plan, &registry().options)?;
    let fresh =
        resolved.transform_up_with_subqueries(|node| types::retyped(node).map(Transformed::yes))?;
    Ok(fresh.data)
}

/// A source's text that is a uuid, as Postgres prints it. An error where it is none.
pub(crate) fn uuid_of(text: Expr) -> Expr {
    let function = registry().scalar.get("stored_uuid").expect("rows::all() has it");
    udf::call(function, vec![text])
}

/// Stack of each thread that parses or plans: trees are walked recursively, and their depth is bounded
/// by what this holds in an unoptimised build.
pub const STACK_BYTES: usize = 16 << 20;

/// A context with functions and no tables.
struct FunctionsOnly;

impl ContextProvider for FunctionsOnly {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("relation \"{name}\" cannot be used in an expression")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &registry().expr_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        registry().type_planner.clone()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        registry().scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        registry().aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        registry().window.get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &registry().options
    }

    fn udf_names(&self) -> Vec<String> {
        registry().scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        registry().aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        registry().window.keys().cloned().collect()
    }
}
