//! What a running job knows about itself.

use clustron_core::{ClusterHandle, Epoch, FencingToken, NodeInfo, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::job::JobName;
use crate::message::Run;

/// One attempt at one tick, as the job's code sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobContext {
    run: Run,
    node: NodeInfo,
    cluster: ClusterHandle,
    cancelled: CancellationToken,
}

impl JobContext {
    pub(crate) fn new(run: Run, cluster: ClusterHandle, cancelled: CancellationToken) -> Self {
        Self { run, node: cluster.node(), cluster, cancelled }
    }

    /// The job's name.
    pub fn job(&self) -> &JobName {
        &self.run.job
    }

    /// When the tick was due: the identity of the work together with the job's name.
    pub fn scheduled(&self) -> Timestamp {
        self.run.scheduled
    }

    /// Rises with every attempt of every tick. A resource that keeps the highest token it has seen
    /// for a job can refuse an attempt that was replaced while its node was stalled.
    pub fn token(&self) -> FencingToken {
        self.run.token
    }

    /// The epoch of the leader that granted the attempt.
    pub fn epoch(&self) -> Epoch {
        self.run.epoch
    }

    /// Which attempt at the tick this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// The node that it runs on.
    pub fn node(&self) -> &NodeInfo {
        &self.node
    }

    /// The cluster, for messages and the like.
    pub fn cluster(&self) -> &ClusterHandle {
        &self.cluster
    }

    /// Resolves when the job should stop: a newer attempt runs here, or the node shuts down and
    /// waits for the job until its deadline.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the job should stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}
