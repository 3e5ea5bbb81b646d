//! What is left to do when a majority of the voters is lost for good: an operator declares the
//! loss, and one survivor becomes a cluster of its own.
//!
//! Like a court that declares missing people dead. Nobody but a person may ask for it, it is put on
//! record, and whoever was away and turns up again later has no claim to the house any more.
//!
//! ```no_run
//! use clustron_core::recovery;
//!
//! # fn main() -> Result<(), recovery::RecoveryError> {
//! // On every host whose disk is left, with no node running.
//! println!("{}", recovery::inspect("/var/lib/shop")?);
//! // On the one whose log reaches furthest.
//! let loss = recovery::declare_loss("/var/lib/shop", "ann: racks 2 and 3 burnt, ticket 4711")?;
//! println!("{loss}");
//! # Ok(()) }
//! ```
//!
//! Then that node is started as always, alone. It has all that its log had, whether or not it was
//! known to be committed. The others start with empty directories and join it as new nodes.
//!
//! # What it costs
//!
//! What only the lost nodes had is gone, also where it was acknowledged: a majority had it, and
//! the survivor need not have been part of that. That is why nothing here ever happens by itself,
//! nor in a node that runs.
//!
//! # What it keeps
//!
//! * The cluster gets a new [`ClusterId`]. Nodes of the cluster that was, should some of them be
//!   alive all the same, are refused by it, and refuse it.
//! * Epochs, fencing tokens, view versions and log indexes go on far above all that the lost nodes
//!   can have given out: 2^36 higher with each loss.
//! * The loss itself stands in the log: [`ClusterHandle::losses`].
//! * It is all or nothing. If the command is broken off, the directory is as it was, or the node
//!   refuses to start until the command is given again, which then goes on where it stopped.

mod error;
mod inspection;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use clustron_wal::{Disk, FileDisk};
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::cluster::ClusterHandle;
use crate::control::{LOSSES_MAX, Survivor};
use crate::data_dir::{DataDir, DataDirError};
use crate::identity::{ClusterId, NodeId};
use crate::time::{Clock, SystemClock, Timestamp};

pub use error::RecoveryError;
pub use inspection::Inspection;

/// The longest word of who declares a loss, in bytes.
pub const BY_BYTES_MAX: usize = 1024;

/// A majority of a cluster's voters was lost for good, and somebody has said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Loss {
    /// The id of the cluster that was.
    pub was: ClusterId,
    /// The id of the cluster that goes on.
    pub cluster: ClusterId,
    /// The node that goes on.
    pub survivor: NodeId,
    /// The voters that were given up, as the survivor's log has them.
    pub lost: BTreeSet<NodeId>,
    /// Who declared it, and why.
    pub by: String,
    /// When, by the clock of the host on which it was declared.
    pub at: Timestamp,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { was, cluster, survivor, lost, by, at } = self;
        let lost = lost.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(
            f,
            "declared lost by {by:?} at {at}: voters {lost} of cluster id {was}; node {survivor} \
             goes on in cluster id {cluster}"
        )
    }
}

/// Says what the data directory of a node holds that does not run. Changes nothing, but for what
/// any start would put in order: the rest of a write that a crash had broken off is cut off.
///
/// Blocks.
///
/// # Errors
/// See [`RecoveryError`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection, RecoveryError> {
    let data = open(path.as_ref())?;
    let survivor = Survivor::read(&data)?;
    Ok(Inspection::new(data.disk().path(), data.identity(), survivor.as_ref()))
}

/// Makes the node that this data directory belongs to, and that does not run, a cluster of its own
/// with a new id: see the [module's documentation](self). Take the directory whose log [reaches
/// furthest](Inspection::reaches), and only when the lost voters cannot come back: should a
/// majority of them live, there are two clusters afterwards, which both take themselves for the
/// one.
///
/// `by` says who declares it and why, in 1 to 1,024 bytes. After an attempt that was broken off,
/// the loss is the one that was begun.
///
/// The node has to be one that may vote, a member or a witness. It need not have had a vote.
///
/// Blocks.
///
/// # Errors
/// See [`RecoveryError`].
pub fn declare_loss(path: impl AsRef<Path>, by: &str) -> Result<Loss, RecoveryError> {
    let data = open(path.as_ref())?;
    declare(&data, by, SystemClock.now(), &Chance::from_os())
}

fn open(path: &Path) -> Result<Arc<DataDir>, RecoveryError> {
    // Opening would create it.
    if !path.is_dir() {
        return Err(RecoveryError::NoDirectory { path: path.to_owned() });
    }
    let disk = FileDisk::open(path).map_err(|error| DataDirError::io(path, "open", error))?;
    at_rest(Arc::new(disk))
}

fn at_rest(disk: Arc<dyn Disk>) -> Result<Arc<DataDir>, RecoveryError> {
    let path = disk.path();
    let data = DataDir::at_rest(disk)?;
    data.map(Arc::new).ok_or(RecoveryError::NoNode { path })
}

fn declare(
    data: &Arc<DataDir>,
    by: &str,
    at: Timestamp,
    chance: &Chance,
) -> Result<Loss, RecoveryError> {
    let (path, identity) = (data.disk().path(), data.identity());
    let survivor = Survivor::read(data)?;
    let (Some(survivor), Some(was)) = (survivor, identity.cluster) else {
        return Err(RecoveryError::NoCluster { path });
    };
    let loss = match identity.declaring {
        Some(begun) => begun,
        None => {
            let lost = may_be_lost(&path, &survivor, identity.node)?;
            let by = checked(by)?.to_owned();
            let (cluster, survivor) = (ClusterId::mint(chance), identity.node);
            let loss = Loss { was, cluster, survivor, lost, by, at };
            data.declare(&loss).map_err(|error| data.failed(error))?;
            loss
        }
    };
    survivor.declare(&loss).map_err(|error| data.failed(error))?;
    data.declared().map_err(|error| data.failed(error))?;
    Ok(loss)
}

/// The voters that would be given up, if that is a way out at all.
fn may_be_lost(
    path: &Path,
    survivor: &Survivor,
    me: NodeId,
) -> Result<BTreeSet<NodeId>, RecoveryError> {
    let path = path.to_owned();
    if !survivor.node().is_some_and(|node| node.votes()) {
        return Err(RecoveryError::MayNotVote { path, node: me });
    }
    let lost: BTreeSet<NodeId> =
        survivor.voters().into_keys().filter(|voter| *voter != me).collect();
    if lost.is_empty() {
        return Err(RecoveryError::NothingLost { path, node: me });
    }
    let (losses, _) = survivor.losses();
    if losses >= LOSSES_MAX {
        return Err(RecoveryError::TooOften { path, losses });
    }
    Ok(lost)
}

fn checked(by: &str) -> Result<&str, RecoveryError> {
    let fits = !by.trim().is_empty() && by.len() <= BY_BYTES_MAX;
    if fits { Ok(by) } else { Err(RecoveryError::By { bytes: by.len() }) }
}

impl ClusterHandle {
    /// The losses of a majority that were [declared](crate::recovery) for this cluster, the latest
    /// last: at most the last 64. Empty at a node whose roles do not let it follow the log.
    pub fn losses(&self) -> Vec<Loss> {
        self.inner().control.agreed_now().losses.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
