//! An expression in ClickHouse's SQL, with what its users need to know of it.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::literal::clickhouse_type;
use super::native::Native;
use super::{NotPushable, Result};

/// How tightly an expression holds together: it needs parentheses where a tighter one is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Binding {
    Or,
    And,
    Not,
    Comparison,
    Sum,
    Product,
    Atom,
}

/// What an expression was computed from, which decides where it may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Row,
    Aggregate,
    Window,
}

/// An expression. Its type in ClickHouse is the canonical one of `data_type`, save that decimals
/// may have a greater precision, integers may be literals of a narrower type, and truth may be UInt8.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) sql: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    pub(crate) binding: Binding,
    pub(crate) level: Level,
    /// Whether it is a column of a table or block, perhaps converted: NULL where the column is NULL.
    pub(crate) plain: bool,
    /// What a lossless cast was given: comparisons with constants undo it.
    pub(crate) origin: Option<Arc<Value>>,
    /// The column as the table stores it, where reading it needs a conversion.
    pub(crate) native: Option<Native>,
    /// What the clock shows that this is read from.
    pub(crate) wall: Option<Arc<Wall>>,
    /// What it is a number of months and days after.
    pub(crate) moved: Option<Arc<Moved>>,
    /// The day whose beginning it is.
    pub(crate) midnight: Option<Arc<Midnight>>,
    pub(crate) literal: Option<ScalarValue>,
    /// The least and greatest values that an integer can have, where narrower than its type's.
    pub(crate) range: Option<(i128, i128)>,
    /// Whether a Boolean is UInt8 in ClickHouse.
    pub(crate) loose_bool: bool,
    /// Whether a float is known not to be NaN.
    pub(crate) is_number: bool,
}

/// A wall clock: an instant, as short as it can be said, and the zone in which it is read.
/// ClickHouse has functions of both that give days and longer periods in one step.
#[derive(Debug, Clone)]
pub(crate) struct Wall {
    pub(crate) instant: String,
    /// A literal.
    pub(crate) zone: String,
}

/// A timestamp from which months and then days lead to another.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) from: Value,
    pub(crate) months: i64,
    pub(crate) days: i64,
}

/// A day whose beginning a timestamp is. Of type Date32, so groups by it are smaller than those by the
/// timestamp.
#[derive(Debug, Clone)]
pub(crate) struct Midnight {
    pub(crate) day: String,
    /// A part of `day` that is equal exactly where the day is.
    pub(crate) key: String,
    /// Whether it is the first day of a month.
    pub(crate) is_first: bool,
}

impl Value {
    pub(crate) fn new(sql: String, data_type: DataType, nullable: bool) -> Self {
        Self {
            sql,
            data_type,
            nullable,
            binding: Binding::Atom,
            level: Level::Row,
            plain: false,
            origin: None,
            native: None,
            wall: None,
            moved: None,
            midnight: None,
            literal: None,
            range: None,
            loose_bool: false,
            is_number: false,
        }
    }

    /// A column of a table or block.
    pub(crate) fn column(sql: String, data_type: DataType, nullable: bool) -> Self {
        Self { plain: true, ..Self::new(sql, data_type, nullable) }
    }

    /// A condition, as comparisons give it.
    pub(crate) fn condition(sql: String, nullable: bool, binding: Binding) -> Self {
        Self { binding, loose_bool: true, ..Self::new(sql, DataType::Boolean, nullable) }
    }

    /// Takes the level and NULLs from what it was computed from.
    pub(crate) fn computed_from<'a>(mut self, parts: impl IntoIterator<Item = &'a Value>) -> Self {
        for part in parts {
            self.level = self.level.max(part.level);
            self.nullable |= part.nullable;
        }
        self
    }

    /// As an operand that has to hold together at least as tightly as `binding`.
    pub(crate) fn at(&self, binding: Binding) -> String {
        if self.binding >= binding { self.sql.clone() } else { format!("({})", self.sql) }
    }

    /// With its canonical type exactly, where UInt8 for Boolean would be seen: in the branches of a
    /// CASE, in output columns, in arguments.
    pub(crate) fn typed(&self) -> Result<String> {
        if self.loose_bool {
            Ok(format!("CAST({} AS Bool)", self.sql))
        } else {
            Ok(self.sql.clone())
        }
    }

    /// As [`Self::typed`], of a type with NULL: what has none gives its default where there is nothing.
    pub(crate) fn as_nullable(&self) -> Result<String> {
        // What is computed may have a type without, though nobody knows that it is never NULL.
        match self.nullable && self.plain {
            true => self.typed(),
            false => Ok(format!("toNullable({})", self.typed()?)),
        }
    }

    /// `CAST(… AS type)`, NULL stays NULL.
    pub(crate) fn cast_sql(&self, to: &DataType) -> Result<String> {
        Ok(format!("CAST({} AS {})", self.sql, clickhouse_type(to)?))
    }

    /// The text of a literal, for arguments that have to be constant.
    pub(crate) fn literal_text(&self) -> Option<&str> {
        match &self.literal {
            Some(
                ScalarValue::Utf8(Some(text))
                | ScalarValue::LargeUtf8(Some(text))
                | ScalarValue::Utf8View(Some(text)),
            ) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer literal.
    pub(crate) fn literal_integer(&self) -> Option<i64> {
        match &self.literal {
            Some(ScalarValue::Int64(Some(number))) => Some(*number),
            Some(ScalarValue::Int32(Some(number))) => Some(i64::from(*number)),
            Some(ScalarValue::Int16(Some(number))) => Some(i64::from(*number)),
            _ => None,
        }
    }

    pub(crate) fn is_null_literal(&self) -> bool {
        self.literal.as_ref().is_some_and(ScalarValue::is_null)
    }

    /// The least and greatest value of an integer.
    pub(crate) fn integer_range(&self) -> Result<(i128, i128)> {
        match self.range {
            Some(range) => Ok(range),
            None => integer_range(&self.data_type)
                .ok_or_else(|| NotPushable::new("arithmetic on something that is no integer")),
        }
    }
}

/// What an integer type can hold.
pub(crate) fn integer_range(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i128::from(i8::MIN), i128::from(i8::MAX)),
        DataType::Int16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        DataType::Int32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        DataType::Int64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        DataType::UInt8 => (0, i128::from(u8::MAX)),
        DataType::UInt16 => (0, i128::from(u16::MAX)),
        DataType::UInt32 => (0, i128::from(u32::MAX)),
        DataType::UInt64 => (0, i128::from(u64::MAX)),
        _ => return None,
    })
}
