//! The observer's side: keeps the copy up to date through one member at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attachment::{Attachment, Next};
use super::page::Copy;
use super::serve::HOLD_MAX;
use super::told::Told;
use super::{Follow, Followed, Following, News};
use crate::control::Control;
use crate::discovery::Addresses;
use crate::identity::{ClusterId, Epoch, NodeId};
use crate::messaging::{Lane, Messenger};
use crate::voter_groups::VoterGroups;

/// The least time between two requests, so that a burst of changes comes in one answer and a member
/// that answers at once is not asked without end.
const GAP: Duration = Duration::from_millis(10);

/// Keeps a node that does not follow the control log told of the view and the leader.
pub(crate) struct Observer {
    control: Arc<Control>,
    following: Arc<Following>,
    messenger: Messenger,
    addresses: Addresses,
    /// Where it goes on among more addresses than it dials at the same time.
    turn: usize,
    /// How long a member may let a request hang.
    hold: Duration,
    started: Instant,
    attachment: Attachment,
    /// The member that was asked last.
    asked: Option<NodeId>,
    /// Members that were found at the seeds when all that the view names had failed.
    found: BTreeSet<NodeId>,
    copy: Copy,
    leader: Option<Epoch>,
    voter_groups: VoterGroups,
}

impl Observer {
    pub(crate) fn new(
        control: Arc<Control>,
        following: Arc<Following>,
        messenger: Messenger,
        addresses: Addresses,
    ) -> Self {
        let silence = control.timing.leader_silence;
        Self {
            attachment: Attachment::new(control.local.id, 2 * silence),
            following,
            messenger,
            addresses,
            turn: 0,
            hold: silence.min(HOLD_MAX),
            started: Instant::now(),
            asked: None,
            found: BTreeSet::new(),
            copy: Copy::default(),
            leader: None,
            voter_groups: VoterGroups::default(),
            control,
        }
    }

    /// Follows until the node ends.
    pub(crate) async fn run(mut self) {
        let mut introduced = self.following.introduced();
        loop {
            let first = introduced.borrow_and_update().as_ref().copied();
            let (Some(cluster), Some(first)) = (self.control.local.cluster_id(), first) else {
                if introduced.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let members = self.members(first);
            match self.attachment.next(self.started.elapsed(), &members) {
                Next::Ask(member) => {
                    let asked_at = Instant::now();
                    self.ask(member, cluster).await;
                    tokio::time::sleep_until(asked_at + GAP).await;
                }
                Next::Wait(until) => {
                    self.look_at_seeds(cluster).await;
                    let until = self.started + until;
                    let _ = tokio::time::timeout_at(until, introduced.changed()).await;
                }
            }
        }
    }

    /// Whom this node may ask: the members that are alive, or whoever let it in.
    fn members(&self, first: NodeId) -> BTreeSet<NodeId> {
        let view = &self.copy.whole().view;
        let mut members: BTreeSet<NodeId> =
            view.alive().filter(|node| node.votes()).map(|node| node.id).collect();
        if members.is_empty() {
            members.insert(first);
        }
        members.extend(&self.found);
        members
    }

    async fn ask(&mut self, member: NodeId, cluster: ClusterId) {
        // A member that is new to this node need not hold back what the last one has told.
        let is_new = self.asked.replace(member) != Some(member);
        if is_new {
            self.copy.drop_draft();
        }
        let hold = if is_new { Duration::ZERO } else { self.hold };
        let request = Follow {
            cluster,
            cursor: self.copy.cursor(),
            leader: self.leader,
            voter_groups: self.voter_groups.clone(),
            hold_ms: u32::try_from(hold.as_millis()).unwrap_or(u32::MAX),
        };
        let silence = self.control.timing.leader_silence;
        // An answer that has not come by then makes room for another member's, which still comes
        // in time for the leader not to be lost here.
        let deadline = hold + silence / 2;
        let asked = self.messenger.request(member, Lane::Control, &request, deadline).await;
        let now = self.started.elapsed();
        match asked {
            Ok(Followed::News(news)) if news.voter_groups.is_bounded() => {
                let knows_more = news.version >= self.copy.cursor().since;
                self.attachment.answered(now, knows_more && news.leader.is_some());
                if knows_more {
                    self.take_in(member, cluster, *news);
                }
            }
            other => {
                tracing::debug!(%member, answer = ?other, "the member does not tell the news");
                self.attachment.failed(now);
                self.asked = None;
            }
        }
    }

    fn take_in(&mut self, by: NodeId, cluster: ClusterId, news: News) {
        let (version, epoch) = {
            let known = self.copy.whole();
            (known.view.version(), known.epoch())
        };
        let whole = self.copy.put(cluster, news.page);
        let now = self.copy.whole();
        if whole && (now.view.version(), now.epoch()) != (version, epoch) {
            if version == 0 || !self.found.is_empty() {
                // Those who let nodes in would have to tell them all, too.
                self.attachment.choose_again();
            }
            self.found.clear();
            self.following.show(now);
        }
        (self.leader, self.voter_groups) = (news.leader, news.voter_groups.clone());
        let until = Instant::now() + self.hold + self.control.timing.leader_silence;
        let told = Told { by, until, leader: news.leader, voter_groups: news.voter_groups };
        self.following.tell(told, news.applied);
    }

    /// All that the view names have failed. Others may live where the cluster was first found.
    async fn look_at_seeds(&mut self, cluster: ClusterId) {
        let addresses = self.addresses.some(&mut self.turn, |_| true);
        let looks = addresses.iter().map(|addr| self.messenger.introduce(addr));
        for hello in futures::future::join_all(looks).await.into_iter().flatten() {
            if hello.cluster_id == Some(cluster) && hello.node.votes() {
                self.found.insert(hello.node.id);
            }
        }
    }
}
