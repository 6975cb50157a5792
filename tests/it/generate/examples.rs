//! Every entry of the table of pushed functions, run in both engines: the answer is Postgres's.

use std::path::Path;
use std::sync::Arc;

use canon::backend::Backend;
use canon::backend::clickhouse::generate::functions::{Entry, entries};
use canon::backend::embedded::Embedded;
use canon::functions;
use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Projection, ident,
};

use super::{Tables, ask, postgres_text, texts};
use crate::backend::write_parquet;
use crate::clickhouse_server::ClickHouseServer;

/// The rows that the examples of aggregates and windows are over.
const NUMBERS: &str = "CREATE TABLE numbers (id Int64, i Nullable(Int32), n Nullable(Decimal(10, 2)), \
     f Nullable(Float64), t Nullable(String), d Nullable(Date32), at Nullable(DateTime64(6, 'UTC')), \
     b Nullable(Int64)) ENGINE = MergeTree ORDER BY id";
const NUMBERS_ROWS: &str = "INSERT INTO numbers VALUES
    (1, 1, 1.00, 0.25, 'a', '1960-01-01', '1960-01-01 00:00:00', 9223372036854775807),
    (2, 2, 0.50, 1.5, 'b', '2026-03-29', '2026-03-29 01:00:00.5', 9223372036854775807),
    (3, 4, NULL, NULL, 'ä', NULL, NULL, NULL),
    (4, 4, 3.10, 2.75, 'a', '2026-03-28', '2026-01-01 00:00:00', 9223372036854775807),
    (5, 5, 5.50, 3.25, NULL, '2000-02-29', '2000-02-29 12:00:00', NULL),
    (6, NULL, 0.01, 4.5, 'c', '2026-01-01', '2026-01-01 00:00:00', NULL)";

/// An example whose literals have become columns.
struct Example {
    entry: &'static Entry,
    sql: &'static str,
    answer: Option<&'static str>,
    expr: Expr,
}

/// The columns that literals have become: `k0`, `k1`, …, each with one value.
#[derive(Default)]
struct Columns(Vec<(DataType, ScalarValue)>);

impl Columns {
    fn column(&mut self, value: &ScalarValue) -> Expr {
        let typed = (value.data_type(), value.clone());
        let index = self.0.iter().position(|known| *known == typed).unwrap_or_else(|| {
            self.0.push(typed);
            self.0.len() - 1
        });
        ident(format!("k{index}"))
    }

    /// `literals_max` of the literals become columns, from the left. A cast around a literal is one
    /// too, but for the whole expression, where it is what the example shows.
    fn replace(&mut self, entry: &Entry, expr: Expr, literals_max: usize) -> Expr {
        self.replace_within(entry, expr.clone(), &expr, literals_max)
    }

    fn replace_within(
        &mut self,
        entry: &Entry,
        expr: Expr,
        root: &Expr,
        literals_max: usize,
    ) -> Expr {
        let mut replaced = 0;
        expr.transform_down(|expr| {
            if expr != *root
                && let Some(value) = typed_literal(&expr)
            {
                return self.literal(value, &mut replaced, literals_max);
            }
            Ok(match expr {
                Expr::Literal(value, _) => self.literal(value, &mut replaced, literals_max)?,
                Expr::ScalarFunction(mut call) => {
                    // What has to be constant stays.
                    let named = call.func.name() == entry.name || entry.name == "extract";
                    for (index, arg) in call.args.iter_mut().enumerate() {
                        if !(named && entry.constants.contains(&index)) {
                            let inner = std::mem::take(arg);
                            let left = literals_max - replaced;
                            *arg = self.replace_within(entry, inner, root, left);
                        }
                    }
                    let call = Expr::ScalarFunction(call);
                    Transformed::new(call, true, TreeNodeRecursion::Jump)
                }
                Expr::InList(mut list) => {
                    *list.expr = self.replace_within(entry, *list.expr, root, literals_max);
                    Transformed::new(Expr::InList(list), true, TreeNodeRecursion::Jump)
                }
                Expr::Like(mut like) => {
                    *like.expr = self.replace_within(entry, *like.expr, root, literals_max);
                    Transformed::new(Expr::Like(like), true, TreeNodeRecursion::Jump)
                }
                Expr::BinaryExpr(mut binary)
                    if binary.op.to_string().contains('~') || is_quoted_beside(&binary) =>
                {
                    *binary.left = self.replace_within(entry, *binary.left, root, literals_max);
                    Transformed::new(Expr::BinaryExpr(binary), true, TreeNodeRecursion::Jump)
                }
                Expr::Between(mut between) => {
                    let inner = std::mem::take(between.expr.as_mut());
                    *between.expr = self.replace_within(entry, inner, root, literals_max);
                    Transformed::new(Expr::Between(between), true, TreeNodeRecursion::Jump)
                }
                other => Transformed::no(other),
            })
        })
        .unwrap()
        .data
    }

    fn literal(
        &mut self,
        value: ScalarValue,
        replaced: &mut usize,
        literals_max: usize,
    ) -> datafusion::error::Result<Transformed<Expr>> {
        let constant = value.is_null()
            || matches!(value, ScalarValue::IntervalMonthDayNano(_))
            || *replaced >= literals_max;
        let expr = if constant { Expr::Literal(value, None) } else { self.column(&value) };
        *replaced += usize::from(!constant);
        Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump))
    }

    /// One row with the values and one of NULLs.
    fn batch(&self) -> RecordBatch {
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (index, (_, value)) in self.0.iter().enumerate() {
            let value = value.to_array().unwrap();
            let null = new_null_array(value.data_type(), 1);
            fields.push(Field::new(format!("k{index}"), value.data_type().clone(), true));
            arrays.push(concat(&[&value, &null]).unwrap());
        }
        fields.insert(0, Field::new("row", DataType::Int64, false));
        arrays.insert(0, Arc::new(datafusion::arrow::array::Int64Array::from(vec![1, 2])));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }
}

/// A quoted literal beside a date or number, whose type it takes: no column does.
fn is_quoted_beside(binary: &BinaryExpr) -> bool {
    let quoted = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Utf8(_), _));
    quoted(&binary.right) && !quoted(&binary.left) && typed_literal(&binary.left).is_some()
}

/// `date '…'`, `x::float8` and the like around a literal, as the literal that they mean.
fn typed_literal(expr: &Expr) -> Option<ScalarValue> {
    let Expr::Cast(cast) = expr else { return None };
    matches!(cast.expr.as_ref(), Expr::Literal(_, _) | Expr::Cast(_)).then_some(())?;
    let nothing = Arc::new(LogicalPlanBuilder::empty(true).build().unwrap());
    let plan = Projection::try_new(vec![expr.clone()], nothing).unwrap();
    let plan = functions::analyze(LogicalPlan::Projection(plan)).ok()?;
    match functions::simplify(plan).ok()? {
        LogicalPlan::Projection(projection) => match projection.expr[0].clone().unalias() {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        },
        _ => None,
    }
}

fn clickhouse_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "Bool".to_owned(),
        DataType::Utf8 => "String".to_owned(),
        DataType::Date32 => "Date32".to_owned(),
        DataType::Decimal128(precision, scale) => format!("Decimal({precision}, {scale})"),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "DateTime64(6, 'UTC')".to_owned(),
        other => other.to_string(),
    }
}

async fn load(server: &ClickHouseServer, dir: &Path, batch: &RecordBatch) {
    let columns: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| match field.is_nullable() {
            true => format!("`{}` Nullable({})", field.name(), clickhouse_type(field.data_type())),
            false => format!("`{}` {}", field.name(), clickhouse_type(field.data_type())),
        })
        .collect();
    let create = format!("CREATE TABLE literals ({}) ENGINE = Memory", columns.join(", "));
    server.run(&[&create]).await;
    let mut stream = Vec::new();
    let mut writer = StreamWriter::try_new(&mut stream, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    let client = server.client();
    let mut insert = client.insert_formatted_with("INSERT INTO literals FORMAT ArrowStream");
    insert.send(stream.into()).await.unwrap();
    insert.end().await.unwrap();
    write_parquet(&dir.join("literals.parquet"), batch);
}

fn is_over_numbers(entry: &Entry) -> bool {
    entry.examples.iter().any(|(sql, _)| {
        [
            "count(",
            "sum(",
            "OVER",
            "WITHIN",
            "min(",
            "max(",
            "avg(",
            "bool_",
            "bit_and",
            "bit_or",
            "bit_xor",
            "last_value(",
        ]
        .iter()
        .any(|word| sql.contains(word))
    })
}

#[tokio::test]
async fn every_function_answers_like_postgres_in_both_engines() {
    let nothing = Tables::default();
    let mut columns = Columns::default();
    let mut examples = Vec::new();
    for entry in entries().filter(|entry| !is_over_numbers(entry)) {
        for (sql, answer) in entry.examples {
            let plan = nothing.planned(&format!("SELECT {sql}"));
            let plan = plan.unwrap_or_else(|error| panic!("{sql}: {error}"));
            let LogicalPlan::Projection(projection) = plan else { panic!("{sql}") };
            let expr = projection.expr[0].clone().unalias();
            for literals_max in [usize::MAX, 1] {
                let expr = columns.replace(entry, expr.clone(), literals_max);
                examples.push(Example { entry, sql, answer: *answer, expr });
            }
        }
    }
    let server = ClickHouseServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    load(&server, dir.path(), &columns.batch()).await;
    let clickhouse = server.backend();
    let embedded = Embedded::open(dir.path()).unwrap();

    let mut faults = Vec::new();
    for example in &examples {
        if let Err(fault) = check(example, &columns, &clickhouse, &embedded).await {
            faults.push(format!("{}: {}: {fault}", example.entry.name, example.sql));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:
{}",
        faults.len(),
        faults.join(
            "
"
        )
    );
}

/// Both engines over both rows; the first has the example's answer.
async fn check(
    example: &Example,
    columns: &Columns,
    clickhouse: &dyn Backend,
    embedded: &dyn Backend,
) -> Result<(), String> {
    let mut answers = Vec::new();
    for backend in [clickhouse, embedded] {
        let plan =
            plan(backend, &example.expr, columns).await.map_err(|error| error.to_string())?;
        let asked = ask(backend, plan).await;
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => return Err(format!("{}: {error}", backend.name())),
        };
        if backend.name() == "clickhouse" && !asked.whole {
            return Err(format!("isn't pushed, only {:?}", asked.statements));
        }
        let value = |row| postgres_text(asked.batch.column(1), row);
        if value(0).as_deref() != example.answer {
            let statement = asked.statements.join("; ");
            return Err(format!(
                "{} answers {:?} instead of {:?} {statement}",
                backend.name(),
                value(0),
                example.answer
            ));
        }
        answers.push((value(1), asked.statements));
    }
    if answers[0].0 != answers[1].0 {
        return Err(format!(
            "over NULLs: {:?} in ClickHouse, {:?} in DataFusion {}",
            answers[0].0,
            answers[1].0,
            answers[0].1.join("; ")
        ));
    }
    Ok(())
}

/// Over the columns with the literals' own types: ClickHouse has one for both kinds of timestamps.
async fn plan(
    backend: &dyn Backend,
    expr: &Expr,
    columns: &Columns,
) -> datafusion::error::Result<LogicalPlan> {
    let mut described = backend.describe("literals").await.unwrap().unwrap();
    for (column, (data_type, _)) in described.iter_mut().skip(1).zip(&columns.0) {
        column.data_type = data_type.clone();
    }
    let tables = Tables::over("literals", described);
    let scan = tables.planned("SELECT * FROM literals")?;
    let LogicalPlan::Projection(all) = scan else { panic!("a projection") };
    let exprs = vec![ident("row"), expr.clone().alias("answer")];
    let plan = LogicalPlanBuilder::from(all.input.as_ref().clone()).project(exprs)?;
    functions::analyze(plan.sort(vec![ident("row").sort(true, false)])?.build()?)
}

#[tokio::test]
async fn every_aggregate_answers_like_postgres_in_both_engines() {
    let server = ClickHouseServer::start().await;
    server.run(&[NUMBERS, NUMBERS_ROWS]).await;
    let clickhouse = server.backend();
    let tables = Tables::of(&clickhouse, &["numbers"]).await;
    let all = ask(&clickhouse, tables.analysed("SELECT * FROM numbers ORDER BY id").unwrap()).await;
    let dir = tempfile::tempdir().unwrap();
    write_parquet(&dir.path().join("numbers.parquet"), &all.unwrap().batch);
    let embedded = Embedded::open(dir.path()).unwrap();
    let mut faults = Vec::new();
    for entry in entries().filter(|entry| is_over_numbers(entry)) {
        for (sql, answer) in entry.examples {
            let statement = match sql.contains("OVER") {
                true => {
                    format!("SELECT x FROM (SELECT id, {sql} AS x FROM numbers) AS s WHERE id = 6")
                }
                false => format!("SELECT {sql} FROM numbers"),
            };
            for backend in [&clickhouse as &dyn Backend, &embedded] {
                let tables = Tables::of(backend, &["numbers"]).await;
                let plan = tables.analysed(&statement);
                let asked = ask(backend, plan.unwrap_or_else(|e| panic!("{sql}: {e}"))).await;
                let fault = match asked {
                    Err(error) => Some(error.to_string()),
                    Ok(asked) if backend.name() == "clickhouse" && !asked.whole => {
                        Some("isn't pushed".to_owned())
                    }
                    Ok(asked) => {
                        let found = texts(&asked.batch, true);
                        let expected = answer.unwrap_or("NULL");
                        (found != [expected]).then(|| {
                            format!("{found:?} instead of {expected} {:?}", asked.statements)
                        })
                    }
                };
                if let Some(fault) = fault {
                    faults.push(format!("{} {sql}: {fault}", backend.name()));
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:
{}",
        faults.len(),
        faults.join(
            "
"
        )
    );
}

/// A constant that no column holds: each entry's functions exist under the names they are planned by.
/// What no statement calls (`stored_uuid`, parts of intervals) is asked of columns in `tests/slt/postgres`.
#[test]
fn entries_have_examples_or_stand_for_another() {
    let schema = DFSchema::empty();
    for entry in entries().filter(|entry| entry.examples.is_empty()) {
        let inexact = ["approx_", "var", "stddev", "stored_", "interval_"];
        let stands_for_operator = entry.name.starts_with("checked_");
        let is_near = inexact.iter().any(|name| entry.name.starts_with(name));
        // Plans call them for subqueries: `tests/slt/shop/correlated.slt`.
        let is_nobodys = entry.name.starts_with("canon_");
        assert!(stands_for_operator || is_near || is_nobodys, "{} has no example", entry.name);
        assert!(schema.fields().is_empty());
    }
}
