//! Opening a backend and loading definitions against it, for all commands.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::check::{self, Format};
use super::{SourceArgs, demo, exit_code};
use crate::backend::clickhouse::{ClickHouse, ClickHouseOptions};
use crate::backend::embedded::Embedded;
use crate::backend::{Backend, BackendError};
use crate::diagnostic::{self, Color};
use crate::model::check::Checked;
use crate::model::load::{self, Read};
use crate::model::{BackendConfig, Model, SourceColumn};

/// The environment variable that holds the ClickHouse password.
const PASSWORD_ENV: &str = "CANON_CLICKHOUSE_PASSWORD";
/// Name of the demo's project, whose data are made where they are missing.
const DEMO_PROJECT: &str = "retail";

/// Why a command ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Message(String),
    /// Findings, as a person reads them.
    #[error("{0}")]
    Findings(String),
    /// The backend doesn't answer; it may later.
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("could not write: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    pub(super) fn message(error: impl ToString) -> Self {
        Self::Message(error.to_string())
    }
}

/// Report every fault of a definitions folder.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Folder of the definitions
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    /// How to print the findings
    #[arg(long, default_value = "human")]
    format: FindingsFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FindingsFormat {
    Human,
    Json,
}

/// A backend, and the definitions that were read for it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) backend: Arc<dyn Backend>,
    folder: PathBuf,
}

impl Opened {
    /// Reads the definitions for their project, and opens the backend that it or the arguments name;
    /// connects to nothing yet. The demo's data are made where they are missing.
    ///
    /// # Errors
    /// A folder that can't be read, or has no project file that says which backend.
    pub(crate) async fn open(args: &SourceArgs) -> Result<Self, Failure> {
        let read = load::read(&args.metrics).map_err(Failure::message)?;
        let backend = open_backend(args, &read).await?;
        Ok(Self { backend, folder: args.metrics.clone() })
    }

    /// Reads the folder anew and checks it against the sources as they are.
    ///
    /// # Errors
    /// [`Failure::Backend`] where the sources can't be described now, [`Failure::Findings`] where the
    /// definitions have errors.
    pub(crate) async fn load(&self) -> Result<Arc<Model>, Failure> {
        let read = load::read(&self.folder).map_err(Failure::message)?;
        let checked =
            crate::model::check::check(&read, &describe(self.backend.as_ref(), &read).await?);
        let shown = || diagnostic::render_human(&checked.findings, read.texts(), color_of_stderr());
        match &checked.model {
            Some(model) => {
                if !checked.findings.is_empty() {
                    tracing::warn!(
                        findings = checked.findings.len(),
                        "definitions have warnings; canon check shows them"
                    );
                }
                Ok(Arc::clone(model))
            }
            None => Err(Failure::Findings(shown())),
        }
    }
}

pub(super) fn color_of_stderr() -> Color {
    match std::io::stderr().is_terminal() {
        true => Color::Always,
        false => Color::Never,
    }
}

/// The columns of the tables that the definitions name; tables that don't exist are left out.
pub(super) async fn describe(
    backend: &dyn Backend,
    read: &Read,
) -> Result<BTreeMap<String, Vec<SourceColumn>>, BackendError> {
    let mut sources = BTreeMap::new();
    for table in read.tables() {
        if let Some(columns) = backend.describe(&table).await? {
            sources.insert(table, columns);
        }
    }
    Ok(sources)
}

pub(super) async fn open_backend(
    args: &SourceArgs,
    read: &Read,
) -> Result<Arc<dyn Backend>, Failure> {
    if let Some(options) = clickhouse_options(args, read)? {
        return Ok(Arc::new(ClickHouse::new(options)?));
    }
    match read.project().map(|project| (&project.backend, &project.name)) {
        Some((BackendConfig::Embedded { path }, name)) => {
            if name == DEMO_PROJECT {
                ensure_demo(path).await?;
            }
            Ok(Arc::new(Embedded::open(path).map_err(|_| {
                Failure::Message(format!("data folder \"{}\" can't be opened", path.display()))
            })?))
        }
        _ => {
            let folder = args.metrics.display();
            Err(Failure::Message(format!(
                "definitions folder \"{folder}\" has no usable project file canon.yaml; run canon check"
            )))
        }
    }
}

/// The ClickHouse that the arguments or the project file name; None where neither does.
pub(super) fn clickhouse_options(
    args: &SourceArgs,
    read: &Read,
) -> Result<Option<ClickHouseOptions>, Failure> {
    let configured = match read.project().map(|project| &project.backend) {
        Some(BackendConfig::ClickHouse { url, database, user, password_env }) => {
            Some((url, database, user, password_env))
        }
        _ => None,
    };
    let (url, variable) = match (&args.clickhouse_url, configured) {
        (Some(url), _) => (url, PASSWORD_ENV),
        (None, Some((url, .., variable))) => (url, variable.as_deref().unwrap_or(PASSWORD_ENV)),
        (None, None) => return Ok(None),
    };
    let database = args.clickhouse_database.as_ref();
    let database = database.or(configured.map(|(_, database, ..)| database));
    let database = database.map_or("default", String::as_str);
    let user = args.clickhouse_user.clone();
    let user = user.or_else(|| configured.and_then(|(_, _, user, _)| user.clone()));
    let password = password(args, variable)?;
    let options = ClickHouseOptions::new(url, database);
    Ok(Some(ClickHouseOptions { user, password, ..options }))
}

async fn ensure_demo(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    tracing::info!(folder = %path.display(), "making the demo's data; this takes some seconds");
    demo::ensure_demo_data(path).await.map_err(Failure::message)?;
    Ok(())
}

/// The password from the file, else from the environment.
fn password(args: &SourceArgs, variable: &str) -> Result<Option<String>, Failure> {
    let Some(file) = &args.clickhouse_password_file else {
        return Ok(std::env::var(variable).ok());
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::Message(format!("password file \"{}\" can't be read: {error}", file.display()))
    })?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Runs `canon check`.
pub(super) async fn check(args: CheckArgs, out: &mut impl Write) -> ExitCode {
    let source =
        SourceArgs { metrics: args.folder.unwrap_or(args.source.metrics.clone()), ..args.source };
    let format = match args.format {
        FindingsFormat::Human if std::io::stdout().is_terminal() => Format::Human(Color::Always),
        FindingsFormat::Human => Format::Human(Color::Never),
        FindingsFormat::Json => Format::Json,
    };
    let read = match load::read(&source.metrics) {
        Ok(read) => read,
        Err(error) => return exit_code(check::unreadable(&error.to_string(), format, out)),
    };
    let described = match open_backend(&source, &read).await {
        Ok(backend) => describe(backend.as_ref(), &read).await.map_err(Failure::from),
        // Without a project there is no backend to ask, and the finding says so.
        Err(_) if read.project().is_none() => Ok(BTreeMap::new()),
        Err(failure) => Err(failure),
    };
    let code = match described {
        Ok(sources) => {
            let checked: Checked = crate::model::check::check(&read, &sources);
            check::report(&read, &checked, format, out)
        }
        Err(failure) => {
            let message = format!("could not describe the sources: {failure}");
            check::unreadable(&message, format, out)
        }
    };
    exit_code(code)
}
