//! Catalogue queries to DataFusion's plans.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::TableReference;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::sqlparser::ast;

use super::aggregates;
use super::error::CatalogError;
use super::labels::last_part;
use super::typing::field_of;
use crate::functions::registry;

/// The relations that a catalogue query can name, by schema and name.
pub(super) type Tables = HashMap<String, HashMap<String, Arc<dyn TableProvider>>>;

/// What a query can name: relations along a search path, and functions.
pub(super) struct Context<'a> {
    pub(super) tables: &'a Tables,
    pub(super) functions: &'a HashMap<&'static str, Arc<ScalarUDF>>,
    /// The schemas in which bare names are looked for.
    pub(super) path: Vec<String>,
}

impl Context<'_> {
    /// A relation by its name as written.
    pub(super) fn table(
        &self,
        schema: Option<&str>,
        name: &str,
    ) -> Option<&Arc<dyn TableProvider>> {
        let in_schema = |schema: &str| self.tables.get(schema)?.get(name);
        match schema {
            Some(schema) => in_schema(schema),
            None => self.path.iter().find_map(|schema| in_schema(schema)),
        }
    }

    /// Whether a function of that name can be called.
    pub(super) fn has_function(&self, name: &str) -> bool {
        let registry = registry();
        self.functions.contains_key(name)
            || registry.scalar.contains_key(name)
            || registry.aggregate.contains_key(name)
            || registry.window.contains_key(name)
    }
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.table(name.schema(), name.table()) {
            Some(table) => Ok(provider_as_source(Arc::clone(table))),
            None => {
                let name = match name.schema() {
                    Some(schema) => format!("{schema}.{}", name.table()),
                    None => name.table().to_owned(),
                };
                Err(CatalogError::UndefinedRelation { name }.into())
            }
        }
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &registry().expr_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(PostgresTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let own = self.functions.get(name).cloned();
        own.or_else(|| registry().scalar.get(name).cloned())
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        aggregates::named(name).or_else(|| registry().aggregate.get(name).cloned())
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
        self.functions.keys().map(|name| (*name).to_owned()).collect()
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

/// The types that a cast can name.
#[derive(Debug)]
struct PostgresTypes;

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        Ok(match sql_type {
            ast::DataType::Custom(name, _) => {
                let name = last_part(name);
                Some(field_of(known_type(domain_base(&name).unwrap_or(&name))?))
            }
            ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(item, _)) => {
                let item = match item.as_ref() {
                    ast::DataType::Custom(name, _) => Some(last_part(name)),
                    other => standard_type(other).map(str::to_owned),
                };
                let array = item.map(|item| format!("_{item}"));
                array
                    .map(|array| Ok::<_, DataFusionError>(field_of(known_type(&array)?)))
                    .transpose()?
            }
            ast::DataType::Varchar(Some(ast::CharacterLength::IntegerLength {
                length, ..
            }))
            | ast::DataType::CharacterVarying(Some(ast::CharacterLength::IntegerLength {
                length,
                ..
            })) => {
                let field = field_of("varchar").as_ref().clone();
                Some(Arc::new(crate::functions::of_length(field, *length)))
            }
            ast::DataType::Char(length) | ast::DataType::Character(length) => {
                Some(Arc::new(crate::functions::character(length.as_ref())))
            }
            other => standard_type(other).map(field_of),
        })
    }
}

/// # Errors
/// A type that isn't in `pg_type`.
fn known_type(name: &str) -> Result<&str> {
    match super::directory::type_named(name) {
        Some(_) => Ok(name),
        None => {
            let name = name.strip_prefix('_').map_or(name.to_owned(), |item| format!("{item}[]"));
            let undefined = CatalogError::UndefinedObject { kind: "type", name };
            Err(DataFusionError::External(Box::new(undefined)))
        }
    }
}

/// The base types of the domains of `information_schema`.
fn domain_base(name: &str) -> Option<&'static str> {
    Some(match name {
        "sql_identifier" => "name",
        "character_data" | "yes_or_no" => "varchar",
        "cardinal_number" => "int4",
        "time_stamp" => "timestamptz",
        _ => return None,
    })
}

/// The name in `pg_type` of a type that SQL has a word for. Of a decimal with precision, none.
pub(super) fn standard_type(sql_type: &ast::DataType) -> Option<&'static str> {
    Some(match sql_type {
        ast::DataType::Boolean | ast::DataType::Bool => "bool",
        ast::DataType::SmallInt(_) | ast::DataType::Int2(_) => "int2",
        ast::DataType::Int(_) | ast::DataType::Integer(_) | ast::DataType::Int4(_) => "int4",
        ast::DataType::BigInt(_) | ast::DataType::Int8(_) => "int8",
        ast::DataType::Real | ast::DataType::Float4 => "float4",
        ast::DataType::Float(_)
        | ast::DataType::Double(_)
        | ast::DataType::DoublePrecision
        | ast::DataType::Float8 => "float8",
        ast::DataType::Numeric(ast::ExactNumberInfo::None)
        | ast::DataType::Decimal(ast::ExactNumberInfo::None) => "numeric",
        ast::DataType::Varchar(_)
        | ast::DataType::CharacterVarying(_)
        | ast::DataType::CharVarying(_) => "varchar",
        ast::DataType::Char(_) | ast::DataType::Character(_) => "bpchar",
        ast::DataType::Text => "text",
        ast::DataType::Date => "date",
        ast::DataType::Time(_, ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone) => {
            "time"
        }
        ast::DataType::Timestamp(_, zone) => match zone {
            ast::TimezoneInfo::Tz | ast::TimezoneInfo::WithTimeZone => "timestamptz",
            ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone => "timestamp",
        },
        ast::DataType::Interval { .. } => "interval",
        ast::DataType::Uuid => "uuid",
        ast::DataType::Bytea => "bytea",
        ast::DataType::JSON => "json",
        ast::DataType::JSONB => "jsonb",
        ast::DataType::Regclass => "regclass",
        _ => return None,
    })
}
