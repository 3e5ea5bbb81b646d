//! What a running job knows about itself.

use clustron_core::codec::{self, CodecError};
use clustron_core::{ClusterHandle, Epoch, FencingToken, NodeInfo, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::job::JobName;
use crate::job_state::KEPT_BYTES_MAX;
use crate::message::Run;
use crate::progress::Notes;
use crate::tick::TickId;

/// One attempt at one tick, as the job's code sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobContext {
    run: Run,
    node: NodeInfo,
    cluster: ClusterHandle,
    cancelled: CancellationToken,
    notes: Notes,
}

/// Why a value is not kept for the next attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// It is larger than the replicated state should carry: keep it elsewhere, and here where it
    /// is.
    #[error("{bytes} bytes are more than the {KEPT_BYTES_MAX} that are kept for the next attempt")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Its type has a shape that the codec does not carry.
    #[error(transparent)]
    Encode(#[from] CodecError),
}

impl JobContext {
    pub(crate) fn new(
        run: Run,
        cluster: ClusterHandle,
        cancelled: CancellationToken,
        notes: Notes,
    ) -> Self {
        Self { run, node: cluster.node(), cluster, cancelled, notes }
    }

    /// The job's name.
    pub fn job(&self) -> &JobName {
        &self.run.job
    }

    /// When the tick was due: the identity of the work together with the job's name.
    /// Of a tick that somebody asked for the instant that it stands for; see [`tick`](Self::tick).
    pub fn scheduled(&self) -> Timestamp {
        self.run.tick.scheduled
    }

    /// Which tick of the job it is.
    pub fn tick(&self) -> TickId {
        self.run.tick
    }

    /// What the job was [defined with](crate::JobSpec::payload).
    ///
    /// # Errors
    /// It is not of this type.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        codec::decode(&self.run.payload)
    }

    /// What an earlier attempt of the job [left](Self::keep) last, as of when this one was granted.
    ///
    /// # Errors
    /// It is not of this type.
    pub fn kept<T: DeserializeOwned>(&self) -> Result<Option<T>, CodecError> {
        self.run.kept.as_ref().map(|kept| codec::decode(kept)).transpose()
    }

    /// Leaves a value for the next attempt, such as how far this one has come. It is recorded with
    /// this attempt's result, whether that is good or not, and only if that still counts.
    ///
    /// # Errors
    /// It has more than 4 KiB, or cannot be encoded.
    pub fn keep<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), KeepError> {
        let bytes = codec::encode(value)?;
        if bytes.len() > KEPT_BYTES_MAX {
            return Err(KeepError::TooLarge { bytes: bytes.len() });
        }
        self.notes.keep(bytes.into());
        Ok(())
    }

    /// Tells how far the attempt has come, from 0 to 1, to whoever looks at
    /// [what runs](crate::SchedulerHandle::running).
    pub fn progress(&self, progress: f32) {
        self.notes.progress(progress);
    }

    /// Writes a line for the same. The last 16 are kept, while it runs, 256 bytes of each.
    pub fn log(&self, line: impl Into<String>) {
        self.notes.line(self.cluster.clock().now(), line.into());
    }

    /// Rises with every attempt of every tick. A resource that keeps the highest token it has seen
    /// for a job can refuse an attempt that was replaced while its node was stalled.
    pub fn token(&self) -> FencingToken {
        self.run.token
    }

    /// The [token](Self::token) as what it is for: to be handed to every resource that the job
    /// changes, which keeps the highest one that it has seen of this job and refuses lower ones, in
    /// the same transaction as the change. Without that an attempt on a node that was stalled may
    /// write over what its successor wrote (Kleppmann, "How to do distributed locking", 2016).
    pub fn fence(&self) -> FencingToken {
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

    /// What is to be kept for the next attempt.
    pub(crate) fn left(&self) -> Option<bytes::Bytes> {
        self.notes.kept()
    }

    /// The node that it runs on.
    pub fn node(&self) -> &NodeInfo {
        &self.node
    }

    /// The cluster, for messages and the like.
    pub fn cluster(&self) -> &ClusterHandle {
        &self.cluster
    }

    /// Resolves when the job should stop: a newer attempt was granted, a later tick is to take
    /// its place ([`crate::Overlap::CancelOther`]), its time is over, or the node shuts down and
    /// waits for the job until its deadline.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the job should stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}
