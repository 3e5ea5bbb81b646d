//! What we know about one other node.

use std::time::Duration;

use super::evidence::{EVIDENCE_MAX, Evidence, EvidenceKind};
use super::message::{PeerState, Update};
use crate::{Incarnation, NodeId};

/// How often a suspect is asked itself, spread over the time that it has to object. Each node
/// that doubts it asks, so no single lost message about an objection costs a healthy node its
/// place.
const REMINDERS: u32 = 3;

/// Another node of the view.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(super) incarnation: Incarnation,
    pub(super) state: PeerState,
    pub(super) suspicion: Option<Suspicion>,
    pub(super) verifying: Verifying,
    pub(super) last_heard: Option<Duration>,
    pub(super) round_trip: Option<Duration>,
    evidence: Vec<Evidence>,
}

impl Peer {
    pub(super) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            state: PeerState::Alive,
            suspicion: None,
            verifying: Verifying::Idle,
            last_heard: None,
            round_trip: None,
            evidence: Vec::new(),
        }
    }

    pub(super) fn record(&mut self, at: Duration, kind: EvidenceKind) {
        if self.evidence.len() == EVIDENCE_MAX {
            self.evidence.remove(0);
        }
        self.evidence.push(Evidence { at, kind });
    }

    /// Starts a new case: what spoke against it has been answered.
    pub(super) fn close_case(&mut self) {
        self.evidence.clear();
    }

    /// The highest incarnation that it was heard of.
    #[cfg(test)]
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// What we think it is.
    #[cfg(test)]
    pub(crate) fn state(&self) -> PeerState {
        self.state
    }

    /// What was observed since it was last found Alive, oldest first, at most [`EVIDENCE_MAX`].
    pub(crate) fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// When it last sent us anything itself, since our start.
    #[cfg(test)]
    pub(crate) fn last_heard(&self) -> Option<Duration> {
        self.last_heard
    }

    /// How long its last answer to a ping of ours took.
    #[cfg(test)]
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What we would tell others about it.
    pub(super) fn update(&self, node: NodeId) -> Update {
        Update { node, incarnation: self.incarnation, state: self.state }
    }

    /// The next instant at which something is to be done about it.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let doubt = self.suspicion.as_ref().map(Suspicion::next_timeout);
        let confirm = match self.verifying {
            Verifying::Waiting { until } => Some(until),
            Verifying::Idle | Verifying::First { .. } | Verifying::Second => None,
        };
        doubt.into_iter().chain(confirm).min()
    }
}

/// How far the check of a lost connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verifying {
    /// There is nothing to check.
    Idle,
    /// The first dial is under way. A peer has several connections, and all of them close when it
    /// dies; `lost_again` remembers the others, because the dial may have come before them.
    First { lost_again: bool },
    /// The first dial was refused; the second waits for this instant.
    Waiting { until: Duration },
    /// The second dial is under way.
    Second,
}

/// The time that a suspect has to object.
#[derive(Debug, Clone)]
pub(super) struct Suspicion {
    pub(super) since: Duration,
    pub(super) deadline: Duration,
    next_reminder: Duration,
    reminders_left: u32,
    step: Duration,
}

impl Suspicion {
    pub(super) fn new(now: Duration, timeout: Duration) -> Self {
        let step = timeout / (REMINDERS + 1);
        Self {
            since: now,
            deadline: now + timeout,
            next_reminder: now + step,
            reminders_left: REMINDERS,
            step,
        }
    }

    /// Whether the suspect is to be asked now; counts as asked.
    pub(super) fn take_reminder(&mut self, now: Duration) -> bool {
        let due = self.reminders_left > 0 && self.next_reminder <= now;
        if due {
            self.reminders_left -= 1;
            self.next_reminder = now + self.step;
        }
        due
    }

    /// Grants the time that we missed ourselves.
    pub(super) fn extend(&mut self, missed: Duration) {
        self.deadline += missed;
        self.next_reminder += missed;
    }

    fn next_timeout(&self) -> Duration {
        if self.reminders_left > 0 { self.deadline.min(self.next_reminder) } else { self.deadline }
    }
}
