//! Changing what a node says about itself while it runs.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::ClusterHandle;
use crate::control::{Agreed, Command, ProposeError, Rejection, Response};
use crate::identity::{InvalidMetadata, Metadata, NodeInfo};
use crate::messaging::Outcome;
use crate::outlook::Described;
use crate::roles;

/// Why a change of this node's roles and tags is not, or not known to be, in the view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// The roles or tags cannot be used. Not applied: correct them.
    #[error(transparent)]
    Invalid(#[from] InvalidMetadata),
    /// It would leave the cluster without any member, so with nobody to vote. Not applied: start
    /// another member first.
    #[error("this node is the last member: start another one before it gives up the role")]
    LastMember,
    /// A node that follows the control log is built otherwise than one that does not, and so is one
    /// that collects metrics; and only a node that was started as a member was found to run the
    /// members' modules. Not applied: start the node anew with these roles.
    #[error("a running node cannot go from [{from}] to [{to}]: start it anew with these roles")]
    OtherKind {
        /// The roles that it has.
        from: String,
        /// The roles that were wanted.
        to: String,
    },
    /// Another change of this node's description was made at the same time. Not applied: look at
    /// the description again, and repeat the change if it is still wanted.
    #[error("another change of this node's description came first, it has revision {revision} now")]
    Overtaken {
        /// The revision in force here.
        revision: u64,
    },
    /// The node has stopped or is stopping. Not applied.
    #[error("the node is not running")]
    NotRunning,
    /// The view here did not show the change in time. Unknown, and most likely only late: the node
    /// describes itself so from now on, and a leader that hears it commits it. To take it back,
    /// describe the node as it was.
    #[error("revision {revision} of this node's description did not show in the view: {reason}")]
    Unconfirmed {
        /// The revision that is on its way.
        revision: u64,
        /// What kept it.
        reason: String,
    },
}

impl DescribeError {
    /// Whether the change certainly had no effect.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Invalid(_)
            | Self::LastMember
            | Self::OtherKind { .. }
            | Self::Overtaken { .. }
            | Self::NotRunning => Outcome::NotApplied,
            Self::Unconfirmed { .. } => Outcome::Unknown,
        }
    }
}

impl ClusterHandle {
    /// Changes this node's roles and tags while it runs, and waits at most `deadline` until the
    /// view here shows it. Gives the node as the cluster then agrees on it. A member that gives up
    /// [`Role::Member`](crate::Role::Member) loses its vote soon after, and hands over first if it
    /// leads. A change to what is agreed already is done at once.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use clustron_core::Cluster;
    /// use std::time::Duration;
    ///
    /// let cluster = Cluster::builder("orders").tag("zone", "a").start().await?;
    /// let change = cluster.describe(
    ///     |node| drop(node.tags.insert("zone".to_owned(), "b".to_owned())),
    ///     Duration::from_secs(5),
    /// );
    /// assert_eq!(change.await?.tags["zone"], "b");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`DescribeError`]. What cannot be used is refused before anything happens.
    pub async fn describe(
        &self,
        change: impl FnOnce(&mut Metadata) + Send,
        deadline: Duration,
    ) -> Result<NodeInfo, DescribeError> {
        let inner = self.inner();
        if self.is_closing() || self.ended().is_some() {
            return Err(DescribeError::NotRunning);
        }
        let before = inner.local.node();
        let mut wanted = before.metadata();
        change(&mut wanted);
        wanted.check()?;
        let gains_vote = roles::votes(&wanted.roles) && !inner.local.may_vote;
        if gains_vote || roles::kind(&wanted.roles) != roles::kind(&before.roles) {
            let (from, to) = (roles::listed(&before.roles), roles::listed(&wanted.roles));
            return Err(DescribeError::OtherKind { from, to });
        }
        let until = crate::tasks::until(deadline);
        let mut node = before.clone();
        if wanted != before.metadata() {
            if inner.control.agreed_now().view.is_last_member(before.id, &wanted) {
                return Err(DescribeError::LastMember);
            }
            node = inner
                .local
                .describe(before.revision, wanted)
                .map_err(|revision| DescribeError::Overtaken { revision })?;
            inner.outlook.announce(Described::of(&node));
        }
        self.commit(&node, &before, until).await
    }

    /// Hands the description to the leader, which is faster than to wait until it has heard of it.
    async fn commit(
        &self,
        node: &NodeInfo,
        before: &NodeInfo,
        until: Instant,
    ) -> Result<NodeInfo, DescribeError> {
        let inner = self.inner();
        let unconfirmed =
            |reason: String| DescribeError::Unconfirmed { revision: node.revision, reason };
        let shows = |agreed: &Agreed| {
            let record = agreed.view.node(node.id);
            record.is_some_and(|record| {
                let same = || record.info.metadata() == node.metadata();
                record.info.revision >= node.revision && same()
            })
        };
        if !shows(&inner.control.agreed_now()) {
            let command = Command::Describe {
                node: node.id,
                incarnation: inner.local.node().incarnation,
                revision: node.revision,
                metadata: node.metadata(),
            };
            let left = until.saturating_duration_since(Instant::now());
            match inner.control.propose(command, left).await {
                Ok((_, Response::Rejected(Rejection::LastMember { .. }))) => {
                    // Others hear this node as it was, before anybody can commit the change.
                    let back = inner.local.describe(node.revision, before.metadata());
                    if let Ok(back) = back {
                        inner.outlook.announce(Described::of(&back));
                    }
                    return Err(DescribeError::LastMember);
                }
                // A leader that had heard of it was faster, or has yet to let this node back in.
                Ok(_) => {}
                Err(ProposeError::NotRunning) => {
                    return Err(unconfirmed("the node has stopped".to_owned()));
                }
                Err(error) => return Err(unconfirmed(error.to_string())),
            }
        }
        let mut agreed = inner.control.agreed();
        let shown = tokio::time::timeout_at(until, agreed.wait_for(|now| shows(now))).await;
        match shown {
            Ok(Ok(agreed)) => Ok(agreed
                .view
                .node(node.id)
                .map_or_else(|| node.clone(), |record| record.info.clone())),
            Ok(Err(_)) => Err(unconfirmed("the node has stopped".to_owned())),
            Err(_elapsed) => Err(unconfirmed("the deadline passed".to_owned())),
        }
    }
}
