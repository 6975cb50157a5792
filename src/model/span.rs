//! Lengths of calendar time, and what is computed over them.

use std::fmt;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use crate::functions::Grain;

/// A length of calendar time: months are as long as they are, days are days of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub months: i32,
    pub days: i32,
}

impl Span {
    /// Reads `28 days`, `1 month`; None for anything else, and for nothing at all.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.trim().split_once(char::is_whitespace)?;
        let number: i32 = number.parse().ok().filter(|number| *number > 0)?;
        let unit = unit.trim();
        let (months, days) = match unit.strip_suffix('s').unwrap_or(unit) {
            "day" => (0, 1),
            "week" => (0, 7),
            "month" => (1, 0),
            "quarter" => (3, 0),
            "year" => (12, 0),
            _ => return None,
        };
        Some(Self { months: number.checked_mul(months)?, days: number.checked_mul(days)? })
    }

    /// As an interval.
    pub fn interval(self) -> Expr {
        let value = ScalarValue::new_interval_mdn(self.months, self.days, 0);
        Expr::Literal(value, None)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |count: i32, unit: &str| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {unit}{plural}")
        };
        match (self.months, self.days) {
            (months, 0) if months % 12 == 0 => f.write_str(&part(months / 12, "year")),
            (months, 0) => f.write_str(&part(months, "month")),
            (0, days) => f.write_str(&part(days, "day")),
            (months, days) => write!(f, "{} and {}", part(months, "month"), part(days, "day")),
        }
    }
}

/// The rows that a cumulative metric counts in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// Those of this long before the period's end.
    Trailing(Span),
    /// Those since the beginning of the week, month, quarter or year, perhaps of a fiscal calendar,
    /// that the period's last moment is in.
    ToDate(Grain),
    /// All until the period's end.
    All,
}

/// How a series of snapshots becomes one value for a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What identifies a series, over source columns.
    pub per: Vec<Expr>,
    pub pick: Pick,
    /// How long a snapshot stands for missing ones.
    pub carry: Option<Span>,
}

/// Which of a series' values in a period counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    Last,
    First,
    Min,
    Max,
    Avg,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_and_units() {
        assert_eq!(Span::parse("28 days"), Some(Span { months: 0, days: 28 }));
        assert_eq!(Span::parse("1 quarter"), Some(Span { months: 3, days: 0 }));
        for bad in
            ["1", "days", "0 days", "-1 month", "1 fortnight", "9999999999 days", "999999999 years"]
        {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}
