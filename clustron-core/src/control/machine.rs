//! Applies the control log: the core's agreed state, then the modules'.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, RaftSnapshotBuilder, StorageIOError};
use tokio::sync::watch;

use super::batch::BATCH_COMMANDS_MAX;
use super::command::{Answer, Command, ModuleCommand, Rejection, Response};
use super::replicated::{AnyReplicated, Applied};
use super::snapshot;
use super::snapshot_file::SnapshotFile;
use super::state::Agreed;
use super::types::{
    Entry, LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership, TypeConfig,
};
use crate::codec::CodecError;
use crate::data_dir::{DataDirError, DiskBug};
use crate::tasks::Tasks;

/// The modules of a node by name.
pub(crate) type Modules = BTreeMap<&'static str, Arc<dyn AnyReplicated>>;

/// See the module's documentation.
pub(crate) struct Machine {
    modules: Arc<Modules>,
    tasks: Tasks,
    agreed: Agreed,
    applied: Option<LogId>,
    membership: StoredMembership,
    snapshot: Option<Snapshot>,
    /// Where snapshots survive the process, if they are to.
    file: Option<SnapshotFile>,
    /// Shows the agreed state to the rest of the node after every change of it.
    shown: watch::Sender<Arc<Agreed>>,
    /// Shows how far this node has applied the log.
    applied_index: watch::Sender<u64>,
}

impl Machine {
    pub(crate) fn new(
        modules: Arc<Modules>,
        tasks: Tasks,
        shown: watch::Sender<Arc<Agreed>>,
        applied_index: watch::Sender<u64>,
    ) -> Self {
        // A node that starts over under a new identity has an empty log, and applies it anew.
        modules.values().for_each(|module| module.reset());
        Self {
            modules,
            tasks,
            agreed: Agreed::default(),
            applied: None,
            membership: StoredMembership::default(),
            snapshot: None,
            file: None,
            shown,
            applied_index,
        }
    }

    /// The same, from where the snapshot in a data directory ends.
    pub(crate) async fn open(mut self, file: SnapshotFile) -> Result<Self, DataDirError> {
        if let Some(Snapshot { meta, snapshot }) = file.load().await? {
            let states = self.decode(&meta, &snapshot);
            let mut states = states.map_err(|error| file.damaged(&error))?;
            if file.has(DiskBug::StateNotRestored) {
                states.restored.clear();
            }
            self.put(meta, snapshot, states);
        }
        self.file = Some(file);
        Ok(self)
    }

    /// The place of the log up to which the snapshot has everything.
    pub(crate) fn snapshot_index(&self) -> Option<u64> {
        self.snapshot.as_ref()?.meta.last_log_id.map(|id| id.index)
    }

    fn apply_command(&mut self, index: u64, command: Command) -> Response {
        let Command::Batch(commands) = command else {
            if let Command::DeclareLoss(loss) = &command {
                tracing::warn!(%loss, "the cluster goes on under a new id");
            }
            let response = self.agreed.apply(index, command);
            self.shown.send_replace(Arc::new(self.agreed.clone()));
            return response;
        };
        let (index, mut touched) = (self.agreed.index_of(index), BTreeSet::new());
        let answers = (0..).zip(commands).map(|(place, command)| {
            if let Some((name, _)) = self.modules.get_key_value(command.module.as_str()) {
                touched.insert(*name);
            }
            self.apply_to_module(Applied { index, place, epoch: self.agreed.epoch() }, command)
        });
        let answers = answers.collect();
        // Whoever waits for an entry finds all of it applied.
        for module in touched.into_iter().filter_map(|name| self.modules.get(name)) {
            module.applied_to(index);
        }
        Response::Batch(answers)
    }

    fn apply_to_module(&self, at: Applied, command: ModuleCommand) -> Answer {
        let ModuleCommand { module, epoch, body } = command;
        if at.place as usize >= BATCH_COMMANDS_MAX {
            // No leader of ours makes such an entry, and there are no tokens for it.
            let reason = format!("an entry has at most {BATCH_COMMANDS_MAX} commands");
            return Err(Rejection::Undecodable { module, reason });
        }
        if let Some(epoch) = epoch
            && !self.has(DiskBug::StaleEpochAccepted)
        {
            self.agreed.check_epoch(epoch)?;
        }
        let Some(replicated) = self.modules.get(module.as_str()) else {
            return Err(Rejection::UnknownModule { module });
        };
        let apply = AssertUnwindSafe(|| replicated.apply(at, &body));
        catch_unwind(apply).unwrap_or_else(|panic| {
            // The copy may be half changed: this node must not go on with it.
            let text = crate::tasks::panic_text(panic.as_ref());
            let why = format!("{module} panicked at log index {}: {text}", at.index);
            tracing::error!(why, "a replicated state panicked");
            self.tasks.fail(&why);
            Err(Rejection::Undecodable { module, reason: why })
        })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Response>, StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut responses = vec![];
        for entry in entries {
            self.applied = Some(entry.log_id);
            let alive = self.check_alive();
            alive.map_err(|e| StorageIOError::apply(entry.log_id, openraft::AnyError::error(e)))?;
            responses.push(match entry.payload {
                EntryPayload::Blank => Response::Done,
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Response::Done
                }
                EntryPayload::Normal(command) => self.apply_command(entry.log_id.index, command),
            });
        }
        if let Some(applied) = self.applied {
            self.applied_index.send_replace(applied.index);
            // What panicked may be half applied here and whole elsewhere, or be applied after a
            // start from disk: nobody is told that it was refused.
            if self.tasks.panicked().is_some() {
                return Err(StorageIOError::apply(applied, openraft::AnyError::error(Ended)).into());
            }
        }
        Ok(responses)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { built: self.build(), file: self.file.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Bytes>, StorageError> {
        Ok(Box::new(Bytes::new()))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: Box<Bytes>,
    ) -> Result<(), StorageError> {
        let states = self.decode(meta, &data).map_err(|error| {
            StorageIOError::read_snapshot(Some(meta.signature()), openraft::AnyError::error(error))
        })?;
        let snapshot = Snapshot { meta: meta.clone(), snapshot: data };
        if let Some(file) = &self.file {
            // Before the log gives up what the snapshot stands for.
            file.save(&snapshot).await?;
        }
        self.put(snapshot.meta, snapshot.snapshot, states);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        Ok(self.snapshot.clone())
    }
}

impl Machine {
    /// Once the node has ended, its copies of the modules' states may be half changed, or belong to
    /// the node's next attempt to join.
    fn check_alive(&self) -> Result<(), Ended> {
        if self.tasks.is_cancelled() { Err(Ended) } else { Ok(()) }
    }

    fn has(&self, bug: DiskBug) -> bool {
        self.file.as_ref().is_some_and(|file| file.has(bug))
    }

    /// Reads a snapshot without changing anything.
    fn decode(&self, meta: &SnapshotMeta, data: &Bytes) -> Result<States, Unusable> {
        let (agreed, states) = snapshot::split(data)?;
        let index = agreed.index_of(meta.last_log_id.map_or(0, |id| id.index));
        if let Some(name) = self.modules.keys().find(|name| !states.contains_key(**name)) {
            // To go on with an old state at the new index would be to diverge unseen.
            return Err(Unusable::MissingModule((*name).to_owned()));
        }
        let mut restored = vec![];
        for (name, state) in states {
            match self.modules.get(name.as_str()) {
                Some(module) => restored.push(module.restore(index, &state)?),
                // A client or observer runs fewer modules than the members.
                None => tracing::debug!(module = name, "left out of the snapshot"),
            }
        }
        self.check_alive()?;
        Ok(States { agreed, restored })
    }

    /// Puts what was read in place.
    fn put(&mut self, meta: SnapshotMeta, data: Box<Bytes>, states: States) {
        states.restored.into_iter().for_each(|put| put());
        self.agreed = states.agreed;
        (self.applied, self.membership) = (meta.last_log_id, meta.last_membership.clone());
        let index = meta.last_log_id.map_or(0, |id| id.index);
        self.snapshot = Some(Snapshot { meta, snapshot: data });
        self.shown.send_replace(Arc::new(self.agreed.clone()));
        self.applied_index.send_replace(index);
    }

    #[expect(clippy::result_large_err, reason = "openraft's error, in openraft's trait")]
    fn build(&mut self) -> Result<Snapshot, StorageError> {
        let failed = |e: &dyn std::error::Error| {
            StorageError::from(StorageIOError::write_snapshot(None, openraft::AnyError::error(e)))
        };
        self.check_alive().map_err(|error| failed(&error))?;
        let mut states = BTreeMap::new();
        for (name, module) in self.modules.iter() {
            states.insert(*name, module.snapshot().map_err(|e| failed(&e))?);
        }
        let mut data = snapshot::join(&self.agreed, &states).map_err(|e| failed(&e))?;
        if let Some(before) = &self.snapshot
            && self.has(DiskBug::SnapshotAheadOfState)
        {
            data = before.snapshot.as_ref().clone();
        }
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: self.applied.map_or("0".to_owned(), |id| id.to_string()),
        };
        let built = Snapshot { meta, snapshot: Box::new(data) };
        self.snapshot = Some(built.clone());
        Ok(built)
    }
}

/// What a snapshot holds, ready to be put in place.
struct States {
    agreed: Agreed,
    restored: Vec<Box<dyn FnOnce() + Send>>,
}

/// Why a snapshot cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(
        "the snapshot lacks the state of module {0:?}, which runs here: who made it did not run it"
    )]
    MissingModule(String),
    #[error(transparent)]
    Damaged(#[from] snapshot::SnapshotError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Ended(#[from] Ended),
}

#[derive(Debug, thiserror::Error)]
#[error("the node has ended")]
struct Ended;

/// Hands over a snapshot that was taken when it was asked for, once it is where it has to be.
pub(crate) struct Builder {
    built: Result<Snapshot, StorageError>,
    file: Option<SnapshotFile>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let snapshot = self.built.clone()?;
        if let Some(file) = &self.file {
            file.save(&snapshot).await?;
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_store::Log;
    use super::*;
    use crate::chance::Chance;
    use crate::data_dir::{Calls, DataDir};
    use crate::identity::ClusterName;
    use crate::local::Local;
    use clustron_wal::SimDisk;
    use openraft::testing::{StoreBuilder, Suite};

    // The suite numbers its nodes.
    impl From<u64> for crate::NodeId {
        fn from(id: u64) -> Self {
            Self(id)
        }
    }

    fn machine() -> Machine {
        let (shown, applied) = (watch::Sender::default(), watch::Sender::default());
        Machine::new(Arc::default(), Tasks::default(), shown, applied)
    }

    struct InMemory;

    impl StoreBuilder<TypeConfig, Log, Machine> for InMemory {
        async fn build(&self) -> Result<((), Log, Machine), StorageError> {
            Ok(((), Log::default(), machine()))
        }
    }

    #[test]
    fn storage_in_memory_passes_openrafts_own_suite() {
        Suite::test_all(InMemory).unwrap();
    }

    struct OnDisk;

    impl StoreBuilder<TypeConfig, Log, Machine> for OnDisk {
        async fn build(&self) -> Result<((), Log, Machine), StorageError> {
            let cluster = ClusterName::new("orders").unwrap();
            let (disk, chance) = (Arc::new(SimDisk::new(0)), Chance::seeded(0));
            let data = DataDir::open(disk, Calls::Pool, &cluster, None, &chance).unwrap();
            let (data, local) = (Arc::new(data), Arc::new(Local::of_test(cluster)));
            let log = Log::open(&data, &local).await.unwrap();
            Ok(((), log, machine().open(SnapshotFile::new(data)).await.unwrap()))
        }
    }

    #[test]
    fn storage_on_disk_passes_openrafts_own_suite() {
        Suite::test_all(OnDisk).unwrap();
    }
}
