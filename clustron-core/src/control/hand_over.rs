//! Letting another voter lead.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use tokio::time::Instant;

use super::{Control, rpc};
use crate::election::Input;
use crate::identity::NodeId;
use crate::messaging::Lane;

/// The leader falls silent for as long as this lives, also where the hand-over is given up midway.
struct Silence<'a>(&'a Control);

impl<'a> Silence<'a> {
    fn begin(control: &'a Control) -> Self {
        control.set_handing_over(true);
        Self(control)
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.0.set_handing_over(false);
    }
}

impl Control {
    /// Lets another voter take over: falls silent, and asks the one that is furthest to stand.
    /// Returns whether somebody else leads then.
    pub(crate) async fn hand_over(&self, deadline: Duration) -> bool {
        match self.successor() {
            Some(successor) => self.hand_over_to(successor, deadline).await,
            None => false,
        }
    }

    /// The same, to this voter.
    pub(super) async fn hand_over_to(&self, successor: NodeId, deadline: Duration) -> bool {
        let Some(cluster) = self.local.cluster_id() else { return false };
        tracing::info!(%successor, "handing over the leadership");
        self.metrics.hand_overs.inc();
        let until = Instant::now() + deadline;
        let _silence = Silence::begin(self);
        let request = rpc::TakeOver { cluster };
        let asked = self.messenger.request(successor, Lane::Control, &request, deadline).await;
        let mut metrics = self.raft.metrics();
        match asked {
            Ok(()) => {
                let other = metrics.wait_for(|m| m.state != ServerState::Leader);
                tokio::time::timeout_at(until, other).await.is_ok()
            }
            Err(_) => false,
        }
    }

    /// Several may be handing over at once, as when a node is shut down that is badly connected.
    fn set_handing_over(&self, begins: bool) {
        let before = match begins {
            true => self.handing_over.fetch_add(1, Ordering::Relaxed),
            false => self.handing_over.fetch_sub(1, Ordering::Relaxed),
        };
        let handing_over = begins || before > 1;
        self.campaign.tell(Input::HandingOver(handing_over));
        self.raft.runtime_config().heartbeat(!handing_over);
    }

    /// The live voter, a member still, whose log reaches furthest, other than this node.
    pub(super) fn successor(&self) -> Option<NodeId> {
        let metrics = self.raft.metrics().borrow().clone();
        let replication = metrics.replication.as_ref()?;
        let suspicions = self.outlook.suspicions_now();
        let voters = metrics.membership_config.voter_ids();
        voters
            .filter(|id| *id != self.local.id && self.is_member(*id))
            .filter(|id| !suspicions.contains_key(id))
            .max_by_key(|id| replication.get(id).copied().flatten().map(|log_id| log_id.index))
    }
}
