//! Letting another voter lead.
//!
//! It goes as in Ongaro's thesis, §3.10. The leader closes its door: commands that come wait there,
//! and those inside are answered first. Then it waits until the successor has the whole log, falls
//! silent, and gives the successor a [permit](super::permit). Whoever waited at the door is sent on
//! to the next leader.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use tokio::time::Instant;

use super::reign::CAUGHT_UP_WITHIN;
use super::rpc::{HandOver, HandedOver, TakeOver};
use super::types::Metrics;
use super::{Control, propose};
use crate::election::Input;
use crate::hand_over::HandOverError;
use crate::identity::NodeId;
use crate::messaging::{Lane, Outcome};

/// How long another node's request to hand over may occupy the leader.
const HAND_OVER_MAX: Duration = Duration::from_secs(30);

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
    /// Has whoever leads hand over, to this voter or to the best there is. Gives who leads then.
    pub(crate) async fn have_handed_over(
        &self,
        to: Option<NodeId>,
        deadline: Duration,
    ) -> Result<NodeId, HandOverError> {
        let until = crate::tasks::until(deadline);
        let mut hint = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(HandOverError::NoLeader(deadline));
            }
            if self.tasks.is_cancelled() {
                return Err(HandOverError::NotRunning);
            }
            let leader = hint.take().or_else(|| self.raft_leader());
            let reply = match leader {
                None => HandedOver::NotLeader { leader: None },
                Some(leader) if leader == self.local.id => self.hand_over_here(to, left).await,
                Some(leader) => self.hand_over_there(leader, to, left).await?,
            };
            match reply {
                HandedOver::To(leader) => return Ok(leader),
                HandedOver::Failed(error) => return Err(error),
                HandedOver::NotLeader { leader: other } => {
                    hint = other.filter(|other| Some(*other) != leader);
                    if hint.is_none() {
                        tokio::time::sleep(propose::RETRY_AFTER.min(left)).await;
                    }
                }
            }
        }
    }

    async fn hand_over_there(
        &self,
        leader: NodeId,
        to: Option<NodeId>,
        deadline: Duration,
    ) -> Result<HandedOver, HandOverError> {
        let cluster = self.local.cluster_id().ok_or(HandOverError::NotRunning)?;
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        let request = HandOver { cluster, to, deadline_ms };
        let asked = self.messenger.request(leader, Lane::Control, &request, deadline);
        match asked.await {
            Ok(reply) => Ok(reply),
            Err(error) if error.outcome() == Outcome::NotApplied => {
                Ok(HandedOver::NotLeader { leader: None })
            }
            Err(error) => Err(HandOverError::Unconfirmed(error.to_string())),
        }
    }

    pub(super) async fn handle_hand_over(
        self: Arc<Self>,
        _from: NodeId,
        request: HandOver,
    ) -> HandedOver {
        let slot = self.core_requests.try_acquire();
        if slot.is_err() || self.check_cluster(request.cluster).is_err() {
            return HandedOver::NotLeader { leader: None };
        }
        let deadline = Duration::from_millis(u64::from(request.deadline_ms)).min(HAND_OVER_MAX);
        self.hand_over_here(request.to, deadline).await
    }

    /// Hands over as the leader, and waits until the next one has activated its epoch.
    async fn hand_over_here(&self, to: Option<NodeId>, deadline: Duration) -> HandedOver {
        let until = crate::tasks::until(deadline);
        let epoch = *self.leading.borrow();
        let Some(epoch) = epoch else {
            let leader = self.raft_leader().filter(|leader| *leader != self.local.id);
            return HandedOver::NotLeader { leader };
        };
        let handed = match to {
            Some(to) if to == self.local.id => return HandedOver::To(to),
            Some(to) => match self.check_successor(to) {
                Ok(()) => self.hand_over_to(to, deadline).await,
                Err(error) => Err(error),
            },
            None => self.hand_over(deadline).await,
        };
        if let Err(error) = handed {
            return HandedOver::Failed(error);
        }
        let mut agreed = self.agreed();
        let next = tokio::time::timeout_at(until, agreed.wait_for(|now| now.epoch() > epoch)).await;
        let next = next.ok().and_then(Result::ok);
        match next.and_then(|agreed| agreed.activations.back().map(|next| next.node)) {
            Some(leader) => HandedOver::To(leader),
            None => {
                let reason = "the next leader's epoch has not begun".to_owned();
                HandedOver::Failed(HandOverError::Unconfirmed(reason))
            }
        }
    }

    fn check_successor(&self, node: NodeId) -> Result<(), HandOverError> {
        let metrics = self.raft.metrics().borrow().clone();
        let votes = metrics.membership_config.voter_ids().any(|id| id == node);
        if !votes || !self.may_lead(node) || self.outlook.suspicions_now().contains_key(&node) {
            return Err(HandOverError::NotVoter { node });
        }
        match lacks(&metrics, node) {
            lacks if lacks > CAUGHT_UP_WITHIN => Err(HandOverError::NotCaughtUp { node, lacks }),
            _ => Ok(()),
        }
    }

    /// Lets the best voter take over, or another one where it does not, and gives who leads then.
    pub(crate) async fn hand_over(&self, deadline: Duration) -> Result<NodeId, HandOverError> {
        let until = crate::tasks::until(deadline);
        let mut tried = BTreeSet::new();
        let mut failure = HandOverError::NoSuccessor;
        while let Some(successor) = self.successor(&tried) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.hand_over_to(successor, left).await {
                Ok(leader) => return Ok(leader),
                // One that was asked may take over yet, whatever becomes of the next.
                Err(error) if failure.outcome() == Outcome::NotApplied => failure = error,
                Err(_) => {}
            }
            if self.not_leading().is_some() {
                break;
            }
            tried.insert(successor);
        }
        Err(failure)
    }

    /// The same, to this voter. Nobody is led meanwhile, so it gets no more than a silence for it.
    pub(super) async fn hand_over_to(
        &self,
        successor: NodeId,
        deadline: Duration,
    ) -> Result<NodeId, HandOverError> {
        let until = Instant::now() + deadline.min(self.timing.leader_silence);
        let cluster = self.local.cluster_id().ok_or(HandOverError::NotRunning)?;
        let not_taken = |reason: String| HandOverError::NotTaken { node: successor, reason };
        let _closed = tokio::time::timeout_at(until, self.door.write()).await.map_err(|_| {
            not_taken("the commands before it were not confirmed in time".to_owned())
        })?;
        let mut metrics = self.raft.metrics();
        let permit = metrics.borrow().vote;
        let leads = move |m: &Metrics| m.state == ServerState::Leader && m.vote == permit;
        let whole = metrics.wait_for(|m| !leads(m) || lacks(m, successor) == 0);
        let whole = tokio::time::timeout_at(until, whole).await.map(|_| ());
        let now = metrics.borrow().clone();
        if !leads(&now) {
            // Somebody else was faster.
            return self.led_by_another(until).await;
        }
        if whole.is_err() {
            let lacks = lacks(&now, successor);
            return Err(HandOverError::NotCaughtUp { node: successor, lacks });
        }
        tracing::info!(%successor, "handing over the leadership");
        self.metrics.hand_overs.inc();
        let _silence = Silence::begin(self);
        let (request, left) =
            (TakeOver { cluster, permit }, until.saturating_duration_since(Instant::now()));
        match self.messenger.request(successor, Lane::Control, &request, left).await {
            Ok(true) => {}
            Ok(false) => return Err(not_taken("it follows another leader".to_owned())),
            // It may have been asked, and stand yet.
            Err(error) if error.outcome() == Outcome::Unknown => {}
            Err(error) => return Err(not_taken(error.to_string())),
        }
        let mut metrics = self.raft.metrics();
        let deposed = metrics.wait_for(|m| !leads(m));
        match tokio::time::timeout_at(until, deposed).await.map(|_| ()) {
            Ok(()) => self.led_by_another(until).await,
            Err(_elapsed) => Err(HandOverError::Unconfirmed(format!(
                "node {successor} was asked to take over, and was not elected in time"
            ))),
        }
    }

    /// Waits until this node knows who leads in its place.
    async fn led_by_another(&self, until: Instant) -> Result<NodeId, HandOverError> {
        let (me, mut metrics) = (self.local.id, self.raft.metrics());
        let other = move |m: &Metrics| m.current_leader.filter(|leader| *leader != me);
        let led = tokio::time::timeout_at(until, metrics.wait_for(|m| other(m).is_some())).await;
        let leader = led.ok().and_then(Result::ok).and_then(|metrics| other(&metrics));
        leader.ok_or_else(|| HandOverError::Unconfirmed("nobody is known to lead yet".to_owned()))
    }

    /// Takes over from the leader, if this node still follows it. Gives whether it does.
    pub(super) async fn handle_take_over(self: Arc<Self>, from: NodeId, request: TakeOver) -> bool {
        let of_sender = request.permit.leader_id.voted_for() == Some(from);
        let honoured = self.check_cluster(request.cluster).is_ok()
            && of_sender
            && from != self.local.id
            && self.honours(request.permit).await;
        if honoured {
            self.campaign.take_over(request.permit);
        }
        honoured
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

    /// The live voter, other than this node and those that were tried, whose log reaches furthest;
    /// one that has caught up before one that has not, and then a member before a witness.
    fn successor(&self, tried: &BTreeSet<NodeId>) -> Option<NodeId> {
        let metrics = self.raft.metrics().borrow().clone();
        let suspicions = self.outlook.suspicions_now();
        let view = self.agreed_now().view.clone();
        let holds_data = |id: &NodeId| view.node(*id).is_some_and(|r| r.info.holds_data());
        let voters = metrics.membership_config.voter_ids();
        voters
            .filter(|id| *id != self.local.id && self.may_lead(*id))
            .filter(|id| !suspicions.contains_key(id) && !tried.contains(id))
            .min_by_key(|id| {
                let lacks = lacks(&metrics, *id);
                (lacks > CAUGHT_UP_WITHIN, !holds_data(id), lacks)
            })
    }
}

/// How many entries of the leader's log a node is not known to have.
pub(super) fn lacks(metrics: &Metrics, node: NodeId) -> u64 {
    let matched = metrics.replication.as_ref().and_then(|replication| replication.get(&node));
    let matched = matched.copied().flatten().map_or(0, |log_id| log_id.index + 1);
    metrics.last_log_index.map_or(0, |last| last + 1).saturating_sub(matched)
}
