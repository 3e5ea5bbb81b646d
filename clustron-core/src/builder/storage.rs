//! Who a node is when it starts, and what it remembers.

use std::sync::Arc;
use std::time::Duration;

use clustron_wal::{Disk, FileDisk};
use tokio::time::Instant;

use super::ClusterBuilder;
use crate::control::Storage;
use crate::data_dir::{Calls, DataDir, DataDirError, DiskBug, Identity, SNAPSHOT};
use crate::error::StartError;
use crate::identity::{ClusterName, NodeName};
use crate::local::Local;

/// How long a node waits for the one before it to let go of the data directory, and how often it
/// looks: a process that was killed, or a node that was dropped, takes a moment to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A disk, and how it is called.
type DiskCalls = (Arc<dyn Disk>, Calls);

impl ClusterBuilder {
    /// Takes the data directory, where one is configured.
    pub(super) async fn open_data_dir(
        &self,
        cluster: &ClusterName,
    ) -> Result<Option<Arc<DataDir>>, StartError> {
        let Some((disk, calls)) = self.disk()? else { return Ok(None) };
        let name = self.config.name.clone().map(NodeName::new).transpose();
        let name = name.map_err(crate::ConfigError::from)?;
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            let (disk, calls) = (disk.clone(), calls.clone());
            match DataDir::open(disk, calls, cluster, name.as_ref(), &self.chance) {
                Ok(data) => return Ok(Some(Arc::new(data))),
                Err(DataDirError::InUse { .. }) if Instant::now() < until => {
                    tokio::time::sleep(LOCK_AGAIN_AFTER).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn disk(&self) -> Result<Option<DiskCalls>, StartError> {
        #[cfg(feature = "simulation")]
        if let Some(disk) = &self.sim_disk {
            let bug = self.disk_bug;
            disk.lose_syncs(bug == Some(DiskBug::AcknowledgedBeforeSync));
            let (disk, knob) = (Arc::new(disk.clone()), disk.clone());
            let latency = Arc::new(move || knob.latency());
            return Ok(Some((disk, Calls::InPlace { latency, bug })));
        }
        let Some(path) = &self.config.data_dir else { return Ok(None) };
        let disk = FileDisk::open(path).map_err(|e| DataDirError::io(path, "open", e))?;
        Ok(Some((Arc::new(disk), Calls::Pool)))
    }

    /// Gives up an identity under which no cluster came about.
    pub(super) async fn renounce(&self, data: &Option<Arc<DataDir>>) -> Result<(), StartError> {
        let Some(data) = data else { return Ok(()) };
        Ok(data.renounce(&self.chance).map_err(|error| data.failed(error))?)
    }

    /// Who this node is, and what it remembers.
    pub(super) async fn open_storage(
        &self,
        cluster: &ClusterName,
        listening_at: &str,
        data: &Option<Arc<DataDir>>,
    ) -> Result<(Arc<Local>, Storage), StartError> {
        let local = |identity: Option<Identity>| -> Result<_, StartError> {
            let (id, durable) = (identity.as_ref().and_then(|i| i.cluster), identity.is_some());
            let given_up = identity.as_ref().map_or(vec![], |i| i.given_up.clone());
            let node = self.describe(listening_at, identity)?;
            let local = Local::new(cluster.clone(), id, node, self.modules.clone(), durable);
            Ok(Arc::new(local.after(given_up).with_defect(self.defect)))
        };
        let Some(data) = data else { return Ok((local(None)?, Storage::default())) };
        let known = local(Some(data.identity()))?;
        let storage = Storage::open(data, &known).await?;
        let keeps_id = data.has(DiskBug::IdentityOutlivesLog);
        let holds = data.holds(SNAPSHOT).map_err(|error| data.failed(error))?;
        let real = (storage.knows_bootstrap() || holds) && !data.has(DiskBug::ClusterForgotten);
        if real && !known.node().follows_log() {
            // It would be counted on as a voter, and be none.
            return Err(DataDirError::OtherRole { path: data.disk().path() }.into());
        }
        if known.cluster_id().is_none() || real || keeps_id {
            return Ok((known, storage));
        }
        // It ended while its cluster was being founded, or before it had joined it. What it has
        // promised until then is forgotten together with its identity, as without a directory.
        tracing::info!(
            "the cluster had not come about when this node ended: starting as a new one"
        );
        drop(storage);
        self.renounce(&Some(data.clone())).await?;
        let fresh = local(Some(data.identity()))?;
        let storage = Storage::open(data, &fresh).await?;
        Ok((fresh, storage))
    }
}
