//! Transactions: there is nothing to undo but settings, and clients see every state of Postgres.

use super::settings::{Mark, SessionSettings};

/// Savepoints of one transaction.
pub(super) const SAVEPOINTS_MAX: usize = 1_000;

/// What ReadyForQuery tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

/// Where a session stands between BEGIN and COMMIT.
#[derive(Debug, Default)]
pub(super) enum Transaction {
    #[default]
    None,
    /// Opened by a message, without BEGIN; it ends with the message, or at Sync.
    Implicit(Mark),
    Explicit(Block),
    Failed(Block),
}

/// An explicit transaction: how to undo all of it, or what came after a savepoint.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) start: Mark,
    pub(super) savepoints: Vec<(String, Mark)>,
}

impl Transaction {
    pub(super) fn status(&self) -> TransactionStatus {
        match self {
            Self::None | Self::Implicit(_) => TransactionStatus::Idle,
            Self::Explicit(_) => TransactionStatus::InTransaction,
            Self::Failed(_) => TransactionStatus::Failed,
        }
    }

    pub(super) fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    pub(super) fn is_block(&self) -> bool {
        matches!(self, Self::Explicit(_) | Self::Failed(_))
    }

    /// How many savepoints stand.
    pub(super) fn savepoints(&self) -> usize {
        match self {
            Self::None | Self::Implicit(_) => 0,
            Self::Explicit(block) | Self::Failed(block) => block.savepoints.len(),
        }
    }

    pub(super) fn begin_implicit(&mut self, settings: &SessionSettings) {
        if matches!(self, Self::None) {
            *self = Self::Implicit(settings.mark());
        }
    }

    /// BEGIN; what the same message did before it becomes part of the block, as in Postgres.
    pub(super) fn begin(&mut self, settings: &SessionSettings) {
        let start = match std::mem::take(self) {
            Self::None => settings.mark(),
            Self::Implicit(mark) => mark,
            block @ (Self::Explicit(_) | Self::Failed(_)) => {
                *self = block;
                return;
            }
        };
        *self = Self::Explicit(Block { start, savepoints: Vec::new() });
    }

    /// Keeps what was set, unless the transaction has failed. True if there was a good one.
    pub(super) fn commit(&mut self, settings: &mut SessionSettings) -> bool {
        match std::mem::take(self) {
            Self::Failed(block) => {
                settings.go_back_to(&block.start);
                settings.end_transaction();
                false
            }
            Self::None | Self::Implicit(_) | Self::Explicit(_) => {
                settings.end_transaction();
                true
            }
        }
    }

    pub(super) fn rollback(&mut self, settings: &mut SessionSettings) {
        match std::mem::take(self) {
            Self::None => {}
            Self::Implicit(start) => settings.go_back_to(&start),
            Self::Explicit(block) | Self::Failed(block) => settings.go_back_to(&block.start),
        }
        settings.end_transaction();
    }

    /// An error: a block waits for its end, anything else is undone at once.
    pub(super) fn fail(&mut self, settings: &mut SessionSettings) {
        match std::mem::take(self) {
            Self::Explicit(block) | Self::Failed(block) => *self = Self::Failed(block),
            implicit @ (Self::None | Self::Implicit(_)) => {
                *self = implicit;
                self.rollback(settings);
            }
        }
    }
}
