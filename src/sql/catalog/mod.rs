//! pg_catalog and information_schema as relations that DataFusion evaluates.
//!
//! Clients look around in a database by queries over its catalogue, and no two ask alike. So the
//! catalogue is not a list of known questions: it is Postgres's relations, filled from the
//! definitions, with Postgres's functions, in a small DataFusion session of its own.
//!
//! | step | takes | gives |
//! |---|---|---|
//! | [`owner`] | a query | whether it is the catalogue's |
//! | [`syntax`] | the syntax tree | one that DataFusion plans, columns named as in Postgres |
//! | [`planning`] | that | a plan over [`relations`] with [`functions`] |
//! | [`coercion`] | the plan | Postgres's types, parameters' types |
//! | [`subqueries`] | the plan, values of parameters | an executable plan |
//!
//! Relations come from a [`CatalogSnapshot`] by way of the [`directory`], which gives every object
//! its OID; [`tables`] and [`information_schema`] write the rows. What calls take their arguments
//! for, parameters too, the [`signatures`] of `pg_proc` tell.

mod aggregates;
mod coercion;
mod configuration;
mod constants;
mod definitions;
mod directory;
mod error;
mod functions;
mod information_schema;
mod labels;
mod literals;
mod naming;
mod oids;
mod origins;
mod owner;
mod planning;
mod relations;
mod rows;
mod sessions;
pub(crate) mod signatures;
mod snapshot;
mod subqueries;
mod syntax;
mod tables;
mod typing;
mod zones;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;

pub(crate) use configuration::known_settings;
pub use error::CatalogError;
pub(crate) use functions::server_version;
pub(crate) use labels::{folded, label_of};
pub use origins::ColumnOrigin;
pub use owner::Owner;
pub use sessions::{SeenCursor, SeenSession, SeenSessions, SeenStatement, Signalled};
pub use snapshot::{
    CatalogColumn, CatalogForeignKey, CatalogRelation, CatalogSession, CatalogSnapshot, Pause,
};

use self::coercion::RegCasts;
use self::directory::Directory;
use self::planning::{Context, Tables};
use self::relations::{CatalogTable, SessionFacts};
use crate::functions::parameters::{self, Typed};
use crate::functions::{FunctionError, StatementZones, keeping_names};
use crate::sql::types::PgType;

/// Memory that all queries of the catalogue together may hold for sorts, joins and groups.
const MEMORY_BYTES_MAX: usize = 256 << 20;

static MEMORY: LazyLock<Arc<RuntimeEnv>> = LazyLock::new(|| {
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let memory = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(MEMORY_BYTES_MAX)))
        .with_disk_manager_builder(disk);
    memory.build_arc().expect("a bound of memory takes nothing from the system")
});

/// The catalogue of one definition set. Building it gives every object its OID; the rows of a
/// relation are written when it is first read.
pub struct Catalog {
    directory: Arc<Directory>,
    tables: Tables,
    functions: HashMap<&'static str, Arc<ScalarUDF>>,
    casts: RegCasts,
    state: SessionState,
}

/// A planned catalogue query. It is good for as long as its [`Catalog`]; values of parameters and
/// the session come at execution.
#[derive(Debug, Clone)]
pub struct CatalogQuery {
    /// The columns in Postgres's names, which may repeat, and types.
    pub columns: Vec<(String, PgType)>,
    /// Of each that is a relation's column: which one.
    pub origins: Vec<Option<ColumnOrigin>>,
    /// The types of the parameters, `$1` first.
    pub params: Vec<PgType>,
    /// Whether it asks what sessions do or hold: then [`CatalogSession::seen`] has to say.
    pub reads_sessions: bool,
    /// In which it was planned.
    pub zones: StatementZones,
    plan: LogicalPlan,
}

/// A query with its parameters' values.
#[derive(Debug)]
pub enum Filled {
    /// Constants, which are the answer.
    Rows(RecordBatch),
    Plan(LogicalPlan),
}

impl Catalog {
    /// The catalogue of a definition set.
    #[must_use]
    pub fn new(snapshot: CatalogSnapshot) -> Self {
        let directory = Arc::new(Directory::new(snapshot));
        let mut tables = Tables::new();
        let results = ["pg_get_keywords", "aclexplode", "pg_options_to_table"];
        let results = results.into_iter().chain(["pg_listening_channels", "pg_lock_status"]);
        let results = results.filter_map(definitions::function_result);
        for definition in definitions::all().iter().chain(results) {
            let table = CatalogTable::new(definition, Arc::clone(&directory));
            let schema = tables.entry(definition.schema.to_owned()).or_default();
            schema.insert(definition.name.to_owned(), Arc::new(table) as Arc<dyn TableProvider>);
        }
        let functions = functions::all(&directory);
        let casts = functions::reg_casts(&directory);
        // One partition: the tables are small, and a subquery's thread has no others to wait for.
        let mut config =
            SessionConfig::new().with_target_partitions(1).with_information_schema(false);
        // What a UNION makes of a CASE may be nullable before planning and not after, or otherwise.
        config.options_mut().execution.skip_physical_aggregate_schema_check = true;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&MEMORY))
            .with_default_features()
            .build();
        Self { directory, tables, functions, casts, state }
    }

    /// Adds relations whose rows change, each with its schema and name: `canon.cache` and the like.
    #[must_use]
    pub fn with_tables(mut self, tables: Vec<(String, String, Arc<dyn TableProvider>)>) -> Self {
        for (schema, name, table) in tables {
            self.tables.entry(schema).or_default().insert(name, table);
        }
        self
    }

    /// A column of a relation of the definitions, as `pg_attribute` has it; None of an `optional` one
    /// that is never NULL there: drivers would take it for never NULL in the result.
    #[must_use]
    pub fn origin_of(
        &self,
        schema: &str,
        relation: &str,
        column: &str,
        optional: bool,
    ) -> Option<ColumnOrigin> {
        let relation = self.directory.relation_named(schema, relation)?;
        let position = relation.columns.iter().position(|it| it.name == column)?;
        let is_told = !(optional && relation.columns[position].not_null);
        ColumnOrigin::of(relation.oid, position).filter(|_| is_told)
    }

    /// Whether a query reads only catalogue relations, or none at all: then it is the catalogue's.
    /// Bare names count where `pg_catalog` has them, since it comes first on every search path.
    #[must_use]
    pub fn owner_of(&self, query: &ast::Query) -> Owner {
        owner::owner_of(query, |schema, name| match schema {
            Some("pg_catalog" | "information_schema") => true,
            Some(schema) => self.tables.get(schema).is_some_and(|tables| tables.contains_key(name)),
            None => self.tables.get("pg_catalog").is_some_and(|tables| tables.contains_key(name)),
        })
    }

    /// Plans a catalogue query. `params` are the types that the client gave its parameters; for
    /// the others, and beyond, types are inferred. The plan is good for these zones.
    ///
    /// # Errors
    /// Unknown relations, columns, functions and types; what the catalogue can't evaluate.
    pub fn prepare(
        &self,
        query: &ast::Query,
        params: &[Option<PgType>],
        session: &CatalogSession,
        zones: StatementZones,
    ) -> Result<CatalogQuery, CatalogError> {
        let context = Context {
            tables: &self.tables,
            functions: &self.functions,
            path: self.directory.effective_path(session),
        };
        let mut query = query.clone();
        let names = syntax::rewrite(&mut query, &context)?;
        let given = params.iter().map(|param| {
            let known = param.as_ref().filter(|param| **param != PgType::Unknown);
            known.map(|param| typing::field_of(&typing::type_name(param)))
        });
        let plan =
            |types: &[Option<FieldRef>]| crate::functions::planned(&context, query.clone(), types);
        let Typed { plan, types } = parameters::typed(given.collect(), plan)?;
        crate::functions::operators::check(&plan)?;
        let origins = origins::of_columns(&plan);
        let plan = coercion::apply(plan, &self.casts, &zones.literals)?;
        let plan = crate::functions::in_zones(plan, &zones)?;
        let plan = crate::functions::analyze(plan)?;
        let columns = columns_of(&plan, names);
        let params = params_of(&types, params);
        let plan = coercion::for_the_wire(plan, &self.casts)?;
        let reads_sessions = reads_sessions(&plan)?;
        Ok(CatalogQuery { columns, origins, params, reads_sessions, zones, plan })
    }

    /// A planned query with the values of its parameters, in the Arrow types of
    /// [`CatalogQuery::params`].
    ///
    /// # Errors
    /// A parameter that is missing.
    pub fn filled(
        &self,
        query: &CatalogQuery,
        params: &[ScalarValue],
    ) -> Result<Filled, CatalogError> {
        let plan = with_values(query.plan.clone(), params)?;
        Ok(match constants::answer(&plan) {
            Some(batch) => Filled::Rows(batch),
            None => Filled::Plan(plan),
        })
    }

    /// Makes a query executable. It takes the thread's time, and running it does too.
    ///
    /// # Errors
    /// What a function refuses; [`CatalogError::Cardinality`]. Errors of single rows come through
    /// the stream, as [`CatalogError`] inside `DataFusionError::External` where they are the
    /// catalogue's own.
    pub async fn physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &CatalogSession,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), CatalogError> {
        let mut state = self.state.clone();
        let options = state.config_mut().options_mut();
        options.extensions.insert(SessionFacts(Arc::new(session.clone())));
        state.mark_start_execution();
        let state = Arc::new(state);
        let physical = subqueries::physical_plan(plan, &state).await?;
        Ok((physical, state.task_ctx()))
    }
}

/// Whether a plan has a relation or function that [`sessions`] answers.
fn reads_sessions(plan: &LogicalPlan) -> Result<bool, CatalogError> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= sessions::RELATIONS.contains(&scan.table_name.table());
        }
        node.apply_expressions(|expr| {
            let asks = |expr: &Expr| match expr {
                Expr::ScalarFunction(call) => sessions::FUNCTIONS.contains(&call.func.name()),
                _ => false,
            };
            found |= expr.exists(|expr| Ok(asks(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// The columns with the names that the syntax gave them, where it could tell.
fn columns_of(plan: &LogicalPlan, names: Option<Vec<String>>) -> Vec<(String, PgType)> {
    let fields = plan.schema().fields();
    let names = names.filter(|names| names.len() == fields.len());
    let names = names.unwrap_or_else(|| fields.iter().map(|field| field.name().clone()).collect());
    let types = fields.iter().map(|field| typing::pg_type_of(field));
    names.into_iter().zip(types).collect()
}

/// The types of the parameters in a plan, for clients.
fn params_of(types: &[FieldRef], given: &[Option<PgType>]) -> Vec<PgType> {
    let type_of = |(index, field): (usize, &FieldRef)| {
        let told = given.get(index).cloned().flatten();
        match told.filter(|told| *told != PgType::Unknown) {
            Some(told) => told,
            None => typing::pg_type_of(field),
        }
    };
    types.iter().enumerate().map(type_of).collect()
}

/// The value of a parameter that is a numeric. The plan has a scale for it, but it has its own.
fn numeric_in<'v>(expr: &Expr, values: &'v [ScalarValue]) -> Option<&'v ScalarValue> {
    let Expr::Placeholder(Placeholder { id, .. }) = expr else { return None };
    let number: usize = id.trim_start_matches('$').parse().ok()?;
    values.get(number.checked_sub(1)?).filter(|value| value.data_type().is_decimal())
}

/// What a plan shows of numeric parameters as they are, with the digits that they have.
fn with_own_digits(
    plan: LogicalPlan,
    values: &[ScalarValue],
) -> datafusion::error::Result<LogicalPlan> {
    let LogicalPlan::Projection(mut projection) = plan else { return Ok(plan) };
    let mut changed = false;
    for expr in &mut projection.expr {
        if let Some(value) = numeric_in(&expr.clone().unalias(), values) {
            let name = expr.schema_name().to_string();
            *expr = Expr::Literal(value.clone(), None).alias(name);
            changed = true;
        }
    }
    Ok(LogicalPlan::Projection(match changed {
        true => Projection::try_new(projection.expr, projection.input)?,
        false => projection,
    }))
}

/// A plan with values for its parameters.
fn with_values(plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan, CatalogError> {
    let plan = with_own_digits(plan, values)?;
    let done = plan.transform_up_with_subqueries(|node| {
        keeping_names(node, |expr| {
            expr.transform_down(|expr| match expr {
                Expr::Cast(cast) if cast.field.data_type().is_decimal() => {
                    Ok(match numeric_in(&cast.expr, values) {
                        Some(value) => {
                            let value = value.cast_to(cast.field.data_type())?;
                            Transformed::yes(Expr::Literal(value, None))
                        }
                        None => Transformed::no(Expr::Cast(cast)),
                    })
                }
                Expr::Placeholder(Placeholder { id, field }) => {
                    value_of(&id, field.as_ref(), values).map(Transformed::yes)
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(done.data)
}

fn value_of(
    id: &str,
    field: Option<&FieldRef>,
    values: &[ScalarValue],
) -> datafusion::error::Result<Expr> {
    let number: usize = id.trim_start_matches('$').parse().unwrap_or_default();
    let value = number.checked_sub(1).and_then(|at| values.get(at));
    let value = value.ok_or(CatalogError::UndefinedParameter { number })?;
    Ok(match field {
        Some(field) => {
            let metadata = FieldMetadata::from(field.metadata());
            let told = value.cast_to(field.data_type())?;
            // A numeric of more places than the plan has room for is refused, not rounded.
            if value.data_type().is_decimal() && told.cast_to(&value.data_type())? != *value {
                let message = "numeric value has more than 10 decimal places";
                return Err(FunctionError::new("22003", message).into());
            }
            Expr::Literal(told, Some(metadata))
        }
        None => Expr::Literal(value.clone(), None),
    })
}
