//! The demo data as Parquet files.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;

use super::error::DemoError;
use super::table::{Size, Table};
use super::{Loaded, ROWS_PER_BATCH};

/// Rows kept encoded in memory before they go to disk, whatever the scale.
const ROWS_PER_GROUP: usize = 131_072;
/// Each has a row group in memory.
const TABLES_AT_ONCE_MAX: usize = 4;

/// A folder under a name of its own beside the one to be made; removed unless it is published.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn beside(folder: &Path) -> Result<Self, DemoError> {
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let path = parent.join(format!(".{name}.partial-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&path).map_err(|source| DemoError::io(&path, source))?;
        Ok(Self { path })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "unfinished demo data are left behind");
        }
    }
}

/// The file of a table.
pub(super) fn file_of(folder: &Path, table: Table) -> PathBuf {
    folder.join(format!("{}.parquet", table.name()))
}

/// True where the folder holds data, of whatever origin.
pub(super) fn has_data(folder: &Path) -> Result<bool, DemoError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DemoError::io(folder, error)),
    }
}

/// Makes all tables in `folder`, which appears only when they are whole. Data of an earlier run are
/// replaced.
///
/// # Errors
/// [`DemoError::ForeignFiles`] where the folder holds anything that an earlier run didn't write.
pub(super) async fn write(
    folder: &Path,
    size: Size,
    bar: &ProgressBar,
) -> Result<Vec<Loaded>, DemoError> {
    refuse_foreign_files(folder)?;
    let draft = Draft::beside(folder)?;
    let loaded = write_tables(&draft.path, size, bar).await?;
    if has_data(folder)? {
        replace(folder, &draft)?;
    } else {
        rename(&draft.path, folder)?;
    }
    Ok(loaded)
}

/// Makes the data unless the folder has some already. Of several processes that try at once, one
/// succeeds and the others find its data.
pub(super) async fn ensure(
    folder: &Path,
    size: Size,
    bar: &ProgressBar,
) -> Result<bool, DemoError> {
    if has_data(folder)? {
        return Ok(false);
    }
    let draft = Draft::beside(folder)?;
    write_tables(&draft.path, size, bar).await?;
    match rename(&draft.path, folder) {
        Ok(()) => Ok(true),
        Err(_) if has_data(folder)? => Ok(false),
        Err(error) => Err(error),
    }
}

async fn write_tables(
    folder: &Path,
    size: Size,
    bar: &ProgressBar,
) -> Result<Vec<Loaded>, DemoError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    stream::iter(Table::ALL)
        .map(|table| write_table(file_of(folder, table), table, size, bar.clone()))
        .buffered(cores.min(TABLES_AT_ONCE_MAX))
        .try_collect()
        .await
}

async fn write_table(
    path: PathBuf,
    table: Table,
    size: Size,
    bar: ProgressBar,
) -> Result<Loaded, DemoError> {
    let written = tokio::task::spawn_blocking(move || write_file(&path, table, size, &bar));
    let rows = written.await.map_err(|_| DemoError::Interrupted { table: table.name() })??;
    Ok(Loaded { table: table.name(), rows })
}

fn write_file(path: &Path, table: Table, size: Size, bar: &ProgressBar) -> Result<u64, DemoError> {
    let io = |source| DemoError::io(path, source);
    let file = File::create_new(path).map_err(io)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_created_by("canon demo".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(BufWriter::new(file), table.schema(), Some(properties))?;
    let (mut rows, mut things) = (0, 0);
    for batch in table.batches(size, ROWS_PER_BATCH) {
        let batch = batch?;
        writer.write(&batch.rows)?;
        rows += batch.rows.num_rows() as u64;
        bar.inc(batch.things - things);
        things = batch.things;
    }
    let file = writer.into_inner()?.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    bar.inc(table.things(size) - things);
    Ok(rows)
}

fn refuse_foreign_files(folder: &Path) -> Result<(), DemoError> {
    if !has_data(folder)? {
        return Ok(());
    }
    let ours = Table::ALL.map(|table| file_of(folder, table));
    for entry in fs::read_dir(folder).map_err(|source| DemoError::io(folder, source))? {
        let path = entry.map_err(|source| DemoError::io(folder, source))?.path();
        if !ours.contains(&path) {
            return Err(DemoError::ForeignFiles { folder: folder.to_owned(), file: path });
        }
    }
    Ok(())
}

/// Puts the draft in the place of an earlier run's data, which are moved aside first.
fn replace(folder: &Path, draft: &Draft) -> Result<(), DemoError> {
    refuse_foreign_files(folder)?;
    let old = Draft::beside(folder)?;
    rename(folder, &old.path)?;
    rename(&draft.path, folder)
}

fn rename(from: &Path, to: &Path) -> Result<(), DemoError> {
    fs::rename(from, to).map_err(|source| DemoError::io(to, source))
}
