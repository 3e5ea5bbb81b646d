//! Applies the control log: the core's agreed state, then the modules'.
//!
//! A snapshot stands for the log before it. With a data directory it is a file, which is written as
//! the states are encoded, read as they are decoded, and sent as it lies there. Without one nothing
//! is written at all: the state itself stands for its log, and is encoded when a follower needs it,
//! as it is then. So a snapshot takes a few blocks of memory beside the states, or one encoded
//! state while it is sent or received in memory.

mod absent;
mod builder;
mod capture;
mod restore;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, StorageIOError};
use tokio::sync::watch;

use super::batch::BATCH_COMMANDS_MAX;
use super::command::{Answer, Command, ModuleCommand, Rejection, Response};
use super::content::{Arrival, Arrived, Content, Pieces, PiecesWriter};
use super::replicated::{AnyReplicated, Applied};
use super::snapshot_file::SnapshotFile;
use super::state::Agreed;
use super::types::{
    Entry, LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership, TypeConfig,
};
use crate::data_dir::{DataDirError, DiskBug};
use crate::metrics::CoreMetrics;
use crate::tasks::Tasks;
use crate::voter_groups::Groups;

use absent::{Absent, AbsentModules, Keep};
pub(crate) use builder::Builder;
use capture::{Capture, Unwritten};
use restore::{Restore, States, Unusable};

/// The modules of a node by name.
pub(crate) type Modules = BTreeMap<&'static str, Arc<dyn AnyReplicated>>;

/// See the module's documentation.
pub(crate) struct Machine {
    modules: Arc<Modules>,
    tasks: Tasks,
    agreed: Agreed,
    applied: Option<LogId>,
    membership: StoredMembership,
    /// What is there of modules that do not run here, and whether it is kept at all.
    absent: AbsentModules,
    keeps_absent: bool,
    /// Up to where the latest snapshot reaches that Raft was told of.
    told: Option<LogId>,
    /// The state as it was encoded for followers, for as long as it is sent to one.
    encoded: (SnapshotMeta, Weak<Pieces>),
    /// Where snapshots survive the process, if they are to.
    file: Option<SnapshotFile>,
    shown: Shown,
}

/// Shows what is applied to the rest of the node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    /// The agreed state, after every change of it.
    pub(crate) agreed: watch::Sender<Arc<Agreed>>,
    /// Up to which place of the log.
    pub(crate) applied: watch::Sender<u64>,
    /// Who votes by that.
    pub(crate) voters: watch::Sender<Groups>,
    /// Counts what happens to it.
    pub(crate) metrics: Arc<CoreMetrics>,
}

impl Machine {
    /// One that has applied nothing. A node that `votes`, or may come to, keeps the states of
    /// modules that do not run here for those that ask it for a snapshot.
    pub(crate) fn new(modules: Arc<Modules>, votes: bool, tasks: Tasks, shown: Shown) -> Self {
        // A node that starts over under a new identity has an empty log, and applies it anew.
        modules.values().for_each(|module| module.beginning(0)());
        Self {
            modules,
            tasks,
            agreed: Agreed::default(),
            applied: None,
            membership: StoredMembership::default(),
            absent: AbsentModules::new(),
            keeps_absent: votes,
            told: None,
            encoded: Default::default(),
            file: None,
            shown,
        }
    }

    /// The same, from where the snapshot in a data directory ends.
    pub(crate) async fn open(mut self, file: SnapshotFile) -> Result<Self, DataDirError> {
        self.file = Some(file.clone());
        let (restore, data) = (self.restore(), file.data().clone());
        let loaded = file.load(move |meta, content| {
            restore.read(meta, content).map_err(|error| error.at_start(&data))
        });
        if let Some((meta, mut states)) = loaded.await? {
            if file.has(DiskBug::StateNotRestored) {
                states.restored.clear();
            }
            self.put(meta, states);
        }
        Ok(self)
    }

    /// The last entry for which the latest snapshot stands.
    pub(crate) fn snapshot_end(&self) -> Option<LogId> {
        self.told
    }

    fn apply_command(&mut self, index: u64, command: Command) -> Response {
        let Command::Batch(commands) = command else {
            if let Command::DeclareLoss(loss) = &command {
                tracing::warn!(%loss, "the cluster goes on under a new id");
            }
            let response = self.agreed.apply(index, command);
            self.shown.agreed.send_replace(Arc::new(self.agreed.clone()));
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

    fn apply_to_module(&mut self, at: Applied, command: ModuleCommand) -> Answer {
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
            self.absent.insert(module.clone(), Absent::Missed);
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
            alive.map_err(|e| StorageIOError::apply(entry.log_id, AnyError::error(e)))?;
            responses.push(match entry.payload {
                EntryPayload::Blank => Response::Done,
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    self.show_voters();
                    Response::Done
                }
                EntryPayload::Normal(command) => self.apply_command(entry.log_id.index, command),
            });
        }
        if let Some(applied) = self.applied {
            self.shown.applied.send_replace(applied.index);
            // What panicked may be half applied here and whole elsewhere, or be applied after a
            // start from disk: nobody is told that it was refused.
            if self.tasks.panicked().is_some() {
                return Err(StorageIOError::apply(applied, AnyError::error(Ended)).into());
            }
        }
        Ok(responses)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = self.meta();
        let drafted = self.draft(meta.clone()).await;
        self.told = self.told.max(meta.last_log_id);
        self.shown.metrics.snapshots_taken.inc();
        Builder::new(meta, drafted, self.tasks.clone(), self.file.as_ref().map(SnapshotFile::data))
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Content>, StorageError> {
        Ok(Box::new(Content::Unwritten))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        content: Box<Content>,
    ) -> Result<(), StorageError> {
        self.install(meta, *content).await.map_err(|error| {
            let text = match &error {
                Unusable::Disk(error) => self.disk_failed(error),
                error => error.to_string(),
            };
            self.tasks.fail(&format!("the snapshot that was received cannot be used: {text}"));
            StorageIOError::read_snapshot(Some(meta.signature()), AnyError::error(error)).into()
        })
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let current = match self.place() {
            None => self.encoded(),
            Some(file) => {
                let stored = file.stored().await.map_err(Unwritten::from);
                let snapshot =
                    |(meta, stored)| Snapshot { meta, snapshot: Box::new(Content::Stored(stored)) };
                stored.map(|stored| stored.map(snapshot))
            }
        };
        current.map_err(|error| {
            let text = match &error {
                Unwritten::Disk(error) => self.disk_failed(error),
                error => error.to_string(),
            };
            self.tasks.fail(&format!("a snapshot for a follower cannot be had: {text}"));
            StorageIOError::read_snapshot(None, AnyError::error(error)).into()
        })
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

    /// Where snapshots are kept, if not in memory.
    fn place(&self) -> Option<SnapshotFile> {
        self.file.clone().filter(|file| !file.has(DiskBug::SnapshotNotWritten))
    }

    fn disk_failed(&self, error: &crate::data_dir::DiskError) -> String {
        let file = self.file.as_ref();
        file.map_or(error.to_string(), |file| file.data().failed(error.clone()).to_string())
    }

    /// The description of a snapshot that is made now.
    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: self.applied.map_or("0".to_owned(), |id| id.to_string()),
        }
    }

    fn capture(&self) -> Capture {
        let (modules, agreed) = (self.modules.clone(), self.agreed.clone());
        Capture { modules, agreed, absent: self.absent.clone() }
    }

    fn restore(&self) -> Restore {
        let keep = match (self.keeps_absent, self.place()) {
            (false, _) => Keep::Nowhere,
            (true, Some(_)) => Keep::InFile,
            (true, None) => Keep::InMemory,
        };
        Restore { modules: self.modules.clone(), keep }
    }

    /// Encodes the state into the file's draft. Without a file there is nothing to be done.
    async fn draft(
        &self,
        meta: SnapshotMeta,
    ) -> Result<Option<super::snapshot_file::Draft>, Unwritten> {
        self.check_alive()?;
        let Some(file) = self.place() else {
            if let Some(file) = &self.file {
                file.pretend(meta.last_log_id);
            }
            return Ok(None);
        };
        let (capture, stale) = (self.capture(), self.has(DiskBug::SnapshotAheadOfState));
        let wants = stale || capture.wants_before();
        let draft = file.draft(meta, wants, move |out, before| match before {
            Some(before) if stale => Ok(std::io::copy(before, out).map(drop)?),
            before => capture.write(out, before),
        });
        draft.await
    }

    /// The state in memory, for a follower that needs it: as it is now, or as it was encoded for
    /// another one that is still being sent it.
    fn encoded(&mut self) -> Result<Option<Snapshot>, Unwritten> {
        self.check_alive()?;
        if self.applied.is_none() {
            return Ok(None);
        }
        let (meta, pieces) = (&self.encoded.0, self.encoded.1.upgrade());
        // Raft counts on no less than it knows of.
        let (meta, pieces) = match pieces.filter(|_| meta.last_log_id >= self.told) {
            Some(pieces) => (meta.clone(), pieces),
            None => {
                let mut out = PiecesWriter::default();
                self.capture().write(&mut out, None)?;
                let (meta, pieces) = (self.meta(), Arc::new(out.finish()));
                self.encoded = (meta.clone(), Arc::downgrade(&pieces));
                (meta, pieces)
            }
        };
        Ok(Some(Snapshot { meta, snapshot: Box::new(Content::Encoded(pieces)) }))
    }

    /// Takes a received snapshot in. Nothing has changed if it fails.
    async fn install(&mut self, meta: &SnapshotMeta, mut content: Content) -> Result<(), Unusable> {
        let place = self.place();
        if let Some(file) = place.as_ref().filter(|_| !content.is_in_file()) {
            file.bring(meta.clone(), content.reader()?).await?;
            let at = Arrival::File(file.data().clone());
            content = Content::Arrived(Arrived { at, _place: None });
        }
        let (restore, described) = (self.restore(), meta.clone());
        let read = move || {
            let states = content.reader().map_err(Unusable::from).and_then(|mut reader| {
                let states = restore.read(&described, &mut reader);
                reader.failed().map_or(states, |error| Err(error.into()))
            });
            (states, content)
        };
        // What has arrived stays alone in its file until it has been taken over.
        let (states, _content) = match &self.file {
            Some(file) => file.data().call(read).await,
            None => read(),
        };
        let states = states?;
        self.check_alive()?;
        // Before the log gives up what the snapshot stands for.
        match (&place, &self.file) {
            (Some(file), _) => file.take_over(meta.last_log_id).await?,
            (None, Some(file)) => file.pretend(meta.last_log_id),
            (None, None) => {}
        }
        self.put(meta.clone(), states);
        self.shown.metrics.snapshots_installed.inc();
        Ok(())
    }

    fn show_voters(&self) {
        self.shown.voters.send_replace(self.membership.membership().get_joint_config().clone());
    }

    /// Puts what was read in place.
    fn put(&mut self, meta: SnapshotMeta, states: States) {
        states.restored.into_iter().for_each(|put| put());
        (self.agreed, self.absent) = (states.agreed, states.absent);
        (self.applied, self.membership) = (meta.last_log_id, meta.last_membership);
        self.told = self.told.max(meta.last_log_id);
        self.show_voters();
        let index = meta.last_log_id.map_or(0, |id| id.index);
        self.shown.agreed.send_replace(Arc::new(self.agreed.clone()));
        self.shown.applied.send_replace(index);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the node has ended")]
struct Ended;
