//! What the failure detector shows the rest of the node. This is the only place where the two meet:
//! whoever drives another detector fills the [`OutlookBoard`] and answers the [`OpinionRequest`]s.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::cut::Doubt;
use crate::identity::{Incarnation, Metadata, NodeId, NodeInfo};
use crate::membership::PeerState;
use crate::opinion::Opinion;
use crate::reachability::Reachability;

/// Questions that may wait for the detector at the same time; whoever asks more waits.
const OPINIONS_ASKED: usize = 64;

/// What this node thinks of a peer that it does not take for Alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspicion {
    /// The incarnation that it is about.
    pub(crate) incarnation: Incarnation,
    /// Suspect, Down or Left.
    pub(crate) state: PeerState,
    /// Since when it has been, without a break, not Alive.
    pub(crate) since: Instant,
    /// For people.
    pub(crate) why: String,
}

impl Suspicion {
    /// What it means for the view at this moment.
    pub(crate) fn doubt(&self, now: Instant) -> Doubt {
        Doubt {
            incarnation: self.incarnation,
            down: self.state == PeerState::Down,
            lasted: now.saturating_duration_since(self.since),
        }
    }
}

/// The peers that are not taken for Alive.
pub(crate) type Suspicions = BTreeMap<NodeId, Suspicion>;

/// What a node says about itself, heard since it joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) node: NodeId,
    pub(crate) revision: u64,
    pub(crate) metadata: Arc<Metadata>,
}

impl Described {
    pub(crate) fn of(node: &NodeInfo) -> Self {
        Self { node: node.id, revision: node.revision, metadata: Arc::new(node.metadata()) }
    }
}

/// The nodes of whom something newer was heard than the view has, at most one each.
pub(crate) type Descriptions = BTreeMap<NodeId, Described>;

/// Asks the detector for all that it can say about one node; `None` where it watches no such peer.
pub(crate) struct OpinionRequest {
    pub(crate) node: NodeId,
    pub(crate) answer: oneshot::Sender<Option<Opinion>>,
}

/// The detector's side.
pub(crate) struct OutlookBoard {
    pub(crate) suspicions: watch::Sender<Suspicions>,
    pub(crate) described: watch::Sender<Descriptions>,
    pub(crate) reachability: watch::Sender<Reachability>,
    /// This node's own newest description, for the others to hear.
    pub(crate) announced: watch::Receiver<Option<Described>>,
    /// Whether this node leaves, for the others to hear.
    pub(crate) leaving: watch::Receiver<bool>,
    pub(crate) asked: mpsc::Receiver<OpinionRequest>,
}

/// Everybody else's side. Clones show the same.
#[derive(Clone)]
pub(crate) struct Outlook {
    suspicions: watch::Receiver<Suspicions>,
    described: watch::Receiver<Descriptions>,
    reachability: watch::Receiver<Reachability>,
    announce: watch::Sender<Option<Described>>,
    leave: watch::Sender<bool>,
    ask: mpsc::Sender<OpinionRequest>,
}

/// Both sides.
pub(crate) fn outlook() -> (OutlookBoard, Outlook) {
    let (shown, suspicions) = watch::channel(Suspicions::new());
    let (ask, asked) = mpsc::channel(OPINIONS_ASKED);
    let (described_tx, described) = watch::channel(Descriptions::new());
    let (announce, announced) = watch::channel(None);
    let (leave, leaving) = watch::channel(false);
    let (reachability_tx, reachability) = watch::channel(Reachability::default());
    let board = OutlookBoard {
        suspicions: shown,
        described: described_tx,
        reachability: reachability_tx,
        announced,
        leaving,
        asked,
    };
    (board, Outlook { suspicions, described, reachability, announce, leave, ask })
}

impl Outlook {
    /// Whom the detector does not take for Alive, now.
    pub(crate) fn suspicions_now(&self) -> Suspicions {
        self.suspicions.borrow().clone()
    }

    /// The same, to wait for changes.
    pub(crate) fn suspicions(&self) -> watch::Receiver<Suspicions> {
        self.suspicions.clone()
    }

    /// Newer descriptions of nodes than the view has, as far as they were heard.
    pub(crate) fn described_now(&self) -> Descriptions {
        self.described.borrow().clone()
    }

    /// Who cannot reach whom directly, as far as this node was told.
    pub(crate) fn reachability_now(&self) -> Reachability {
        self.reachability.borrow().clone()
    }

    /// Has the detector tell the others what this node says about itself now.
    pub(crate) fn announce(&self, described: Described) {
        self.announce.send_if_modified(|announced| {
            let newer = announced.as_ref().is_none_or(|old| old.revision < described.revision);
            if newer {
                *announced = Some(described);
            }
            newer
        });
    }

    /// Has the detector tell the others that this node leaves.
    pub(crate) fn say_goodbye(&self) {
        self.leave.send_replace(true);
    }

    /// All that the detector can say about a node now; `None` for this node itself, for nodes
    /// outside the view, and when the detector has ended.
    pub(crate) async fn opinion(&self, node: NodeId) -> Option<Opinion> {
        let (answer, answered) = oneshot::channel();
        self.ask.send(OpinionRequest { node, answer }).await.ok()?;
        answered.await.ok().flatten()
    }
}
