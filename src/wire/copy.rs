//! COPY … TO STDOUT: rows as CopyData messages.

use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use tokio::io::{AsyncRead, AsyncWrite};

use super::channel::Guard;
use super::connection::Connection;
use super::encode::{CopyLayout, Form, Layout, Style};
use crate::error::QueryError;
use crate::session::{CopyOut, Format};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Sends everything up to CommandComplete, and gives its tag.
    pub(super) async fn send_copy(
        &mut self,
        mut copy: CopyOut,
        guard: &Guard,
    ) -> Result<String, QueryError> {
        let layout = CopyLayout::new(copy.options, &copy.columns)?;
        let (code, format) = match layout.is_binary() {
            true => (1, Format::Binary),
            false => (0, Format::Text),
        };
        let columns = i16::try_from(copy.columns.len()).unwrap_or(i16::MAX);
        let codes = vec![code.into(); copy.columns.len()];
        self.channel.output.message(&CopyOutResponse::new(code, columns, codes));
        if let Some(header) = layout.header(&copy.columns) {
            self.channel.output.message(&CopyData::new(header.into()));
        }
        let style = Style::of(self.session.settings());
        let formats = vec![format; copy.columns.len()];
        let rows = Layout {
            columns: &copy.columns,
            formats: &formats,
            style: &style,
            form: Form::Copy(&layout),
        };
        self.send_rows(&mut copy.cursor, &rows, None, guard).await?;
        if let Some(trailer) = layout.trailer() {
            self.channel.output.message(&CopyData::new(trailer.into()));
        }
        self.channel.output.message(&CopyDone::new());
        Ok(format!("COPY {}", copy.cursor.position()))
    }
}
