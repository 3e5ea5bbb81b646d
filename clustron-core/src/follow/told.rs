//! What an observer was last told, and for how long that counts.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::control::Agreed;

use crate::identity::{Epoch, NodeId};
use crate::view::Activation;
use crate::voter_groups::VoterGroups;

/// The last answer of a member.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(super) by: NodeId,
    /// From then on it is too old to believe in its leader.
    pub(super) until: Instant,
    pub(super) leader: Option<Epoch>,
    pub(super) voter_groups: VoterGroups,
}

/// What stands in the place of the control log on a node that does not follow it.
#[derive(Debug)]
pub(crate) struct Following {
    agreed: watch::Sender<Arc<Agreed>>,
    applied: watch::Sender<u64>,
    told: watch::Sender<Option<Told>>,
    introduced: watch::Sender<Option<NodeId>>,
}

impl Following {
    /// Will show what is agreed, and how far the log is applied, through these.
    pub(crate) fn new(agreed: watch::Sender<Arc<Agreed>>, applied: watch::Sender<u64>) -> Self {
        let (told, introduced) = (watch::Sender::default(), watch::Sender::default());
        Self { agreed, applied, told, introduced }
    }

    /// Names a node of the cluster that can be asked as long as no view is known.
    pub(crate) fn introduce(&self, node: NodeId) {
        self.introduced.send_replace(Some(node));
    }

    pub(super) fn introduced(&self) -> watch::Receiver<Option<NodeId>> {
        self.introduced.subscribe()
    }

    pub(super) fn show(&self, agreed: &Agreed) {
        self.agreed.send_replace(Arc::new(agreed.clone()));
    }

    pub(super) fn tell(&self, told: Told, applied: u64) {
        self.applied.send_if_modified(|known| {
            let further = applied > *known;
            *known = applied.max(*known);
            further
        });
        self.told.send_replace(Some(told));
    }

    /// The leader in whom the member believes, while its last answer counts.
    pub(crate) fn leader(&self) -> Option<Activation> {
        let told = self.fresh()?;
        let agreed = self.agreed.borrow().clone();
        agreed.activations.back().filter(|latest| Some(latest.epoch) == told.leader).cloned()
    }

    /// Who votes, by the last answer, however old.
    pub(crate) fn voter_groups(&self) -> VoterGroups {
        self.told.borrow().as_ref().map(|told| told.voter_groups.clone()).unwrap_or_default()
    }

    /// The member that this node hangs on to, while its last answer counts.
    pub(crate) fn attached(&self) -> Option<NodeId> {
        self.fresh().map(|told| told.by)
    }

    /// Changes with every answer.
    pub(crate) fn changes(&self) -> watch::Receiver<Option<Told>> {
        self.told.subscribe()
    }

    fn fresh(&self) -> Option<Told> {
        let told = self.told.borrow().clone();
        told.filter(|told| Instant::now() < told.until)
    }
}
