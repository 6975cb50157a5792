//! ClickHouse statements from plans: what they look like, and that both engines answer alike.

mod examples;
mod snapshots;
mod twins;

use std::collections::HashMap;
use std::sync::Arc;

use canon::backend::clickhouse::Pushed;
use canon::backend::{Backend, BackendError};
use canon::functions;
use canon::model::SourceColumn;
use canon::plan::source::SourceTable;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Float64Type, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{TableReference, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::sql::planner::SqlToRel;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::TryStreamExt;

use crate::backend::run;

/// Sources by name, for planning SQL over them.
#[derive(Default)]
pub(crate) struct Tables(HashMap<String, Arc<SourceTable>>);

impl Tables {
    pub(crate) async fn of(backend: &dyn Backend, names: &[&str]) -> Self {
        let mut tables = Self::default();
        for name in names {
            let columns = backend.describe(name).await.unwrap().expect("the table is there");
            let source = SourceTable::new((*name).to_owned(), columns);
            tables.0.insert((*name).to_owned(), Arc::new(source));
        }
        tables
    }

    pub(crate) fn over(name: &str, columns: Vec<SourceColumn>) -> Self {
        let source = SourceTable::new(name.to_owned(), columns);
        Self(HashMap::from([(name.to_owned(), Arc::new(source))]))
    }

    /// As the planner leaves it: no types coerced, nothing replaced.
    pub(crate) fn planned(&self, sql: &str) -> datafusion::error::Result<LogicalPlan> {
        let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql)?;
        let statement = parser.parse_statement()?;
        let planner = SqlToRel::new_with_options(self, functions::parser_options());
        planner.sql_statement_to_plan(statement)
    }

    pub(crate) fn analysed(&self, sql: &str) -> datafusion::error::Result<LogicalPlan> {
        functions::analyze(self.planned(sql)?)
    }
}

impl ContextProvider for Tables {
    fn get_table_source(
        &self,
        name: TableReference,
    ) -> datafusion::error::Result<Arc<dyn TableSource>> {
        match self.0.get(name.table()) {
            Some(source) => Ok(Arc::clone(source) as Arc<dyn TableSource>),
            None => plan_err!("relation \"{name}\" does not exist"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &functions::registry().expr_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        functions::registry().type_planner.clone()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        functions::registry().scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        functions::registry().aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        functions::registry().window.get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &functions::registry().options
    }

    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a backend makes of a plan.
pub(crate) struct Asked {
    pub(crate) batch: RecordBatch,
    /// Whether ClickHouse did all of it.
    pub(crate) whole: bool,
    pub(crate) statements: Vec<String>,
}

pub(crate) async fn ask(backend: &dyn Backend, plan: LogicalPlan) -> Result<Asked, BackendError> {
    let schema = Arc::clone(plan.schema().inner());
    let prepared = backend.prepare(plan)?;
    let whole = match &prepared.plan {
        LogicalPlan::Extension(extension) => Pushed::of(extension).is_some(),
        _ => false,
    };
    let stream = backend.execute(&prepared, &run()).await?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let first = batches.first().map_or(schema, RecordBatch::schema);
    let batch = concat_batches(&first, &batches).unwrap();
    Ok(Asked { batch, whole, statements: prepared.pushed })
}

/// The text of a value as Postgres sends it; None for NULL.
pub(crate) fn postgres_text(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => if array.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
        DataType::Float64 => {
            let number = array.as_primitive::<Float64Type>().value(row);
            format!("{number}")
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let text = formatted(array, row).replace('T', " ");
            let text = text.strip_suffix('Z').map(str::to_owned).unwrap_or(text);
            let text = match text.split_once('.') {
                Some((whole, fraction)) => {
                    format!("{whole}.{}", fraction.trim_end_matches('0'))
                }
                None => text,
            };
            if zone.is_some() { text + "+00" } else { text }
        }
        _ => formatted(array, row),
    })
}

fn formatted(array: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default();
    ArrayFormatter::try_new(array, &options).unwrap().value(row).to_string()
}

/// All rows, columns between bars; sorted where the statement doesn't order them.
pub(crate) fn texts(batch: &RecordBatch, ordered: bool) -> Vec<String> {
    let mut rows: Vec<String> = (0..batch.num_rows())
        .map(|row| {
            let values = batch.columns().iter();
            let values: Vec<String> = values
                .map(|column| postgres_text(column, row).unwrap_or_else(|| "NULL".to_owned()))
                .collect();
            values.join("|")
        })
        .collect();
    if !ordered {
        rows.sort();
    }
    rows
}
