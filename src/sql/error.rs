//! Errors of the sql stage.

use crate::error::ClientError;

/// Why a text is no statement of ours, or a value none of a setting's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    #[error("{message}")]
    Syntax { message: String, position: Option<usize> },
    #[error("{what} is not supported")]
    NotSupported { what: String, hint: Option<String>, position: Option<usize> },
    /// A statement that would write; `command` is its tag: `INSERT`, `CREATE TABLE`.
    #[error("cannot execute {command} in a read-only transaction")]
    ReadOnly { command: String },
    /// What Postgres itself refuses, with its code and in its words.
    #[error("{message}")]
    Refused {
        sqlstate: &'static str,
        message: String,
        hint: Option<&'static str>,
        position: Option<usize>,
    },
    /// Longer, wider or deeper than a statement may be; `limit` says which bound it passed.
    #[error("statement is too complex")]
    TooComplex { limit: String },
    #[error("unrecognized configuration parameter \"{name}\"")]
    UnknownSetting { name: String },
    #[error("invalid value for parameter \"{name}\": \"{value}\"")]
    InvalidSetting { name: String, value: String, hint: Option<String> },
    #[error("parameter \"{name}\" cannot be changed")]
    FixedSetting { name: String },
    #[error("setting \"{name}\" to \"{value}\" is not supported")]
    UnsupportedSetting { name: String, value: String, hint: Option<String> },
}

impl ClientError for SqlError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "42601",
            Self::NotSupported { .. } | Self::UnsupportedSetting { .. } => "0A000",
            Self::ReadOnly { .. } => "25006",
            Self::Refused { sqlstate, .. } => sqlstate,
            Self::TooComplex { .. } => "54001",
            Self::UnknownSetting { .. } => "42704",
            Self::InvalidSetting { .. } => "22023",
            Self::FixedSetting { .. } => "55P02",
        }
    }

    fn position(&self) -> Option<usize> {
        match self {
            Self::Syntax { position, .. }
            | Self::NotSupported { position, .. }
            | Self::Refused { position, .. } => *position,
            Self::ReadOnly { .. }
            | Self::TooComplex { .. }
            | Self::UnknownSetting { .. }
            | Self::InvalidSetting { .. }
            | Self::FixedSetting { .. }
            | Self::UnsupportedSetting { .. } => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotSupported { hint, .. }
            | Self::InvalidSetting { hint, .. }
            | Self::UnsupportedSetting { hint, .. } => hint.clone(),
            Self::ReadOnly { .. } => {
                Some("Definitions change in the metrics folder, data in its source.".to_owned())
            }
            Self::Refused { hint, .. } => hint.map(str::to_owned),
            Self::TooComplex { .. } => {
                Some("Write long lists with IN, or split the statement.".to_owned())
            }
            Self::Syntax { .. } | Self::UnknownSetting { .. } | Self::FixedSetting { .. } => None,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::TooComplex { limit } => Some(limit.clone()),
            Self::Syntax { .. }
            | Self::NotSupported { .. }
            | Self::ReadOnly { .. }
            | Self::Refused { .. }
            | Self::UnknownSetting { .. }
            | Self::InvalidSetting { .. }
            | Self::FixedSetting { .. }
            | Self::UnsupportedSetting { .. } => None,
        }
    }
}
