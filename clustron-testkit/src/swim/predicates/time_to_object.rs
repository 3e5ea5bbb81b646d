//! Nobody is condemned unheard.

use std::time::Duration;

use clustron_core::membership::{DetectorKind, EvidenceKind, MembershipConfig, PeerState};

use crate::sim::{Moment, Predicate, Violation};
use crate::swim::Member;

/// A node that its own detector takes for Down had the suspicion timeout to object, or its address
/// refused two connections; and where a quorum is wanted, several nodes found it silent.
#[derive(Debug)]
pub struct TimeToObject {
    suspicion_timeout: Duration,
    quorum: bool,
}

impl TimeToObject {
    /// With the configured time and detector.
    pub fn new(config: &MembershipConfig) -> Self {
        let quorum = matches!(config.detector, DetectorKind::Quorum(_));
        Self { suspicion_timeout: config.suspicion_timeout, quorum }
    }
}

impl Predicate<Member> for TimeToObject {
    fn name(&self) -> &str {
        "everybody has time to object"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        for verdict in member.verdicts().iter().filter(|v| v.state == PeerState::Down) {
            // With fewer nodes left there may be nobody else to ask.
            let gone = member.machine().doubted().filter(|(_, state)| *state >= PeerState::Down);
            let wanted = self.quorum && member.view_size().saturating_sub(gone.count()) >= 4;
            let mut agreed = !wanted;
            let mut refused = 0;
            let fair = verdict.evidence.iter().any(|evidence| match &evidence.kind {
                EvidenceKind::SuspicionExpired { waited, .. } => *waited >= self.suspicion_timeout,
                EvidenceKind::ConnectionRefused { .. } => {
                    refused += 1;
                    refused == 2
                }
                EvidenceKind::GossipFrom { state, .. } => *state == PeerState::Down,
                _ => false,
            });
            agreed |= verdict.evidence.iter().any(|evidence| match &evidence.kind {
                EvidenceKind::QuorumReached { observers, .. } => observers.len() >= 2,
                EvidenceKind::GossipFrom { state, .. } => *state == PeerState::Down,
                _ => false,
            });
            if !fair || !agreed {
                let evidence: Vec<String> =
                    verdict.evidence.iter().map(ToString::to_string).collect();
                return Err(format!("{index} condemns {}: {evidence:?}", verdict.node).into());
            }
        }
        Ok(())
    }
}
