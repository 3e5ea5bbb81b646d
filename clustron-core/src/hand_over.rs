//! Having another node lead.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cluster::ClusterHandle;
use crate::identity::NodeId;
use crate::messaging::Outcome;

/// Why the leadership was not, or is not known to be, handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// The node has no vote now, or is suspected, and so cannot lead. Nothing has changed; see
    /// [`ClusterStatus::voters`](crate::ClusterStatus::voters) for those who can.
    #[error("node {node} has no vote or is suspected: hand over to one of the live voters")]
    NotVoter {
        /// The node.
        node: NodeId,
    },
    /// The node's log is too far behind the leader's. Nothing has changed; try again when it has
    /// caught up.
    #[error("node {node} lacks {lacks} entries of the log: try again when it has caught up")]
    NotCaughtUp {
        /// The node.
        node: NodeId,
        /// How many entries it lacked.
        lacks: u64,
    },
    /// There is no other live voter. Nothing has changed; the leader has to stay until there is.
    #[error("there is no other live voter that could lead")]
    NoSuccessor,
    /// The successor could not be asked or did not want to, and the leader goes on. Nothing has
    /// changed; try again, or another voter.
    #[error("node {node} did not take over: {reason}")]
    NotTaken {
        /// The successor.
        node: NodeId,
        /// What is known of it.
        reason: String,
    },
    /// No leader took the request before the deadline. Nothing was changed.
    #[error("no leader took the request within {0:?}")]
    NoLeader(Duration),
    /// A leader took the request and then was not heard of in time; or the successor was asked and
    /// was not elected in time, which it may be yet; or nobody is known to lead. Unknown: the
    /// status tells who leads.
    #[error("the hand-over was begun, but not confirmed: {0}")]
    Unconfirmed(String),
    /// The node has stopped or is stopping. Nothing was changed.
    #[error("the node is not running")]
    NotRunning,
}

impl HandOverError {
    /// Whether the call certainly had no effect.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotVoter { .. }
            | Self::NotCaughtUp { .. }
            | Self::NoSuccessor
            | Self::NotTaken { .. }
            | Self::NoLeader(_)
            | Self::NotRunning => Outcome::NotApplied,
            Self::Unconfirmed(_) => Outcome::Unknown,
        }
    }
}

impl ClusterHandle {
    /// Has the leader hand over, from whatever node this is called: to the voter `to`, or to the
    /// best there is, which is one that holds data and has the most of the log. Waits at most
    /// `deadline` until the next leader has activated its epoch, and gives who that is. A leader
    /// that is named itself stays.
    ///
    /// Commands that come meanwhile wait a few round trips and go to the next leader; none fails.
    /// A witness that is named leads only until a member is found able to, some seconds.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use clustron_core::{Cluster, HandOverError};
    /// use std::time::Duration;
    ///
    /// let soon = Duration::from_secs(5);
    /// let cluster = Cluster::builder("orders").start().await?;
    /// cluster.wait_for_leader(soon).await.expect("a node of its own");
    /// assert_eq!(cluster.hand_over(Some(cluster.node().id), soon).await?, cluster.node().id);
    /// assert_eq!(cluster.hand_over(None, soon).await, Err(HandOverError::NoSuccessor));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`HandOverError`]; where its outcome is unknown, another node may lead by now.
    pub async fn hand_over(
        &self,
        to: Option<NodeId>,
        deadline: Duration,
    ) -> Result<NodeId, HandOverError> {
        self.inner().control.have_handed_over(to, deadline).await
    }
}
