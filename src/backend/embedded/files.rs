//! Which files a table consists of, and the token that differs when they do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

/// How deep a table's folder is walked.
const DEPTH_MAX: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
}

impl Format {
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }
}

/// The files of a table: `<table>.parquet`, `<table>.csv`, or those in the folder `<table>`, in
/// this order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableFiles {
    pub(super) format: Format,
    /// The file, or the folder.
    pub(super) root: PathBuf,
    /// Sorted by path.
    pub(super) files: Vec<TableFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableFile {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) modified_ns: u128,
}

impl TableFiles {
    /// Looks for a table's files; None where there are none. Blocks on the file system.
    pub(super) fn find(dir: &Path, table: &str) -> io::Result<Option<TableFiles>> {
        if table.is_empty() || table.starts_with('.') || table.contains(['/', '\\']) {
            return Ok(None); // only what lies in the folder is a table
        }
        for format in [Format::Parquet, Format::Csv] {
            let root = dir.join(format!("{table}.{}", format.extension()));
            if root.is_file() {
                let files = vec![TableFile::of(root.clone())?];
                return Ok(Some(TableFiles { format, root, files }));
            }
        }
        let root = dir.join(table);
        for format in [Format::Parquet, Format::Csv] {
            let mut files = Vec::new();
            if root.is_dir() {
                collect(&root, format, DEPTH_MAX, &mut files)?;
            }
            if !files.is_empty() {
                files.sort_by(|a, b| a.path.cmp(&b.path));
                return Ok(Some(TableFiles { format, root, files }));
            }
        }
        Ok(None)
    }

    /// Differs whenever a file comes, goes, grows or is written again.
    pub(super) fn token(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            let path = file.path.as_os_str().as_encoded_bytes();
            hash.update((path.len() as u64).to_le_bytes());
            hash.update(path);
            hash.update(file.bytes.to_le_bytes());
            hash.update(file.modified_ns.to_le_bytes());
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TableFile {
    fn of(path: PathBuf) -> io::Result<TableFile> {
        let metadata = fs::metadata(&path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(TableFile { path, bytes: metadata.len(), modified_ns: modified.as_nanos() })
    }
}

fn collect(dir: &Path, format: Format, depth: usize, files: &mut Vec<TableFile>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                collect(&path, format, depth - 1, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == format.extension()) {
            files.push(TableFile::of(path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_file_or_a_folder_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let find = |table: &str| TableFiles::find(dir.path(), table).unwrap();
        assert_eq!(find("orders"), None);

        fs::create_dir_all(dir.path().join("orders/2026")).unwrap();
        assert_eq!(find("orders"), None);
        fs::write(dir.path().join("orders/2026/b.csv"), "id\n1\n").unwrap();
        fs::write(dir.path().join("orders/2026/.hidden.csv"), "id\n1\n").unwrap();
        assert_eq!(find("orders").unwrap().format, Format::Csv);
        assert_eq!(find("orders").unwrap().files.len(), 1);

        fs::write(dir.path().join("orders.csv"), "id\n1\n").unwrap();
        assert_eq!(find("orders").unwrap().root, dir.path().join("orders.csv"));
        assert_eq!(find("../orders"), None);
    }

    #[test]
    fn the_token_differs_with_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let token = || TableFiles::find(dir.path(), "t").unwrap().unwrap().token();
        fs::create_dir(dir.path().join("t")).unwrap();
        fs::write(dir.path().join("t/a.csv"), "id\n1\n").unwrap();
        let first = token();
        assert_eq!(first, token());
        fs::write(dir.path().join("t/b.csv"), "id\n1\n").unwrap();
        let second = token();
        assert_ne!(first, second);
        fs::write(dir.path().join("t/b.csv"), "id\n12\n").unwrap();
        assert_ne!(second, token());
    }
}
