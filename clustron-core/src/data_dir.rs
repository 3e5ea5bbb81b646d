//! The directory in which a node keeps its identity and its part of the control log.
//!
//! Like a notary's register: it names its owner on the first page, only one person may write in it
//! at a time, and what the owner has put their name to stands there before anybody hears of it.
//!
//! ```text
//! LOCK            held by the process that uses the directory
//! identity        who this is, in which cluster, and how often it has started
//! vote            the latest promise to a candidate
//! log-*.wal       the entries of the control log
//! purged          up to where entries were given up for a snapshot
//! snapshot        the agreed state and the modules' states at one place of the log
//! arriving        a snapshot from the leader, before it takes the place of the one that is there
//! ```
//!
//! An identity stands for the memory of what its node has promised, so the two never part: a node
//! that has lost its vote or its log is another node. That is why a directory without an identity
//! is used only while there is nothing else in it, and why an identity that is given up takes all
//! the rest along.

mod bug;
mod error;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use clustron_wal::{Disk, Lock};
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::codec::{self, CodecError};
use crate::identity::{ClusterId, ClusterName, Incarnation, NodeId, NodeName};
use crate::recovery::Loss;
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;

#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "only simulations name one")
)]
pub use bug::DiskBug;
pub use error::DataDirError;
pub(crate) use error::DiskError;

const IDENTITY: &str = "identity";
/// What a first start leaves that ends while it writes the identity: nobody has seen that one.
const IDENTITY_DRAFT: &str = "identity.new";
pub(crate) const VOTE: &str = "vote";
pub(crate) const PURGED: &str = "purged";
pub(crate) const SNAPSHOT: &str = "snapshot";
pub(crate) const ARRIVING: &str = "arriving";
pub(crate) const LOG_PREFIX: &str = "log";

/// An identity, a vote or the like never has more bytes.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// What a directory says about its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) cluster_name: ClusterName,
    /// Written before the first vote and the first entry.
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) node: NodeId,
    /// The name that it was given, if it was given any.
    pub(crate) name: Option<NodeName>,
    pub(crate) starts: u64,
    pub(crate) incarnation: Incarnation,
    /// What else is in the directory belongs to an identity before this one, and has to go.
    pub(crate) foreign_rest: bool,
    /// A loss that is being declared, until all that belongs to it is in the directory.
    pub(crate) declaring: Option<Loss>,
    /// The latest identities before this one, and for which cluster each was given up before that
    /// had come about, as far as it knew.
    pub(crate) given_up: Vec<GivenUp>,
}

/// An identity that promises nothing any more, and the cluster that it would have been for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GivenUp {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
}

/// Identities that were given up and are remembered.
pub(crate) const GIVEN_UP_MAX: usize = 8;

/// How a directory's blocking calls are made.
#[derive(Clone)]
pub(crate) enum Calls {
    /// On threads of their own.
    Pool,
    /// In place, after as long as the disk is said to take. For simulated disks, whose order of
    /// events must not depend on threads.
    #[cfg(feature = "simulation")]
    InPlace { latency: Arc<dyn Fn() -> std::time::Duration + Send + Sync>, bug: Option<DiskBug> },
}

/// A directory that this process has taken for itself.
pub(crate) struct DataDir {
    disk: Arc<dyn Disk>,
    calls: Calls,
    identity: Mutex<Identity>,
    /// Held by whoever writes in the name of the identity, against its being given up meanwhile.
    in_use: RwLock<()>,
    _lock: Lock,
}

impl DataDir {
    /// Takes the directory for a start of a node. In an empty one the node gets a new identity.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        calls: Calls,
        cluster_name: &ClusterName,
        name: Option<&NodeName>,
        chance: &Chance,
    ) -> Result<Self, DataDirError> {
        let path = disk.path();
        let failed = |error: DiskError| DataDirError::failed(&path, &error);
        let (lock, known) = take(disk.as_ref())?;
        let identity = match known {
            None => Identity::new(cluster_name, name, chance),
            Some(identity) => {
                identity.check(&path, cluster_name, name)?;
                if calls.has(DiskBug::StartNotCounted) { identity } else { identity.next_start() }
            }
        };
        let (identity, in_use) = (Mutex::new(identity), RwLock::default());
        let dir = Self { disk, calls, identity, in_use, _lock: lock };
        if dir.identity().foreign_rest || dir.has(DiskBug::IdentityOutlivesLog) {
            dir.clear().map_err(failed)?;
        }
        // Nobody must see this start before it is on disk: the next one counts from it.
        dir.write(|_| {}).map_err(failed)?;
        Ok(dir)
    }

    /// Takes the directory as it is, while its node does not run. `None` if it has none.
    pub(crate) fn at_rest(disk: Arc<dyn Disk>) -> Result<Option<Self>, DataDirError> {
        let (lock, known) = take(disk.as_ref())?;
        let Some(identity) = known else { return Ok(None) };
        let (calls, identity, in_use) = (Calls::Pool, Mutex::new(identity), RwLock::default());
        Ok(Some(Self { disk, calls, identity, in_use, _lock: lock }))
    }

    pub(crate) fn identity(&self) -> Identity {
        self.lock().clone()
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// An error of the log or of a file, as a reason not to start.
    pub(crate) fn failed(&self, error: impl Into<DiskError>) -> DataDirError {
        DataDirError::failed(&self.disk.path(), &error.into())
    }

    /// What a file holds cannot be what was written.
    pub(crate) fn damaged(&self, file: &str, what: &dyn std::fmt::Display) -> DataDirError {
        DataDirError::damaged(&self.disk.path(), file, what)
    }

    /// Lets the caller write in the name of this node, for as long as it holds what it gets. What a
    /// node began to write before it was given up must not come to its successor.
    pub(crate) fn as_node(&self, node: NodeId) -> Result<RwLockReadGuard<'_, ()>, DiskError> {
        let in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        if self.lock().node == node { Ok(in_use) } else { Err(DiskError::GivenUp { node }) }
    }

    /// Whether the directory has this file.
    pub(crate) fn holds(&self, file: &str) -> Result<bool, DiskError> {
        Ok(self.disk.list().map_err(Arc::new)?.iter().any(|name| name == file))
    }

    /// The snapshot lacks the state of a module that is to run here.
    pub(crate) fn missed(&self, module: &str) -> DataDirError {
        DataDirError::MissedModule { path: self.disk.path(), module: module.to_owned() }
    }

    /// Writes down to which cluster the node belongs. Before the first vote and the first entry.
    pub(crate) fn bind(&self, cluster: ClusterId) -> Result<(), DiskError> {
        let bound = self.lock().cluster;
        match bound {
            Some(bound) => {
                assert!(bound == cluster, "a node never changes its cluster");
                Ok(())
            }
            None => self.write(|identity| identity.cluster = Some(cluster)),
        }
    }

    /// The cluster knows a later process of this node, so this start did not happen. Were it
    /// counted, the next one could pass for a newer one than that process.
    pub(crate) fn take_back_start(&self) -> Result<(), DiskError> {
        self.write(|identity| identity.starts = identity.starts.saturating_sub(1))
    }

    /// Gives the identity up, and everything that was promised under it, for a new one. Only where
    /// the cluster that it was for never came to be, or does not miss it.
    pub(crate) fn renounce(&self, chance: &Chance) -> Result<(), DiskError> {
        let _alone = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        self.write(|identity| {
            let fresh = Identity::new(&identity.cluster_name, identity.name.as_ref(), chance);
            let mut given_up = std::mem::take(&mut identity.given_up);
            given_up.extend(identity.cluster.map(|c| GivenUp { cluster: c, node: identity.node }));
            given_up.drain(..given_up.len().saturating_sub(GIVEN_UP_MAX));
            *identity = Identity { foreign_rest: true, given_up, ..fresh };
        })?;
        self.clear()?;
        self.write(|_| {})
    }

    /// Notes that a loss is being declared. From here on the node does not start before
    /// [`declared`](Self::declared).
    pub(crate) fn declare(&self, loss: &Loss) -> Result<(), DiskError> {
        self.write(|identity| identity.declaring = Some(loss.clone()))
    }

    /// All that belongs to the declared loss is in the directory: from here on it is one of the new
    /// cluster.
    pub(crate) fn declared(&self) -> Result<(), DiskError> {
        self.write(|identity| {
            if let Some(loss) = identity.declaring.take() {
                let known = identity.clone().next_start();
                *identity = Identity { cluster: Some(loss.cluster), ..known };
            }
        })
    }

    /// Reads a small file of the directory.
    pub(crate) fn load(&self, file: &str) -> Result<Option<Bytes>, DiskError> {
        Ok(clustron_wal::load(self.disk.as_ref(), file, SMALL_BYTES_MAX)?)
    }

    /// Writes a small file of the directory as a whole. Durable on return.
    pub(crate) fn store(&self, file: &str, bytes: &[u8]) -> Result<(), DiskError> {
        Ok(clustron_wal::replace(self.disk.as_ref(), file, bytes)?)
    }

    /// Makes a blocking call without holding up the runtime.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match &self.calls {
            Calls::Pool => match tokio::task::spawn_blocking(call).await {
                Ok(value) => value,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime ends, and this task with it.
                    Err(_) => std::future::pending().await,
                },
            },
            #[cfg(feature = "simulation")]
            Calls::InPlace { latency, .. } => {
                let latency = latency();
                if !latency.is_zero() {
                    tokio::time::sleep(latency).await;
                }
                call()
            }
        }
    }

    /// Removes everything but the identity.
    fn clear(&self) -> Result<(), DiskError> {
        let files: BTreeSet<String> = self.disk.list().map_err(Arc::new)?.into_iter().collect();
        for file in files.iter().filter(|name| is_ours(name) && *name != IDENTITY) {
            self.disk.remove(file).map_err(Arc::new)?;
        }
        self.disk.sync().map_err(Arc::new)?;
        self.lock().foreign_rest = false;
        Ok(())
    }

    fn write(&self, change: impl FnOnce(&mut Identity)) -> Result<(), DiskError> {
        let mut identity = self.lock();
        let mut next = identity.clone();
        change(&mut next);
        self.store(IDENTITY, &encoded(&next)?)?;
        *identity = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for DataDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DataDir").field(&self.disk.path()).finish()
    }
}

impl Identity {
    fn new(cluster_name: &ClusterName, name: Option<&NodeName>, chance: &Chance) -> Self {
        Self {
            cluster_name: cluster_name.clone(),
            cluster: None,
            node: NodeId::mint(chance),
            name: name.cloned(),
            starts: 1,
            incarnation: Incarnation(1),
            foreign_rest: false,
            declaring: None,
            given_up: vec![],
        }
    }

    fn next_start(self) -> Self {
        let (starts, incarnation) = (self.starts.saturating_add(1), self.incarnation.next());
        Self { starts, incarnation, ..self }
    }

    /// Whether the directory is that of the node that is to be started.
    fn check(
        &self,
        path: &std::path::Path,
        cluster_name: &ClusterName,
        name: Option<&NodeName>,
    ) -> Result<(), DataDirError> {
        if self.cluster_name != *cluster_name {
            return Err(DataDirError::OtherCluster {
                path: path.to_owned(),
                theirs: self.cluster_name.to_string(),
                wanted: cluster_name.to_string(),
            });
        }
        if self.declaring.is_some() {
            return Err(DataDirError::Declaring { path: path.to_owned() });
        }
        match (&self.name, name) {
            (Some(theirs), Some(wanted)) if theirs != wanted => Err(DataDirError::OtherNode {
                path: path.to_owned(),
                theirs: theirs.to_string(),
                wanted: wanted.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// Locks a directory, and reads whose it is. One that has files of a node and no identity is
/// refused.
fn take(disk: &dyn Disk) -> Result<(Lock, Option<Identity>), DataDirError> {
    let path = disk.path();
    let lock = disk.lock().map_err(|error| DataDirError::locking(&path, error))?;
    let known = clustron_wal::load(disk, IDENTITY, SMALL_BYTES_MAX);
    if let Some(bytes) = known.map_err(|error| DataDirError::failed(&path, &error.into()))? {
        let identity = codec::decode(&bytes);
        let identity = identity.map_err(|e| DataDirError::damaged(&path, IDENTITY, &e))?;
        return Ok((lock, Some(identity)));
    }
    let files = disk.list().map_err(|e| DataDirError::io(&path, "read", e))?;
    match files.into_iter().find(|name| is_ours(name) && name != IDENTITY_DRAFT) {
        Some(file) => Err(DataDirError::NoIdentity { path, file }),
        None => Ok((lock, None)),
    }
}

#[cfg(feature = "simulation")]
pub(crate) const DECODERS: [Decoder; 2] = [
    Decoder::new("an identity", |bytes| {
        let _ = codec::decode::<Identity>(bytes);
    }),
    Decoder::new("a directory with an identity", |bytes| {
        let disk = Arc::new(clustron_wal::SimDisk::new(0));
        // The rest of the directory is the log, as it comes.
        disk.put("log-00000000000000000000.wal", bytes);
        if clustron_wal::replace(disk.as_ref(), IDENTITY, bytes).is_ok() {
            let _ = DataDir::at_rest(disk).map_err(|error| error.to_string());
        }
    }),
];

/// A value as it stands in a directory.
pub(crate) fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, DiskError> {
    codec::encode(value).map_err(|error: CodecError| Arc::new(error).into())
}

/// Whether a file of this name is one of those that a node keeps.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(".new").unwrap_or(name);
    [IDENTITY, VOTE, PURGED, SNAPSHOT, ARRIVING].contains(&name)
        || (name.starts_with(LOG_PREFIX) && name.ends_with(".wal"))
}

#[cfg(test)]
mod tests;
