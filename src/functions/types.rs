//! SQL's type names as canon's types.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{self, ExactNumberInfo, TimezoneInfo};

use super::time::{TIMESTAMP, timestamptz};

/// Metadata of a cast's field: `numeric` without precision, which keeps the digits that there are.
const UNCONSTRAINED: &str = "canon.unconstrained";

/// Where DataFusion's reading of a type name isn't Postgres's: timestamps count microseconds, and
/// `numeric` alone has no fixed scale.
#[derive(Debug)]
pub(super) struct PostgresTypes;

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let plain = |data_type| Some(Arc::new(Field::new("", data_type, true)));
        Ok(match sql_type {
            ast::DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                plain(TIMESTAMP)
            }
            ast::DataType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                plain(timestamptz())
            }
            ast::DataType::Numeric(ExactNumberInfo::None)
            | ast::DataType::Decimal(ExactNumberInfo::None)
            | ast::DataType::Dec(ExactNumberInfo::None) => Some(Arc::new(unconstrained_numeric())),
            ast::DataType::Uuid => plain(DataType::Utf8),
            _ => None,
        })
    }
}

fn unconstrained_numeric() -> Field {
    let mark = HashMap::from([(UNCONSTRAINED.to_owned(), "numeric".to_owned())]);
    Field::new("", DataType::Decimal128(38, 10), true).with_metadata(mark)
}

/// Whether a cast is to `numeric` without precision.
pub(super) fn is_unconstrained(field: &Field) -> bool {
    field.metadata().contains_key(UNCONSTRAINED)
}
