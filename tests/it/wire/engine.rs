//! An engine that answers by the name of the function that a statement calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use canon::backend::BackendError;
use canon::error::QueryError;
use canon::session::{Column, Engine, Notice, PreparedQuery, QueryRows, QueryText, RequestContext};
use canon::sql::types::{PG_TYPE_KEY, PgType};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

/// Rows of a batch of `rows(n)`.
pub(super) const BATCH_ROWS: i64 = 1_000;

/// What runs, and how far it came.
#[derive(Debug, Default)]
pub(super) struct MockEngine {
    pub(super) executed: AtomicUsize,
    pub(super) rows_made: Arc<AtomicI64>,
    live: Arc<AtomicUsize>,
    columns: std::sync::Mutex<Vec<(Field, ArrayRef)>>,
}

/// What a statement calls.
#[derive(Debug, Clone)]
enum Plan {
    /// `rows(n)`: one int8 column `n` from 1.
    Rows(i64),
    /// `endless()`: as rows, without an end.
    Endless,
    /// `sleep()`: never a row.
    Sleep,
    /// `echo($1, …)`: the parameters.
    Echo(usize),
    /// `fixture()`: the columns that the test put there.
    Fixture,
    /// `broken(n)`: n batches of rows, then an error.
    Broken(i64),
    Panic,
    /// `notice()`: a row with a notice.
    Notice,
    /// `setting('name')`
    Setting(String),
    /// `timeout()`: whether the engine is given one.
    Timeout,
}

impl MockEngine {
    /// Streams that are neither at their end nor dropped.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    pub(super) fn put(&self, columns: Vec<(Field, ArrayRef)>) {
        *self.columns.lock().unwrap() = columns;
    }

    fn fixture(&self) -> (SchemaRef, Vec<ArrayRef>) {
        let columns = self.columns.lock().unwrap();
        let fields: Vec<Field> = columns.iter().map(|(field, _)| field.clone()).collect();
        let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
        (Arc::new(Schema::new(fields)), arrays)
    }
}

/// Counts a stream while it lives.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `SELECT name(argument, …)`
fn call(text: &str) -> Option<(String, String)> {
    let text = text.rsplit("SELECT ").next()?;
    let (name, rest) = text.split_once('(')?;
    Some((name.to_owned(), rest.rsplit_once(')')?.0.trim_matches('\'').to_owned()))
}

fn plan(query: &QueryText) -> Result<Plan, QueryError> {
    let text = query.statement.to_string();
    let (name, argument) = call(&text).unwrap_or_default();
    let number = || argument.parse::<i64>().unwrap_or_default();
    Ok(match name.as_str() {
        "rows" => Plan::Rows(number()),
        "endless" => Plan::Endless,
        "sleep" => Plan::Sleep,
        "echo" => Plan::Echo(argument.matches('$').count()),
        "fixture" => Plan::Fixture,
        "broken" => Plan::Broken(number()),
        "panic" => Plan::Panic,
        "notice" => Plan::Notice,
        "setting" => Plan::Setting(argument),
        "timeout" => Plan::Timeout,
        _ if text == "SELECT 1" => Plan::Rows(1),
        _ => return Err(BackendError::DivisionByZero.into()),
    })
}

fn number_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

#[async_trait]
impl Engine for MockEngine {
    async fn prepare(
        &self,
        query: &QueryText,
        params: &[Option<PgType>],
        _context: &RequestContext,
    ) -> Result<Arc<PreparedQuery>, QueryError> {
        let plan = plan(query)?;
        let mut types = Vec::new();
        let columns = match &plan {
            Plan::Echo(count) => {
                let given = |index| params.get(index).cloned().flatten().unwrap_or(PgType::Text);
                types = (0..*count).map(given).collect();
                let column = |pg_type: &PgType| Column::new("echo", pg_type.clone());
                types.iter().map(column).collect()
            }
            Plan::Fixture => {
                let (schema, _) = self.fixture();
                let column = |field: &Arc<Field>| Column::new(field.name(), PgType::of(field));
                schema.fields().iter().map(column).collect()
            }
            Plan::Setting(_) | Plan::Timeout => {
                vec![Column::new("setting", PgType::Text)]
            }
            _ => vec![Column::new("n", PgType::Int8)],
        };
        Ok(Arc::new(PreparedQuery {
            query: query.clone(),
            params: types,
            columns,
            reads_sessions: false,
            plan: Arc::new(plan),
        }))
    }

    async fn execute(
        &self,
        prepared: &PreparedQuery,
        params: Vec<ScalarValue>,
        context: &RequestContext,
        _cancel: CancellationToken,
    ) -> Result<QueryRows, QueryError> {
        self.executed.fetch_add(1, Ordering::SeqCst);
        let plan = prepared.plan.downcast_ref::<Plan>().unwrap().clone();
        let mut notices = Vec::new();
        let batches = match plan {
            Plan::Rows(count) => self.numbers(count, None),
            Plan::Endless => self.numbers(i64::MAX, None),
            Plan::Broken(batches) => {
                let error = DataFusionError::External(Box::new(BackendError::OutOfMemory));
                self.numbers(batches * BATCH_ROWS, Some(error))
            }
            Plan::Sleep => {
                let alive = Alive::new(&self.live);
                let stream = futures::stream::pending().map(move |batch| {
                    let _ = &alive;
                    batch
                });
                boxed(number_schema(), stream)
            }
            Plan::Echo(_) => {
                let arrays: Vec<ArrayRef> =
                    params.iter().map(|value| value.to_array().unwrap()).collect();
                let fields: Vec<Field> = arrays
                    .iter()
                    .enumerate()
                    .map(|(index, array)| {
                        Field::new(format!("c{index}"), array.data_type().clone(), true)
                    })
                    .collect();
                one_batch(Arc::new(Schema::new(fields)), arrays)
            }
            Plan::Fixture => {
                let (schema, arrays) = self.fixture();
                one_batch(schema, arrays)
            }
            Plan::Panic => panic!("a secret of the engine"),
            Plan::Notice => {
                notices.push(Notice {
                    severity: "NOTICE",
                    sqlstate: "01000",
                    message: "this value is provisional".to_owned(),
                    detail: None,
                    hint: Some("Ask again tomorrow.".to_owned()),
                });
                self.numbers(1, None)
            }
            Plan::Timeout => {
                let value = context.statement_timeout.is_some().to_string();
                let schema = Schema::new(vec![Field::new("setting", DataType::Utf8, true)]);
                one_batch(Arc::new(schema), vec![Arc::new(StringArray::from(vec![value]))])
            }
            Plan::Setting(name) => {
                let value = context.settings.get(&name).cloned();
                let schema = Schema::new(vec![Field::new("setting", DataType::Utf8, true)]);
                one_batch(Arc::new(schema), vec![Arc::new(StringArray::from(vec![value]))])
            }
        };
        let explains = prepared.query.statement.to_string().starts_with("EXPLAIN");
        Ok(QueryRows { batches, notices, command: if explains { "EXPLAIN" } else { "SELECT" } })
    }
}

impl MockEngine {
    fn numbers(&self, count: i64, error: Option<DataFusionError>) -> SendableRecordBatchStream {
        let (alive, made) = (Alive::new(&self.live), self.rows_made.clone());
        let starts = (0..count).step_by(usize::try_from(BATCH_ROWS).unwrap());
        let batches = futures::stream::iter(starts).map(move |start| {
            let _ = &alive;
            let end = start.saturating_add(BATCH_ROWS).min(count);
            made.fetch_add(end - start, Ordering::SeqCst);
            let numbers = Int64Array::from_iter_values(start + 1..=end);
            Ok(RecordBatch::try_new(number_schema(), vec![Arc::new(numbers)])?)
        });
        let end = futures::stream::iter(error.map(Err));
        boxed(number_schema(), batches.chain(end))
    }
}

fn one_batch(schema: SchemaRef, arrays: Vec<ArrayRef>) -> SendableRecordBatchStream {
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    boxed(schema, futures::stream::iter([Ok(batch)]))
}

fn boxed(
    schema: SchemaRef,
    stream: impl futures::Stream<Item = Result<RecordBatch, DataFusionError>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema, stream))
}

/// A nullable field, with a Postgres type if Arrow's doesn't tell it.
pub(super) fn field(name: &str, data_type: DataType, pg_type: Option<&str>) -> Field {
    let field = Field::new(name, data_type, true);
    match pg_type {
        Some(pg_type) => field.with_metadata([(PG_TYPE_KEY.to_owned(), pg_type.to_owned())].into()),
        None => field,
    }
}
