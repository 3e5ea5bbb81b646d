//! State of modules that every node applies from the same log.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use super::command::{COMMAND_BYTES_MAX, Command, Rejection};
use super::propose::ProposeError;
use crate::cluster::LateCluster;
use crate::codec::{self, CodecError};
use crate::identity::Epoch;

/// Where an entry stands in the control log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The entry's log index: unique, rising, and so a fencing token for what the entry grants.
    pub index: u64,
    /// The epoch in force at the entry.
    pub epoch: Epoch,
}

/// A deterministic state machine whose commands come from the control log.
///
/// Every node applies the same commands in the same order, so `apply` must depend on nothing else:
/// no clock, no randomness, no iteration over a `HashMap`. Time comes in the command. The whole
/// value is the snapshot.
pub trait ReplicatedState: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// What changes the state. Encoded, at most [`COMMAND_BYTES_MAX`] bytes.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What applying a command answers its proposer.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// Applies one committed command. Must not panic.
    fn apply(&mut self, at: Applied, command: Self::Command) -> Self::Reply;
}

/// A node's copy of a replicated state, and the way to propose commands for it. Clones are the same
/// copy.
pub struct Replicated<S: ReplicatedState> {
    module: &'static str,
    copy: Arc<Copy<S>>,
    cluster: LateCluster,
}

impl<S: ReplicatedState> Clone for Replicated<S> {
    fn clone(&self) -> Self {
        Self { module: self.module, copy: self.copy.clone(), cluster: self.cluster.clone() }
    }
}

impl<S: ReplicatedState> fmt::Debug for Replicated<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicated").field("module", &self.module).finish_non_exhaustive()
    }
}

struct Copy<S> {
    state: RwLock<S>,
    /// The log index of the latest command that was applied here.
    applied: watch::Sender<u64>,
}

impl<S> Copy<S> {
    fn put(&self, index: u64, state: S) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        self.applied.send_replace(index);
    }
}

impl<S: ReplicatedState> Replicated<S> {
    pub(crate) fn new(module: &'static str, cluster: LateCluster) -> Self {
        let copy = Copy { state: RwLock::default(), applied: watch::Sender::new(0) };
        Self { module, copy: Arc::new(copy), cluster }
    }

    /// Proposes a command from any node and waits until it is applied, here or at the leader.
    ///
    /// # Errors
    /// See [`ProposeError`]; where its outcome is unknown the command may yet be applied.
    pub async fn propose(
        &self,
        command: &S::Command,
        deadline: Duration,
    ) -> Result<S::Reply, ProposeError> {
        self.submit(None, command, deadline).await
    }

    /// Proposes leader work: it has no effect unless `epoch` is still in force where it is applied.
    ///
    /// # Errors
    /// See [`ProposeError`]; [`Rejection::StaleEpoch`] says that another node leads.
    pub async fn propose_as_leader(
        &self,
        epoch: Epoch,
        command: &S::Command,
        deadline: Duration,
    ) -> Result<S::Reply, ProposeError> {
        self.submit(Some(epoch), command, deadline).await
    }

    /// Reads this node's copy, which may be behind the leader's: call
    /// [`barrier`](crate::ClusterHandle::barrier) first for a linearizable read. Applying waits
    /// while `read` runs, so copy out what you need.
    pub fn read<T>(&self, read: impl FnOnce(&S) -> T) -> T {
        read(&self.copy.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes with every applied command: the latest one's log index at this node.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.copy.applied.subscribe()
    }

    async fn submit(
        &self,
        epoch: Option<Epoch>,
        command: &S::Command,
        deadline: Duration,
    ) -> Result<S::Reply, ProposeError> {
        let body = codec::encode(command).map_err(|e| ProposeError::Codec(e.to_string()))?;
        if body.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: body.len(), max: COMMAND_BYTES_MAX });
        }
        let module = self.module.to_owned();
        let command = Command::Module { module, epoch, body: body.into() };
        let reply = self.cluster.control()?.propose_module(command, deadline).await?;
        codec::decode(&reply).map_err(|e| ProposeError::Codec(e.to_string()))
    }
}

/// A replicated state as the control log sees it, whatever its types.
pub(crate) trait AnyReplicated: Send + Sync {
    fn apply(&self, at: Applied, body: &[u8]) -> Result<Bytes, Rejection>;
    fn snapshot(&self) -> Result<Vec<u8>, CodecError>;
    /// Decodes a state; the closure puts it in place, so that several are replaced or none.
    fn restore(&self, index: u64, bytes: &[u8]) -> Result<Box<dyn FnOnce() + Send>, CodecError>;
    /// Goes back to the state before the first command, for a node that starts over.
    fn reset(&self);
}

impl<S: ReplicatedState> AnyReplicated for Replicated<S> {
    fn apply(&self, at: Applied, body: &[u8]) -> Result<Bytes, Rejection> {
        let undecodable = |error: CodecError| Rejection::Undecodable {
            module: self.module.to_owned(),
            reason: error.to_string(),
        };
        let command = codec::decode(body).map_err(undecodable)?;
        let reply = {
            let mut state = self.copy.state.write().unwrap_or_else(PoisonError::into_inner);
            state.apply(at, command)
        };
        self.copy.applied.send_replace(at.index);
        codec::encode(&reply).map(Bytes::from).map_err(undecodable)
    }

    fn snapshot(&self) -> Result<Vec<u8>, CodecError> {
        self.read(codec::encode)
    }

    fn restore(&self, index: u64, bytes: &[u8]) -> Result<Box<dyn FnOnce() + Send>, CodecError> {
        let state = codec::decode_state(bytes)?;
        let copy = self.copy.clone();
        Ok(Box::new(move || copy.put(index, state)))
    }

    fn reset(&self) {
        self.copy.put(0, S::default());
    }
}
