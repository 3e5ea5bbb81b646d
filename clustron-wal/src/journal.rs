//! Group commit: many who append, one sync for all of them.
//!
//! Like a ferry. Who comes gets a numbered ticket at once and waits; when the ferry is back it
//! takes everybody who stands there across in one trip. The more there are, the less each one
//! costs, and nobody waits for company. [`Journal`] is the ticket office, [`Committer`] the ferry.
//!
//! Nothing here starts a task or needs a runtime. Whoever has the committer decides where it
//! blocks:
//! [`Committer::run`] on a thread of its own, [`Committer::commit`] where blocking is allowed, or
//! inline in a simulation.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::committer::Committer;
use crate::error::{Outcome, WalError};
use crate::queue::{Queue, Shared};
use crate::wal::Wal;

/// How much may wait for the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// How many records. 65,536 by default.
    pub records_max: usize,
    /// How many bytes they may have together. 64 MiB by default.
    pub bytes_max: usize,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self { records_max: 1 << 16, bytes_max: 64 << 20 }
    }
}

/// Appends records to a log that is shared. Clones are the same journal. When all are gone, the
/// committer ends once nothing waits any more.
pub struct Journal {
    shared: Arc<Shared>,
}

impl Journal {
    /// Shares a log. The indexes go on where it ends; a log that is new begins with 0, or wherever
    /// [`Wal::reset`] says.
    pub fn new(wal: Wal, limits: JournalLimits) -> (Self, Committer) {
        let queue = Queue::new(wal.next_index(), wal.options().clone(), limits);
        let shared = Arc::new(Shared::new(queue));
        (Self { shared: shared.clone() }, Committer::new(shared, wal))
    }

    /// Appends records, which stay together: they are durable as one, or not at all. Their indexes
    /// are certain at once, in the order of the calls; the rest the [`Commit`] tells, which may be
    /// dropped without harm. Never waits. No records are durable when all before them are.
    ///
    /// # Errors
    /// [`JournalError::Full`] while too much waits, [`JournalError::Refused`] for records that can
    /// never be appended, [`JournalError::Closed`] without a committer, and [`JournalError::Ended`]
    /// after the log has. None of the records was appended.
    pub fn append(&self, records: Vec<Bytes>) -> Result<Commit, JournalError> {
        let appended = self.shared.queue().append(records);
        if let Ok((_, true)) = &appended {
            self.shared.announce_work();
        }
        let ((first, done), _) = appended?;
        Ok(Commit { first, done })
    }

    /// As [`Journal::append`], but waits for room. Cancel-safe: dropped while it waits, nothing was
    /// appended.
    ///
    /// # Errors
    /// As [`Journal::append`]; `Full` only for records that do not fit when nothing else waits.
    pub async fn append_when_room(&self, records: Vec<Bytes>) -> Result<Commit, JournalError> {
        loop {
            // Before the attempt, or the room that comes between would be missed.
            let room = self.shared.room();
            match self.append(records.clone()) {
                Err(JournalError::Full { waiting_records, .. }) if waiting_records > 0 => {
                    room.await;
                }
                result => return result,
            }
        }
    }

    /// How many records wait.
    pub fn waiting(&self) -> usize {
        self.shared.queue().waiting_records()
    }
}

impl Clone for Journal {
    fn clone(&self) -> Self {
        self.shared.queue().open_handle();
        Self { shared: self.shared.clone() }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.shared.queue().close_handle() {
            self.shared.announce_work();
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// Ends when records are durable, or with the error. Works in any runtime.
#[derive(Debug)]
#[must_use = "records are durable only when this has ended well"]
pub struct Commit {
    first: u64,
    done: oneshot::Receiver<Result<(), WalError>>,
}

impl Commit {
    /// The index of the first record.
    pub fn first(&self) -> u64 {
        self.first
    }
}

impl Future for Commit {
    /// `Ended` or `Closed`: it is unknown whether the records are in the log.
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.done).poll(context).map(|done| match done {
            Ok(result) => result.map_err(JournalError::Ended),
            Err(_) => Err(JournalError::Closed),
        })
    }
}

/// Why records were not appended, or perhaps not made durable.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Too much waits already. Nothing was appended; try again when some of it is durable, or use
    /// [`Journal::append_when_room`].
    #[error(
        "{waiting_records} records of {waiting_bytes} bytes wait to become durable, there is no \
         room for {records} of {bytes}: at most {} and {} may wait",
        limits.records_max, limits.bytes_max
    )]
    Full {
        /// How many records were to be appended.
        records: usize,
        /// Their bytes.
        bytes: usize,
        /// How many records wait.
        waiting_records: usize,
        /// Their bytes.
        waiting_bytes: usize,
        /// How much may wait.
        limits: JournalLimits,
    },
    /// The log would never take these records. Nothing was appended.
    #[error(transparent)]
    Refused(WalError),
    /// The committer is gone. From `append`: nothing was appended. From a [`Commit`]: unknown.
    #[error("the log's committer is gone")]
    Closed,
    /// The log has ended. From `append`: nothing was appended. From a [`Commit`]: unknown. Open the
    /// log again.
    #[error(transparent)]
    Ended(WalError),
}

impl JournalError {
    /// Whether the records are certainly not in the log. Only `Closed` and `Ended` leave it open,
    /// because a [`Commit`] gives them too.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Full { .. } | Self::Refused(_) => Outcome::NotApplied,
            Self::Closed | Self::Ended(_) => Outcome::Unknown,
        }
    }
}
