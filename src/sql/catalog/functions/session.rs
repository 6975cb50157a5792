//! Who asks, of which server, under which settings, at what time.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;

use super::{Call, Function, Outcome, Returns, Value, fact, of_one};
use crate::functions::FunctionError;
use crate::sql::catalog::directory::OWNER_NAME;
use crate::sql::catalog::error::CatalogError;
use crate::sql::catalog::relations::known_roles;
use crate::sql::catalog::sessions::{Signalled, may_see};
use crate::sql::settings::{self, SettingChange};
use crate::sql::timezone::TimeZone;
use crate::sql::types::PgType;
use crate::sql::value;

pub(super) const FUNCTIONS: &[Function] = &[
    fact("version", "text", version),
    fact("current_database", "name", |call| Ok(Value::text(&call.session.database))),
    fact("current_catalog", "name", |call| Ok(Value::text(&call.session.database))),
    fact("current_schema", "name", |call| {
        let path = call.directory.explicit_path(call.session);
        Ok(Value::maybe_text(path.into_iter().next()))
    }),
    fact("current_user", "name", role),
    fact("session_user", "name", role),
    fact("getpgusername", "name", role),
    fact("current_role", "name", role),
    fact("user", "name", role),
    fact("pg_backend_pid", "int4", |call| Ok(Value::Int(call.session.backend_pid.into()))),
    fact("pg_postmaster_start_time", "timestamptz", server_start),
    fact("pg_conf_load_time", "timestamptz", server_start),
    fact("now", "timestamptz", now),
    fact("current_timestamp", "timestamptz", now),
    fact("transaction_timestamp", "timestamptz", now),
    fact("statement_timestamp", "timestamptz", now),
    fact("clock_timestamp", "timestamptz", now),
    fact("localtimestamp", "timestamp", wall_clock),
    fact("current_date", "date", wall_clock),
    fact("pg_is_in_recovery", "bool", |_| Ok(Value::Bool(false))),
    fact("pg_is_wal_replay_paused", "bool", |_| Ok(Value::Bool(false))),
    fact("inet_client_addr", "inet", |call| Ok(address(call.session.seen.client))),
    fact("inet_client_port", "int4", |call| Ok(port(call.session.seen.client))),
    fact("inet_server_addr", "inet", |call| Ok(address(call.session.seen.server))),
    fact("inet_server_port", "int4", |call| Ok(port(call.session.seen.server))),
    fact("pg_my_temp_schema", "oid", |_| Ok(Value::Int(0))),
    fact("getdatabaseencoding", "name", |_| Ok(Value::text("UTF8"))),
    fact("pg_client_encoding", "name", |_| Ok(Value::text("UTF8"))),
    // Nothing here is written, so there is nothing that an advisory lock could keep from anybody: all
    // are given at once, to everybody, and are never waited for.
    lock("pg_advisory_lock"),
    lock("pg_advisory_lock_shared"),
    lock("pg_advisory_xact_lock"),
    lock("pg_advisory_xact_lock_shared"),
    tried_lock("pg_try_advisory_lock"),
    tried_lock("pg_try_advisory_lock_shared"),
    tried_lock("pg_try_advisory_xact_lock"),
    tried_lock("pg_try_advisory_xact_lock_shared"),
    tried_lock("pg_advisory_unlock"),
    tried_lock("pg_advisory_unlock_shared"),
    fact("pg_advisory_unlock_all", "void", |_| Ok(Value::text(""))),
    of_one("pg_sleep", "void", sleep),
    of_one("pg_sleep_for", "void", sleep),
    Function {
        name: "current_schemas",
        arguments: (1, 1),
        returns: Returns::Type("_name"),
        strict: true,
        eval: current_schemas,
    },
    Function {
        name: "current_setting",
        arguments: (1, 2),
        returns: Returns::Type("text"),
        strict: true,
        eval: current_setting,
    },
    Function {
        name: "set_config",
        arguments: (3, 3),
        returns: Returns::Type("text"),
        strict: false,
        eval: set_config,
    },
    Function {
        name: "pg_cancel_backend",
        arguments: (1, 1),
        returns: Returns::Type("bool"),
        strict: true,
        eval: |call| signal(call, CANCEL, |session| session.cancel()),
    },
    // The time to wait for the end may be given, and is over at once.
    Function {
        name: "pg_terminate_backend",
        arguments: (1, 2),
        returns: Returns::Type("bool"),
        strict: true,
        eval: |call| signal(call, TERMINATE, |session| session.terminate()),
    },
    // Nobody waits for anybody: nothing is ever locked.
    of_one("pg_blocking_pids", "_int4", |_| Ok(Value::List(Vec::new()))),
    of_one("pg_safe_snapshot_blocking_pids", "_int4", |_| Ok(Value::List(Vec::new()))),
    of_one("pg_is_other_temp_schema", "bool", |_| Ok(Value::Bool(false))),
    of_one("pg_encoding_to_char", "name", |call| {
        Ok(Value::text(match call.int(0) {
            Some(0) => "SQL_ASCII",
            Some(6) => "UTF8",
            _ => "",
        }))
    }),
    of_one("pg_char_to_encoding", "int4", |call| {
        let name = call.text(0).unwrap_or_default().to_uppercase();
        Ok(Value::Int(match name.as_str() {
            "UTF8" | "UTF-8" | "UNICODE" => 6,
            "SQL_ASCII" => 0,
            _ => -1,
        }))
    }),
    of_one("pg_get_userbyid", "name", |call| {
        let oid = call.int(0).unwrap_or_default();
        let known = known_roles(call.session).into_iter().find(|(_, known)| *known == oid);
        Ok(Value::Text(match known {
            Some((role, _)) => role.to_owned(),
            None => format!("unknown (OID={oid})"),
        }))
    }),
];

/// What a signal does: to whose session, and to which of the owner's.
type Deed = (&'static str, &'static str);

const CANCEL: Deed = ("query is being canceled", "cancel superuser query");
const TERMINATE: Deed = ("process is being terminated", "terminate superuser process");

/// Tells another session something; false where there is none of that number.
///
/// # Errors
/// 42501 where the session is another role's.
fn signal(call: &Call<'_>, deed: Deed, tell: fn(&dyn Signalled)) -> Outcome {
    let pid = call.int(0).unwrap_or_default();
    let sessions = &call.session.seen.sessions;
    let Some(session) = sessions.iter().find(|it| i64::from(it.pid) == pid) else {
        return Ok(Value::Bool(false));
    };
    if !may_see(call.session, session) {
        let message = match session.role == OWNER_NAME {
            true => format!("must be a superuser to {}", deed.1),
            false => format!(
                "must be a member of the role whose {} or member of pg_signal_backend",
                deed.0
            ),
        };
        return Err(FunctionError::new("42501", message).into());
    }
    tell(session.signals.as_ref());
    Ok(Value::Bool(true))
}

/// The session sets it when the statement is done; the answer is the value as SHOW will print it.
fn set_config(call: &Call<'_>) -> Outcome {
    let Some(name) = call.text(0) else {
        let message = "SET requires parameter name".to_owned();
        return Err(CatalogError::InvalidArgument { message });
    };
    let present = call.session.setting(name);
    // NULL sets the default.
    let default = || settings::find(name).map(|setting| setting.default).unwrap_or_default();
    let value = call.text(1).unwrap_or_else(default);
    let value = settings::check(name, value, present)?;
    let (name, local) = (name.to_owned(), call.bool(2) == Some(true));
    call.session.changes.add(SettingChange { name, value: value.clone(), local })?;
    Ok(Value::Text(value))
}

/// A lock by one number of 8 bytes or two of 4.
const fn lock(name: &'static str) -> Function {
    let (arguments, returns) = ((1, 2), Returns::Type("void"));
    Function { name, arguments, returns, strict: true, eval: |_| Ok(Value::text("")) }
}

/// One that says whether it is given.
const fn tried_lock(name: &'static str) -> Function {
    let (arguments, returns) = ((1, 2), Returns::Type("bool"));
    Function { name, arguments, returns, strict: true, eval: |_| Ok(Value::Bool(true)) }
}

/// The rows of the statement are held back for so long, see [`Pause`](crate::sql::catalog::Pause).
fn sleep(call: &Call<'_>) -> Outcome {
    let seconds = match call.value(0) {
        Value::Other(ScalarValue::IntervalMonthDayNano(Some(interval))) => seconds_of(*interval),
        Value::Other(number) => match number.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(seconds))) => seconds,
            _ => 0.0,
        },
        Value::Int(seconds) => f64::from(i32::try_from(*seconds).unwrap_or(i32::MAX)),
        value => {
            let text = value.print().unwrap_or_default();
            let number = value::from_text(&PgType::Float8, Some(&text), &TimeZone::UTC);
            match number
                .or_else(|_| value::from_text(&PgType::Interval, Some(&text), &TimeZone::UTC))
            {
                Ok(ScalarValue::Float64(Some(seconds))) => seconds,
                Ok(ScalarValue::IntervalMonthDayNano(Some(interval))) => seconds_of(interval),
                _ => return Err(CatalogError::invalid_text("double precision", &text)),
            }
        }
    };
    call.session.pause.add(seconds);
    Ok(Value::text(""))
}

fn seconds_of(interval: IntervalMonthDayNano) -> f64 {
    let days = f64::from(interval.months) * 30.0 + f64::from(interval.days);
    #[expect(clippy::cast_precision_loss, reason = "nobody sleeps for centuries")]
    let clock = interval.nanoseconds as f64 / 1e9;
    days * 86_400.0 + clock
}

/// Drivers read the number behind "PostgreSQL", and some the text in brackets.
fn version(call: &Call<'_>) -> Outcome {
    Ok(Value::Text(server_version(call.session.setting("server_version"))))
}

/// What `version()` says.
pub(crate) fn server_version(number: Option<&str>) -> String {
    format!(
        "PostgreSQL {} (canon {}) on {}, 64-bit",
        number.unwrap_or("15.0"),
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    )
}

fn role(call: &Call<'_>) -> Outcome {
    Ok(Value::text(&call.session.role))
}

fn now(call: &Call<'_>) -> Outcome {
    Ok(instant(call.session.now))
}

/// Of the session's zone.
fn wall_clock(call: &Call<'_>) -> Outcome {
    let zone = call.session.setting("timezone").and_then(TimeZone::parse);
    let wall = zone.unwrap_or(TimeZone::UTC).wall_clock(call.session.now);
    let micros = wall.and_utc().timestamp_micros();
    Ok(Value::Other(ScalarValue::TimestampMicrosecond(Some(micros), None)))
}

fn server_start(call: &Call<'_>) -> Outcome {
    Ok(instant(call.session.seen.server_started_at.unwrap_or(call.session.now)))
}

fn instant(at: DateTime<Utc>) -> Value {
    let micros = at.timestamp_micros();
    Value::Other(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
}

fn address(of: Option<SocketAddr>) -> Value {
    Value::maybe_text(of.map(|of| of.ip().to_canonical().to_string()))
}

fn port(of: Option<SocketAddr>) -> Value {
    of.map_or(Value::Null, |of| Value::Int(of.port().into()))
}

fn current_schemas(call: &Call<'_>) -> Outcome {
    let path = match call.bool(0) {
        Some(true) => call.directory.effective_path(call.session),
        _ => call.directory.explicit_path(call.session),
    };
    Ok(Value::List(path.into_iter().map(Value::Text).collect()))
}

fn current_setting(call: &Call<'_>) -> Outcome {
    let name = call.text(0).unwrap_or_default();
    match call.session.setting(name) {
        Some(setting) => Ok(Value::text(setting)),
        None if call.bool(1) == Some(true) => Ok(Value::Null),
        None => Err(CatalogError::UndefinedSetting { name: name.to_owned() }),
    }
}
