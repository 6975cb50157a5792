//! Values, and when an answer's value is the expected one.

use std::cmp::Ordering;
use std::fmt;

use chrono::DateTime;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// `digits / 10^scale`.
    Dec {
        digits: i128,
        scale: u32,
    },
    Float(f64),
    Text(String),
    /// Microseconds of a wall clock.
    Wall(i64),
    /// Microseconds of an instant.
    Instant(i64),
    /// Expected values only: 0 of any type of numbers.
    Zero,
    /// Expected values only: the exact quotient, to be rounded half away from zero at the answer's
    /// scale, which is `scale` where that is known.
    Quotient {
        dividend: i128,
        divisor: i128,
        scale: Option<u32>,
    },
}

/// Relative difference of floats that still are the same: the order of additions isn't fixed.
const TOLERANCE: f64 = 1e-12;

impl Value {
    pub(crate) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// Digits and scale of an exact number.
    pub(crate) fn exact(&self) -> Option<(i128, u32)> {
        match self {
            Self::Int(value) => Some((i128::from(*value), 0)),
            Self::Dec { digits, scale } => Some((*digits, *scale)),
            Self::Zero => Some((0, 0)),
            _ => None,
        }
    }

    pub(crate) fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Quotient { dividend, divisor, .. } => Some(*dividend as f64 / *divisor as f64),
            _ => self.exact().map(|(digits, scale)| digits as f64 / pow10(scale) as f64),
        }
    }

    /// The order of two values that are comparable and not NULL.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Wall(a), Self::Wall(b)) | (Self::Instant(a), Self::Instant(b)) => Some(a.cmp(b)),
            _ => match (self.exact(), other.exact()) {
                (Some(a), Some(b)) => {
                    let (a, b, _) = aligned(a, b);
                    Some(a.cmp(&b))
                }
                _ => self.float()?.partial_cmp(&other.float()?),
            },
        }
    }

    /// Whether `found` is this expected value, its type included.
    pub(crate) fn matches(&self, found: &Self) -> bool {
        match (self, found) {
            (Self::Float(a), Self::Float(b)) => close(*a, *b),
            (Self::Zero, Self::Int(_) | Self::Dec { .. } | Self::Float(_)) => {
                found.float() == Some(0.0)
            }
            (
                Self::Quotient { dividend, divisor, scale: expected },
                Self::Dec { digits, scale },
            ) => {
                expected.is_none_or(|expected| expected == *scale)
                    && rounded(*dividend, *divisor, *scale) == *digits
            }
            _ => self == found,
        }
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

pub(crate) fn pow10(exponent: u32) -> i128 {
    10_i128.pow(exponent)
}

/// Two exact numbers at one scale.
pub(crate) fn aligned(a: (i128, u32), b: (i128, u32)) -> (i128, i128, u32) {
    let scale = a.1.max(b.1);
    (a.0 * pow10(scale - a.1), b.0 * pow10(scale - b.1), scale)
}

/// The quotient's digits at a scale, rounded half away from zero.
pub(crate) fn rounded(dividend: i128, divisor: i128, scale: u32) -> i128 {
    let (dividend, negative) = (dividend.abs() * pow10(scale), (dividend < 0) != (divisor < 0));
    let divisor = divisor.abs();
    let (whole, rest) = (dividend / divisor, dividend % divisor);
    let magnitude = whole + i128::from(rest * 2 >= divisor);
    if negative { -magnitude } else { magnitude }
}

pub(crate) fn wall_text(micros: i64) -> String {
    let at = DateTime::from_timestamp_micros(micros).unwrap().naive_utc();
    at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Zero => f.write_str("0"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Dec { digits, scale } => f.write_str(&decimal_text(*digits, *scale)),
            Self::Float(value) => write!(f, "{value:?}f"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Wall(micros) => f.write_str(&wall_text(*micros)),
            Self::Instant(micros) => write!(f, "{}Z", wall_text(*micros)),
            Self::Quotient { dividend, divisor, scale } => {
                let digits = rounded(*dividend, *divisor, scale.unwrap_or(16));
                f.write_str(&decimal_text(digits, scale.unwrap_or(16)))
            }
        }
    }
}

pub(crate) fn decimal_text(digits: i128, scale: u32) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let (whole, rest) = (digits.abs() / pow10(scale), digits.abs() % pow10(scale));
    match scale {
        0 => format!("{sign}{whole}"),
        scale => format!("{sign}{whole}.{rest:0width$}", width = scale as usize),
    }
}
