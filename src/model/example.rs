//! Examples of metrics: tiny rows in, the expected answer out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, ScalarValue};
use semver::Version;

/// One example of a metric version; `canon test` runs it.
#[derive(Debug, Clone)]
pub struct Example {
    pub metric: String,
    pub version: Version,
    /// Among the version's examples, from 1.
    pub number: usize,
    /// Relative to the definitions folder.
    pub file: PathBuf,
    /// In bytes.
    pub start: usize,
    /// Rows by source table; a table that isn't here is empty.
    pub given: BTreeMap<String, Vec<GivenRow>>,
    pub expect: Expectation,
}

/// A row by source column; a column that isn't here is NULL. Values have the column's type.
pub type GivenRow = BTreeMap<String, ScalarValue>;

/// The answer that an example expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// What it is grouped by; empty for a total.
    pub by: Vec<By>,
    /// In any order.
    pub rows: Vec<ExpectedRow>,
}

/// A column to group by: a dimension, or a period of `metric_time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// As written: `customer_country`, `metric_time.month`.
    pub written: String,
    /// Its name in the metric's relation.
    pub column: String,
    pub grain: Option<&'static str>,
}

/// Values as written; None is NULL. They are compared under the types that the answer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRow {
    /// One for each of [`Expectation::by`].
    pub keys: Vec<Option<String>>,
    pub value: Option<String>,
}

/// A written value under a type.
///
/// # Errors
/// Text that isn't a value of the type.
pub fn typed(text: Option<&str>, data_type: &DataType) -> Result<ScalarValue, DataFusionError> {
    let Some(text) = text else { return ScalarValue::try_from(data_type) };
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let cast = cast_with_options(&array, data_type, &strict)?;
    if cast.is_null(0) {
        let message = format!("\"{text}\" is no {data_type}");
        return Err(ArrowError::CastError(message).into());
    }
    ScalarValue::try_from_array(&cast, 0)
}
