//! A leader's permit to be succeeded at once.
//!
//! Voters keep faith with a leader for its lease, so that nobody with a bad link can unseat it. A
//! chair that passes the gavel on needs no protection from whom it hands it to: with the permit a
//! vote request does not wait for the lease to run out, as in Ongaro's thesis, §3.10 and §4.2.3.
//!
//! The permit is the vote under which the leader leads, its term and its id. It counts only with a
//! voter that follows this very leader in this very term, and with the leader itself only while it
//! hands over. One that comes late, or was kept from an earlier term, is worth nothing: then the
//! lease holds as ever. It says nothing about who may be elected, which stays Raft's decision: log
//! and vote are compared as always.

use std::sync::{Arc, Mutex, PoisonError};

use openraft::raft::{AppendEntriesRequest, VoteRequest};

use super::Control;
use super::types::{LogId, Vote};
use crate::election::LogEnd;
use crate::identity::NodeId;

/// The permit that this node was given, while it counts on it. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Permit(Arc<Mutex<Option<Vote>>>);

impl Permit {
    pub(super) fn set(&self, leader: Option<Vote>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    pub(super) fn now(&self) -> Option<Vote> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to show with a request for this vote: it follows the permitting leader's directly.
    pub(super) fn for_vote(&self, vote: &Vote) -> Option<Vote> {
        self.now().filter(|leader| leader.leader_id.term + 1 == vote.leader_id.term)
    }
}

impl Control {
    /// Whether the permit is of the leader that this node follows now, or is itself and is handing
    /// over.
    pub(super) async fn honours(&self, permit: Vote) -> bool {
        let own = permit.leader_id.voted_for() == Some(self.local.id);
        let follows = self.raft.with_raft_state(move |state| *state.vote_ref() == permit).await;
        permit.committed && follows.unwrap_or(false) && (!own || self.is_handing_over())
    }

    /// Gives up the lease for a candidate with a permit, so that openraft looks at its request.
    ///
    /// openraft refuses every vote within the lease of a leader that is established, and has no
    /// door in that. But it follows a candidate of a higher term that it merely hears of, as Raft
    /// demands. So this node hears of it first. It grants nothing by that: it holds back its vote
    /// from others of this term, and the request that follows is compared with its log.
    pub(super) async fn let_go_of_lease(
        &self,
        from: NodeId,
        permit: Vote,
        rpc: &VoteRequest<NodeId>,
    ) {
        let vote = rpc.vote;
        let follows = permit.leader_id.term + 1 == vote.leader_id.term && !vote.committed;
        let stands = follows && vote.leader_id.voted_for() == Some(from);
        let log_end = rpc.last_log_id.map_or(LogEnd::default(), LogEnd::from);
        // Whoever cannot be elected here must not unseat anybody.
        if !stands || log_end < self.campaign.log_end() || !self.honours(permit).await {
            return;
        }
        // Nothing can be appended after an entry that nobody has, so this changes the term only.
        let nowhere = LogId::new(permit.leader_id, u64::MAX);
        let hears = AppendEntriesRequest {
            vote,
            prev_log_id: Some(nowhere),
            entries: vec![],
            leader_commit: None,
        };
        if let Err(error) = self.raft.append_entries(hears).await {
            tracing::warn!(%error, %from, "the lease stays");
        }
    }
}
