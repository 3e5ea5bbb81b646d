//! What stands in the control log, and what applying it answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::identity::{ClusterId, Epoch, Incarnation, NodeId, NodeInfo};
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
    /// The leader found the node failed.
    MarkDown { epoch: Epoch, node: NodeId, incarnation: Incarnation, why: String, at: Timestamp },
    /// The node leaves in order.
    Leave { node: NodeId, incarnation: Incarnation, at: Timestamp },
    /// For a module's replicated state. With an epoch it is leader work, and refused when stale.
    Module { module: String, epoch: Option<Epoch>, body: Bytes },
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
}

/// Why a committed command had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
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
    /// The node is not in the view, or no longer alive there.
    #[error("node {node} is not alive in the view")]
    NotAlive {
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
