//! Batches on their way to the client, counted; the end of the stream is the end of the statement.

use std::pin::Pin;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::{Stream, StreamExt};

use crate::observe::Statement;

/// A stream that notes its rows; dropping it before its end notes that too.
pub(crate) struct Measured {
    inner: SendableRecordBatchStream,
    statement: Statement,
}

impl Measured {
    pub(crate) fn new(inner: SendableRecordBatchStream, statement: Statement) -> Self {
        Self { inner, statement }
    }
}

impl Stream for Measured {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.inner.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(Ok(batch))) => self.statement.sent(batch.num_rows()),
            Poll::Ready(Some(Err(error))) => self.statement.failed(error),
            Poll::Ready(None) => self.statement.finished(),
            Poll::Pending => {}
        }
        next
    }
}

impl RecordBatchStream for Measured {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}
