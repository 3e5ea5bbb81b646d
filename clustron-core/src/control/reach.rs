//! Whom this node reaches as the leader, and what follows when it does not reach all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hand_over::lacks;
use super::reign::CAUGHT_UP_WITHIN;
use super::{Control, rpc};
use crate::identity::NodeId;
use crate::messaging::Lane;
use crate::reachability::{Electorate, HandOver, Reachability, relief, successors};

/// How long another voter has to take over before this leader goes on.
pub(super) const HAND_OVER_DEADLINE: Duration = Duration::from_secs(2);

/// How long the successor may take to see for itself whom it reaches.
const LOOK_DEADLINE: Duration = Duration::from_secs(1);

/// The most nodes that another leader has this node look at.
const LOOKS_MAX: usize = 16;

/// A leader's patience, for one epoch.
pub(super) struct Reach {
    began: Instant,
    patience: HandOver,
    /// Of a leading witness with the members that could lead.
    relief: HandOver,
}

impl Reach {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), patience: HandOver::default(), relief: HandOver::default() }
    }
}

impl Control {
    /// Who cannot reach whom: what the failure detectors say, and what this node knows as the
    /// leader.
    pub(crate) fn reachability_now(&self) -> Reachability {
        let mut matrix = self.outlook.reachability_now();
        matrix.complain(self.local.id, self.missed.borrow().clone());
        matrix
    }

    /// Hands over where another voter has been better connected for a while, and has just seen so
    /// itself.
    pub(super) async fn hand_over_if_badly_connected(&self, reach: &mut Reach) {
        self.missed.send_if_modified(|missed| {
            let now = self.silent_nodes(reach.began);
            let changed = *missed != now;
            *missed = now;
            changed
        });
        let mut matrix = self.reachability_now();
        let Some(electorate) = self.electorate() else { return };
        let me = self.local.id;
        let mut wanted = successors(&matrix, me, &electorate);
        wanted.retain(|id| self.may_lead(*id));
        let steady = reach.patience.steady(reach.began.elapsed(), &wanted);
        if steady.is_empty() {
            return;
        }
        let missing: BTreeSet<NodeId> =
            electorate.alive.iter().copied().filter(|id| !matrix.linked(me, *id)).collect();
        let looks = steady.iter().map(|id| self.unreached_by(*id, &missing));
        for (id, unreached) in steady.iter().zip(futures::future::join_all(looks).await) {
            matrix.complain(*id, unreached);
        }
        let still = successors(&matrix, me, &electorate);
        if let Some(successor) = still.into_iter().find(|id| steady.contains(id)) {
            tracing::info!(%successor, ?missing, "another voter is better connected");
            if let Err(error) = self.hand_over_to(successor, HAND_OVER_DEADLINE).await {
                tracing::warn!(%successor, %error, "the better connected voter does not lead");
            }
        }
    }

    /// A witness leads only where no member can: it hands over once one has been able to for a
    /// while. Not to one that would hand back, because it is worse connected.
    pub(super) async fn relieve_witness(&self, reach: &mut Reach) {
        let view = self.agreed_now().view.clone();
        let holds_data = |id: NodeId| view.node(id).is_some_and(|r| r.info.holds_data());
        if holds_data(self.local.id) {
            return;
        }
        let (metrics, matrix) = (self.raft.metrics().borrow().clone(), self.reachability_now());
        let Some(electorate) = self.electorate() else { return };
        let caught_up = |id: &NodeId| lacks(&metrics, *id) <= CAUGHT_UP_WITHIN;
        let able = |id: &NodeId| self.may_lead(*id) && caught_up(id);
        let members = relief(&matrix, self.local.id, &electorate, holds_data);
        let members: Vec<NodeId> = members.into_iter().filter(able).collect();
        let steady = reach.relief.steady(reach.began.elapsed(), &members);
        let Some(member) = steady.first() else { return };
        tracing::info!(%member, "a member can lead in the place of this witness");
        if let Err(error) = self.hand_over_to(*member, HAND_OVER_DEADLINE).await {
            tracing::warn!(%member, %error, "the member does not lead");
        }
    }

    pub(super) fn forget_missed(&self) {
        self.missed.send_replace(BTreeSet::new());
    }

    /// The nodes that follow the log and have not answered this leader for the time after which a
    /// leader counts as silent, though nobody doubts them.
    fn silent_nodes(&self, began: Instant) -> BTreeSet<NodeId> {
        let metrics = self.raft.metrics().borrow().clone();
        let (view, doubted) = (self.agreed_now().view.clone(), self.outlook.suspicions_now());
        let nodes = metrics.membership_config.nodes().map(|(id, _)| *id);
        nodes
            .filter(|id| *id != self.local.id && view.is_alive(*id) && !doubted.contains_key(id))
            .filter(|id| {
                let heard = self.answers.of(*id).map_or(began, |at| at.max(began));
                heard.elapsed() > self.timing.leader_silence
            })
            .collect()
    }

    /// Who is to be led, and who may lead; `None` while the group of voters is changing.
    fn electorate(&self) -> Option<Electorate> {
        let metrics = self.raft.metrics().borrow().clone();
        let membership = metrics.membership_config.membership();
        if membership.get_joint_config().len() > 1 {
            return None;
        }
        let (view, doubted) = (self.agreed_now().view.clone(), self.outlook.suspicions_now());
        let alive = view.alive().map(|node| node.id).filter(|id| !doubted.contains_key(id));
        Some(Electorate { voters: membership.voter_ids().collect(), alive: alive.collect() })
    }

    /// Has a node look which of those that this one misses it does not reach either. What was told
    /// may be old or incomplete, and a node that only stands still is reached by nobody.
    async fn unreached_by(&self, node: NodeId, missing: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let Some(cluster) = self.local.cluster_id() else { return missing.clone() };
        let nodes = missing.iter().copied().take(LOOKS_MAX).collect();
        let request = rpc::WhomDoYouReach { cluster, nodes };
        let asked = self.messenger.request(node, Lane::Control, &request, LOOK_DEADLINE);
        let reached = asked.await.unwrap_or_default();
        missing.difference(&reached).copied().collect()
    }

    /// Asks each node as a leader would have to, twice, and tells who answered in time both times:
    /// a node that is slow to everybody is no better off with another leader.
    pub(super) async fn handle_whom_do_you_reach(
        self: Arc<Self>,
        _from: NodeId,
        request: rpc::WhomDoYouReach,
    ) -> BTreeSet<NodeId> {
        if self.check_cluster(request.cluster).is_err() {
            return BTreeSet::new();
        }
        let in_time = self.timing.heartbeat_interval;
        let looks = request.nodes.into_iter().take(LOOKS_MAX).map(|node| {
            let (this, cluster) = (self.clone(), request.cluster);
            async move {
                // The first opens the connection, which takes several round trips.
                for deadline in [LOOK_DEADLINE / 2, in_time, in_time] {
                    let question = rpc::WhoVotes { cluster };
                    let asked = this.messenger.request(node, Lane::Control, &question, deadline);
                    asked.await.ok()?;
                }
                Some(node)
            }
        });
        futures::future::join_all(looks).await.into_iter().flatten().collect()
    }
}
