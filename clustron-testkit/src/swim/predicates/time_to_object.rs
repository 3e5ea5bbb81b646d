//! Nobody is condemned unheard.

use std::time::Duration;

use clustron_core::membership::{EvidenceKind, PeerState};

use crate::sim::{Moment, Predicate, Violation};
use crate::swim::Member;

/// A node that its own detector takes for Down had the suspicion timeout to object, or its address
/// refused two connections.
#[derive(Debug)]
pub struct TimeToObject {
    suspicion_timeout: Duration,
}

impl TimeToObject {
    /// With the configured time.
    pub fn new(suspicion_timeout: Duration) -> Self {
        Self { suspicion_timeout }
    }
}

impl Predicate<Member> for TimeToObject {
    fn name(&self) -> &str {
        "everybody has time to object"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        for verdict in member.verdicts().iter().filter(|v| v.state == PeerState::Down) {
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
            if !fair {
                let evidence: Vec<String> =
                    verdict.evidence.iter().map(ToString::to_string).collect();
                return Err(format!("{index} condemns {}: {evidence:?}", verdict.node).into());
            }
        }
        Ok(())
    }
}
