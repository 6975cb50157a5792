//! Folders of definitions and their data, made for the bench in a temporary folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;

use crate::Result;

/// A folder of definitions with the data that they name.
pub(crate) struct Definitions {
    folder: tempfile::TempDir,
}

/// The definitions of the demo.
pub(crate) fn demo_metrics() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("metrics")
}

const DEMO_ORDERS: &str = "20k";

impl Definitions {
    fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("canon-bench-").tempdir()?;
        fs::create_dir(folder.path().join("metrics"))?;
        Ok(Self { folder })
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.folder.path().join("metrics")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.metrics().join(name), text)?)
    }

    /// The demo's with another file beside them, and without data.
    pub(crate) fn demo_with(file: &Path) -> Result<Self> {
        let made = Self::demo_without_data()?;
        fs::copy(file, made.metrics().join(file.file_name().ok_or("no file")?))?;
        Ok(made)
    }

    fn demo_without_data() -> Result<Self> {
        let made = Self::new()?;
        for entry in walkdir::WalkDir::new(demo_metrics()) {
            let entry = entry?;
            let target = made.metrics().join(entry.path().strip_prefix(demo_metrics())?);
            match entry.file_type().is_dir() {
                true => fs::create_dir_all(target)?,
                false => drop(fs::copy(entry.path(), target)?),
            }
        }
        Ok(made)
    }

    /// The demo's, with few data.
    pub(crate) fn demo() -> Result<Self> {
        let made = Self::demo_without_data()?;
        let project = fs::read_to_string(made.metrics().join("canon.yaml"))?;
        let project = project.replace("../examples/retail/data", "../data");
        made.write("canon.yaml", &project)?;
        let demo = Command::new(env!("CARGO_BIN_EXE_canon"))
            .args(["demo", "--orders", DEMO_ORDERS, "--out"])
            .arg(made.data())
            .stdout(Stdio::null())
            .status()?;
        if demo.success() { Ok(made) } else { Err("the demo's data could not be made".into()) }
    }

    /// One entity whose rows are wide, in a Parquet file, and beside it the same rows for
    /// PostgreSQL's COPY.
    pub(crate) fn wide(rows: usize) -> Result<Self> {
        let made = Self::new()?;
        fs::create_dir(made.data())?;
        made.write("canon.yaml", PROJECT)?;
        made.write("row.yaml", WIDE)?;
        let mut text = BufWriter::new(File::create(made.copy_text())?);
        let mut writer = None;
        for begin in (0..rows).step_by(ROWS_PER_BATCH) {
            let batch = wide_batch(begin..rows.min(begin + ROWS_PER_BATCH), &mut text)?;
            if writer.is_none() {
                let file = File::create(made.data().join("rows.parquet"))?;
                writer = Some(ArrowWriter::try_new(file, batch.schema(), None)?);
            }
            if let Some(writer) = &mut writer {
                writer.write(&batch)?;
            }
        }
        text.flush()?;
        writer.ok_or("no rows")?.close()?;
        Ok(made)
    }

    /// The wide rows as PostgreSQL's COPY reads them.
    pub(crate) fn copy_text(&self) -> PathBuf {
        self.data().join("rows.copy")
    }

    /// Entities of eight attributes with ten metrics each, over one file.
    pub(crate) fn many(metrics: usize) -> Result<Self> {
        let made = Self::new()?;
        fs::create_dir(made.data())?;
        made.write("canon.yaml", PROJECT)?;
        let batch = wide_batch(0..1_000, &mut std::io::sink())?;
        let file = File::create(made.data().join("rows.parquet"))?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
        for entity in 0..metrics.div_ceil(METRICS_PER_ENTITY) {
            let name = format!("thing_{entity}");
            let mut text = WIDE
                .replace("entity: row", &format!("entity: {name}"))
                .replace("relation: wide_rows", &format!("relation: {name}s"));
            let first = entity * METRICS_PER_ENTITY;
            for number in first..metrics.min(first + METRICS_PER_ENTITY) {
                write!(text, "{}", metric(number, &name))?;
            }
            made.write(&format!("{name}.yaml"), &text)?;
        }
        Ok(made)
    }
}

const METRICS_PER_ENTITY: usize = 10;
const ROWS_PER_BATCH: usize = 65_536;

const PROJECT: &str = "project: bench
timezone: Europe/Berlin
week_start: monday
backend:
  embedded: {path: ../data}
";

const WIDE: &str = "entity: row
relation: wide_rows
intent: One row of the bench.
owner: {team: bench}
domain: operational
version: 1.0.0
key: id
source:
  table: rows
  kind: events
  time: {event: happened_at}
attributes:
  - {name: quantity, type: bigint}
  - {name: weight, type: double precision}
  - {name: score, type: double precision}
  - {name: name, type: text}
  - {name: day, type: date}
  - {name: happened_at, type: timestamptz}
  - {name: amount, type: \"decimal(18,2)\"}
";

/// The columns of the wide rows in SQL, in the order of [`TABLE`].
pub(crate) const COLUMNS: &str = "id, quantity, weight, score, name, day, happened_at, amount";
/// The same rows in PostgreSQL.
pub(crate) const TABLE: &str = "CREATE TABLE wide_rows (
    id bigint PRIMARY KEY, quantity bigint, weight float8, score float8, name text, day date,
    happened_at timestamptz, amount numeric(18,2))";

/// Every tenth metric is a ratio of the two before it.
fn metric(number: usize, entity: &str) -> String {
    let head = format!(
        "---
metric: metric_{number}
intent: How much is number {number}?
not_for: [deciding anything]
owner: {{team: bench, contact: \"#bench\"}}
domain: analytical
versions:
  - version: 1.0.0
    status: active
    released: 2026-09-01
"
    );
    if number % METRICS_PER_ENTITY == METRICS_PER_ENTITY - 1 {
        let (upper, lower) = (number - 1, number - 2);
        return format!(
            "{head}    type: ratio
    numerator: metric_{upper}@1
    denominator: metric_{lower}@1
"
        );
    }
    format!(
        "{head}    entity: {entity}
    type: sum
    expression: amount * {factor}
    eligibility:
      - {{rule: \"quantity > {number}\", why: \"small ones don't count\"}}
      - {{rule: \"name <> ''\", why: \"nameless ones are tests\"}}
    time: {{event: happened_at}}
    freshness: {{decision: \"none\", loop: 30 minutes, budget: 5 minutes}}
",
        factor = number % 7 + 1
    )
}

/// Rows that look like a report's: numbers of several lengths, names of 12 to 20 characters.
// The numbers are far below the limits of every type.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss)]
fn wide_batch(
    numbers: std::ops::Range<usize>,
    copy: &mut impl std::io::Write,
) -> Result<RecordBatch> {
    let ids: Vec<i64> = numbers.map(|number| number as i64).collect();
    let quantities: Vec<i64> = ids.iter().map(|id| id * 7_919 % 100_003).collect();
    let weights: Vec<f64> = ids.iter().map(|id| *id as f64 * 0.123_456_7).collect();
    let scores: Vec<f64> = ids.iter().map(|id| 1.0 / (*id as f64 + 1.0)).collect();
    let names: Vec<String> = ids.iter().map(|id| format!("customer {:x}", id * 48_271)).collect();
    let days: Vec<i32> = ids.iter().map(|id| 20_000 + (id % 600) as i32).collect();
    let times: Vec<i64> = ids.iter().map(|id| FIRST_TIME_US + id * 1_234_567).collect();
    let amounts: Vec<i128> = ids.iter().map(|id| i128::from(id * 99_991 % 10_000_019)).collect();
    for row in 0..ids.len() {
        let day = chrono::NaiveDate::default() + chrono::Days::new(days[row] as u64);
        let time = chrono::DateTime::from_timestamp_micros(times[row]).ok_or("no such time")?;
        let (whole, cents) = (amounts[row] / 100, amounts[row] % 100);
        writeln!(
            copy,
            "{}\t{}\t{}\t{}\t{}\t{day}\t{}\t{whole}.{cents:02}",
            ids[row],
            quantities[row],
            weights[row],
            scores[row],
            names[row],
            time.format("%Y-%m-%d %H:%M:%S%.6f+00"),
        )?;
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(ids))),
        ("quantity", Arc::new(Int64Array::from(quantities))),
        ("weight", Arc::new(Float64Array::from(weights))),
        ("score", Arc::new(Float64Array::from(scores))),
        ("name", Arc::new(StringArray::from(names))),
        ("day", Arc::new(Date32Array::from(days))),
        ("happened_at", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))),
        ("amount", Arc::new(Decimal128Array::from(amounts).with_precision_and_scale(18, 2)?)),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// 2025-01-01.
const FIRST_TIME_US: i64 = 1_735_689_600_000_000;
