//! Messages on their way to the client: gathered here, written in large pieces.

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::data::{FieldDescription, NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{
    BindComplete, CloseComplete, ParseComplete, PortalSuspended,
};
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery,
    TransactionStatus as WireStatus,
};
use pgwire::messages::startup::ParameterStatus;

use crate::error::{ClientError, QueryError};
use crate::session::{Column, Format, Notice, SessionError, TransactionStatus};
use crate::sql::types::PgType;

/// From this many bytes on, rows are sent rather than gathered.
pub(super) const FLUSH_BYTES: usize = 32 << 10;
/// What an idle connection may keep.
const KEEP_BYTES: usize = 4 << 10;
/// Longest field of an error; a statement of a megabyte is not repeated in its error.
const FIELD_BYTES_MAX: usize = 8_192;
/// As in Postgres, `MaxTupleAttributeNumber`.
const COLUMNS_MAX: usize = 1_664;

/// Whether the session goes on after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Fatal,
}

#[derive(Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
}

impl Output {
    pub(super) fn message(&mut self, message: &impl Message) {
        let mut scratch = BytesMut::new();
        match message.encode(&mut scratch) {
            Ok(()) => self.bytes.extend_from_slice(&scratch),
            Err(error) => tracing::error!(%error, "a message could not be encoded"),
        }
    }

    /// Gives memory back that a large answer needed.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
    }

    pub(super) fn parse_complete(&mut self) {
        self.message(&ParseComplete::new());
    }

    pub(super) fn bind_complete(&mut self) {
        self.message(&BindComplete::new());
    }

    pub(super) fn close_complete(&mut self) {
        self.message(&CloseComplete::new());
    }

    pub(super) fn no_data(&mut self) {
        self.message(&NoData::new());
    }

    pub(super) fn portal_suspended(&mut self) {
        self.message(&PortalSuspended::new());
    }

    pub(super) fn empty_query(&mut self) {
        self.message(&EmptyQueryResponse::new());
    }

    pub(super) fn command_complete(&mut self, tag: &str) {
        self.message(&CommandComplete::new(tag.to_owned()));
    }

    pub(super) fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(&ParameterStatus::new(name.to_owned(), clean(value)));
    }

    pub(super) fn ready(&mut self, status: TransactionStatus) {
        let status = match status {
            TransactionStatus::Idle => WireStatus::Idle,
            TransactionStatus::InTransaction => WireStatus::Transaction,
            TransactionStatus::Failed => WireStatus::Error,
        };
        self.message(&ReadyForQuery::new(status));
    }

    pub(super) fn parameters(&mut self, types: &[PgType]) {
        self.message(&ParameterDescription::new(types.iter().map(announced_oid).collect()));
    }

    /// RowDescription, or NoData for statements without rows.
    ///
    /// # Errors
    /// 54011 for more columns than a client can take.
    pub(super) fn columns(
        &mut self,
        columns: Option<&[Column]>,
        formats: &[Format],
    ) -> Result<(), QueryError> {
        let Some(columns) = columns else {
            self.no_data();
            return Ok(());
        };
        if columns.len() > COLUMNS_MAX {
            let message = format!("target lists can have at most {COLUMNS_MAX} entries");
            return Err(SessionError::BadResult { sqlstate: "54011", message }.into());
        }
        let formats = formats.iter().chain(std::iter::repeat(&Format::Text));
        let fields = columns.iter().zip(formats).map(|(column, format)| {
            let code = match format {
                Format::Text => 0,
                Format::Binary => 1,
            };
            let (table, number) = column.origin.map_or((0, 0), |it| (it.table, it.number));
            let (size, modifier) = (type_size(&column.pg_type), type_modifier(&column.pg_type));
            let oid = announced_oid(&column.pg_type);
            FieldDescription::new(clean(&column.name), table, number, oid, size, modifier, code)
        });
        self.message(&RowDescription::new(fields.collect()));
        Ok(())
    }

    pub(super) fn error(&mut self, severity: Severity, error: &dyn ClientError) {
        let severity = match severity {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        };
        let mut fields = fields(severity, error.sqlstate(), &error.to_string());
        optional(&mut fields, b'D', error.detail());
        optional(&mut fields, b'H', error.hint());
        optional(&mut fields, b'P', error.position().map(|position| position.to_string()));
        self.message(&ErrorResponse::new(fields));
    }

    /// An error of the connection, apart from any statement.
    pub(super) fn fault(&mut self, severity: Severity, sqlstate: &str, message: &str) {
        let severity = match severity {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        };
        self.message(&ErrorResponse::new(fields(severity, sqlstate, message)));
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
        let mut fields = fields(notice.severity, notice.sqlstate, &notice.message);
        optional(&mut fields, b'D', notice.detail.clone());
        optional(&mut fields, b'H', notice.hint.clone());
        self.message(&NoticeResponse::new(fields));
    }
}

fn fields(severity: &str, sqlstate: &str, message: &str) -> Vec<(u8, String)> {
    vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', sqlstate.to_owned()),
        (b'M', clean(message)),
    ]
}

fn optional(fields: &mut Vec<(u8, String)>, code: u8, text: Option<String>) {
    if let Some(text) = text {
        fields.push((code, clean(&text)));
    }
}

/// Fit to be sent between NULs: without any, and not too long.
fn clean(text: &str) -> String {
    let mut end = text.len().min(FIELD_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut cleaned = text.get(..end).unwrap_or_default().replace('\0', "\u{fffd}");
    if end < text.len() {
        cleaned.push('…');
    }
    cleaned
}

/// Nobody is told `unknown`: as in Postgres, what stays without a type is text.
fn announced_oid(pg_type: &PgType) -> u32 {
    match pg_type {
        PgType::Unknown => PgType::Text.oid(),
        pg_type => pg_type.oid(),
    }
}

/// `pg_type.typlen`
fn type_size(pg_type: &PgType) -> i16 {
    match pg_type {
        PgType::Bool | PgType::Char => 1,
        PgType::Int2 => 2,
        PgType::Int4
        | PgType::Float4
        | PgType::Oid
        | PgType::Date
        | PgType::Regclass
        | PgType::Regtype
        | PgType::Regproc => 4,
        PgType::Int8 | PgType::Float8 | PgType::Time | PgType::Timestamp | PgType::Timestamptz => 8,
        PgType::Interval | PgType::Uuid => 16,
        PgType::Name => 64,
        PgType::System(system) => system.size,
        PgType::Numeric(_)
        | PgType::Text
        | PgType::Varchar
        | PgType::Int2Vector
        | PgType::OidVector
        | PgType::Bytea
        | PgType::Json
        | PgType::Jsonb
        | PgType::Array(_)
        | PgType::Unknown => -1,
    }
}

/// `pg_attribute.atttypmod`
fn type_modifier(pg_type: &PgType) -> i32 {
    match pg_type {
        PgType::Numeric(Some((precision, scale))) => {
            ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
        }
        PgType::Array(item) => type_modifier(item),
        _ => -1,
    }
}
