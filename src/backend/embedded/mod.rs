//! The backend that reads Parquet and CSV files with DataFusion in this process.
//!
//! A table is a file `<table>.parquet` or `<table>.csv` in the folder, or a folder `<table>` of
//! such files. Parquet is pruned and filtered while it is read; CSV is parsed to the types that
//! [`describe`](Backend::describe) found in it.

mod csv;
mod files;
mod floats;
mod lower;
mod memory;
mod schema;
mod unkeyed;

use std::any::Any;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Schema, TimeUnit, TimestampMicrosecondType,
};
use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::plan_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource, cast, ident};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

pub use memory::Memory;

use self::files::{Format, TableFiles};
use super::local::{MEMORY_BYTES_DEFAULT, Reads, backend_error, run_plan, session_state};
use super::{Backend, BackendError, Prepared, Run, RunStats, SourceState};
use crate::model::{Source, SourceColumn};
use crate::plan::source::SourceTable;

/// Tables in a folder.
#[derive(Debug)]
pub struct Embedded {
    dir: PathBuf,
    state: Arc<SessionState>,
    /// What is known of each table that was described; bounded by the tables in the folder.
    tables: ArcSwap<HashMap<String, Arc<Table>>>,
}

/// A table as it was when its files were last looked into.
#[derive(Debug)]
struct Table {
    url: ListingTableUrl,
    format: Format,
    columns: Vec<SourceColumn>,
    /// Of the files that `columns` were found in.
    token: String,
    /// Of these files: the column asked for and its greatest value.
    watermark: Option<(String, Option<i64>)>,
}

impl Embedded {
    /// The tables in a folder, read with 2 GiB of memory at most for all queries together.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`] where there is no such folder.
    pub fn open(dir: &Path) -> Result<Self, BackendError> {
        Self::with_memory(dir, MEMORY_BYTES_DEFAULT)
    }

    /// As [`open`](Self::open), with another bound of memory.
    pub fn with_memory(dir: &Path, memory_bytes: usize) -> Result<Self, BackendError> {
        let dir = dir.canonicalize().map_err(|error| {
            tracing::error!(folder = %dir.display(), %error, "data folder can't be opened");
            BackendError::Unreachable { backend: "embedded" }
        })?;
        let state =
            session_state(memory_bytes, Vec::new()).map_err(|error| backend_error(error, ""))?;
        Ok(Self { dir, state, tables: ArcSwap::default() })
    }

    /// The table's files as they are now.
    async fn files(&self, table: &str) -> Result<Option<TableFiles>, BackendError> {
        let (dir, name) = (self.dir.clone(), table.to_owned());
        blocking(move || TableFiles::find(&dir, &name)).await?.map_err(|error| {
            tracing::error!(table, %error, "files of a table can't be listed");
            BackendError::Unreachable { backend: "embedded" }
        })
    }

    /// The table as it is now, from memory where its files are the same.
    async fn table(&self, name: &str) -> Result<Option<Arc<Table>>, BackendError> {
        let Some(files) = self.files(name).await? else { return Ok(None) };
        let token = files.token();
        if let Some(table) = self.tables.load().get(name)
            && table.token == token
        {
            return Ok(Some(Arc::clone(table)));
        }
        let failed = |error: DataFusionError| {
            tracing::error!(table = name, %error, "schema of a table can't be read");
            BackendError::SourceChanged { table: name.to_owned() }
        };
        let url = url_of(&files.root).map_err(failed)?;
        let schema = self.schema(&files, &url).await.map_err(failed)?;
        let columns = schema::source_columns(&schema);
        let table = Arc::new(Table { url, format: files.format, columns, token, watermark: None });
        self.keep(name, &table);
        Ok(Some(table))
    }

    fn keep(&self, name: &str, table: &Arc<Table>) {
        self.tables.rcu(|tables| {
            let mut tables = HashMap::clone(tables);
            tables.insert(name.to_owned(), Arc::clone(table));
            tables
        });
    }

    /// The schema that all files of a table share.
    async fn schema(&self, files: &TableFiles, url: &ListingTableUrl) -> PlanResult<Schema> {
        match files.format {
            Format::Parquet => {
                let schema =
                    listing_options(Format::Parquet).infer_schema(self.state.as_ref(), url).await?;
                Ok(schema.as_ref().clone())
            }
            Format::Csv => {
                let paths: Vec<PathBuf> = files.files.iter().map(|f| f.path.clone()).collect();
                let inferred = tokio::task::spawn_blocking(move || csv::infer_all(&paths)).await;
                Ok(inferred.map_err(|error| DataFusionError::External(Box::new(error)))??)
            }
        }
    }

    /// The table source that reads what `source` describes.
    fn table_source(&self, source: &SourceTable) -> PlanResult<Arc<dyn TableSource>> {
        let tables = self.tables.load();
        let Some(table) = tables.get(&source.table) else {
            return plan_err!("table \"{}\" was never described", source.table);
        };
        let config = ListingTableConfig::new(table.url.clone())
            .with_listing_options(listing_options(table.format))
            .with_schema(schema::reading_schema(&source.columns));
        Ok(provider_as_source(Arc::new(ListingTable::try_new(config)?)))
    }

    /// Whether the files still have what the plan reads: a column that went away would read as
    /// NULL, one that moved in a CSV file as its neighbour.
    async fn check_sources(&self, plan: &LogicalPlan) -> Result<(), BackendError> {
        for scan in scans(plan).map_err(|error| backend_error(error, ""))? {
            let changed = || BackendError::SourceChanged { table: scan.table.clone() };
            let table = self.table(&scan.table).await?.ok_or_else(changed)?;
            let positional = table.format == Format::Csv;
            let now = schema::reading_schema(&table.columns);
            let same = scan.columns.iter().all(|(index, field)| {
                let found = now.column_with_name(field.name());
                found.is_some_and(|(position, found)| {
                    found.data_type() == field.data_type() && (!positional || position == *index)
                })
            });
            let moved = scan.urls != [table.url.clone()];
            if !same || moved || (positional && now.fields().len() != scan.width) {
                return Err(changed());
            }
        }
        Ok(())
    }

    /// The newest value of a time column, in microseconds: from the files' statistics where they
    /// have it, else by a scan.
    async fn watermark(
        &self,
        table: &str,
        columns: &[SourceColumn],
        ingested: &str,
    ) -> Result<Option<i64>, BackendError> {
        let source = Arc::new(SourceTable::new(table.to_owned(), columns.to_vec()));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let newest: Expr = cast(max(ident(ingested)), micros);
        let plan = LogicalPlanBuilder::scan(table, source, None)
            .and_then(|scan| scan.aggregate(Vec::<Expr>::new(), vec![max(ident(ingested))]))
            .and_then(|plan| plan.project(vec![newest]))
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| backend_error(error, ""))?;
        let run = Run {
            query_id: format!("watermark-{table}"),
            log_comment: String::new(),
            cancel: CancellationToken::new(),
            deadline: None,
            stats: Arc::new(RunStats::default()),
        };
        let stream = self.execute(&self.prepare(plan)?, &run).await?;
        let batches: Vec<_> = stream.try_collect().await?;
        let newest = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| {
            let column = batch.column(0).as_primitive_opt::<TimestampMicrosecondType>()?;
            column.iter().next().flatten()
        });
        Ok(newest)
    }
}

#[async_trait]
impl Backend for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn describe(&self, table: &str) -> Result<Option<Vec<SourceColumn>>, BackendError> {
        Ok(self.table(table).await?.map(|table| table.columns.clone()))
    }

    fn prepare(&self, plan: LogicalPlan) -> Result<Prepared, BackendError> {
        let plan = lower::lower(plan, &|source| self.table_source(source))
            .and_then(|plan| self.state.optimize(&plan))
            .map_err(|error| backend_error(error, ""))?;
        Ok(Prepared { plan, pushed: Vec::new() })
    }

    async fn execute(
        &self,
        prepared: &Prepared,
        run: &Run,
    ) -> Result<SendableRecordBatchStream, BackendError> {
        self.check_sources(&prepared.plan).await?;
        let task = self.state.task_ctx();
        run_plan(prepared.plan.clone(), &self.state, task, run, Reads::Files).await
    }

    async fn freshness(&self, source: &Source) -> Result<SourceState, BackendError> {
        let gone = || BackendError::SourceChanged { table: source.table.clone() };
        let table = self.table(&source.table).await?.ok_or_else(gone)?;
        let Some(ingested) = &source.ingested else {
            return Ok(SourceState { change_token: table.token.clone(), watermark_us: None });
        };
        let watermark_us = match &table.watermark {
            Some((column, watermark)) if column == ingested => *watermark,
            _ => {
                let newest = self.watermark(&source.table, &table.columns, ingested).await?;
                let known = Table {
                    url: table.url.clone(),
                    format: table.format,
                    columns: table.columns.clone(),
                    token: table.token.clone(),
                    watermark: Some((ingested.clone(), newest)),
                };
                self.keep(&source.table, &Arc::new(known));
                newest
            }
        };
        Ok(SourceState { change_token: table.token.clone(), watermark_us })
    }
}

/// Runs what blocks on the file system away from the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackendError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "file task failed");
        BackendError::Internal("a file task failed".to_owned())
    })
}

fn url_of(root: &Path) -> PlanResult<ListingTableUrl> {
    let Some(text) = root.to_str() else {
        return plan_err!("the path of a table isn't UTF-8");
    };
    // A trailing slash makes it a folder; a path that is one is never a glob.
    let url = if root.is_dir() {
        url::Url::from_directory_path(root)
    } else {
        url::Url::from_file_path(root)
    };
    match url {
        Ok(url) => ListingTableUrl::try_new(url, None),
        Err(()) => plan_err!("no URL for {text}"),
    }
}

fn listing_options(format: Format) -> ListingOptions {
    let file_format: Arc<dyn FileFormat> = match format {
        Format::Parquet => Arc::new(ParquetFormat::default().with_force_view_types(false)),
        // A quoted value may hold a newline.
        Format::Csv => {
            Arc::new(CsvFormat::default().with_has_header(true).with_newlines_in_values(true))
        }
    };
    ListingOptions::new(file_format).with_file_extension(format!(".{}", format.extension()))
}

/// What a lowered plan reads of one table.
struct Scan {
    table: String,
    urls: Vec<ListingTableUrl>,
    /// With their positions in the table.
    columns: Vec<(usize, FieldRef)>,
    /// All columns of the table, read or not.
    width: usize,
}

fn scans(plan: &LogicalPlan) -> PlanResult<Vec<Scan>> {
    let mut scans = Vec::new();
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan {
            let schema = scan.source.schema();
            let provider = source_as_provider(&scan.source)?;
            let provider: &dyn Any = provider.as_ref();
            let Some(listing) = provider.downcast_ref::<ListingTable>() else {
                // Rows that are in memory already.
                return Ok(TreeNodeRecursion::Continue);
            };
            let fields = schema.fields().iter().cloned().enumerate();
            let read = |index: &usize| match &scan.projection {
                Some(projection) => projection.contains(index),
                None => true,
            };
            scans.push(Scan {
                table: scan.table_name.table().to_owned(),
                urls: listing.table_paths().clone(),
                width: schema.fields().len(),
                columns: fields.filter(|(index, _)| read(index)).collect(),
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(scans)
}
