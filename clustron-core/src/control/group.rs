//! Who votes on the log, and who follows it without a vote, as the log itself has it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use tokio::time::Instant;

use super::{Control, rpc};
use crate::election::Input;
use crate::identity::{NodeId, NodeInfo};
use crate::messaging::Lane;
use crate::voter_groups::VoterGroups;

/// How often, and how long, a leaving node asks whether it still votes.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ASK_DEADLINE: Duration = Duration::from_millis(500);

impl Control {
    /// Who is agreed to vote.
    pub(crate) fn voters(&self) -> BTreeSet<NodeId> {
        self.voter_groups().voters()
    }

    pub(crate) fn voter_groups(&self) -> VoterGroups {
        if let Some(following) = &self.following {
            return following.voter_groups();
        }
        // Looked at first, since what is agreed was in the log before.
        let agreed = self.applied_groups.borrow().clone();
        let metrics = self.raft.metrics();
        let membership = metrics.borrow().membership_config.clone();
        VoterGroups::new(agreed, membership.membership().get_joint_config().clone())
    }

    /// Who follows the log without a vote, as far as the log has told this node.
    pub(crate) fn learners(&self) -> BTreeSet<NodeId> {
        let metrics = self.raft.metrics();
        let membership = metrics.borrow().membership_config.clone();
        membership.membership().learner_ids().collect()
    }

    /// The other nodes of the group, as the log has them: where to ask before anything is agreed.
    pub(crate) fn group(&self) -> Vec<NodeInfo> {
        let metrics = self.raft.metrics().borrow().clone();
        let nodes = metrics.membership_config.nodes().filter_map(|(_, node)| node.info.clone());
        nodes.filter(|node| node.id != self.local.id).collect()
    }

    /// Waits until this node votes no more, and gives false at the deadline. Another voter says so;
    /// the only voter, who leads then, waits for another member to take its place.
    pub(crate) async fn wait_until_no_voter(&self, until: Instant) -> bool {
        let Some(cluster) = self.local.cluster_id() else { return true };
        for turn in 0.. {
            if Instant::now() >= until {
                return false;
            }
            let voters = self.voters();
            let others: Vec<NodeId> =
                voters.iter().copied().filter(|id| *id != self.local.id).collect();
            let view = self.agreed_now().view.clone();
            if !others.is_empty() && others.iter().all(|id| !view.is_alive(*id)) {
                // All leave at once: there is nobody to vote without this node.
                return true;
            }
            match others.get(turn % others.len().max(1)) {
                None if !self.has_successors() => return true,
                None => {}
                Some(other) => {
                    let request = rpc::WhoVotes { cluster };
                    let asked =
                        self.messenger.request(*other, Lane::Control, &request, ASK_DEADLINE);
                    let gone = asked.await.is_ok_and(|voters| !voters.contains(&self.local.id));
                    // A leader still has to commit that it votes no more, and steps down with that.
                    if gone && self.raft.metrics().borrow().state != ServerState::Leader {
                        return true;
                    }
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        true
    }

    /// Whether the view has another member, who could vote.
    fn has_successors(&self) -> bool {
        let agreed = self.agreed_now();
        agreed.view.alive().any(|node| node.id != self.local.id && node.votes())
    }

    /// Keeps those told of who votes who must know.
    pub(super) async fn follow_voters(self: Arc<Self>) {
        let mut metrics = self.raft.server_metrics();
        loop {
            let membership = metrics.borrow_and_update().membership_config.clone();
            let groups = membership.membership().get_joint_config().clone();
            self.answers.set_groups(groups.clone());
            self.campaign.tell(Input::Voters(groups));
            if metrics.changed().await.is_err() {
                // Nothing can be agreed any more, so this node must not pretend to take part.
                self.tasks.fail("the control plane has ended");
                return;
            }
        }
    }
}
