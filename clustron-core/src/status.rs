//! What a node knows of its cluster, as one value, and what changes in it, as events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use crate::control::{Agreed, Control};
use crate::health::HealthBoard;
use crate::identity::{ClusterId, Epoch, Metadata, NodeId, NodeInfo};
use crate::membership::PeerState;
use crate::outlook::{Outlook, Suspicions};
use crate::roles;
use crate::view::{Activation, NodeState, View};

/// How often the status is looked at without a change that announces itself: a leader's silence
/// does not.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Events that a slow receiver may lag behind before it misses some.
const EVENTS_KEPT: usize = 256;

/// What a node knows of its cluster at one moment. On the minority side of a cut it grows old:
/// then `leader` is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The node itself.
    pub node: NodeInfo,
    /// The cluster; `None` only while the node starts.
    pub cluster: Option<ClusterId>,
    /// The agreed list of nodes as applied here.
    pub view: View,
    /// Who is agreed to vote on the control log: while some replace others, both.
    pub voters: BTreeSet<NodeId>,
    /// How many more voters may fail, as things stand, before nothing can be decided and there is
    /// no leader. Voters that are suspected or gone count as failed already, and those that are
    /// being replaced count until that is agreed. With two voters, as with one, it is 0: see
    /// [`Role::Witness`](crate::Role::Witness).
    pub tolerates: usize,
    /// Who follows the control log without a vote. Empty at a node that does not follow the log.
    pub learners: BTreeSet<NodeId>,
    /// At a node that does not follow the log: the member that tells it what is agreed, while it
    /// does. Otherwise `None`.
    pub attached: Option<NodeId>,
    /// The leader, while it is heard: `None` during an election and without a majority.
    pub leader: Option<Activation>,
    /// The epoch in which this node itself leads.
    pub leading: Option<Epoch>,
    /// The nodes that this one does not take for alive, and why. A hint: the view is truth.
    /// Empty at a node that is neither member nor client.
    pub suspected: BTreeMap<NodeId, String>,
    /// Who cannot reach whom directly, by the node that complains; as far as this node was told,
    /// and as leader knows itself. Nobody is down for that alone.
    pub unreachable: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

/// Something changed in the cluster, as this node sees it. Nodes of every role get every kind of
/// event, but for [`NodeSuspected`](Self::NodeSuspected) and [`NodeTrusted`](Self::NodeTrusted).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// A node joined, or came back.
    NodeJoined(NodeInfo),
    /// A node that takes part changed its roles or tags.
    NodeChanged {
        /// The node as it is now.
        node: NodeInfo,
        /// Its roles and tags before.
        before: Metadata,
    },
    /// A node failed, as the leader committed.
    NodeDown {
        /// The node.
        node: NodeInfo,
        /// The evidence, for people.
        reason: String,
    },
    /// A node left in order.
    NodeLeft(NodeInfo),
    /// This node cannot reach another. It may be back at any moment. Only at members and clients.
    NodeSuspected {
        /// The node.
        node: NodeId,
        /// The evidence, for people.
        reason: String,
    },
    /// A suspected node was reached again. Only at members and clients.
    NodeTrusted(NodeId),
    /// A leader began its epoch.
    LeaderElected(Activation),
    /// No leader is heard any more; the last one's epoch stands beside it.
    LeaderLost(Epoch),
    /// The voters of the control log are others now.
    VotersChanged(BTreeSet<NodeId>),
    /// The receiver was too slow and missed this many events. The status tells where things stand.
    Lagged(u64),
}

/// A stream of [`ClusterEvent`]s from the moment of subscription.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<ClusterEvent>);

impl Events {
    /// The next event; `None` when the node has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<ClusterEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(ClusterEvent::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Shows the status and its changes.
#[derive(Debug)]
pub(crate) struct StatusBoard {
    shown: watch::Sender<ClusterStatus>,
    events: broadcast::Sender<ClusterEvent>,
}

impl StatusBoard {
    pub(crate) fn new(node: NodeInfo) -> Arc<Self> {
        let status = ClusterStatus {
            node,
            cluster: None,
            view: View::default(),
            voters: BTreeSet::new(),
            tolerates: 0,
            learners: BTreeSet::new(),
            attached: None,
            leader: None,
            leading: None,
            suspected: BTreeMap::new(),
            unreachable: BTreeMap::new(),
        };
        let (shown, events) = (watch::Sender::new(status), broadcast::Sender::new(EVENTS_KEPT));
        Arc::new(Self { shown, events })
    }

    pub(crate) fn watch(&self) -> watch::Receiver<ClusterStatus> {
        self.shown.subscribe()
    }

    pub(crate) fn events(&self) -> Events {
        Events(self.events.subscribe())
    }

    /// Keeps the status true until the node ends.
    pub(crate) async fn keep(
        self: Arc<Self>,
        control: Arc<Control>,
        outlook: Outlook,
        health: Arc<HealthBoard>,
    ) {
        let mut suspicions = outlook.suspicions();
        let mut agreed: watch::Receiver<Arc<Agreed>> = control.agreed();
        let mut leading = control.leading();
        let mut raft = control.raft_changes();
        loop {
            agreed.mark_unchanged();
            let suspected = suspicions.borrow_and_update().clone();
            health.beat();
            let now = status(&control, &suspected);
            let before = self.shown.borrow().clone();
            if now != before {
                self.shown.send_replace(now.clone());
                for event in differences(&before, &now) {
                    // Nobody listening is no error.
                    let _ = self.events.send(event);
                }
            }
            tokio::select! {
                biased;
                Ok(()) = agreed.changed() => {}
                Ok(()) = leading.changed() => {}
                Ok(()) = suspicions.changed() => {}
                () = raft.next() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

fn status(control: &Control, suspicions: &Suspicions) -> ClusterStatus {
    let agreed = control.agreed_now();
    let node = control.local.node();
    // Who leaves says so, and is not missed.
    let seen = suspicions.iter().filter(|(_, it)| it.state != PeerState::Left);
    let seen = seen.filter(|_| roles::sees_suspicions(&node.roles));
    let suspected: BTreeMap<_, _> = seen.map(|(id, it)| (*id, it.why.clone())).collect();
    let voter_groups = control.voter_groups();
    let live = |id: NodeId| agreed.view.is_alive(id) && !suspicions.contains_key(&id);
    ClusterStatus {
        node,
        cluster: agreed.cluster,
        view: agreed.view.clone(),
        voters: voter_groups.voters(),
        tolerates: voter_groups.tolerates(live),
        learners: control.learners(),
        attached: control.following().and_then(|following| following.attached()),
        leader: control.believed_leader(),
        leading: *control.leading().borrow(),
        suspected,
        unreachable: control.reachability_now().rows().clone(),
    }
}

fn differences(before: &ClusterStatus, now: &ClusterStatus) -> Vec<ClusterEvent> {
    let mut events = vec![];
    for record in now.view.nodes() {
        let old = before.view.node(record.info.id);
        let was = old.map(|r| r.state);
        if was == Some(record.state) {
            let before =
                old.filter(|_| record.state == NodeState::Alive).map(|r| r.info.metadata());
            if let Some(before) = before.filter(|before| *before != record.info.metadata()) {
                events.push(ClusterEvent::NodeChanged { node: record.info.clone(), before });
            }
            continue;
        }
        let node = record.info.clone();
        events.push(match record.state {
            NodeState::Alive => ClusterEvent::NodeJoined(node),
            NodeState::Down => ClusterEvent::NodeDown { node, reason: record.reason.clone() },
            NodeState::Left => ClusterEvent::NodeLeft(node),
        });
    }
    for record in before.view.nodes().filter(|record| record.state == NodeState::Alive) {
        if now.view.node(record.info.id).is_none() {
            let reason = "gone, and forgotten since".to_owned();
            events.push(ClusterEvent::NodeDown { node: record.info.clone(), reason });
        }
    }
    for (node, reason) in &now.suspected {
        if !before.suspected.contains_key(node) {
            events.push(ClusterEvent::NodeSuspected { node: *node, reason: reason.clone() });
        }
    }
    for node in before.suspected.keys() {
        if !now.suspected.contains_key(node) && now.view.is_alive(*node) {
            events.push(ClusterEvent::NodeTrusted(*node));
        }
    }
    if now.leader != before.leader {
        match (&now.leader, &before.leader) {
            (Some(leader), _) => events.push(ClusterEvent::LeaderElected(leader.clone())),
            (None, Some(lost)) => events.push(ClusterEvent::LeaderLost(lost.epoch)),
            (None, None) => {}
        }
    }
    if now.voters != before.voters {
        events.push(ClusterEvent::VotersChanged(now.voters.clone()));
    }
    events
}
