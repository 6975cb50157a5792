//! Fixtures: definitions, and hand-sized tables that become Parquet files, ClickHouse tables or
//! PostgreSQL tables with the same rows.
//!
//! A fixture is a folder with `metrics/` (definitions, as canon reads them) and `data/` (one YAML
//! file per table). A cell that isn't given as text is read as the text that YAML shows for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use serde::Deserialize;
use serde_yaml::Value;

use crate::clickhouse_server::ClickHouseServer;

/// A folder of definitions and the tables they are about.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// Its path under `tests/fixtures`: `traps/t1_fan_out`.
    pub(crate) name: String,
    pub(crate) metrics: PathBuf,
    pub(crate) tables: Vec<Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    table: String,
    /// The engine clause in ClickHouse.
    #[serde(default = "merge_tree")]
    engine: String,
    /// The sorting key in ClickHouse.
    #[serde(default)]
    order_by: Vec<String>,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    name: String,
    /// A Postgres type, `not null` after it where it is.
    r#type: String,
    /// The ClickHouse type, where it isn't the natural one.
    clickhouse: Option<String>,
}

fn merge_tree() -> String {
    "MergeTree".to_owned()
}

impl Fixture {
    /// Reads `tests/fixtures/<name>`.
    pub(crate) fn load(name: &str) -> Self {
        let folder = root().join("tests/fixtures").join(name);
        let mut files: Vec<PathBuf> = fs::read_dir(folder.join("data"))
            .unwrap_or_else(|error| panic!("fixture {name} has no data: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let tables = files.iter().map(|file| Table::read(file)).collect();
        Self { name: name.to_owned(), metrics: folder.join("metrics"), tables }
    }

    /// Its name as a database's: `fixture_t1_fan_out`.
    pub(crate) fn identifier(&self) -> String {
        format!("fixture_{}", self.name.rsplit('/').next().unwrap().replace('-', "_"))
    }

    /// Makes its tables in a ClickHouse database, and fills them.
    pub(crate) async fn load_clickhouse(&self, server: &ClickHouseServer) {
        for table in &self.tables {
            server.run(&[&table.clickhouse_create()]).await;
            if let Some(insert) = table.clickhouse_insert() {
                server.run(&[&insert]).await;
            }
        }
    }

    /// Writes `metrics/` and `data/*.parquet` into a folder; gives the path of the definitions.
    pub(crate) fn write_embedded(&self, folder: &Path) -> PathBuf {
        let metrics = folder.join("metrics");
        copy_folder(&self.metrics, &metrics);
        let data = folder.join("data");
        fs::create_dir_all(&data).unwrap();
        for table in &self.tables {
            table.write_parquet(&data.join(format!("{}.parquet", table.table)));
        }
        metrics
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

impl Table {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let table: Self = serde_yaml::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for row in &table.rows {
            assert_eq!(row.len(), table.columns.len(), "{}: {row:?}", file.display());
        }
        table
    }

    fn cells(&self, column: usize) -> Vec<Option<String>> {
        self.rows.iter().map(|row| text_of(&row[column])).collect()
    }

    /// The rows as Arrow, every value cast from its text.
    pub(crate) fn batch(&self) -> RecordBatch {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            let texts: ArrayRef = Arc::new(StringArray::from(self.cells(index)));
            let data_type = column.arrow_type();
            arrays.push(match data_type {
                DataType::FixedSizeBinary(16) => uuids(self.cells(index)),
                _ => cast_with_options(&texts, &data_type, &strict).unwrap(),
            });
            fields.push(Field::new(&column.name, data_type, column.is_nullable()));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    fn write_parquet(&self, path: &Path) {
        let batch = self.batch();
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// `CREATE TABLE` and `INSERT` for PostgreSQL.
    pub(crate) fn postgres_sql(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.r#type))
            .collect();
        let mut sql = format!("CREATE TABLE {} ({});\n", self.table, columns.join(", "));
        for row in &self.rows {
            let values: Vec<String> = row
                .iter()
                .map(|cell| match text_of(cell) {
                    Some(text) => format!("'{}'", text.replace('\'', "''")),
                    None => "NULL".to_owned(),
                })
                .collect();
            sql.push_str(&format!("INSERT INTO {} VALUES ({});\n", self.table, values.join(", ")));
        }
        sql
    }

    fn clickhouse_create(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("`{}` {}", column.name, column.clickhouse_type()))
            .collect();
        let (columns, key) = (columns.join(", "), self.order_by.join(", "));
        format!(
            "CREATE TABLE `{}` ({columns}) ENGINE = {} ORDER BY ({key})",
            self.table, self.engine
        )
    }

    /// The rows as JSON, so that no text needs ClickHouse's quotes; None where there are no rows.
    fn clickhouse_insert(&self) -> Option<String> {
        let objects: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let cells = self.columns.iter().zip(row);
                let object: serde_json::Map<_, _> = cells
                    .map(|(column, cell)| (column.name.clone(), json_of(column, cell)))
                    .collect();
                serde_json::Value::Object(object).to_string()
            })
            .collect();
        (!objects.is_empty()).then(|| {
            format!(
                "INSERT INTO `{}` SETTINGS date_time_input_format = 'best_effort' \
                 FORMAT JSONEachRow\n{}",
                self.table,
                objects.join("\n")
            )
        })
    }
}

impl Column {
    fn is_nullable(&self) -> bool {
        !self.r#type.ends_with(" not null")
    }

    fn base_type(&self) -> &str {
        self.r#type.trim_end_matches(" not null")
    }

    fn decimal(&self) -> Option<(u8, i8)> {
        let inner = self.base_type().strip_prefix("numeric(")?.strip_suffix(')')?;
        let (precision, scale) = inner.split_once(',')?;
        Some((precision.trim().parse().unwrap(), scale.trim().parse().unwrap()))
    }

    fn arrow_type(&self) -> DataType {
        if let Some((precision, scale)) = self.decimal() {
            return DataType::Decimal128(precision, scale);
        }
        match self.base_type() {
            "text" => DataType::Utf8,
            "int8" => DataType::Int64,
            "int4" => DataType::Int32,
            "int2" => DataType::Int16,
            "float8" => DataType::Float64,
            "bool" => DataType::Boolean,
            "date" => DataType::Date32,
            "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            // Stored as text in both backends, or as a uuid in both.
            "uuid" if self.clickhouse.is_some() => DataType::Utf8,
            "uuid" => DataType::FixedSizeBinary(16),
            other => panic!("fixtures have no type {other}"),
        }
    }

    fn clickhouse_type(&self) -> String {
        if let Some(given) = &self.clickhouse {
            return given.clone();
        }
        let natural = match (self.decimal(), self.base_type()) {
            (Some((precision, scale)), _) => format!("Decimal({precision}, {scale})"),
            (None, "text") => "String".to_owned(),
            (None, "int8") => "Int64".to_owned(),
            (None, "int4") => "Int32".to_owned(),
            (None, "int2") => "Int16".to_owned(),
            (None, "float8") => "Float64".to_owned(),
            (None, "bool") => "Bool".to_owned(),
            (None, "date") => "Date32".to_owned(),
            (None, "timestamptz") => "DateTime64(6, 'UTC')".to_owned(),
            (None, "uuid") => "UUID".to_owned(),
            (None, other) => panic!("fixtures have no type {other}"),
        };
        if self.is_nullable() { format!("Nullable({natural})") } else { natural }
    }
}

fn uuids(cells: Vec<Option<String>>) -> ArrayRef {
    let bytes = cells.into_iter().map(|cell| cell.map(|text| text.parse::<uuid::Uuid>().unwrap()));
    let bytes = bytes.map(|uuid| uuid.map(uuid::Uuid::into_bytes));
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 16).unwrap())
}

fn text_of(cell: &Value) -> Option<String> {
    match cell {
        Value::Null => None,
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        other => panic!("a cell is a scalar, not {other:?}"),
    }
}

fn json_of(column: &Column, cell: &Value) -> serde_json::Value {
    match (cell, column.base_type()) {
        (Value::Bool(value), "bool") => serde_json::Value::Bool(*value),
        _ => text_of(cell).map_or(serde_json::Value::Null, serde_json::Value::String),
    }
}

/// The package's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use canon::backend::Backend;
    use canon::backend::embedded::Embedded;
    use canon::diagnostic::{Color, render_human};
    use canon::model::check::check;
    use canon::model::load::read;

    use super::*;
    use crate::slt::files_by_fixture;

    #[tokio::test]
    async fn definitions_of_all_fixtures_are_sound() {
        let mut faults = String::new();
        for name in files_by_fixture().into_keys() {
            let folder = tempfile::tempdir().unwrap();
            let metrics = Fixture::load(&name).write_embedded(folder.path());
            let read = read(&metrics).unwrap();
            let backend = Embedded::open(&folder.path().join("data")).unwrap();
            let mut sources = BTreeMap::new();
            for table in read.tables() {
                if let Some(columns) = backend.describe(&table).await.unwrap() {
                    sources.insert(table.clone(), columns);
                }
            }
            let checked = check(&read, &sources);
            faults += &render_human(&checked.findings, read.texts(), Color::Never);
        }
        assert!(faults.is_empty(), "{faults}");
    }
}
