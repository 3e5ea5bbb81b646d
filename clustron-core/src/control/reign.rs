//! What a node does while Raft has it as the leader: found the cluster if it is not yet, activate
//! an epoch, and keep the view and the group of voters as they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::{ChangeMembers, ServerState};
use tokio::time::Instant;

use super::Control;
use super::command::{Command, Removed, Response};
use super::reach::{HAND_OVER_DEADLINE, Reach};
use super::rpc::Proposed;
use super::types::Metrics;
use crate::cut;
use crate::defect::ClusterBug;
use crate::election::Input;
use crate::identity::{Epoch, NodeId};
use crate::looks::{Looks, Seen};
use crate::membership::PeerState;
use crate::opinion::OPINION_BYTES_MAX;
use crate::tolerance::{Pairs, TWO_VOTERS};
use crate::view::{NodeState, View};
use crate::voters::{self, Change, Goal, Group, Standing};

/// How often a leader looks after the view and the group.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A node whose log lacks no more than this many entries has caught up.
pub(super) const CAUGHT_UP_WITHIN: u64 = 100;

/// How long a doubted node has to answer one handshake.
const LOOK_DEADLINE: Duration = Duration::from_millis(500);

/// What the opinions in one cut may take in the log together, however many nodes go.
const CUT_BYTES_MAX: usize = 512 << 10;

/// How long one change of the group may take before the leader looks again.
pub(super) const CHANGE_DEADLINE: Duration = Duration::from_secs(5);

/// The leader cannot go on in this epoch.
struct Lost;

/// Gives up the office when dropped.
struct Resign<'a>(&'a Arc<Control>);

impl Drop for Resign<'_> {
    fn drop(&mut self) {
        self.0.resign();
        self.0.set_out_of_touch(false);
        self.0.campaign.tell(Input::Leading(false));
    }
}

impl Control {
    /// Waits to be elected, reigns, and starts over, until the node ends.
    pub(super) async fn serve_when_elected(self: Arc<Self>) {
        let mut metrics = self.raft.server_metrics();
        loop {
            let elected = metrics.wait_for(|m| m.state == ServerState::Leader).await;
            let Ok(vote) = elected.map(|metrics| metrics.vote) else { return };
            self.campaign.tell(Input::Leading(true));
            // Also when this very task is ended.
            let _resign = Resign(&self);
            tokio::select! {
                biased;
                ended = metrics.wait_for(|m| m.state != ServerState::Leader || m.vote != vote) => {
                    drop(ended);
                }
                () = self.reign() => {}
            }
        }
    }

    fn resign(&self) {
        self.forget_missed();
        if let Some(epoch) = self.leading.send_replace(None) {
            tracing::info!(%epoch, "no longer the leader");
        }
    }

    /// One stretch of Raft leadership. Without a quorum the node stops to lead, and activates a new
    /// epoch when the quorum is back.
    async fn reign(&self) {
        self.set_out_of_touch(false);
        if self.agreed_now().cluster.is_none() {
            self.found_when_all_follow().await;
        }
        loop {
            self.wait_for_quorum().await;
            // Whatever the leader is waiting for, it notices when it has lost the majority.
            tokio::select! {
                biased;
                () = self.quorum_lost() => {
                    tracing::warn!("the leader has lost touch with the majority");
                    self.set_out_of_touch(true);
                }
                () = self.hold_office() => {}
            }
            self.resign();
        }
    }

    /// Activates an epoch and works in it for as long as it lasts.
    async fn hold_office(&self) {
        if let Ok(epoch) = self.activate().await {
            self.look_after_all(epoch).await;
        }
    }

    fn set_out_of_touch(&self, out_of_touch: bool) {
        if self.out_of_touch.swap(out_of_touch, Ordering::Relaxed) != out_of_touch {
            self.campaign.tell(Input::OutOfTouch(out_of_touch));
        }
    }

    /// Commits the cluster's identity once every founding node follows this leader. From then on
    /// each of them belongs to this cluster and can found no other. Well before a founder may give
    /// up and start over, this node stops trying.
    async fn found_when_all_follow(&self) {
        let Some(cluster) = self.local.cluster_id() else { return };
        let began = Instant::now();
        while began.elapsed() < self.timing.formation_timeout / 2 {
            // The leader before may have got as far as to hand the entry on.
            if self.agreed_now().cluster.is_some() {
                return;
            }
            let metrics = self.raft.metrics().borrow().clone();
            let membership = metrics.membership_config.membership();
            let follows = |id: &NodeId| {
                let replication = metrics.replication.as_ref();
                let matched = replication.and_then(|r| r.get(id)).copied().flatten().is_some();
                let answered = self.answers.of(*id).map(|at| at.elapsed());
                *id == self.local.id
                    || (matched && answered.is_some_and(|ago| ago < self.timing.leader_lease))
            };
            if metrics.last_applied.is_some() && membership.nodes().all(|(id, _)| follows(id)) {
                let nodes = membership.nodes().filter_map(|(_, n)| n.info.clone()).collect();
                let bootstrap = Command::Bootstrap { cluster, nodes, at: self.clock.now() };
                if let Ok(Proposed::Applied { response, .. }) =
                    self.propose_here(bootstrap, CHANGE_DEADLINE).await
                {
                    tracing::info!(%cluster, ?response, "the cluster is founded");
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Only the entry of a leader before can still make it real.
        let mut agreed = self.agreed();
        let _ = agreed.wait_for(|agreed| agreed.cluster.is_some()).await;
    }

    async fn wait_for_quorum(&self) {
        let began = Instant::now();
        while !self.has_quorum() {
            // One that was elected and hears nobody since leads in name only, too.
            if began.elapsed() > self.timing.leader_silence {
                self.set_out_of_touch(true);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.set_out_of_touch(false);
    }

    fn has_quorum(&self) -> bool {
        let metrics = self.raft.metrics().borrow().clone();
        self.quorum_silence(&metrics) < self.timing.leader_silence
    }

    /// Commits this node's activation. It leads from when the entry is applied here.
    async fn activate(&self) -> Result<Epoch, Lost> {
        let node = self.local.node();
        let activate = Command::Activate {
            node: node.id,
            incarnation: node.incarnation,
            at: self.clock.now(),
        };
        let proposed = self.propose_here(activate, CHANGE_DEADLINE).await;
        let epoch = match proposed {
            Ok(Proposed::Applied { index, response: Response::Done }) => Epoch(index),
            Ok(other) => {
                tracing::warn!(?other, "the activation was not applied");
                // A leader that is unknown to the view has to be let in first.
                self.readmit().await;
                return Err(Lost);
            }
            Err(error) => {
                tracing::warn!(%error, "the activation was not applied");
                return Err(Lost);
            }
        };
        if self.agreed_now().epoch() != epoch {
            return Err(Lost);
        }
        tracing::info!(%epoch, node = %node, "leading");
        self.metrics.epochs_led.inc();
        self.leading.send_replace(Some(epoch));
        Ok(epoch)
    }

    /// Whether the view still has the process of this node that ended before this one.
    fn has_restarted(&self) -> bool {
        let agreed = self.agreed_now();
        let record = agreed.view.node(self.local.id);
        record.is_some_and(|record| record.info.starts < self.local.starts)
    }

    async fn readmit(&self) {
        // The node speaks of itself, and there may be nobody else to tell it that it has to go
        // beyond what the view knows of it.
        let starts = self.local.starts;
        if let Some(record) = self.agreed_now().view.node(self.local.id)
            && (record.info.starts < starts || record.state != NodeState::Alive)
        {
            self.local.raise_incarnation(record.info.incarnation.next());
        }
        let admit = Command::Admit { node: self.local.node(), at: self.clock.now() };
        if let Err(error) = self.propose_here(admit, CHANGE_DEADLINE).await {
            tracing::warn!(%error, "the leader is not in its own view");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }

    async fn quorum_lost(&self) {
        while self.has_quorum() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks after the view and the group, with at most one change of each at a time, as long as
    /// this epoch lasts.
    async fn look_after_all(&self, epoch: Epoch) {
        let mut alive_since = BTreeMap::new();
        let mut reach = Reach::new();
        let looks = Arc::<Mutex<Looks>>::default();
        let (began, mut pairs) = (Instant::now(), Pairs::default());
        while self.agreed_now().epoch() == epoch {
            self.mark_down(epoch, &looks).await;
            self.mark_left().await;
            self.commit_descriptions().await;
            if self.has_restarted() {
                self.readmit().await;
            }
            if self.has_resigned() {
                let handed = self.hand_over(HAND_OVER_DEADLINE).await;
                tracing::debug!(?handed, "this node may not lead any more");
            }
            self.hand_over_if_badly_connected(&mut reach).await;
            self.relieve_witness(&mut reach).await;
            let metrics = self.raft.metrics().borrow().clone();
            let voters = metrics.membership_config.voter_ids().count();
            if pairs.noticed(began.elapsed(), voters, self.goal.stable_after) {
                tracing::warn!("{TWO_VOTERS}");
            }
            if let Some(change) = self.next_change(&metrics, &mut alive_since) {
                self.make(&change, &metrics).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Commits what the failure detector has found and what has lasted, in one entry, where this
    /// node's own looks say the same: a verdict may have been reached while this node was cut off,
    /// and the others be back since.
    async fn mark_down(&self, epoch: Epoch, looks: &Arc<Mutex<Looks>>) {
        let suspicions = self.outlook.suspicions_now();
        let (now, stable_after) = (Instant::now(), self.timing.view_stable_after);
        let doubts = suspicions.iter().map(|(id, suspicion)| (*id, suspicion.doubt(now))).collect();
        let view = self.agreed_now().view.clone();
        let gone = cut::next_cut(&view, &doubts, stable_after).into_iter().filter_map(
            |(node, incarnation)| {
                let suspicion = suspicions.get(&node).filter(|_| lock(looks).confirm(node))?;
                Some((node, incarnation, suspicion.since))
            },
        );
        let gone: Vec<_> = gone.collect();
        for node in lock(looks).begin(&doubts, stable_after) {
            let (messenger, looks) = (self.messenger.clone(), looks.clone());
            self.tasks.spawn("look at a doubted node", async move {
                let looking = messenger.verify(node);
                let seen = match tokio::time::timeout(LOOK_DEADLINE, looking).await {
                    Ok(Ok(())) => Seen::Answered,
                    Ok(Err(error)) if error.says_gone() => Seen::Gone,
                    Ok(Err(_)) | Err(_) => Seen::Silent,
                };
                lock(&looks).ended(node, seen);
            });
        }
        let bytes_max = OPINION_BYTES_MAX.min(CUT_BYTES_MAX / gone.len().max(1));
        let (mut cut, at) = (vec![], self.clock.now());
        for (node, incarnation, since) in gone {
            // None: the detector does not watch it any more, as the view has changed.
            let Some(opinion) = self.outlook.opinion(node).await else { continue };
            let why = opinion.in_short(self.local.node().name.as_str());
            tracing::warn!(%node, why, "a node is down");
            let missed_since = at.saturating_sub(since.elapsed());
            let opinion = opinion.within(bytes_max);
            cut.push(Removed { node, incarnation, why, missed_since, opinion });
        }
        if cut.is_empty() {
            return;
        }
        let nodes = cut.len();
        match self.propose_here(Command::MarkDown { epoch, cut, at }, CHANGE_DEADLINE).await {
            Ok(Proposed::Applied { response: Response::Done, .. }) => {
                self.metrics.view_cuts.inc();
                self.metrics.nodes_cut.inc_by(nodes as u64);
            }
            Ok(other) => tracing::warn!(?other, nodes, "the verdict was not committed"),
            Err(error) => tracing::warn!(%error, nodes, "the verdict was not committed"),
        }
    }

    /// Whether the node's process answers a fresh connection.
    async fn answers_now(&self, node: NodeId) -> bool {
        let verifying = self.messenger.verify(node);
        let looked = tokio::time::timeout(LOOK_DEADLINE, verifying).await;
        looked.is_ok_and(|answered| answered.is_ok())
    }

    /// Commits for nodes that they left, where they have said so to others and could not do it
    /// themselves. That they said so is hearsay until they are gone.
    async fn mark_left(&self) {
        let view = self.agreed_now().view.clone();
        for (node, suspicion) in self.outlook.suspicions_now() {
            let said = suspicion.state == PeerState::Left && view.is_alive(node);
            if said && !self.answers_now(node).await {
                let (incarnation, at) = (suspicion.incarnation, self.clock.now());
                let leave = Command::Leave { node, incarnation, at };
                if let Err(error) = self.propose_here(leave, CHANGE_DEADLINE).await {
                    tracing::warn!(%error, %node, "that a node left was not committed");
                }
            }
        }
    }

    fn next_change(
        &self,
        metrics: &Metrics,
        alive_since: &mut BTreeMap<NodeId, Instant>,
    ) -> Option<Change> {
        let now = Instant::now();
        let suspicions = self.outlook.suspicions_now();
        let view = self.agreed_now().view.clone();
        let membership = metrics.membership_config.membership();
        alive_since.retain(|id, _| view.is_alive(*id) && !suspicions.contains_key(id));
        let mut group = Group {
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
            ..Group::default()
        };
        let last = metrics.last_log_index.unwrap_or(0);
        for node in view.alive().filter(|node| node.follows_log()) {
            let shaky = suspicions.contains_key(&node.id);
            if shaky {
                group.shaky.insert(node.id);
            }
            let since = if shaky { now } else { *alive_since.entry(node.id).or_insert(now) };
            let matched = metrics.replication.as_ref().and_then(|r| r.get(&node.id)).copied();
            let matched = matched.flatten().map(|log_id| log_id.index);
            let standing = Standing {
                may_vote: node.votes(),
                caught_up: matched.is_some_and(|at| at + CAUGHT_UP_WITHIN >= last),
                stable_for: now - since,
            };
            group.alive.insert(node.id, standing);
        }
        let left = view.nodes().filter(|r| r.state == NodeState::Left).map(|r| r.info.id);
        group.left = left.collect();
        group.leader = Some(self.local.id);
        let witnesses = view.nodes().filter(|r| r.info.votes() && !r.info.holds_data());
        group.witnesses = witnesses.map(|record| record.info.id).collect();
        group.heirs = heirs(&view, &group.voters);
        let configs = membership.get_joint_config();
        if configs.len() > 1 {
            group.unfinished = configs.last();
        }
        self.answers.retain(|id| membership.get_node(&id).is_some());
        if self.local.defect.is(ClusterBug::VotersChangedTogether) {
            return changes_in_one(group, self.goal);
        }
        voters::next_change(&group, self.goal)
    }

    async fn make(&self, change: &Change, metrics: &Metrics) {
        tracing::info!(?change, "changing the group");
        let (members, retain) = match change {
            Change::AddLearner(id) => {
                let node = self.agreed_now().view.node(*id).map(|r| r.info.clone());
                let Some(node) = node else { return };
                (ChangeMembers::AddNodes(BTreeMap::from([(*id, node.into())])), true)
            }
            Change::RemoveLearners(ids) => (ChangeMembers::RemoveNodes(ids.clone()), true),
            Change::Voters(ids) => (ChangeMembers::ReplaceAllVoters(ids.clone()), false),
        };
        let before: BTreeSet<NodeId> = metrics.membership_config.voter_ids().collect();
        let changing = self.raft.change_membership(members, retain);
        match tokio::time::timeout(CHANGE_DEADLINE, changing).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, ?change, ?before, "the change failed"),
            Err(_elapsed) => tracing::warn!(?change, ?before, "the change is not committed yet"),
        }
    }
}

fn lock(looks: &Mutex<Looks>) -> MutexGuard<'_, Looks> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All changes of the voters that would come one after the other, in one, and as if everybody had
/// been there for long. Only where that defect is switched on.
fn changes_in_one(mut group: Group<'_>, goal: Goal) -> Option<Change> {
    let goal = Goal { stable_after: Duration::ZERO, ..goal };
    let mut change = voters::next_change(&group, goal);
    while let Some(Change::Voters(next)) = &change {
        group.learners.retain(|id| !next.contains(id));
        (group.voters, group.unfinished) = (next.clone(), None);
        match voters::next_change(&group, goal) {
            Some(Change::Voters(after)) => change = Some(Change::Voters(after)),
            _ => break,
        }
    }
    change
}

/// The voters that are gone, each with the node that lives at its address now.
fn heirs(view: &View, voters: &BTreeSet<NodeId>) -> BTreeMap<NodeId, NodeId> {
    let gone = voters.iter().filter(|id| !view.is_alive(**id));
    let heir = |id: &NodeId| {
        let addr = &view.node(*id)?.info.addr;
        view.alive().find(|node| node.addr == *addr).map(|heir| (*id, heir.id))
    };
    gone.filter_map(heir).collect()
}
