//! The extended query protocol: Parse, Bind, Describe, Execute, Close.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Sent};
use super::encode::{Form, Layout, Style};
use super::frame::{Bind, Target};
use super::params;
use crate::error::QueryError;
use crate::session::{
    Answer, Format, Origin, Pace, Portal, PortalState, SessionError, SharedCursor,
};
use crate::sql::types::PgType;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn parse(
        &mut self,
        name: &str,
        text: String,
        types: &[u32],
    ) -> Result<(), QueryError> {
        self.session.begin_statement();
        if name.is_empty() {
            self.session.close_statement("");
        }
        self.session.check_new_statement(name)?;
        let types = types.iter().map(|oid| announced_type(*oid)).collect::<Result<Vec<_>, _>>()?;
        let guard = self.guard(CancellationToken::new());
        let text: Arc<str> = text.into();
        let preparing = self.session.prepare_one(&text, &types);
        let prepared = self.channel.within(&guard, preparing).await??;
        self.session.add_statement(name, prepared, Origin::Protocol)?;
        self.channel.output.parse_complete();
        Ok(())
    }

    pub(super) fn bind(&mut self, bind: Bind) -> Result<(), QueryError> {
        self.session.begin_statement();
        let prepared = self.session.statement(&bind.statement)?;
        self.session.check_bind(&prepared)?;
        let types = prepared.params();
        check_counts(&bind, types.len())?;
        let formats = formats(&bind.formats, bind.values.len())?;
        let zone = self.session.settings().time_zone();
        let values = bind.values.iter().zip(&formats).zip(types).enumerate();
        let values = values.map(|(index, ((value, format), pg_type))| {
            params::decode(index + 1, pg_type, *format, value.as_ref(), &zone)
        });
        let params = values.collect::<Result<Vec<_>, _>>()?;
        let columns = prepared.columns().map_or(0, <[_]>::len);
        let formats = result_formats(&bind.result_formats, columns)?;
        if bind.portal.is_empty() {
            self.session.close_portal("");
        }
        let portal = Portal::new(prepared, params, formats);
        self.session.add_portal(&bind.portal, portal)?;
        self.channel.output.bind_complete();
        Ok(())
    }

    pub(super) fn describe(&mut self, target: Target, name: &str) -> Result<(), QueryError> {
        self.session.begin_statement();
        match target {
            Target::Statement => {
                let prepared = self.session.statement(name)?;
                self.session.check_bind(&prepared)?;
                self.channel.output.parameters(prepared.params());
                self.channel.output.columns(prepared.columns(), &[])
            }
            Target::Portal => {
                let portal = self.session.portal(name)?;
                self.channel.output.columns(portal.prepared.columns(), &portal.formats)
            }
        }
    }

    pub(super) fn close(&mut self, target: Target, name: &str) {
        match target {
            Target::Statement => self.session.close_statement(name),
            Target::Portal => self.session.close_portal(name),
        }
        self.channel.output.close_complete();
    }

    /// Runs a portal, or goes on with one; zero and negative limits mean all rows.
    pub(super) async fn execute(&mut self, name: &str, rows_max: i32) -> Result<(), QueryError> {
        self.session.begin_statement();
        let mut portal = self.session.take_portal(name)?;
        let outcome = self.run_portal(name, &mut portal, rows_max).await;
        if outcome.is_ok() {
            self.session.put_portal(name, portal);
        }
        outcome
    }

    async fn run_portal(
        &mut self,
        name: &str,
        portal: &mut Portal,
        rows_max: i32,
    ) -> Result<(), QueryError> {
        let limit = u64::try_from(rows_max).ok().filter(|limit| *limit > 0);
        self.session.check_bind(&portal.prepared)?;
        let cancel = match &portal.state {
            PortalState::Running(cursor) => cursor.cancel.clone(),
            PortalState::New | PortalState::Done { .. } => CancellationToken::new(),
        };
        let guard = self.guard(cancel.clone());
        if let PortalState::New = portal.state {
            let params = std::mem::take(&mut portal.params);
            let pace = if limit.is_some() { Pace::InParts } else { Pace::AtOnce };
            let executing = self.session.execute(&portal.prepared, params, cancel, pace);
            let answer = self.channel.within(&guard, executing).await??;
            self.tell_notices();
            match answer {
                Answer::Empty => {
                    portal.state = PortalState::Done { tag: String::new() };
                    self.channel.output.empty_query();
                    return Ok(());
                }
                Answer::Done(tag) => {
                    self.channel.output.command_complete(&tag);
                    portal.state = PortalState::Done { tag };
                    return Ok(());
                }
                Answer::Rows(rows) => {
                    portal.state = PortalState::Running(SharedCursor::new(rows.cursor));
                }
                Answer::Copy(copy) => {
                    let tag = self.send_copy(copy, &guard).await?;
                    self.channel.output.command_complete(&tag);
                    portal.state = PortalState::Done { tag };
                    return Ok(());
                }
            }
        }
        let shared = match &portal.state {
            PortalState::Running(cursor) => cursor.clone(),
            PortalState::Done { tag } if tag.starts_with("SELECT") => {
                self.channel.output.command_complete("SELECT 0");
                return Ok(());
            }
            PortalState::New | PortalState::Done { .. } => {
                return Err(SessionError::PortalDone { name: name.to_owned() }.into());
            }
        };
        let mut cursor = shared.lock().await;
        let style = Style::of(self.session.settings());
        let layout = Layout {
            columns: portal.prepared.columns().unwrap_or_default(),
            formats: &portal.formats,
            style: &style,
            form: Form::DataRow,
        };
        let before = cursor.position();
        let sent = self.send_rows(&mut cursor, &layout, limit, &guard).await?;
        match sent {
            Sent::UpToTheLimit => self.channel.output.portal_suspended(),
            Sent::All => {
                self.session.end_statement()?;
                // The count is of this Execute, as in Postgres.
                let tag = cursor.tag(cursor.position() - before);
                self.channel.output.command_complete(&tag);
                if !portal.is_cursor() {
                    portal.state = PortalState::Done { tag };
                }
            }
        }
        Ok(())
    }
}

/// The type that a client announced for a parameter; 0 and unknown leave it to be inferred.
fn announced_type(oid: u32) -> Result<Option<PgType>, QueryError> {
    const BPCHAR: u32 = 1042;
    match oid {
        0 => Ok(None),
        BPCHAR => Ok(Some(PgType::Text)),
        oid => match PgType::of_oid(oid) {
            Some(PgType::Unknown) => Ok(None),
            Some(pg_type) => Ok(Some(pg_type)),
            None => Err(SessionError::UnknownParameterType { oid }.into()),
        },
    }
}

fn check_counts(bind: &Bind, expected: usize) -> Result<(), QueryError> {
    let (formats, values) = (bind.formats.len(), bind.values.len());
    if formats > 1 && formats != values {
        let message =
            format!("bind message has {formats} parameter formats but {values} parameters");
        return Err(SessionError::Protocol { message }.into());
    }
    if values != expected {
        let message = format!(
            "bind message supplies {values} parameters, but prepared statement \"{}\" requires {expected}",
            bind.statement
        );
        return Err(SessionError::Protocol { message }.into());
    }
    Ok(())
}

fn result_formats(codes: &[i16], columns: usize) -> Result<Vec<Format>, QueryError> {
    if codes.len() > 1 && codes.len() != columns {
        let message = format!(
            "bind message has {} result formats but query has {columns} columns",
            codes.len()
        );
        return Err(SessionError::Protocol { message }.into());
    }
    formats(codes, columns)
}

/// One format for each of `count` values: none given means text, one given is for all.
fn formats(codes: &[i16], count: usize) -> Result<Vec<Format>, QueryError> {
    let formats = codes.iter().map(|code| match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        code => {
            let message = format!("unsupported format code: {code}");
            Err(QueryError::from(SessionError::BadResult { sqlstate: "22023", message }))
        }
    });
    let formats = formats.collect::<Result<Vec<_>, _>>()?;
    Ok(match formats.as_slice() {
        [] => vec![Format::Text; count],
        [one] => vec![*one; count],
        _ => formats,
    })
}
