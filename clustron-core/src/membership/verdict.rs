//! Changing our mind about a peer, and defending ourselves.

use super::evidence::{EvidenceKind, Verdict};
use super::message::{INCARNATION_MAX, PeerState, Update};
use super::peer::{Suspicion, Verifying};
use super::{Effect, Membership};
use crate::{Incarnation, NodeId};

impl Membership {
    /// Takes in one piece of news from a message of `from`.
    pub(super) fn learn(&mut self, from: NodeId, update: Update) {
        let Update { node, incarnation, state } = update;
        if incarnation > INCARNATION_MAX {
            return;
        }
        if node == self.local {
            self.hear_about_ourselves(update);
            return;
        }
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if !update.overrides(peer.incarnation, peer.state) {
            return;
        }
        match state {
            PeerState::Alive => {
                if peer.state != PeerState::Alive {
                    peer.record(self.now, EvidenceKind::Refuted { by: from, incarnation });
                }
                self.revive(node, incarnation);
            }
            PeerState::Suspect => {
                peer.record(self.now, EvidenceKind::GossipFrom { node: from, state });
                self.suspect(node, incarnation);
            }
            PeerState::Down => {
                peer.record(self.now, EvidenceKind::GossipFrom { node: from, state });
                self.convict(node, incarnation);
            }
        }
    }

    /// The peer speaks with a higher incarnation than what was held against it.
    pub(super) fn revive(&mut self, node: NodeId, incarnation: Incarnation) {
        if let Some(peer) = self.peers.get_mut(&node) {
            // A check that is under way was about the life before: its outcome no longer counts.
            peer.verifying = Verifying::Idle;
            peer.suspicion = None;
        }
        self.probes.retain(|_, probe| probe.target != node);
        self.change(node, incarnation, PeerState::Alive);
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.close_case();
        }
    }

    /// The peer has from now on to object.
    pub(super) fn suspect(&mut self, node: NodeId, incarnation: Incarnation) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.suspicion = Some(Suspicion::new(self.now, self.config.suspicion_timeout));
        }
        self.change(node, incarnation, PeerState::Suspect);
    }

    /// The peer is gone.
    pub(super) fn convict(&mut self, node: NodeId, incarnation: Incarnation) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.verifying = Verifying::Idle;
            peer.suspicion = None;
        }
        self.probes.retain(|_, probe| probe.target != node);
        self.change(node, incarnation, PeerState::Down);
    }

    fn change(&mut self, node: NodeId, incarnation: Incarnation, state: PeerState) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let changed = peer.state != state;
        peer.incarnation = incarnation;
        peer.state = state;
        if changed {
            let evidence = peer.evidence().to_vec();
            self.effects.push(Effect::Verdict(Verdict { node, incarnation, state, evidence }));
        }
        self.tell_others(Update { node, incarnation, state });
    }

    /// Somebody's news is about this node. An accusation is answered with a higher incarnation.
    /// So is an Alive that is ahead of us: we were started again and others remember objections
    /// of our former life, below which nothing that we say would count.
    fn hear_about_ourselves(&mut self, update: Update) {
        let accused = match update.state {
            PeerState::Alive => false,
            PeerState::Suspect | PeerState::Down => update.incarnation >= self.incarnation,
        };
        if accused {
            self.health.worse();
        }
        if accused || update.incarnation > self.incarnation {
            self.raise_incarnation(Incarnation(update.incarnation.0.saturating_add(1)));
        }
    }

    /// Speaks with this incarnation from now on, and says so.
    pub(super) fn raise_incarnation(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.effects.push(Effect::Refuted { incarnation });
        self.tell_others(self.own_update());
    }
}
