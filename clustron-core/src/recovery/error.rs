//! Why a loss is not declared, and what to do.

use std::path::PathBuf;

use super::BY_BYTES_MAX;
use crate::control::LOSSES_MAX;
use crate::data_dir::DataDirError;
use crate::identity::NodeId;

/// Why a data directory cannot be inspected, or no loss be declared for it. Only after
/// [`DataDir`](RecoveryError::DataDir) may a declaration be half done: give the command again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The directory is in use, damaged, or cannot be read or written.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// There is no such directory.
    #[error("there is no directory {path:?}: correct the path")]
    NoDirectory {
        /// What was given.
        path: PathBuf,
    },
    /// No node has used it yet.
    #[error("directory {path:?} belongs to no node: correct the path")]
    NoNode {
        /// The directory.
        path: PathBuf,
    },
    /// Its node was in no cluster yet, so nothing of a cluster is left in it.
    #[error(
        "the node of data directory {path:?} was in no cluster yet, so there is nothing to recover: \
         look at the directories of the other nodes"
    )]
    NoCluster {
        /// The directory.
        path: PathBuf,
    },
    /// It is the only voter: it needs nobody else.
    #[error(
        "node {node} of data directory {path:?} is the only voter of its cluster, so no majority is \
         lost: start it as always"
    )]
    NothingLost {
        /// The directory.
        path: PathBuf,
        /// The node.
        node: NodeId,
    },
    /// By its roles it can never vote, or the log does not have it any more.
    #[error(
        "node {node} of data directory {path:?} may not vote, by its roles or because the cluster \
         had taken it out: take the directory of a member or a witness"
    )]
    MayNotVote {
        /// The directory.
        path: PathBuf,
        /// The node.
        node: NodeId,
    },
    /// Nobody is named, or at too great length.
    #[error("it is said in {bytes} bytes who declares the loss and why: use 1 to {BY_BYTES_MAX}")]
    By {
        /// How long it was.
        bytes: usize,
    },
    /// There would not be enough higher tokens any more.
    #[error(
        "the cluster of data directory {path:?} has lost its majority {losses} times, and can do so \
         at most {LOSSES_MAX} times: found a new cluster"
    )]
    TooOften {
        /// The directory.
        path: PathBuf,
        /// How often.
        losses: u64,
    },
}
