//! What monitors ask of a server: its log, its transactions, its sizes. canon writes nothing, so its
//! log stands where it began, and every statement is in the one transaction that there ever was.

use datafusion::common::ScalarValue;

use super::{Call, Function, Outcome, Returns, Value, fact, of_one};
use crate::functions::FunctionError;
use crate::sql::catalog::directory::type_named;
use crate::sql::catalog::error::CatalogError;

/// Where the log stands.
const LOG_POSITION: &str = "0/0";
/// The number of the transaction.
const TRANSACTION: i64 = 1;
/// The transactions from the oldest that runs to the first that is yet to begin: none.
const SNAPSHOT: &str = "1:1:";

pub(super) const FUNCTIONS: &[Function] = &[
    of_log("pg_current_wal_lsn"),
    of_log("pg_current_wal_flush_lsn"),
    of_log("pg_current_wal_insert_lsn"),
    // Of a standby, which this is not.
    unknown("pg_last_wal_receive_lsn", "pg_lsn"),
    unknown("pg_last_wal_replay_lsn", "pg_lsn"),
    unknown("pg_last_xact_replay_timestamp", "timestamptz"),
    Function {
        name: "pg_wal_lsn_diff",
        arguments: (2, 2),
        returns: Returns::Whole,
        strict: true,
        eval: log_distance,
    },
    fact("pg_current_snapshot", "pg_snapshot", |_| Ok(Value::text(SNAPSHOT))),
    fact("txid_current_snapshot", "txid_snapshot", |_| Ok(Value::text(SNAPSHOT))),
    of_one("pg_snapshot_xmin", "xid8", |call| Ok(Value::text(snapshot_part(call, 0)?.to_string()))),
    of_one("pg_snapshot_xmax", "xid8", |call| Ok(Value::text(snapshot_part(call, 1)?.to_string()))),
    of_one("txid_snapshot_xmin", "int8", |call| snapshot_part(call, 0).map(Value::Int)),
    of_one("txid_snapshot_xmax", "int8", |call| snapshot_part(call, 1).map(Value::Int)),
    fact("txid_current", "int8", |_| Ok(Value::Int(TRANSACTION))),
    fact("pg_current_xact_id", "xid8", |_| Ok(Value::text(TRANSACTION.to_string()))),
    unknown("txid_current_if_assigned", "int8"),
    unknown("pg_current_xact_id_if_assigned", "xid8"),
    of_one("mxid_age", "int4", |_| Ok(Value::Int(0))),
    fact("current_query", "text", |call| {
        let own = call.session.seen.sessions.iter().find(|it| it.pid == call.session.backend_pid);
        Ok(Value::maybe_text(own.map(|own| own.query.as_str())))
    }),
    fact("pg_jit_available", "bool", |_| Ok(Value::Bool(false))),
    fact("pg_trigger_depth", "int4", |_| Ok(Value::Int(0))),
    fact("pg_notification_queue_usage", "float8", |_| {
        Ok(Value::Other(ScalarValue::Float64(Some(0.0))))
    }),
    fact("pg_reload_conf", "bool", |_| denied("pg_reload_conf")),
    fact("pg_rotate_logfile", "bool", |_| denied("pg_rotate_logfile")),
    fact("pg_switch_wal", "pg_lsn", |_| denied("pg_switch_wal")),
    of_one("pg_encoding_max_length", "int4", |call| match call.int(0) {
        Some(UTF8) => Ok(Value::Int(4)),
        Some(_) => Ok(Value::Int(1)),
        None => Ok(Value::Null),
    }),
    of_one("pg_size_bytes", "int8", |call| {
        let text = call.text(0).unwrap_or_default();
        size_bytes(text).map(Value::Int).ok_or_else(|| {
            let message = format!("invalid size: \"{text}\"");
            let hint = "Valid units are \"bytes\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".";
            FunctionError::new("22023", message).with_hint(hint).into()
        })
    }),
    of_one("pg_column_size", "int4", column_size),
];

/// The number of the encoding, as `pg_database` has it.
const UTF8: i64 = 6;

const fn of_log(name: &'static str) -> Function {
    fact(name, "pg_lsn", |_| Ok(Value::text(LOG_POSITION)))
}

const fn unknown(name: &'static str, type_name: &'static str) -> Function {
    fact(name, type_name, |_| Ok(Value::Null))
}

/// What only the server's owner may do in Postgres, and nobody here.
fn denied(name: &str) -> Outcome {
    Err(FunctionError::new("42501", format!("permission denied for function {name}")).into())
}

fn log_distance(call: &Call<'_>) -> Outcome {
    let position = |at: usize| -> Result<i128, CatalogError> {
        let text = call.text(at).unwrap_or_default();
        let read = || {
            let (high, low) = text.split_once('/')?;
            let half = |digits| u32::from_str_radix(digits, 16).ok().map(i128::from);
            Some((half(high)? << 32) + half(low)?)
        };
        read().ok_or_else(|| CatalogError::invalid_text("pg_lsn", text))
    };
    let distance = position(0)? - position(1)?;
    Ok(Value::Other(ScalarValue::Decimal128(Some(distance), 20, 0)))
}

/// A bound of a snapshot `oldest:next:running,…`.
fn snapshot_part(call: &Call<'_>, at: usize) -> Result<i64, CatalogError> {
    let text = call.text(0).unwrap_or_default();
    let part = text.split(':').nth(at).and_then(|part| part.parse().ok());
    part.ok_or_else(|| CatalogError::invalid_text("pg_snapshot", text))
}

/// `1.5 GB` in bytes, rounded; None of what is no size.
fn size_bytes(text: &str) -> Option<i64> {
    const PLACES_MAX: u32 = 12;
    let text = text.trim();
    let digits_end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..digits_end].trim(), &text[digits_end..]);
    let each: i128 = match unit.to_lowercase().as_str() {
        "" | "bytes" | "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1 << 40,
        "pb" => 1 << 50,
        _ => return None,
    };
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, places) = number.split_once('.').unwrap_or((number, ""));
    let count = u32::try_from(places.len()).ok().filter(|count| *count <= PLACES_MAX)?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && places.is_empty()) || !is_number(whole) || !is_number(places) {
        return None;
    }
    let scale = 10_i128.pow(count);
    let unscaled: i128 = format!("{whole}{places}").parse().ok()?;
    let bytes = (unscaled.checked_mul(each)? * 2 + scale) / (scale * 2);
    i64::try_from(sign * bytes).ok()
}

/// Bytes of a value: those of its type, or of a text and the length in front of it.
fn column_size(call: &Call<'_>) -> Outcome {
    const HEADER: usize = 4;
    let type_name = call.types.first().map(String::as_str).unwrap_or_default();
    let fixed = type_named(type_name).map(|one| one.len).filter(|len| *len > 0);
    match (fixed, call.value(0)) {
        (Some(bytes), _) => Ok(Value::Int(bytes)),
        (None, Value::Text(text)) => {
            Ok(Value::Int(i64::try_from(text.len() + HEADER).unwrap_or(i64::MAX)))
        }
        _ => Err(CatalogError::NotSupported { what: format!("pg_column_size of {type_name}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_in_postgres() {
        for (text, expected) in [
            ("10", Some(10)),
            ("10 kB", Some(10_240)),
            ("1.5GB", Some(1_610_612_736)),
            ("-.5 kb", Some(-512)),
            ("1.3 bytes", Some(1)),
            ("1 pb", Some(1 << 50)),
            ("", None),
            ("kB", None),
            ("1 xB", None),
            ("1 2", None),
            ("9000000 TB", None),
        ] {
            assert_eq!(size_bytes(text), expected, "{text}");
        }
    }
}
