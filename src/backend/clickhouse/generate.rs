//! From a logical plan to one ClickHouse statement: scans only.

use datafusion::common::Column;
use datafusion::logical_expr::LogicalPlan;

use super::facts::TableFactsSource;
use super::types::{NativeType, identifier};
use crate::plan::source::SourceTable;

/// Why a plan, or a part of it, can't be said in ClickHouse's SQL with the same meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotPushable {
    pub reason: String,
}

/// One statement whose columns are those of the plan's schema, by position.
///
/// # Errors
/// [`NotPushable`] for everything but the scan of a source, with filters on nothing.
pub fn generate(plan: &LogicalPlan, _tables: &dyn TableFactsSource) -> Result<String, NotPushable> {
    let not_pushable = |reason: &str| NotPushable { reason: reason.to_owned() };
    let LogicalPlan::TableScan(scan) = plan else {
        return Err(not_pushable("only scans are pushed"));
    };
    let source = SourceTable::of(&scan.source).ok_or_else(|| not_pushable("not a source"))?;
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return Err(not_pushable("a filter in a scan"));
    }
    let mut exprs = Vec::new();
    for (qualifier, field) in scan.projected_schema.iter() {
        let name = Column::new(qualifier.cloned(), field.name()).name;
        let column = source.columns.iter().find(|column| column.name == name);
        let native = column.and_then(|column| NativeType::parse(&column.native));
        let native = native.ok_or_else(|| not_pushable("a column of unknown type"))?;
        exprs.push(format!("{} AS c{}", read(&native, &identifier(&name)), exprs.len()));
    }
    if exprs.is_empty() {
        exprs.push("1 AS c0".to_owned());
    }
    Ok(format!("SELECT {} FROM {}", exprs.join(", "), identifier(&source.table)))
}

/// The expression that reads `column` so that ArrowStream carries it without loss as the canonical
/// type, or one that widens to it.
fn read(native: &NativeType, column: &str) -> String {
    match native.name.as_str() {
        "DateTime" | "DateTime32" | "DateTime64" => format!("toDateTime64({column}, 6, 'UTC')"),
        "Enum8" | "Enum16" | "UUID" | "IPv4" | "IPv6" => format!("toString({column})"),
        "Int128" | "UInt128" | "Int256" | "UInt256" => format!("toDecimal256({column}, 0)"),
        "BFloat16" => format!("toFloat32({column})"),
        "Array" => match native.item() {
            Some(item) if read(&item, "x") != "x" => {
                format!("arrayMap(x -> {}, {column})", read(&item, "x"))
            }
            _ => column.to_owned(),
        },
        _ => column.to_owned(),
    }
}
