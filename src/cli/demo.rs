//! `canon demo`: the data of the demo company, a retail and medtech chain, made up from a seed.
//!
//! They are as dirty as real ones, so that the definitions in `metrics/` have something to put
//! right: `examples/retail/README.md` lists what is wrong with them. The same command makes the
//! same rows on every machine, as Parquet files or in a ClickHouse.

mod calendar;
mod cell;
mod clickhouse;
mod delivery;
mod draw;
mod error;
mod orders;
mod parquet;
mod people;
mod stock;
mod table;
#[cfg(test)]
mod tests;
mod visits;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

pub use error::DemoError;
use table::{Size, Table};

const ORDERS_DEFAULT: u64 = 100_000;
const ORDERS_MAX: u64 = 100_000_000;
/// Rows made at a time, whatever the scale.
const ROWS_PER_BATCH: usize = 16_384;

/// Make the demo company's data.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Folder for the Parquet files
    #[arg(long, value_name = "FOLDER", default_value = "examples/retail/data")]
    pub out: PathBuf,

    /// Number of orders, up to 100M; the other tables grow with it
    #[arg(long, visible_alias = "scale", value_name = "NUMBER", default_value = "100k", value_parser = parse_orders)]
    pub orders: u64,

    /// Load the rows into the ClickHouse at this URL, instead of writing files. The password is read
    /// from CANON_CLICKHOUSE_PASSWORD
    #[arg(long, value_name = "URL", conflicts_with = "out")]
    pub load_clickhouse: Option<String>,

    /// Database to create the tables in
    #[arg(long, value_name = "NAME", default_value = "shop", requires = "load_clickhouse")]
    pub database: String,

    /// ClickHouse user
    #[arg(long, value_name = "NAME", requires = "load_clickhouse")]
    pub user: Option<String>,

    /// Drop the demo's tables first, where they exist
    #[arg(long, requires = "load_clickhouse")]
    pub replace: bool,
}

/// What to make, and where.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Between 1 and 100 million.
    pub orders: u64,
    pub target: DemoTarget,
}

#[derive(Debug, Clone)]
pub enum DemoTarget {
    /// A folder of Parquet files.
    Folder(PathBuf),
    ClickHouse(ClickHouseTarget),
}

#[derive(Clone)]
pub struct ClickHouseTarget {
    pub url: String,
    pub database: String,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Drop the demo's tables first.
    pub replace: bool,
}

impl fmt::Debug for ClickHouseTarget {
    /// Without the password, and without the URL, which may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, user, replace, .. } = self;
        write!(
            f,
            "ClickHouseTarget {{ database: {database:?}, user: {user:?}, replace: {replace} }}"
        )
    }
}

impl From<DemoArgs> for DemoOptions {
    /// Reads the password from the environment.
    fn from(args: DemoArgs) -> Self {
        let target = match args.load_clickhouse {
            None => DemoTarget::Folder(args.out),
            Some(url) => DemoTarget::ClickHouse(ClickHouseTarget {
                url,
                database: args.database,
                user: args.user,
                password: std::env::var("CANON_CLICKHOUSE_PASSWORD").ok(),
                replace: args.replace,
            }),
        };
        Self { orders: args.orders, target }
    }
}

/// A table that is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loaded {
    table: &'static str,
    rows: u64,
}

/// Makes the data and says what was made. A progress bar is shown where standard error is a
/// terminal.
///
/// # Errors
/// A folder that holds other files, tables that exist already, and whatever the file system or
/// ClickHouse refuse. A folder that isn't finished is never left under its name; tables may be.
pub async fn run(options: DemoOptions, out: &mut impl Write) -> Result<(), DemoError> {
    let size = Size::of(options.orders.clamp(1, ORDERS_MAX));
    let bar = progress_bar(size);
    let (loaded, place) = match &options.target {
        DemoTarget::Folder(folder) => {
            (parquet::write(folder, size, &bar).await?, folder.display().to_string())
        }
        DemoTarget::ClickHouse(target) => {
            (clickhouse::load(target, size, &bar).await?, format!("database {}", target.database))
        }
    };
    bar.finish_and_clear();
    report(&loaded, size, &place, out).map_err(DemoError::Output)
}

/// Makes the demo data of the usual size in a folder that has none; true where it did. The folder
/// appears only when it is whole.
///
/// # Errors
/// Whatever the file system refuses.
pub async fn ensure_demo_data(folder: &Path) -> Result<bool, DemoError> {
    let size = Size::of(ORDERS_DEFAULT);
    let bar = progress_bar(size);
    let made = parquet::ensure(folder, size, &bar).await;
    bar.finish_and_clear();
    made
}

fn report(loaded: &[Loaded], size: Size, place: &str, out: &mut impl Write) -> std::io::Result<()> {
    for Loaded { table, rows } in loaded {
        writeln!(out, "{table:<12} {rows:>12} rows")?;
    }
    writeln!(out, "{} orders from 2025-01-01 to 2026-10-31 are in {place}", size.orders)
}

fn progress_bar(size: Size) -> ProgressBar {
    let things = Table::ALL.iter().map(|table| table.things(size)).sum();
    let bar = ProgressBar::new(things);
    match ProgressStyle::with_template("demo data {bar:40} {percent:>3} %  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A number with an optional k or M: `100k`, `2M`, `100_000`.
fn parse_orders(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match text.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1_000_000),
            None => (text, 1),
        },
    };
    let number: Option<u64> = digits.replace('_', "").parse().ok();
    number
        .and_then(|number| number.checked_mul(factor))
        .filter(|orders| (1..=ORDERS_MAX).contains(orders))
        .ok_or_else(|| "a number from 1 to 100M is needed, such as 100k or 2M".to_owned())
}
