//! Applies the control log: the core's agreed state, then the modules'.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, RaftSnapshotBuilder, StorageIOError};
use tokio::sync::watch;

use super::command::{Command, Rejection, Response};
use super::replicated::{AnyReplicated, Applied};
use super::snapshot;
use super::state::Agreed;
use super::types::{
    Entry, LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership, TypeConfig,
};
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
            shown,
            applied_index,
        }
    }

    fn apply_command(&mut self, index: u64, command: Command) -> Response {
        let Command::Module { module, epoch, body } = command else {
            let response = self.agreed.apply(index, command);
            self.shown.send_replace(Arc::new(self.agreed.clone()));
            return response;
        };
        let apply = || {
            if let Some(epoch) = epoch {
                self.agreed.check_epoch(epoch)?;
            }
            let at = Applied { index, epoch: self.agreed.epoch() };
            match self.modules.get(module.as_str()) {
                Some(replicated) => {
                    let apply = AssertUnwindSafe(|| replicated.apply(at, &body));
                    catch_unwind(apply).unwrap_or_else(|panic| {
                        // The copy may be half changed: this node must not go on with it.
                        let text = crate::tasks::panic_text(panic.as_ref());
                        let why = format!("{module} panicked at log index {index}: {text}");
                        tracing::error!(why, "a replicated state panicked");
                        self.tasks.fail(&why);
                        Err(Rejection::Undecodable { module, reason: why })
                    })
                }
                None => Err(Rejection::UnknownModule { module }),
            }
        };
        apply().map_or_else(Response::Rejected, Response::Module)
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
        }
        Ok(responses)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { built: self.build() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Bytes>, StorageError> {
        Ok(Box::new(Bytes::new()))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: Box<Bytes>,
    ) -> Result<(), StorageError> {
        let failed = |e: &dyn std::error::Error| {
            StorageIOError::read_snapshot(Some(meta.signature()), openraft::AnyError::error(e))
        };
        let index = meta.last_log_id.map_or(0, |id| id.index);
        // Everything is decoded before anything is changed.
        let (agreed, states) = snapshot::split(&data).map_err(|e| failed(&e))?;
        if let Some(name) = self.modules.keys().find(|name| !states.contains_key(**name)) {
            // To go on with an old state at the new index would be to diverge unseen.
            return Err(failed(&MissingModule((*name).to_owned())).into());
        }
        let mut restored = vec![];
        for (name, state) in states {
            match self.modules.get(name.as_str()) {
                Some(module) => {
                    restored.push(module.restore(index, &state).map_err(|e| failed(&e))?);
                }
                // A client or observer runs fewer modules than the members.
                None => tracing::debug!(module = name, "left out of the snapshot"),
            }
        }
        self.check_alive().map_err(|error| failed(&error))?;
        restored.into_iter().for_each(|put| put());
        self.agreed = agreed;
        (self.applied, self.membership) = (meta.last_log_id, meta.last_membership.clone());
        self.snapshot = Some(Snapshot { meta: meta.clone(), snapshot: data });
        self.shown.send_replace(Arc::new(self.agreed.clone()));
        self.applied_index.send_replace(index);
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
        let data = snapshot::join(&self.agreed, &states).map_err(|e| failed(&e))?;
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

#[derive(Debug, thiserror::Error)]
#[error(
    "the snapshot lacks the state of module {0:?}, which runs here: who sent it does not run it"
)]
struct MissingModule(String);

#[derive(Debug, thiserror::Error)]
#[error("the node has ended")]
struct Ended;

/// Hands over a snapshot that was taken when it was asked for.
pub(crate) struct Builder {
    built: Result<Snapshot, StorageError>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        self.built.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_store::MemoryLog;
    use super::*;
    use openraft::testing::{StoreBuilder, Suite};

    // The suite numbers its nodes.
    impl From<u64> for crate::NodeId {
        fn from(id: u64) -> Self {
            Self(id)
        }
    }

    struct InMemory;

    impl StoreBuilder<TypeConfig, MemoryLog, Machine> for InMemory {
        async fn build(&self) -> Result<((), MemoryLog, Machine), StorageError> {
            let machine = Machine::new(
                Arc::default(),
                Tasks::default(),
                watch::Sender::default(),
                watch::Sender::default(),
            );
            Ok(((), MemoryLog::default(), machine))
        }
    }

    #[test]
    fn the_storage_passes_openrafts_own_suite() {
        Suite::test_all(InMemory).unwrap();
    }
}
