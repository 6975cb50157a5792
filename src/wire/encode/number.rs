//! Numbers as Postgres writes them.

use std::io::Write as _;

/// Decimal digits without sign, most significant first, and how many stand behind the point.
pub(super) struct Digits {
    pub(super) negative: bool,
    pub(super) digits: Vec<u8>,
    pub(super) scale: usize,
}

impl Digits {
    /// Of `unscaled * 10^-scale`, from the text of `unscaled`.
    pub(super) fn new(unscaled: &str, scale: i8) -> Self {
        let negative = unscaled.starts_with('-');
        let mut digits = unscaled.trim_start_matches('-').as_bytes().to_vec();
        if scale < 0 && digits != b"0" {
            digits.resize(digits.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        Self { negative, digits, scale: usize::try_from(scale).unwrap_or(0) }
    }
}

/// With all digits of the scale, as Postgres shows a numeric(p,s).
pub(super) fn write_decimal(unscaled: &str, scale: i8, out: &mut Vec<u8>) {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    out.extend_from_slice(sign.as_bytes());
    let Ok(scale @ 1..) = usize::try_from(scale) else {
        out.extend_from_slice(digits.as_bytes());
        if digits != "0" {
            out.resize(out.len() + usize::from(scale.min(0).unsigned_abs()), b'0');
        }
        return;
    };
    match digits.len().checked_sub(scale) {
        Some(whole @ 1..) => {
            let (whole, fraction) = digits.split_at(whole);
            out.extend_from_slice(whole.as_bytes());
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + scale - digits.len(), b'0');
            out.extend_from_slice(digits.as_bytes());
        }
    }
}

/// The shortest text that reads back as the same number; from 10^15 with an exponent. With
/// `extra_float_digits` of 0 or less, so many more than 15 digits instead.
///
/// Source: PostgreSQL `src/common/d2s.c`, `to_chars`; `src/backend/utils/adt/float.c`, `float8out`.
pub(super) fn write_f64(value: f64, extra_digits: i32, out: &mut Vec<u8>) {
    if write_special(value, out) {
        return;
    }
    if extra_digits <= 0 {
        return write_rounded(value, 15 + extra_digits, out);
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    match (1e-4..1e15).contains(&value.abs()) {
        true => out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes()),
        false => write_scientific(text, out),
    }
}

/// As [`write_f64`], with an exponent from 10^6, as in PostgreSQL's `f2s.c`.
pub(super) fn write_f32(value: f32, extra_digits: i32, out: &mut Vec<u8>) {
    if write_special(value.into(), out) {
        return;
    }
    if extra_digits <= 0 {
        return write_rounded(value.into(), 6 + extra_digits, out);
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    match (1e-4..1e6).contains(&value.abs()) {
        true => out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes()),
        false => write_scientific(text, out),
    }
}

/// C's `%.{digits}g`.
fn write_rounded(value: f64, digits: i32, out: &mut Vec<u8>) {
    let digits = usize::try_from(digits).unwrap_or(1).max(1);
    let text = format!("{value:.*e}", digits - 1);
    let exponent = text.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    let exponent = exponent.unwrap_or(0);
    match usize::try_from(exponent + 4).ok().filter(|_| exponent < to_i32(digits)) {
        Some(_) => {
            let decimals = usize::try_from(to_i32(digits) - 1 - exponent).unwrap_or(0);
            let text = format!("{value:.decimals$}");
            let trimmed = match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.'),
                false => &text,
            };
            out.extend_from_slice(trimmed.as_bytes());
        }
        None => write_scientific(&text, out),
    }
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn write_special(value: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = match value {
        _ if value.is_nan() => b"NaN",
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ if value == 0.0 && value.is_sign_negative() => b"-0",
        0.0 => b"0",
        _ => return false,
    };
    out.extend_from_slice(text);
    true
}

/// Rewrites ryu's text (`1.5e16`, `12340000000000000.0`, `0.00001`) as `1.5e+16`.
fn write_scientific(text: &str, out: &mut Vec<u8>) {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = all.iter().take_while(|digit| **digit == b'0').count();
    let end = all.iter().rposition(|digit| *digit != b'0').map_or(zeros, |last| last + 1);
    let digits = all.get(zeros..end).unwrap_or_default();
    let point = |count: usize| i32::try_from(count).unwrap_or(0);
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let exponent = exponent + point(whole.len()) - point(zeros) - 1;
    out.extend_from_slice(sign.as_bytes());
    let (first, rest) = digits.split_at(1.min(digits.len()));
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    // Writing to a Vec can't fail.
    let _ = write!(out, "e{sign}{:02}", exponent.abs());
}

/// Binary numeric: groups of four digits, the weight of the first, sign and scale.
///
/// Source: PostgreSQL `src/backend/utils/adt/numeric.c`, `numeric_send`.
pub(super) fn write_binary_numeric(number: &Digits, out: &mut Vec<u8>) {
    let whole = number.digits.len().saturating_sub(number.scale);
    let missing_fraction = number.scale.saturating_sub(number.digits.len());
    let front = (4 - whole % 4) % 4;
    let mut aligned = vec![0_u8; front];
    aligned.extend(number.digits.get(..whole).unwrap_or_default().iter().map(|d| d - b'0'));
    aligned.resize(aligned.len() + missing_fraction, 0);
    aligned.extend(number.digits.get(whole..).unwrap_or_default().iter().map(|d| d - b'0'));
    aligned.resize(aligned.len().next_multiple_of(4), 0);
    let groups: Vec<u16> = aligned
        .chunks(4)
        .map(|group| group.iter().fold(0, |value, digit| value * 10 + u16::from(*digit)))
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let end = groups.iter().rposition(|group| *group != 0).map_or(leading, |last| last + 1);
    let used = groups.get(leading..end).unwrap_or_default();
    let short = |count: usize| i16::try_from(count).unwrap_or(i16::MAX);
    let weight = match used.is_empty() {
        true => 0,
        false => short((whole + front) / 4) - short(leading) - 1,
    };
    let sign: u16 = if number.negative && !used.is_empty() { 0x4000 } else { 0 };
    out.extend_from_slice(&short(used.len()).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&short(number.scale).to_be_bytes());
    for group in used {
        out.extend_from_slice(&group.to_be_bytes());
    }
}
