//! Errors of the session stage.

use crate::error::ClientError;

/// What is wrong with a request, apart from its SQL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("current transaction is aborted, commands ignored until end of transaction block")]
    InFailedTransaction,
    /// `command` works only between BEGIN and COMMIT.
    #[error("{command} can only be used in transaction blocks")]
    NoTransaction { command: &'static str },
    #[error("{command} cannot run inside a transaction block")]
    InTransaction { command: &'static str },
    #[error("savepoint \"{name}\" does not exist")]
    UnknownSavepoint { name: String },
    /// Canon never writes; as a hot standby does, it says so at once.
    #[error("cannot set transaction read-write mode: this server is read-only")]
    ReadWrite,
    #[error("prepared statement \"{name}\" does not exist")]
    UnknownStatement { name: String },
    #[error("unnamed prepared statement does not exist")]
    NoUnnamedStatement,
    #[error("prepared statement \"{name}\" already exists")]
    DuplicateStatement { name: String },
    #[error("portal \"{name}\" does not exist")]
    UnknownPortal { name: String },
    /// Portals and cursors share their names.
    #[error("cursor \"{name}\" already exists")]
    DuplicatePortal { name: String },
    #[error("cursor \"{name}\" does not exist")]
    UnknownCursor { name: String },
    #[error("cursor can only scan forward")]
    ForwardOnly,
    /// Rows of cursors that go back or outlive their transaction, in bytes.
    #[error("cursors of this session hold too many rows")]
    TooManyRowsKept { bytes_max: usize },
    /// `what`: prepared statements or portals.
    #[error("too many {what} in this session")]
    TooMany { what: &'static str, max: usize },
    /// Statements or parameters that a session keeps between messages, in bytes.
    #[error("this session holds too much")]
    TooMuchHeld { what: &'static str, bytes_max: usize },
    #[error("cannot insert multiple commands into a prepared statement")]
    SeveralStatements,
    #[error("wrong number of parameters for prepared statement \"{name}\"")]
    WrongArguments { name: String, expected: usize, given: usize },
    #[error("permission denied to set role \"{role}\"")]
    RoleDenied { role: String },
    #[error("statement has more than {max} parameters")]
    TooManyParameters { max: usize },
    /// A parameter's bytes don't fit its type; `number` counts from 1.
    #[error("{message}")]
    BadParameter { number: usize, sqlstate: &'static str, message: String },
    /// A value can't be shown in the type or format that the client asked for.
    #[error("{message}")]
    BadResult { sqlstate: &'static str, message: String },
    /// A message that is well-formed, and can't come now or with these counts.
    #[error("{message}")]
    Protocol { message: String },
    #[error("there is no parameter ${number}")]
    UnknownParameter { number: usize },
    #[error("parameters of the type with OID {oid} are not supported")]
    UnknownParameterType { oid: u32 },
    /// A portal of a command that has no rows to go on with.
    #[error("portal \"{name}\" cannot be run")]
    PortalDone { name: String },
    #[error("terminating connection due to administrator command")]
    Shutdown,
    #[error("canceling statement due to user request")]
    Cancelled,
    #[error("canceling statement due to statement timeout")]
    Timeout,
    /// The client has gone; nobody will read this.
    #[error("connection to client lost")]
    ClientGone,
    /// A bug of ours; what it was stands in the log.
    #[error("internal error")]
    Internal,
}

impl ClientError for SessionError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::InFailedTransaction => "25P02",
            Self::NoTransaction { .. } => "25P01",
            Self::InTransaction { .. } => "25001",
            Self::UnknownSavepoint { .. } => "3B001",
            Self::ReadWrite => "25006",
            Self::UnknownStatement { .. } | Self::NoUnnamedStatement => "26000",
            Self::DuplicateStatement { .. } => "42P05",
            Self::UnknownPortal { .. } | Self::UnknownCursor { .. } => "34000",
            Self::ForwardOnly => "55000",
            Self::TooManyRowsKept { .. } => "53400",
            Self::DuplicatePortal { .. } => "42P03",
            Self::TooMany { .. } => "53400",
            Self::TooMuchHeld { .. } => "53200",
            Self::SeveralStatements | Self::WrongArguments { .. } => "42601",
            Self::RoleDenied { .. } => "42501",
            Self::TooManyParameters { .. } => "54023",
            Self::BadParameter { sqlstate, .. } | Self::BadResult { sqlstate, .. } => sqlstate,
            Self::Protocol { .. } => "08P01",
            Self::UnknownParameter { .. } => "42P02",
            Self::UnknownParameterType { .. } => "0A000",
            Self::PortalDone { .. } => "55000",
            Self::Shutdown => "57P01",
            Self::Cancelled | Self::Timeout => "57014",
            Self::ClientGone => "08006",
            Self::Internal => "XX000",
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "few of them have another way")]
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::ForwardOnly => "Declare it with SCROLL option to enable backward scan.",
            Self::TooManyRowsKept { .. } => {
                "Read it forward inside its transaction, without SCROLL and WITH HOLD."
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::WrongArguments { expected, given, .. } => {
                Some(format!("Expected {expected} parameters but got {given}."))
            }
            Self::BadParameter { number, .. } => {
                Some(format!("It is the value of parameter ${number}."))
            }
            Self::TooMany { what, max } => Some(format!("A session may hold {max} {what}.")),
            Self::TooMuchHeld { what, bytes_max } => {
                Some(format!("Its {what} may have {bytes_max} bytes together."))
            }
            Self::TooManyRowsKept { bytes_max } => {
                Some(format!("The rows that they keep may have {bytes_max} bytes together."))
            }
            Self::InFailedTransaction
            | Self::ForwardOnly
            | Self::UnknownCursor { .. }
            | Self::NoTransaction { .. }
            | Self::InTransaction { .. }
            | Self::UnknownSavepoint { .. }
            | Self::ReadWrite
            | Self::UnknownStatement { .. }
            | Self::NoUnnamedStatement
            | Self::DuplicateStatement { .. }
            | Self::UnknownPortal { .. }
            | Self::DuplicatePortal { .. }
            | Self::SeveralStatements
            | Self::RoleDenied { .. }
            | Self::TooManyParameters { .. }
            | Self::BadResult { .. }
            | Self::Protocol { .. }
            | Self::UnknownParameter { .. }
            | Self::UnknownParameterType { .. }
            | Self::PortalDone { .. }
            | Self::Shutdown
            | Self::Cancelled
            | Self::Timeout
            | Self::ClientGone
            | Self::Internal => None,
        }
    }
}
