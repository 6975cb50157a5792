//! What can go wrong while demo data are made.

use std::path::{Path, PathBuf};

use datafusion::arrow::error::ArrowError;
use datafusion::parquet::errors::ParquetError;

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("could not write \"{path}\": {source}", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("could not print: {0}")]
    Output(#[source] std::io::Error),
    #[error("could not build record batches: {0}")]
    Arrow(#[from] ArrowError),
    #[error("could not write Parquet: {0}")]
    Parquet(#[from] ParquetError),
    #[error("\"{file}\" was not written by canon demo", file = file.display())]
    ForeignFiles { folder: PathBuf, file: PathBuf },
    #[error("making table \"{table}\" was interrupted")]
    Interrupted { table: &'static str },
    #[error("invalid database name \"{database}\"")]
    DatabaseName { database: String },
    #[error("table \"{table}\" exists already in database \"{database}\"")]
    TableExists { database: String, table: String },
    /// The server's own message; it names no credentials.
    #[error("ClickHouse could not {action}: {message}")]
    ClickHouse { action: String, message: String },
}

impl DemoError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// What to do instead: whole sentences.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ForeignFiles { folder, .. } => Some(format!(
                "Choose another folder with --out, or empty \"{}\".",
                folder.display()
            )),
            Self::DatabaseName { .. } => {
                Some("Use letters, digits and underscores, and no digit first.".to_owned())
            }
            Self::TableExists { .. } => Some(
                "Choose another database with --database, or add --replace to drop the demo's tables first."
                    .to_owned(),
            ),
            Self::ClickHouse { .. } => Some(
                "Check --load-clickhouse, --user and the variable CANON_CLICKHOUSE_PASSWORD."
                    .to_owned(),
            ),
            Self::Io { .. }
            | Self::Output(_)
            | Self::Arrow(_)
            | Self::Parquet(_)
            | Self::Interrupted { .. } => None,
        }
    }
}
