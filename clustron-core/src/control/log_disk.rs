//! The control log on disk: what a promise rests on.
//!
//! Everything here is durable when it returns. The entries stand in a segment log, one record each
//! under its own index; the latest vote and the place up to which entries were given up stand in
//! small files that are replaced as a whole. All of it is read once, at the start: the copy in
//! memory, which a snapshot keeps short, serves every later reader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use clustron_wal::{Options, Wal, WalError};
use serde::de::DeserializeOwned;

use super::disk_watch::DiskWatch;
use super::types::{Entry, LogId, Vote};
use crate::codec;
use crate::data_dir::{
    DataDir, DataDirError, DiskBug, DiskError, LOG_PREFIX, PURGED, VOTE, encoded,
};
use crate::identity::NodeId;
use crate::local::Local;

/// A segment that is longer is followed by another. Space comes back in whole segments.
const SEGMENT_BYTES: u64 = 16 << 20;

/// See the module's documentation.
pub(super) struct LogDisk {
    data: Arc<DataDir>,
    /// The node that writes; nobody while it does not run.
    local: Option<Arc<Local>>,
    /// In whose name it is written.
    node: NodeId,
    wal: Mutex<Wal>,
    pub(super) watch: DiskWatch,
}

/// What was found at the start.
pub(super) struct Found {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogId>,
    pub(super) entries: Vec<Entry>,
}

/// Whether a log with these entries goes on from a snapshot that ends with this one. One that ends
/// before it, or has another entry in its place, was never agreed up to there: the node ended
/// between taking the snapshot over and giving up what it stands for.
pub(super) fn goes_on_from<'a>(
    snapshot: LogId,
    purged: Option<LogId>,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> bool {
    purged.is_some_and(|purged| purged.index >= snapshot.index)
        || entries.into_iter().any(|entry| entry.log_id == snapshot)
}

impl LogDisk {
    /// Opens the log and reads it.
    pub(super) fn open(
        data: Arc<DataDir>,
        local: Option<Arc<Local>>,
    ) -> Result<(Self, Found), DataDirError> {
        let failed = |error: WalError| data.failed(error);
        let (vote, purged) = (load(&data, VOTE)?, load::<LogId>(&data, PURGED)?);
        let options = Options {
            segment_bytes: SEGMENT_BYTES,
            lock: false,
            ..Options::new(LOG_PREFIX, data.identity().node.0)
        };
        let (mut wal, recovered) = Wal::open(data.disk().clone(), options).map_err(failed)?;
        let loses = data.has(DiskBug::IdentityOutlivesLog) || data.has(DiskBug::VoteNotPersisted);
        if wal.is_new() && data.identity().cluster.is_some() && !loses {
            // Its first file was there before the first promise: see `bind`.
            return Err(data.damaged(LOG_PREFIX, &"its files are missing"));
        }
        if recovered.torn_bytes > 0 {
            let bytes = recovered.torn_bytes;
            // It cannot be told from damage to what had been written.
            tracing::warn!(
                bytes,
                "the last write of the control log was not whole, and was cut off: harmless after \
                 a crash; otherwise check the disk"
            );
        }
        if data.has(DiskBug::LastEntryLost) && wal.next_index() > wal.first_index() {
            wal.truncate(wal.next_index() - 1).map_err(failed)?;
        }
        let first = purged.map_or(0, |id| id.index + 1);
        if wal.next_index() < first {
            // The node ended between giving the entries up and going on behind them.
            wal.reset(first).map_err(failed)?;
        }
        let mut entries = vec![];
        for record in wal.reader(first).map_err(failed)? {
            let (index, bytes) = record.map_err(failed)?;
            let entry: Entry = codec::decode(&bytes)
                .map_err(|error| data.damaged(&format!("{LOG_PREFIX}: record {index}"), &error))?;
            if entry.log_id.index != index {
                let what = format!("the entry has index {}", entry.log_id.index);
                return Err(data.damaged(&format!("{LOG_PREFIX}: record {index}"), &what));
            }
            entries.push(entry);
        }
        if vote.is_none() && (purged.is_some() || entries.len() > 1) && !loses {
            // Whoever has taken an entry from a leader has noted that leader's vote before.
            return Err(data.damaged(VOTE, &"it is missing"));
        }
        let node = data.identity().node;
        let (wal, watch) = (Mutex::new(wal), DiskWatch::default());
        let disk = Self { data, local, node, wal, watch };
        Ok((disk, Found { vote, purged, entries }))
    }

    /// Does something blocking with the log beside the runtime.
    pub(super) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        let (this, _open) = (self.clone(), self.watch.begin());
        self.data.call(move || call(&this)).await
    }

    pub(super) fn save_vote(&self, vote: &Vote) -> Result<(), DiskError> {
        let _as_node = self.data.as_node(self.node)?;
        self.bind()?;
        if self.data.has(DiskBug::VoteNotPersisted) {
            return Ok(());
        }
        self.data.store(VOTE, &encoded(vote)?)
    }

    pub(super) fn append(&self, first: u64, records: &[Bytes]) -> Result<(), DiskError> {
        let _as_node = self.data.as_node(self.node)?;
        self.bind()?;
        let mut wal = self.lock();
        // openraft's own suite appends entries wherever it likes; openraft itself never does.
        #[cfg(test)]
        if first != wal.next_index() && !wal.is_new() {
            wal.reset(first)?;
        }
        let next = wal.next_index();
        if self.data.has(DiskBug::TruncatedEntriesReturn) && first < next {
            let there = usize::try_from(next - first).unwrap_or(usize::MAX);
            return match records.get(there..) {
                Some(rest) if !rest.is_empty() => Ok(wal.append(next, rest)?),
                Some(_) | None => Ok(()),
            };
        }
        Ok(wal.append(first, records)?)
    }

    /// The index that the next entry has to have.
    pub(super) fn next_index(&self) -> u64 {
        self.lock().next_index()
    }

    pub(super) fn truncate(&self, from: u64) -> Result<(), DiskError> {
        let _as_node = self.data.as_node(self.node)?;
        if self.data.has(DiskBug::TruncatedEntriesReturn) {
            return Ok(());
        }
        Ok(self.lock().truncate(from)?)
    }

    /// Gives up the entries up to a place, and notes the place first: what a crash leaves over is
    /// then passed over.
    pub(super) fn purge(&self, upto: LogId) -> Result<(), DiskError> {
        let _as_node = self.data.as_node(self.node)?;
        if !self.data.has(DiskBug::PurgeNotNoted) {
            self.data.store(PURGED, &encoded(&upto)?)?;
        }
        let mut wal = self.lock();
        if wal.next_index() <= upto.index {
            return Ok(wal.reset(upto.index + 1)?);
        }
        Ok(wal.purge(upto.index)?)
    }

    /// Has the log go on behind a snapshot from which it does not. Durable on return.
    pub(super) fn go_on_behind(&self, snapshot: LogId) -> Result<(), DiskError> {
        if self.next_index() > snapshot.index {
            self.truncate(snapshot.index)?;
        }
        self.purge(snapshot)
    }

    /// What is promised from here on, is promised as a node of its cluster. The log gets its first
    /// file before that, so that a log that is lost later is not taken for one that never was.
    fn bind(&self) -> Result<(), DiskError> {
        let cluster = self.local.as_ref().and_then(|local| local.cluster_id());
        let Some(cluster) = cluster else { return Ok(()) };
        if self.data.identity().cluster.is_none() {
            let mut wal = self.lock();
            if wal.is_new() {
                wal.reset(0)?;
            }
        }
        self.data.bind(cluster)
    }

    fn lock(&self) -> MutexGuard<'_, Wal> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry as it stands in the log.
pub(super) fn record(entry: &Entry) -> Result<Bytes, DiskError> {
    encoded(entry).map(Bytes::from)
}

fn load<T: DeserializeOwned>(data: &DataDir, file: &str) -> Result<Option<T>, DataDirError> {
    match data.load(file).map_err(|error| data.failed(error))? {
        None => Ok(None),
        Some(bytes) => codec::decode(&bytes).map(Some).map_err(|error| data.damaged(file, &error)),
    }
}

#[cfg(test)]
mod tests;
