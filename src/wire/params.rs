//! Bound values to scalars, from either format.

use std::net::IpAddr;
use std::str;

use bytes::Bytes;
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;

use super::frame;
use crate::error::QueryError;
use crate::session::{Format, SessionError};
use crate::sql::timezone::TimeZone;
use crate::sql::types::{PgType, SystemForm, SystemType};
use crate::sql::value::{self, Fault, Read};

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Places of the numerics in a bound array.
const ITEM_SCALE: i8 = 10;
/// Elements of a bound array.
const ITEMS_MAX: usize = 1_000_000;

/// The value of parameter `number`, counted from 1, in the Arrow type of `pg_type`.
///
/// # Errors
/// 22P02, 22003, 22007, 22021 or 22P03, naming the parameter.
pub(super) fn decode(
    number: usize,
    pg_type: &PgType,
    format: Format,
    bytes: Option<&Bytes>,
    zone: &TimeZone,
) -> Result<ScalarValue, QueryError> {
    let value = match (bytes, format) {
        (None, _) => value::null(pg_type),
        (Some(bytes), Format::Text) => {
            text(bytes).and_then(|text| value::parameter(pg_type, Some(text), zone))
        }
        (Some(bytes), Format::Binary) => binary(pg_type, bytes, zone),
    };
    value.map_err(|Fault { sqlstate, message }| {
        SessionError::BadParameter { number, sqlstate, message }.into()
    })
}

fn text(bytes: &[u8]) -> Read<&str> {
    frame::utf8(bytes).map_err(|fault| Fault { sqlstate: fault.sqlstate, message: fault.message })
}

fn malformed() -> Fault {
    Fault {
        sqlstate: "22P03",
        message: "incorrect binary data format in bind parameter".to_owned(),
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Read<[u8; N]> {
    bytes.try_into().map_err(|_| malformed())
}

fn binary(pg_type: &PgType, bytes: &[u8], zone: &TimeZone) -> Read<ScalarValue> {
    Ok(match pg_type {
        PgType::Bool => ScalarValue::Boolean(Some(fixed::<1>(bytes)? != [0])),
        PgType::Int2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(bytes)?))),
        PgType::Int4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(bytes)?))),
        PgType::Int8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(bytes)?))),
        PgType::Oid => ScalarValue::Int64(Some(u32::from_be_bytes(fixed(bytes)?).into())),
        PgType::Float4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(bytes)?))),
        PgType::Float8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(bytes)?))),
        PgType::Numeric(_) => numeric(pg_type, bytes)?,
        PgType::Date => ScalarValue::Date32(Some(match i32::from_be_bytes(fixed(bytes)?) {
            days @ (i32::MAX | i32::MIN) => days,
            days => days.checked_add(EPOCH_DAYS).ok_or_else(malformed)?,
        })),
        PgType::Time => ScalarValue::Time64Microsecond(Some(time(bytes)?)),
        PgType::Timestamp => ScalarValue::TimestampMicrosecond(Some(micros(bytes)?), None),
        PgType::Timestamptz => {
            ScalarValue::TimestampMicrosecond(Some(micros(bytes)?), Some("UTC".into()))
        }
        PgType::Interval => ScalarValue::IntervalMonthDayNano(Some(interval(bytes)?)),
        PgType::Bytea => ScalarValue::Binary(Some(bytes.to_vec())),
        PgType::Uuid => ScalarValue::Utf8(Some(uuid::Uuid::from_bytes(fixed(bytes)?).to_string())),
        PgType::Jsonb => match bytes.split_first() {
            Some((&JSONB_VERSION, rest)) => value::from_text(pg_type, Some(text(rest)?), zone)?,
            Some((version, _)) => {
                let message = format!("unsupported jsonb version number {version}");
                return Err(Fault { sqlstate: "XX000", message });
            }
            None => return Err(malformed()),
        },
        // Items are of one type.
        PgType::Array(item) => array(&value::of_scale(item, ITEM_SCALE), bytes, zone)?,
        PgType::Regclass | PgType::Regtype | PgType::Regproc => object(bytes)?,
        PgType::Int2Vector | PgType::OidVector => vector(pg_type, bytes, zone)?,
        PgType::System(system) => system_value(system, pg_type, bytes, zone)?,
        // These have the bytes of their text.
        PgType::Text
        | PgType::Varchar
        | PgType::Name
        | PgType::Char
        | PgType::Json
        | PgType::Unknown => value::from_text(pg_type, Some(text(bytes)?), zone)?,
    })
}

/// An object's OID, in the digits that stand for its name.
fn object(bytes: &[u8]) -> Read<ScalarValue> {
    Ok(ScalarValue::Utf8(Some(u32::from_be_bytes(fixed(bytes)?).to_string())))
}

fn system_value(
    system: &SystemType,
    pg_type: &PgType,
    bytes: &[u8],
    zone: &TimeZone,
) -> Read<ScalarValue> {
    match system.form {
        SystemForm::Number => {
            Ok(ScalarValue::Int64(Some(u32::from_be_bytes(fixed(bytes)?).into())))
        }
        SystemForm::ObjectName => object(bytes),
        SystemForm::Address => Ok(ScalarValue::Utf8(Some(address(bytes)?))),
        SystemForm::Position => {
            let position = u64::from_be_bytes(fixed(bytes)?);
            let text = format!("{:X}/{:X}", position >> 32, position & u64::from(u32::MAX));
            Ok(ScalarValue::Utf8(Some(text)))
        }
        SystemForm::Text => value::from_text(pg_type, Some(text(bytes)?), zone),
    }
}

/// Family, bits of the network, whether it is a network, length and bytes of the address.
///
/// Source: PostgreSQL `src/backend/utils/adt/network.c`, `network_recv`.
fn address(bytes: &[u8]) -> Read<String> {
    let [_family, bits, _is_network, _length, octets @ ..] = bytes else { return Err(malformed()) };
    let address = match octets.len() {
        4 => IpAddr::from(fixed::<4>(octets)?),
        16 => IpAddr::from(fixed::<16>(octets)?),
        _ => return Err(malformed()),
    };
    let whole = usize::from(*bits) == octets.len() * 8;
    Ok(if whole { address.to_string() } else { format!("{address}/{bits}") })
}

/// The first byte of a jsonb, in front of its text.
pub(super) const JSONB_VERSION: u8 = 1;

fn time(bytes: &[u8]) -> Read<i64> {
    let micros = i64::from_be_bytes(fixed(bytes)?);
    let out_of_range = || value::out_of_range("time", &micros.to_string());
    (0..=86_400_000_000).contains(&micros).then_some(micros).ok_or_else(out_of_range)
}

fn micros(bytes: &[u8]) -> Read<i64> {
    match i64::from_be_bytes(fixed(bytes)?) {
        micros @ (i64::MAX | i64::MIN) => Ok(micros),
        micros => micros
            .checked_add(EPOCH_MICROS)
            .ok_or_else(|| value::out_of_range("timestamp", &micros.to_string())),
    }
}

fn interval(bytes: &[u8]) -> Read<IntervalMonthDayNano> {
    let mut reader = Reader { rest: bytes };
    let micros = i64::from_be_bytes(reader.array()?);
    let (days, months) = (reader.i32()?, reader.i32()?);
    let nanos = micros
        .checked_mul(1_000)
        .ok_or_else(|| value::out_of_range("interval", &format!("{micros} microseconds")))?;
    reader.end()?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

/// Groups of four digits; the first has the weight `10000^weight`.
///
/// Source: PostgreSQL `src/backend/utils/adt/numeric.c`, `numeric_recv`.
fn numeric(pg_type: &PgType, bytes: &[u8]) -> Read<ScalarValue> {
    let mut reader = Reader { rest: bytes };
    let (groups, weight) = (reader.i16()?, reader.i16()?);
    let (sign, written) = (u16::from_be_bytes(reader.array()?), reader.i16()?);
    if matches!(sign, 0xc000 | 0xd000 | 0xf000) {
        let message = "numeric NaN and infinity are not supported".to_owned();
        return Err(Fault { sqlstate: "22003", message });
    }
    if !matches!(sign, 0 | 0x4000) || groups < 0 {
        return Err(malformed());
    }
    let mut digits = Vec::new();
    for _ in 0..groups {
        let group = reader.i16()?;
        if !(0..10_000).contains(&group) {
            return Err(malformed());
        }
        digits.extend(format!("{group:04}").bytes().map(|digit| digit - b'0'));
    }
    reader.end()?;
    let scale = 4 * (i32::from(groups) - 1 - i32::from(weight));
    let own = i8::try_from(written.clamp(0, value::SCALE_MAX.into())).unwrap_or_default();
    value::decimal(&value::of_scale(pg_type, own), sign == 0x4000, &digits, scale)
}

/// Arrays of one dimension.
fn array(item: &PgType, bytes: &[u8], zone: &TimeZone) -> Read<ScalarValue> {
    value::list(item, items(item, bytes, zone)?)
}

fn items(item: &PgType, bytes: &[u8], zone: &TimeZone) -> Read<Vec<ScalarValue>> {
    let mut reader = Reader { rest: bytes };
    let dimensions = reader.i32()?;
    let (_has_nulls, element) = (reader.i32()?, u32::from_be_bytes(reader.array()?));
    let same_bytes =
        matches!(item, PgType::Text | PgType::Varchar | PgType::Name | PgType::Unknown);
    if element != item.oid() && !same_bytes {
        let message =
            format!("binary data has array element type {element} instead of {}", item.oid());
        return Err(Fault { sqlstate: "42804", message });
    }
    let length = match dimensions {
        0 => 0,
        1 => {
            let length = reader.i32()?;
            reader.i32()?;
            usize::try_from(length).map_err(|_| malformed())?
        }
        _ => {
            let message = "arrays of several dimensions are not supported as parameters".to_owned();
            return Err(Fault { sqlstate: "0A000", message });
        }
    };
    if length > ITEMS_MAX {
        let message = format!("an array parameter may have {ITEMS_MAX} elements");
        return Err(Fault { sqlstate: "54000", message });
    }
    // Grows with the bytes that are there, not with the length that they claim.
    let mut values = Vec::new();
    for _ in 0..length {
        values.push(match reader.i32()? {
            -1 => value::null(item)?,
            length => {
                let length = usize::try_from(length).map_err(|_| malformed())?;
                binary(item, reader.take(length)?, zone)?
            }
        });
    }
    reader.end()?;
    Ok(values)
}

/// In canon these are texts: `1 2 3`.
fn vector(pg_type: &PgType, bytes: &[u8], zone: &TimeZone) -> Read<ScalarValue> {
    let item = if *pg_type == PgType::Int2Vector { PgType::Int2 } else { PgType::Oid };
    let texts: Vec<String> = items(&item, bytes, zone)?.iter().map(ToString::to_string).collect();
    Ok(ScalarValue::Utf8(Some(texts.join(" "))))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        fixed(self.take(N)?)
    }

    fn i16(&mut self) -> Read<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Read<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn end(&self) -> Read<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};

    fn shown(pg_type: &PgType, bytes: &[u8]) -> String {
        match binary(pg_type, bytes, &TimeZone::UTC) {
            Ok(value) => format!("{value:?}"),
            Err(fault) => fault.sqlstate.to_owned(),
        }
    }

    #[test]
    fn binary_numerics_are_exact() {
        let numeric = PgType::Numeric(Some((38, 10)));
        // 1234567.89 is 123 4567 8900 with the weight 1.
        let bytes = [0, 3, 0, 1, 0, 0, 0, 2, 0, 123, 0x11, 0xd7, 0x22, 0xc4];
        assert_eq!(shown(&numeric, &bytes), "Decimal128(1234567.8900000000,38,10)");
        assert_eq!(shown(&numeric, &[0; 8]), "Decimal128(0.0000000000,38,10)");
        // -0.00000001
        let small = [0, 1, 0xff, 0xfe, 0x40, 0, 0, 8, 0, 1];
        assert_eq!(shown(&numeric, &small), "Decimal128(-0.0000000100,38,10)");
        let nan = [0, 0, 0, 0, 0xc0, 0, 0, 0];
        assert_eq!(shown(&numeric, &nan), "22003");
        // 10000^32767
        let huge = [0, 1, 0x7f, 0xff, 0, 0, 0, 0, 0, 1];
        assert_eq!(shown(&numeric, &huge), "22003");
    }

    #[test]
    fn wrong_sizes_are_refused() {
        assert_eq!(shown(&PgType::Int4, &[0, 0]), "22P03");
        assert_eq!(shown(&PgType::Timestamp, &[0; 7]), "22P03");
        assert_eq!(
            shown(&PgType::Timestamp, &[0; 8]),
            "TimestampMicrosecond(946684800000000, None)"
        );
        assert_eq!(shown(&PgType::Text, b"a\xff"), "22021");
        let lying = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1];
        assert_eq!(shown(&PgType::Array(Box::new(PgType::Int4)), &lying), "54000");
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(11);
        let types = [
            PgType::Bool,
            PgType::Int4,
            PgType::Float8,
            PgType::Numeric(None),
            PgType::Date,
            PgType::Time,
            PgType::Timestamptz,
            PgType::Interval,
            PgType::Uuid,
            PgType::Json,
            PgType::Jsonb,
            PgType::Array(Box::new(PgType::Numeric(None))),
            PgType::Int2Vector,
            PgType::Bytea,
        ];
        for _ in 0..20_000 {
            let mut bytes = vec![0; random.random_range(0..40)];
            random.fill_bytes(&mut bytes);
            // Small numbers at the front make counts plausible.
            let quiet = random.random_range(0..=bytes.len());
            bytes[..quiet].iter_mut().for_each(|byte| *byte &= 1);
            for pg_type in &types {
                let _ = binary(pg_type, &bytes, &TimeZone::UTC);
                if let Ok(text) = str::from_utf8(&bytes) {
                    let _ = value::from_text(pg_type, Some(text), &TimeZone::UTC);
                }
            }
        }
    }
}
