//! The control log, and the latest vote. In memory alone they end with the process, and so does the
//! node's identity; with a data directory both are on disk before anybody hears of them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, RaftLogReader, StorageIOError};
use tokio::sync::watch;

use super::command::{Command, ModuleCommand};
use super::disk_watch::DiskWatch;
use super::log_disk::{Found, LogDisk, goes_on_from, record};
use super::types::{Entry, LogId, StorageError, TypeConfig, Vote};
use crate::data_dir::{DataDir, DataDirError, DiskError};
use crate::election::LogEnd;
use crate::identity::{NodeId, NodeInfo};
use crate::local::Local;
use crate::messaging::Process;
#[cfg(feature = "simulation")]
use crate::simulation::AgreedVoters;
use crate::view::View;

/// The most bytes of commands that one replication message carries; a single entry may be larger.
/// A message that takes longer than the heartbeat interval is sent again, so it must be small.
const BATCH_BYTES: usize = 128 << 10;

/// What an entry costs besides its command, roughly.
const ENTRY_BYTES: usize = 64;

/// The log. Clones are the same log.
#[derive(Clone, Default)]
pub(crate) struct Log {
    inner: Arc<Mutex<Inner>>,
    /// Where it is written first, if it is to survive the process.
    disk: Option<Arc<LogDisk>>,
    /// Up to where a snapshot on disk stands for the entries.
    snapshot: Option<watch::Receiver<Option<LogId>>>,
}

#[derive(Default)]
struct Inner {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl Log {
    /// The log that a data directory holds.
    pub(crate) async fn open(
        data: &Arc<DataDir>,
        local: &Arc<Local>,
    ) -> Result<Self, DataDirError> {
        let (dir, local, me) = (data.clone(), local.clone(), local.id);
        let (disk, found) = data.call(move || LogDisk::open(dir, Some(local))).await?;
        let Found { mut vote, purged, entries } = found;
        if let Some(vote) = vote.as_mut().filter(|vote| vote.leader_id.voted_for() == Some(me)) {
            // openraft would have it lead on in its term. But the end of its log may be gone, as
            // torn or damaged, and another entry must not take the place of one that it has named
            // to others. So it comes back as Raft's paper has it: it has voted, and follows.
            vote.committed = false;
        }
        let entries = entries.into_iter().map(|entry| (entry.log_id.index, entry)).collect();
        let inner = Inner { vote, committed: None, purged, entries };
        let disk = Some(Arc::new(disk));
        Ok(Self { inner: Arc::new(Mutex::new(inner)), disk, snapshot: None })
    }

    /// Gives nothing up before the snapshot on disk, which reaches up to there, stands for it.
    pub(crate) fn behind(self, snapshot: watch::Receiver<Option<LogId>>) -> Self {
        Self { snapshot: Some(snapshot), ..self }
    }

    /// Has the log go on behind a snapshot that was taken over just before the node ended. openraft
    /// does so itself only where the snapshot's last entry is of a later term than the log's.
    pub(crate) async fn go_on_behind(&self, snapshot: LogId) -> Result<(), DiskError> {
        {
            let inner = self.lock();
            if goes_on_from(snapshot, inner.purged, inner.entries.values()) {
                return Ok(());
            }
        }
        if let Some(disk) = &self.disk {
            disk.call(move |disk| disk.go_on_behind(snapshot)).await?;
        }
        let mut inner = self.lock();
        inner.entries.clear();
        inner.purged = Some(snapshot);
        Ok(())
    }

    /// Whether the log holds, or has held, the entry that made the cluster real.
    pub(crate) fn knows_bootstrap(&self) -> bool {
        let inner = self.lock();
        let founding = |entry: &Entry| {
            matches!(entry.payload, openraft::EntryPayload::Normal(Command::Bootstrap { .. }))
        };
        inner.purged.is_some() || inner.entries.values().any(founding)
    }

    /// The latest process of each node that a view or the entries after it name, as that process
    /// said what it is. Also one whose entry was never agreed has been there, unless it came too
    /// late to be let in.
    pub(crate) fn latest(&self, view: &View) -> BTreeMap<NodeId, NodeInfo> {
        let mut known: BTreeMap<_, _> = view.nodes().map(|r| (r.info.id, r.info.clone())).collect();
        for entry in self.lock().entries.values() {
            let named = match &entry.payload {
                openraft::EntryPayload::Normal(Command::Bootstrap { nodes, .. }) => &nodes[..],
                openraft::EntryPayload::Normal(Command::Admit { node, .. }) => {
                    std::slice::from_ref(node)
                }
                _ => &[],
            };
            for node in named {
                let before = known.get(&node.id);
                if before.is_none_or(|known| Process::of(known).allows(Process::of(node))) {
                    known.insert(node.id, node.clone());
                }
            }
        }
        known
    }

    /// How far the log reaches.
    pub(crate) fn end(&self) -> LogEnd {
        let inner = self.lock();
        let last = inner.entries.last_key_value().map(|(_, entry)| entry.log_id);
        last.or(inner.purged).map_or(LogEnd::default(), LogEnd::from)
    }

    /// How many entries it has.
    pub(super) fn entries(&self) -> usize {
        self.lock().entries.len()
    }

    /// How many bytes its entries have, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().entries.values().map(entry_bytes).sum()
    }

    /// The index from which on the entries have no more than so many bytes.
    pub(crate) fn first_of_last(&self, bytes: usize) -> u64 {
        let (inner, mut sum) = (self.lock(), 0);
        let newest = inner.entries.iter().rev().take_while(|(_, entry)| {
            sum += entry_bytes(entry);
            sum <= bytes
        });
        newest.last().map_or(0, |(index, _)| *index)
    }

    /// Who votes by the entries that it holds up to a place, the oldest first.
    #[cfg(feature = "simulation")]
    pub(super) fn voters_until(&self, index: u64) -> Vec<AgreedVoters> {
        let inner = self.lock();
        let voters = inner.entries.range(..=index).filter_map(|(index, entry)| {
            let openraft::EntryPayload::Membership(membership) = &entry.payload else {
                return None;
            };
            Some(AgreedVoters { index: *index, groups: membership.get_joint_config().clone() })
        });
        voters.collect()
    }

    /// How its disk does, where it has one.
    pub(super) fn disk_watch(&self) -> Option<&DiskWatch> {
        self.disk.as_deref().map(|disk| &disk.watch)
    }

    /// Up to where entries were given up.
    pub(crate) fn purged(&self) -> Option<u64> {
        self.lock().purged.map(|id| id.index)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.lock().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let inner = self.lock();
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += entry_bytes(entry);
            first || bytes <= BATCH_BYTES
        };
        Ok(inner.entries.range(start..end).map(|(_, e)| e).take_while(fits).cloned().collect())
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let inner = self.lock();
        let last = inner.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: inner.purged, last_log_id: last.or(inner.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        if let Some(disk) = &self.disk {
            let vote = *vote;
            let saved = disk.call(move |disk| disk.save_vote(&vote)).await;
            saved.map_err(|error| StorageIOError::write_vote(AnyError::error(error)))?;
        }
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.lock().vote)
    }

    // Not on disk: after a start the leader says what is committed, which is safe, only later.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        if let (Some(disk), Some(first)) = (&self.disk, entries.first()) {
            let first = first.log_id.index;
            let records: Result<Vec<_>, _> = entries.iter().map(record).collect();
            let written = match records {
                Ok(records) => disk.call(move |disk| disk.append(first, &records)).await,
                Err(error) => Err(error),
            };
            written.map_err(|error| StorageIOError::write_logs(AnyError::error(error)))?;
        }
        self.lock().entries.extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        if let Some(disk) = &self.disk {
            let cut = disk.call(move |disk| disk.truncate(from.index)).await;
            cut.map_err(|error| StorageIOError::write_logs(AnyError::error(error)))?;
        }
        self.lock().entries.split_off(&from.index);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        if let Some(snapshot) = &mut self.snapshot {
            // openraft has an arriving snapshot installed beside this and does not wait for it. Its
            // machine lets go of the file when it has failed.
            let durable = snapshot.wait_for(|saved| *saved >= Some(upto)).await;
            durable.map_err(|error| StorageIOError::write_logs(AnyError::error(error)))?;
        }
        if let Some(disk) = &self.disk {
            let purged = disk.call(move |disk| disk.purge(upto)).await;
            purged.map_err(|error| StorageIOError::write_logs(AnyError::error(error)))?;
        }
        let mut inner = self.lock();
        inner.purged = inner.purged.max(Some(upto));
        inner.entries = inner.entries.split_off(&(upto.index + 1));
        Ok(())
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    ENTRY_BYTES
        + match &entry.payload {
            openraft::EntryPayload::Normal(Command::Batch(commands)) => {
                commands.iter().map(ModuleCommand::weight).sum()
            }
            openraft::EntryPayload::Normal(Command::Bootstrap { nodes, .. }) => nodes.len() * 256,
            openraft::EntryPayload::Normal(_) => 256,
            openraft::EntryPayload::Blank => 0,
            openraft::EntryPayload::Membership(membership) => membership.nodes().count() * 256,
        }
}

#[cfg(test)]
mod tests;
