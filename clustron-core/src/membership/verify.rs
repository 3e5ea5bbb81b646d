//! Looking twice when a connection is lost.
//!
//! A closed connection is the fastest sign of a crash, and no proof: networks close connections
//! too. So the peer's address is dialled afresh. If the host refuses, the process is gone or is
//! just being replaced; the peer becomes Suspect and a second refusal a moment later makes it
//! Down, well before any timeout. A process that is merely slow does not refuse (its kernel
//! answers for it), so it can only ever meet the timeouts.

use super::evidence::EvidenceKind;
use super::message::PeerState;
use super::peer::Verifying;
use super::{Effect, Membership, Verification};
use crate::NodeId;

impl Membership {
    /// A connection to the peer closed.
    pub(super) fn connection_lost(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.state == PeerState::Down {
            return;
        }
        match peer.verifying {
            Verifying::Idle => {
                peer.record(self.now, EvidenceKind::ConnectionLost);
                peer.verifying = Verifying::First { lost_again: false };
                self.effects.push(Effect::Verify { peer: node });
            }
            Verifying::First { .. } => peer.verifying = Verifying::First { lost_again: true },
            // The second dial settles it.
            Verifying::Waiting { .. } | Verifying::Second => {}
        }
    }

    /// A dial came to an end. One that we no longer wait for changes nothing.
    pub(super) fn verified(&mut self, node: NodeId, result: Verification) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let before = peer.verifying;
        match before {
            Verifying::Idle | Verifying::Waiting { .. } => return,
            Verifying::First { .. } | Verifying::Second => peer.verifying = Verifying::Idle,
        }
        match result {
            Verification::Reached => {
                if before == (Verifying::First { lost_again: true }) {
                    // It may have died after it answered: that is what closed the other one.
                    peer.verifying = Verifying::First { lost_again: false };
                    self.effects.push(Effect::Verify { peer: node });
                } else if peer.state == PeerState::Suspect {
                    self.remind(node);
                }
            }
            Verification::NoAnswer { why } => {
                peer.record(now, EvidenceKind::VerificationUnanswered { why });
                if peer.state == PeerState::Alive {
                    self.start_urgent_probe(node);
                }
            }
            Verification::Gone { why } => {
                peer.record(now, EvidenceKind::ConnectionRefused { why });
                let incarnation = peer.incarnation;
                if before == Verifying::Second {
                    self.convict(node, incarnation);
                    return;
                }
                let until = now + self.config.gone_confirm;
                peer.verifying = Verifying::Waiting { until };
                if peer.state == PeerState::Alive {
                    self.suspect(node, incarnation);
                    self.remind(node);
                }
            }
        }
    }

    /// Dials a second time if it is time to.
    pub(super) fn confirm_gone(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if let Verifying::Waiting { until } = peer.verifying
            && until <= self.now
        {
            peer.verifying = Verifying::Second;
            self.effects.push(Effect::Verify { peer: node });
        }
    }
}
