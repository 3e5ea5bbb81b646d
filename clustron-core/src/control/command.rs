//! What stands in the control log, and what applying it answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::identity::{ClusterId, Epoch, Incarnation, Metadata, NodeId, NodeInfo};
use crate::opinion::Opinion;
use crate::recovery::Loss;
use crate::time::Timestamp;

/// The largest module command, in bytes. Larger state belongs in the data plane.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;

/// An entry of the control log. Time comes in the entry, so that applying is deterministic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Makes a formed group of nodes a cluster. Only the first one counts.
    Bootstrap { cluster: ClusterId, nodes: Vec<NodeInfo>, at: Timestamp },
    /// The node begins to lead. The entry's index is the epoch.
    Activate { node: NodeId, incarnation: Incarnation, at: Timestamp },
    /// The node joins, or comes back with a higher incarnation.
    Admit { node: NodeInfo, at: Timestamp },
    /// The leader found nodes failed: they go in one version of the view.
    MarkDown { epoch: Epoch, cut: Vec<Removed>, at: Timestamp },
    /// The node leaves in order.
    Leave { node: NodeId, incarnation: Incarnation, at: Timestamp },
    /// The node changed its roles or tags. Only a higher revision than the view's counts.
    Describe { node: NodeId, incarnation: Incarnation, revision: u64, metadata: Metadata },
    /// Commands of modules, applied one after the other.
    Batch(Vec<ModuleCommand>),
    /// The cluster goes on without the nodes that it lost. Only [`recovery`](crate::recovery)
    /// writes it, into the log of a node that does not run; no node ever proposes it.
    DeclareLoss(Loss),
}

/// A command for a module's replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModuleCommand {
    pub(crate) module: String,
    /// With an epoch it is leader work, and refused when stale.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) body: Bytes,
}

impl ModuleCommand {
    /// What it takes in the log, in bytes, roughly.
    pub(crate) fn weight(&self) -> usize {
        const NUMBERS: usize = 16;
        NUMBERS + self.module.len() + self.body.len()
    }
}

/// One node that goes with a [`Command::MarkDown`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    pub(crate) node: NodeId,
    /// The incarnation that failed.
    pub(crate) incarnation: Incarnation,
    /// For people, in one line.
    pub(crate) why: String,
    /// Since when the leader had missed it.
    pub(crate) missed_since: Timestamp,
    /// What the leader held of it.
    pub(crate) opinion: Opinion,
}

/// What applying a command answered, the same at every replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Response {
    /// Nothing to say: a blank or membership entry, or a change of the view.
    Done,
    /// The command had no effect.
    Rejected(Rejection),
    /// The module's own answer.
    Module(Bytes),
    /// The answers to a [`Command::Batch`], one to each of its commands.
    Batch(Vec<Answer>),
}

/// What a module's command was answered.
pub(crate) type Answer = Result<Bytes, Rejection>;

/// Why a committed command had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A running node cannot begin or cease to follow the control log, or to collect metrics.
    #[error("node {node} was started with other roles, and has to be started anew with these")]
    OtherKind {
        /// The node.
        node: NodeId,
    },
    /// It was leader work of an epoch that has passed: another node leads.
    #[error("epoch {stale} has passed, the current one is {current}")]
    StaleEpoch {
        /// The epoch that the command carried.
        stale: Epoch,
        /// The epoch in force.
        current: Epoch,
    },
    /// The node's statement is older than what the cluster knows of it.
    #[error("incarnation {stale} of node {node} has passed, {current} is known")]
    StaleIncarnation {
        /// The node.
        node: NodeId,
        /// What the command carried.
        stale: Incarnation,
        /// What is known.
        current: Incarnation,
    },
    /// The cluster has seen a later start of the node: what it keeps on disk is an old copy, which
    /// may have forgotten what it promised.
    #[error(
        "start number {stale} of node {node} has passed, {current} is known: its data directory is \
         an old copy; move it away and start the node with an empty one"
    )]
    OldState {
        /// The node.
        node: NodeId,
        /// What the command carried.
        stale: u64,
        /// What is known.
        current: u64,
    },
    /// The node is not in the view, or no longer alive there.
    #[error("node {node} is not alive in the view")]
    NotAlive {
        /// The node.
        node: NodeId,
    },
    /// The view has a newer description of the node, or this very one.
    #[error("revision {stale} of node {node}'s description has passed, {current} is known")]
    StaleRevision {
        /// The node.
        node: NodeId,
        /// What the command carried.
        stale: u64,
        /// What is known.
        current: u64,
    },
    /// It would leave the view without any member.
    #[error("node {node} is the last member and has to remain one")]
    LastMember {
        /// The node.
        node: NodeId,
    },
    /// The cluster exists already.
    #[error("the cluster is {cluster} already")]
    AlreadyBootstrapped {
        /// Its id.
        cluster: ClusterId,
    },
    /// No module of this name is registered.
    #[error("no module {module:?} is registered")]
    UnknownModule {
        /// The name.
        module: String,
    },
    /// The module could not decode the command: the versions of the nodes differ.
    #[error("module {module:?} cannot decode the command: {reason}")]
    Undecodable {
        /// The module.
        module: String,
        /// What its decoder said.
        reason: String,
    },
}
