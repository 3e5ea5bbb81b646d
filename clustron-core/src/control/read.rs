//! Reads of replicated state, and how current they are.
//!
//! A read never goes through the log. A linearizable one asks the leader up to where the log
//! reached when it was called, which the leader answers after a majority has confirmed that it
//! still leads, and waits until this node has applied as much (the ReadIndex of Raft, section 6.4
//! of Ongaro's thesis). All who ask at the same time share one round ([`rounds`](super::rounds)),
//! here and at the leader. There are no leases: a shared round costs little, and no clock has to be
//! trusted.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Control;
use super::propose::{ProposeError, RETRY_AFTER};
use super::rounds::Rounds;
use super::rpc::ReadIndex;
use crate::identity::NodeId;
use crate::messaging::Lane;

/// How current a read has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It sees everything that was acknowledged to anybody before the call. A majority confirms it,
    /// so it fails on the minority side of a cut.
    #[default]
    Linearizable,
    /// It sees the log up to this index at least, such as that of a
    /// [`Committed`](super::Committed): you read what you wrote. Nobody else is asked.
    AtLeast(u64),
    /// It sees this node's copy as it is, and says how old that may be.
    Stale,
}

/// What a read has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read<T> {
    /// What was read.
    pub value: T,
    /// It shows the log up to this index at least.
    pub index: u64,
    /// It shows everything that was acknowledged to anybody so long ago, or longer: zero for a
    /// linearizable read. `None` where this node was never current, as far as it knows.
    pub age: Option<Duration>,
}

/// The rounds of one node.
#[derive(Default)]
pub(super) struct ReadRounds {
    /// As the leader: a majority says that it is.
    confirm: Rounds<u64>,
    /// Else: the leader says where the log reaches.
    ask: Rounds<u64>,
}

impl Control {
    /// Runs the rounds for those who wait for one, until the node ends.
    pub(super) async fn keep_reading(self: Arc<Self>) {
        let confirm = self.reads.confirm.run(|| async {
            // Raft lets a leader that was started again lead on in its term, and does not know then
            // what it had committed before. The activation comes after all of that.
            if self.leading.borrow().is_none() {
                return None;
            }
            self.metrics.read_rounds.inc();
            let confirmed = self.raft.get_read_log_id().await;
            confirmed.ok().map(|(index, _applied)| index.map_or(0, |id| id.index))
        });
        let ask = self.reads.ask.run(|| async {
            self.metrics.read_rounds.inc();
            self.ask_leader().await
        });
        futures::future::join(confirm, ask).await;
    }

    async fn ask_leader(&self) -> Option<u64> {
        let leader = self.raft_leader().filter(|leader| *leader != self.local.id)?;
        let request = ReadIndex { cluster: self.local.cluster_id()? };
        // Whoever does not answer for so long has to be asked anew, or does not lead any more.
        let deadline = self.timing.leader_silence;
        let asked = self.messenger.request(leader, Lane::Control, &request, deadline).await;
        asked.ok().and_then(Result::ok)
    }

    /// The leader's commit index, confirmed by a majority; otherwise who leads, where known.
    pub(super) async fn read_index_here(&self) -> Result<u64, Option<NodeId>> {
        let elsewhere = || self.raft_leader().filter(|leader| *leader != self.local.id);
        if let Some(leader) = elsewhere() {
            return Err(Some(leader));
        }
        self.reads.confirm.join().await.ok_or_else(elsewhere)
    }

    /// Waits until this node has applied everything that was committed when the call was made.
    pub(crate) async fn barrier(&self, deadline: Duration) -> Result<(), ProposeError> {
        self.check_log()?;
        let until = crate::tasks::until(deadline);
        let confirmed = self.unless_ended(tokio::time::timeout_at(until, self.read_index()));
        let index = confirmed.await?.map_err(|_elapsed| ProposeError::NoLeader(deadline))?;
        match self.wait_log(until, |applied| applied >= index).await? {
            true => Ok(()),
            false => Err(ProposeError::NoLeader(deadline)),
        }
    }

    /// Waits until this node has applied the log up to an index.
    pub(crate) async fn wait_applied(
        &self,
        index: u64,
        until: Instant,
    ) -> Result<(), ProposeError> {
        self.check_log()?;
        match self.wait_log(until, |applied| self.index_of(applied) >= index).await? {
            true => Ok(()),
            false => Err(ProposeError::Behind { wanted: index, applied: self.applied_index() }),
        }
    }

    /// How far this node has applied the log, as everybody counts.
    pub(crate) fn applied_index(&self) -> u64 {
        let applied = *self.log_applied.borrow();
        self.index_of(applied)
    }

    /// See [`ClusterHandle::agreed_voters`](crate::ClusterHandle::agreed_voters).
    #[cfg(feature = "simulation")]
    pub(crate) fn agreed_voters(&self) -> Vec<crate::simulation::AgreedVoters> {
        self.campaign.voters_until(*self.log_applied.borrow())
    }

    /// What a place of the log that is applied here is called outside.
    pub(super) fn index_of(&self, log_index: u64) -> u64 {
        self.agreed.borrow().index_of(log_index)
    }

    /// Waits until the place up to which this node has applied the log is a wanted one, by Raft's
    /// own count. Gives false at the deadline.
    async fn wait_log(
        &self,
        until: Instant,
        mut wanted: impl FnMut(u64) -> bool,
    ) -> Result<bool, ProposeError> {
        let mut applied = self.log_applied.clone();
        let reached = tokio::time::timeout_at(until, applied.wait_for(|at| wanted(*at)));
        match self.unless_ended(reached).await? {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(_)) => Err(ProposeError::NotRunning),
            Err(_elapsed) => Ok(false),
        }
    }

    /// Up to where a read that is asked for now has to see the log. Asks until it is confirmed.
    async fn read_index(&self) -> u64 {
        loop {
            let round = match self.raft_leader() {
                Some(leader) if leader == self.local.id => self.reads.confirm.join().await,
                Some(_) => self.reads.ask.join().await,
                None => None,
            };
            match round {
                Some(index) => return index,
                None => tokio::time::sleep(RETRY_AFTER).await,
            }
        }
    }

    /// Waits for something that does not come about any more when the node has ended.
    async fn unless_ended<T>(&self, waiting: impl Future<Output = T>) -> Result<T, ProposeError> {
        tokio::select! {
            biased;
            () = self.tasks.node_ended() => Err(ProposeError::NotRunning),
            waited = waiting => Ok(waited),
        }
    }

    /// See [`crate::ClusterHandle::staleness`].
    pub(crate) fn staleness(&self) -> Option<Duration> {
        self.recency.age()
    }
}
