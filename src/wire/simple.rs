//! The simple query protocol: a text of any number of statements.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::channel::Ended;
use super::connection::Connection;
use super::encode::{Form, Layout, Style};
use crate::error::QueryError;
use crate::session::{self, Answer, Pace, SessionError};
use crate::sql::parse::Statement;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Answers all statements, or those up to the first error. Without BEGIN they are one
    /// transaction. The caller sends ReadyForQuery.
    pub(super) async fn simple_query(&mut self, text: String) -> Result<(), Ended> {
        self.session.close_statement("");
        self.session.close_portal("");
        let text: Arc<str> = text.into();
        let outcome = self.statements(&text).await;
        self.statement_ended();
        match outcome {
            Ok(()) => self.session.end_message(),
            Err(error) => self.failed(&error)?,
        }
        Ok(())
    }

    async fn statements(&mut self, text: &Arc<str>) -> Result<(), QueryError> {
        let statements = session::statements(text)?;
        if statements.is_empty() {
            self.channel.output.empty_query();
        }
        self.session.begin_message(statements.len());
        for statement in statements {
            self.session.begin_statement();
            self.statement(text, statement).await?;
        }
        Ok(())
    }

    async fn statement(&mut self, text: &Arc<str>, statement: Statement) -> Result<(), QueryError> {
        let cancel = CancellationToken::new();
        let guard = self.guard(cancel.clone());
        let preparing = self.session.prepare(text, statement, &[]);
        let prepared = self.channel.within(&guard, preparing).await??;
        if !prepared.params().is_empty() {
            return Err(SessionError::UnknownParameter { number: 1 }.into());
        }
        let executing = self.session.execute(&prepared, Vec::new(), cancel, Pace::AtOnce);
        let answer = self.channel.within(&guard, executing).await??;
        self.tell_notices();
        let tag = match answer {
            Answer::Empty => return Ok(()),
            Answer::Done(tag) => tag,
            Answer::Rows(mut rows) => {
                let formats = vec![rows.format; rows.columns.len()];
                self.channel.output.columns(Some(&rows.columns), &formats)?;
                let style = Style::of(self.session.settings());
                let layout = Layout {
                    columns: &rows.columns,
                    formats: &formats,
                    style: &style,
                    form: Form::DataRow,
                };
                self.send_rows(&mut rows.cursor, &layout, None, &guard).await?;
                self.session.end_statement()?;
                rows.cursor.tag(rows.cursor.position())
            }
            Answer::Copy(copy) => self.send_copy(copy, &guard).await?,
        };
        self.channel.output.command_complete(&tag);
        Ok(())
    }
}
