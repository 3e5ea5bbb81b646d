//! Keeps the log short: by its entries, and by its bytes.
//!
//! A snapshot stands for all entries before it. openraft takes one every so many entries and gives
//! those before it up, but for a few that spare a slow node the snapshot. It counts entries only,
//! and one entry may hold a thousand commands; so a long log of large entries is cut here.

use std::sync::Arc;
use std::time::Duration;

use super::Control;
use super::log_store::Log;

/// A log with more bytes than this gets a snapshot, whatever the number of its entries.
const LOG_BYTES_MAX: usize = 64 << 20;

/// How many of the newest bytes stay then for those who are a little behind.
const LOG_BYTES_KEPT: usize = 16 << 20;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Of the entries before a snapshot, one in so many stays for those who are a little behind.
const KEPT_SHARE: u64 = 5;

/// When openraft takes a snapshot by itself, and how many entries before it stay.
pub(super) fn by_entries(snapshot_entries: u64) -> (openraft::SnapshotPolicy, u64) {
    let policy = openraft::SnapshotPolicy::LogsSinceLast(snapshot_entries);
    (policy, snapshot_entries / KEPT_SHARE)
}

impl Control {
    /// Cuts the log whenever it has become too large, until the node ends.
    pub(super) async fn keep_log_short(self: Arc<Self>, log: Log) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // A disk that fails here fails wherever it is needed.
            let applied = *self.log_applied.borrow();
            let _ = self.receiving.give_up_until(applied).await;
            if log.bytes() <= LOG_BYTES_MAX {
                continue;
            }
            let metrics = self.raft.data_metrics();
            let (snapshot, applied) = {
                let metrics = metrics.borrow();
                (metrics.snapshot.map(|id| id.index), metrics.last_applied.map(|id| id.index))
            };
            let upto = log.first_of_last(LOG_BYTES_KEPT).saturating_sub(1);
            // Both fail only when Raft has ended, and then this task is about to.
            let _ = match snapshot {
                Some(snapshot) if snapshot >= upto => self.raft.trigger().purge_log(upto).await,
                _ if applied > snapshot => self.raft.trigger().snapshot().await,
                _ => Ok(()),
            };
        }
    }
}
