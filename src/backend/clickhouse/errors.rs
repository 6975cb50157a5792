//! What a client is told of ClickHouse's errors: by number, never by text. The text goes to the log.

use std::error::Error as _;

use clickhouse::error::Error;

use crate::backend::BackendError;
use crate::functions::{FunctionError, NEGATIVE_ROOT, SEVERAL_ROWS};

/// How errors and logs name this backend.
pub(super) const NAME: &str = "clickhouse";

/// What the failing statement was, for messages and the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement<'a> {
    pub(super) query_id: &'a str,
    /// The source tables that it reads.
    pub(super) tables: &'a [String],
}

/// The error for the client; the cause is logged here, once.
pub(super) fn backend_error(error: &Error, statement: Statement) -> BackendError {
    let query_id = statement.query_id;
    let Error::BadResponse(text) = error else {
        tracing::warn!(query_id, cause = %causes(error), "clickhouse can't be reached");
        return match error {
            Error::Network(_) | Error::TimedOut => BackendError::Unreachable { backend: NAME },
            _ => failed(0, query_id),
        };
    };
    match code_of(text) {
        Some(code) => {
            let error = of_code(code, text, statement);
            match error {
                BackendError::Failed { .. } | BackendError::Unreachable { .. } => {
                    tracing::error!(query_id, code, text, "clickhouse refused a statement");
                }
                _ => tracing::info!(query_id, code, text, "clickhouse ended a statement"),
            }
            error
        }
        None => {
            // Something between us and the server answered: a proxy or a balancer.
            tracing::error!(query_id, text, "no answer of clickhouse");
            BackendError::Unreachable { backend: NAME }
        }
    }
}

fn failed(code: i64, query_id: &str) -> BackendError {
    BackendError::Failed { backend: NAME, code, query_id: query_id.to_owned() }
}

/// The number in `Code: 60. DB::Exception: …`.
pub(super) fn code_of(text: &str) -> Option<i64> {
    let rest = text.trim_start().strip_prefix("Code: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// What generated statements throw where an answer would have too many periods.
pub(super) const TOO_MANY_PERIODS: &str = "too many periods";

/// Numbers of ClickHouse's ErrorCodes.cpp, as of 26.7.
fn of_code(code: i64, text: &str, statement: Statement) -> BackendError {
    let invalid = |data_type: &str| BackendError::InvalidText {
        data_type: data_type.to_owned(),
        text: quoted(text),
    };
    match code {
        153 => BackendError::DivisionByZero,
        // What generated expressions throw themselves, by the text that they throw.
        395 if text.contains("division by zero") => BackendError::DivisionByZero,
        395 if text.contains("out of range") => BackendError::OutOfRange,
        395 if text.contains(NEGATIVE_ROOT) => {
            BackendError::Function(FunctionError::new("2201F", NEGATIVE_ROOT))
        }
        395 if text.contains(SEVERAL_ROWS) => BackendError::SeveralRows,
        395 if text.contains(TOO_MANY_PERIODS) => BackendError::TooManyPeriods,
        // BAD_ARGUMENTS and ILLEGAL_TYPE_OF_ARGUMENT, where they are about a row's time zone.
        36 if text.contains(NO_ZONE) => BackendError::InvalidTimeZone { name: zone_in(text) },
        43 if text.contains("time zone must be non-empty") => {
            BackendError::InvalidTimeZone { name: String::new() }
        }
        // ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, DECIMAL_OVERFLOW
        69 | 70 | 321 | 407 => BackendError::OutOfRange,
        6 | 27 => invalid("value"),
        72 => invalid("numeric"),
        38 => invalid("date"),
        41 => invalid("timestamp"),
        376 => invalid("uuid"),
        467 => invalid("boolean"),
        // TIMEOUT_EXCEEDED, TOO_SLOW
        159 | 160 => BackendError::Timeout,
        // QUERY_WAS_CANCELLED, QUERY_WAS_CANCELLED_BY_CLIENT
        394 | 734 | 735 => BackendError::Cancelled,
        // CANNOT_ALLOCATE_MEMORY, MEMORY_LIMIT_EXCEEDED
        173 | 241 => BackendError::OutOfMemory,
        // QUOTA_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES
        201 | 202 => BackendError::TooBusy { backend: NAME },
        // INCORRECT_RESULT_OF_SCALAR_SUBQUERY
        125 => BackendError::SeveralRows,
        // UNKNOWN_DATABASE
        81 => BackendError::UnknownDatabase { backend: NAME },
        // NOT_FOUND_COLUMN_IN_BLOCK, NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, UNKNOWN_TABLE
        10 | 16 | 47 | 60 => BackendError::SourceChanged { table: statement.tables.join("\", \"") },
        // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED, AUTHENTICATION_FAILED
        192..=195 | 516 => BackendError::Unreachable { backend: NAME },
        _ => failed(code, statement.query_id),
    }
}

/// What 26.7 says of a name that no zone has; the name follows.
const NO_ZONE: &str = "Cannot load time zone ";

fn zone_in(text: &str) -> String {
    let name = text.split_once(NO_ZONE).and_then(|(_, rest)| rest.split_once(": while executing"));
    name.map_or(String::new(), |(name, _)| name.to_owned())
}

/// The value that a parsing error quotes: the user's own.
fn quoted(text: &str) -> String {
    let value = text.split_once('\'').and_then(|(_, rest)| rest.split_once('\''));
    value.map_or(String::new(), |(value, _)| value.to_owned())
}

/// Whether the connection itself could not be made.
pub(super) fn is_connect(error: &Error) -> bool {
    let Error::Network(cause) = error else { return false };
    let client = cause.downcast_ref::<hyper_util::client::legacy::Error>();
    client.is_some_and(hyper_util::client::legacy::Error::is_connect)
}

/// Whether the connection broke, rather than ClickHouse having answered.
pub(super) fn is_network(error: &Error) -> bool {
    matches!(error, Error::Network(_))
}

/// An error with all its causes: hyper's own text says only "client error".
fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ClientError;

    fn of(text: &str) -> BackendError {
        let tables = ["orders".to_owned()];
        let statement = Statement { query_id: "q1", tables: &tables };
        backend_error(&Error::BadResponse(text.to_owned()), statement)
    }

    #[test]
    fn numbers_decide_and_texts_stay_in_the_log() {
        let cases = [
            ("Code: 153. DB::Exception: Division by zero. (ILLEGAL_DIVISION)", "22012"),
            ("Code: 407. DB::Exception: Decimal math overflow", "22003"),
            ("Code: 159. DB::Exception: Timeout exceeded", "57014"),
            ("Code: 394. DB::Exception: Query was cancelled", "57014"),
            ("Code: 241. DB::Exception: Memory limit", "53200"),
            ("Code: 202. DB::Exception: Too many simultaneous queries", "53400"),
            ("Code: 60. DB::Exception: Unknown table", "55000"),
            ("Code: 516. DB::Exception: Authentication failed", "HV00N"),
            ("Code: 62. DB::Exception: Syntax error", "HV000"),
            ("Code: 36. DB::Exception: Bad arguments", "HV000"),
            ("Code: 36. DB::Exception: Cannot load time zone Mars: while executing 'x'", "22023"),
            ("<html>502 Bad Gateway</html>", "HV00N"),
        ];
        for (text, sqlstate) in cases {
            let error = of(text);
            assert_eq!(error.sqlstate(), sqlstate, "{text}");
            assert!(!error.to_string().contains("DB::Exception"));
        }
        let error = of("Code: 6. DB::Exception: Cannot parse string 'abc' as Int64");
        assert_eq!(error.to_string(), "invalid input syntax for type value: \"abc\"");
    }
}
