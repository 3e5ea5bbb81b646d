//! What is held against whom.
//!
//! The part that all lookouts share: however a peer's silence is found out, from there on the
//! case against it is conducted the same way. It is opened by an own suspicion or by another
//! node's, the peer has time to object, and what is known of closed connections weighs in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;

use super::doubt::{Doubts, Due};
use super::lateness::Absence;
use super::ring::Ring;
use super::verify::{Checks, Finding};
use super::{Action, Verification};
use crate::NodeId;
use crate::membership::pool::Pool;
use crate::membership::{EvidenceKind, MembershipConfig};

/// From more peers than this on, only those look after a doubted one who doubt it themselves or
/// have it among their nearest on the ring.
const CROWD: usize = 24;
const NEAR: usize = 5;

/// What this node takes a peer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing speaks against it.
    Trusted,
    /// It has to object.
    Doubted,
    /// It failed or left. Only being cleared changes that.
    Failed,
}

/// The peers, and the cases against them.
#[derive(Debug)]
pub(super) struct Cases {
    local: NodeId,
    standings: BTreeMap<NodeId, Standing>,
    /// All that have not failed.
    present: Ring,
    trusted: Pool,
    doubts: Doubts,
    checks: Checks,
    changed: bool,
}

/// Who came and who went.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) new: Vec<NodeId>,
    pub(super) gone: Vec<NodeId>,
}

impl Cases {
    /// No peers and no cases.
    pub(super) fn new(local: NodeId, config: &MembershipConfig) -> Self {
        Self {
            local,
            standings: BTreeMap::new(),
            present: Ring::default(),
            trusted: Pool::default(),
            doubts: Doubts::new(config),
            checks: Checks::new(config.gone_confirm),
            changed: false,
        }
    }

    /// Takes over the list of peers.
    pub(super) fn set_peers(&mut self, peers: &BTreeSet<NodeId>) -> Change {
        let gone: Vec<NodeId> =
            self.standings.keys().filter(|id| !peers.contains(id)).copied().collect();
        for id in &gone {
            self.close(*id);
            self.standings.remove(id);
            self.present.remove(*id);
            self.trusted.remove(*id);
        }
        let is_new = |id: &NodeId| *id != self.local && !self.standings.contains_key(id);
        let new: Vec<NodeId> = peers.iter().copied().filter(is_new).collect();
        new.iter().for_each(|id| self.set(*id, Standing::Trusted));
        self.changed = true;
        Change { new, gone }
    }

    /// What the peer is taken for; `None` for this node and strangers.
    pub(super) fn standing(&self, peer: NodeId) -> Option<Standing> {
        self.standings.get(&peer).copied()
    }

    /// Whether there still is something to find out about the peer.
    pub(super) fn is_judged(&self, peer: NodeId) -> bool {
        matches!(self.standing(peer), Some(Standing::Trusted | Standing::Doubted))
    }

    /// Whether there are no peers at all.
    pub(super) fn is_empty(&self) -> bool {
        self.standings.is_empty()
    }

    /// Draws up to `count` trusted peers by lot, without `except`.
    pub(super) fn draw(&self, count: usize, except: NodeId, rng: &mut StdRng) -> Vec<NodeId> {
        self.trusted.draw(count, except, rng)
    }

    /// The successors of this node on the ring up to the `trusted`th trusted one, nearest first,
    /// with the doubted ones in between.
    pub(super) fn successors(&self, trusted: usize) -> impl Iterator<Item = (NodeId, Standing)> {
        self.up_to(self.present.after(self.local), trusted)
    }

    /// The predecessors of this node on the ring up to the `trusted`th trusted one, nearest first,
    /// with the doubted ones in between.
    pub(super) fn predecessors(&self, trusted: usize) -> impl Iterator<Item = (NodeId, Standing)> {
        self.up_to(self.present.before(self.local), trusted)
    }

    /// Whether anybody's standing changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether this node could not reach the peer.
    pub(super) fn is_suspected_by_us(&self, peer: NodeId) -> bool {
        self.doubts.is_own(peer)
    }

    /// Whether others accuse the peer and this node has not looked for itself.
    pub(super) fn is_unseen(&self, peer: NodeId) -> bool {
        self.doubts.is_unseen(peer)
    }

    /// Notes that this node looks at a doubted peer for itself now.
    pub(super) fn mark_looked(&mut self, peer: NodeId) {
        self.doubts.mark_looked(peer);
    }

    /// This node could not reach the peer.
    pub(super) fn suspect(&mut self, now: Duration, peer: NodeId, actions: &mut Vec<Action>) {
        if !self.is_judged(peer) {
            return;
        }
        self.set(peer, Standing::Doubted);
        if self.doubts.suspect(now, peer, self.trusted.len()) {
            actions.push(Action::Suspect { peer });
            actions.push(Action::Remind { to: peer });
        }
    }

    /// Another node could not reach the peer. Opinions of strangers do not count.
    pub(super) fn accused(
        &mut self,
        now: Duration,
        peer: NodeId,
        by: NodeId,
        actions: &mut Vec<Action>,
    ) {
        if !self.is_judged(peer) || by == peer || self.standing(by).is_none() {
            return;
        }
        self.set(peer, Standing::Doubted);
        if self.doubts.accuse(now, peer, by, self.trusted.len()) {
            note(actions, peer, EvidenceKind::AccusedBy { node: by });
        }
    }

    /// There is nothing to judge about the peer any more.
    pub(super) fn settle(&mut self, peer: NodeId) {
        if self.standings.contains_key(&peer) {
            self.close(peer);
            self.set(peer, Standing::Failed);
        }
    }

    /// What was held against the peer is void.
    pub(super) fn clear(&mut self, peer: NodeId) {
        if self.standings.contains_key(&peer) {
            self.close(peer);
            self.set(peer, Standing::Trusted);
        }
    }

    /// The verdict against the peer did not stand: it has again to object. Says whether that is so.
    pub(super) fn reopen(&mut self, now: Duration, peer: NodeId) -> bool {
        if self.standing(peer) != Some(Standing::Failed) {
            return false;
        }
        self.set(peer, Standing::Doubted);
        self.doubts.begin(now, peer, self.trusted.len());
        true
    }

    /// A connection to the peer closed.
    pub(super) fn connection_lost(&mut self, peer: NodeId, actions: &mut Vec<Action>) {
        if self.is_judged(peer) && self.checks.lost(peer) {
            note(actions, peer, EvidenceKind::ConnectionLost);
            actions.push(Action::Verify { peer });
        }
    }

    /// A dial came to an end. Says whether the peer is to be looked at in another way.
    pub(super) fn verified(
        &mut self,
        now: Duration,
        peer: NodeId,
        result: Verification,
        actions: &mut Vec<Action>,
    ) -> bool {
        if !self.is_judged(peer) {
            self.checks.ended_in_vain(peer);
            return false;
        }
        let finding = self.checks.ended(now, peer, &result);
        match &result {
            _ if finding == Finding::Nothing || finding == Finding::DialAgain => {}
            Verification::Reached => {}
            Verification::NoAnswer { why } => {
                note(actions, peer, EvidenceKind::VerificationUnanswered { why: why.clone() });
            }
            Verification::Gone { why } => {
                note(actions, peer, EvidenceKind::ConnectionRefused { why: why.clone() });
            }
        }
        let doubted = self.standing(peer) == Some(Standing::Doubted);
        match finding {
            Finding::Nothing => {}
            Finding::DialAgain => actions.push(Action::Verify { peer }),
            Finding::Reached if doubted => actions.push(Action::Remind { to: peer }),
            Finding::Reached => {}
            Finding::Unclear => return !doubted,
            Finding::RefusedOnce => self.suspect(now, peer, actions),
            Finding::RefusedTwice => {
                self.suspect(now, peer, actions);
                self.settle(peer);
                actions.push(Action::Down { peers: vec![peer] });
            }
        }
        false
    }

    /// When [`timeout`](Self::timeout) has something to do.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let (doubts, checks) = (self.doubts.next_timeout(), self.checks.next_timeout());
        doubts.into_iter().chain(checks).min()
    }

    /// Moves the cases on. Returns whom to look at, because somebody accuses them and nobody else
    /// does.
    pub(super) fn timeout(&mut self, now: Duration, actions: &mut Vec<Action>) -> Vec<NodeId> {
        let mut look = Vec::new();
        let mut down = Vec::new();
        while let Some((peer, due)) = self.doubts.take_due(now) {
            match due {
                // In a crowd, a few see to it: if all did, the questions alone would drown it.
                Due::Remind | Due::Look if !self.is_near(peer) => {}
                Due::Remind => actions.push(Action::Remind { to: peer }),
                Due::Look => look.push(peer),
                Due::Expired { waited, confirmed_by } => {
                    let expired = EvidenceKind::SuspicionExpired { waited, confirmed_by };
                    note(actions, peer, expired);
                    self.settle(peer);
                    down.push(peer);
                }
            }
        }
        if !down.is_empty() {
            actions.push(Action::Down { peers: down });
        }
        while let Some(peer) = self.checks.take_due(now) {
            actions.push(Action::Verify { peer });
        }
        look
    }

    /// Whether it is for this node, among others, to look after a doubted peer.
    fn is_near(&self, peer: NodeId) -> bool {
        let mut around = self.successors(NEAR).chain(self.predecessors(NEAR));
        self.standings.len() <= CROWD
            || self.doubts.is_own(peer)
            || around.any(|(near, _)| near == peer)
    }

    /// Holds our own absence against nobody.
    pub(super) fn forgive(&mut self, now: Duration, absence: Absence) {
        self.doubts.forgive(now, absence);
        self.checks.forgive(now);
    }

    fn close(&mut self, peer: NodeId) {
        self.doubts.end(peer);
        self.checks.void(peer);
    }

    fn set(&mut self, peer: NodeId, standing: Standing) {
        if self.standings.insert(peer, standing) == Some(standing) {
            return;
        }
        self.changed = true;
        match standing {
            Standing::Trusted => {
                self.present.insert(peer);
                self.trusted.insert(peer);
            }
            Standing::Doubted => {
                self.present.insert(peer);
                self.trusted.remove(peer);
            }
            Standing::Failed => {
                self.present.remove(peer);
                self.trusted.remove(peer);
            }
        }
    }

    fn up_to(
        &self,
        nearest: impl Iterator<Item = NodeId>,
        trusted: usize,
    ) -> impl Iterator<Item = (NodeId, Standing)> {
        let mut left = trusted;
        nearest.map_while(move |peer| {
            let standing = self.standing(peer)?;
            let within = left > 0;
            left -= usize::from(within && standing == Standing::Trusted);
            within.then_some((peer, standing))
        })
    }
}

/// Keeps an observation for those who ask why.
pub(super) fn note(actions: &mut Vec<Action>, peer: NodeId, what: EvidenceKind) {
    actions.push(Action::Note { peer, what });
}
