//! Who writes what waits in a journal: all of it, in one frame, with one sync.

use std::sync::Arc;

use crate::error::WalError;
use crate::journal::JournalError;
use crate::queue::{Batch, Shared};
use crate::wal::Wal;

/// What one commit has made durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// How many records.
    pub records: usize,
    /// How many calls of `append` they came from.
    pub groups: usize,
}

/// Owns the log of a [`Journal`](crate::Journal) and writes what waits there. Dropping it closes
/// the journal.
#[derive(Debug)]
pub struct Committer {
    shared: Closing,
    wal: Wal,
}

/// Closes the journal when it is dropped.
#[derive(Debug)]
struct Closing(Arc<Shared>);

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, wal: Wal) -> Self {
        Self { shared: Closing(shared), wal }
    }

    /// Waits for work. `true` when something waits; `false` when nothing ever will any more,
    /// because all journals are gone or the log has ended. Cancel-safe.
    pub async fn ready(&self) -> bool {
        self.shared.0.work().await;
        !self.shared.0.queue().is_empty()
    }

    /// Writes all that waits, or as much of it as fits into one commit, and tells those who wait
    /// for it. Blocks for one write and one sync; at the end of a segment for two syncs more.
    /// Nothing happens if nothing waits.
    ///
    /// # Errors
    /// `Full` or `Failed`. All who wait have been told, and the journal takes no more.
    pub fn commit(&mut self) -> Result<Committed, WalError> {
        let Some(batch) = self.shared.0.queue().take() else { return Ok(Committed::default()) };
        let Batch { first, records, waiters } = batch;
        let result = self.wal.append(first, &records);
        if let Err(error) = &result {
            self.shared.0.queue().close(JournalError::Ended(error.clone()));
        }
        let committed = Committed { records: records.len(), groups: waiters.len() };
        for waiter in waiters {
            // Who does not wait any more need not be told.
            let _ = waiter.send(result.clone());
        }
        self.shared.0.announce_room();
        result.map(|()| committed)
    }

    /// Commits until all journals are gone and nothing waits, and gives the log back. For a thread
    /// of its own: blocks.
    ///
    /// # Errors
    /// As [`Committer::commit`].
    pub fn run(mut self) -> Result<Wal, WalError> {
        loop {
            self.shared.0.block_for_work();
            if self.shared.0.queue().is_over() {
                break;
            }
            self.commit()?;
        }
        self.into_wal()
    }

    /// The log, to read from it.
    pub fn wal(&self) -> &Wal {
        &self.wal
    }

    /// Changes the log by other means than appending: truncates, purges or resets it. What waits is
    /// committed first, and the indexes of the journal then go on where the log ends. Who appends
    /// meanwhile waits for it, so do not call this where tasks must not block.
    ///
    /// # Errors
    /// `Full` or `Failed` from what had to be committed first, and then `change` was not called;
    /// whatever `change` gives.
    pub fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Wal) -> Result<T, WalError>,
    ) -> Result<T, WalError> {
        loop {
            let shared = self.shared.0.clone();
            let mut queue = shared.queue();
            if !queue.is_empty() {
                drop(queue);
                self.commit()?;
                continue;
            }
            let result = change(&mut self.wal);
            queue.go_on_from(self.wal.next_index());
            return result;
        }
    }

    /// Closes the journal and gives the log back. What waits is committed first.
    ///
    /// # Errors
    /// As [`Committer::commit`].
    pub fn into_wal(mut self) -> Result<Wal, WalError> {
        loop {
            let mut queue = self.shared.0.queue();
            if queue.is_empty() {
                queue.close(JournalError::Closed);
                break;
            }
            drop(queue);
            self.commit()?;
        }
        Ok(self.wal)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.queue().close(JournalError::Closed);
        self.0.announce_room();
    }
}
