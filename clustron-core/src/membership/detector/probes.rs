//! Questions to peers that are still open.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Action;
use super::health::LocalHealth;
use crate::NodeId;
use crate::membership::MembershipConfig;

/// The most questions that may be open at once. Only where much of a cluster fails together do so
/// many come up; the others then wait their turn.
pub(super) const PROBES_MAX: usize = 16;

/// A question to a peer that is still open.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) target: NodeId,
    pub(super) sent_at: Duration,
    /// When a second way is tried; `None` once it was.
    pub(super) ask_at: Option<Duration>,
    pub(super) deadline: Duration,
    /// Who was asked to try.
    pub(super) asked: Vec<NodeId>,
    /// Whether one of them reached it.
    pub(super) reached: bool,
}

impl Probe {
    fn is_overdue(&self) -> bool {
        self.ask_at.is_none() && !self.reached
    }

    fn next_timeout(&self) -> Duration {
        self.ask_at.map_or(self.deadline, |ask_at| ask_at.min(self.deadline))
    }
}

/// All open questions, each under the number of its ping. There are few at any time, so that
/// looking through all of them costs nothing worth an index.
#[derive(Debug)]
pub(super) struct Probes {
    timeout: Duration,
    interval: Duration,
    seq: u64,
    open: BTreeMap<u64, Probe>,
}

impl Probes {
    /// Nothing asked yet.
    pub(super) fn new(config: &MembershipConfig) -> Self {
        Self {
            timeout: config.probe_timeout,
            interval: config.probe_interval,
            seq: 0,
            open: BTreeMap::new(),
        }
    }

    /// Asks a peer, unless it owes an answer already or too many do. Says whether a question to it
    /// is open now.
    pub(super) fn start(
        &mut self,
        now: Duration,
        target: NodeId,
        health: &LocalHealth,
        actions: &mut Vec<Action>,
    ) -> bool {
        if self.of(target).is_some() {
            return true;
        }
        if self.is_full() {
            return false;
        }
        self.seq += 1;
        actions.push(Action::Ping { to: target, seq: self.seq });
        let probe = Probe {
            target,
            sent_at: now,
            ask_at: Some(now + health.scale(self.timeout)),
            deadline: now + health.scale(self.interval),
            asked: Vec::new(),
            reached: false,
        };
        self.open.insert(self.seq, probe);
        true
    }

    /// Whether there is no room for another question.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= PROBES_MAX
    }

    /// The number of the open question to this peer.
    pub(super) fn of(&self, target: NodeId) -> Option<u64> {
        self.open.iter().find(|(_, probe)| probe.target == target).map(|(seq, _)| *seq)
    }

    /// The question of this number.
    pub(super) fn probe(&self, seq: u64) -> Option<&Probe> {
        self.open.get(&seq)
    }

    /// Notes that a second way is being tried, through `asked` or by asking again.
    pub(super) fn set_asked(
        &mut self,
        now: Duration,
        seq: u64,
        asked: Vec<NodeId>,
        health: &LocalHealth,
    ) {
        // Counted from now: should this timer be late, then the others still get their time.
        let rest = health.scale(self.interval.saturating_sub(self.timeout));
        if let Some(probe) = self.open.get_mut(&seq) {
            probe.deadline = probe.deadline.max(now + rest);
            probe.ask_at = None;
            probe.asked = asked;
        }
    }

    /// Closes the question if it is `from` who owed the answer.
    pub(super) fn answered(&mut self, from: NodeId, seq: u64) -> Option<Probe> {
        self.open.get(&seq).filter(|probe| probe.target == from)?;
        self.open.remove(&seq)
    }

    /// Notes that `helper`, if it was asked, reached the target. Says when the question was put,
    /// the first time.
    pub(super) fn reached(&mut self, helper: NodeId, target: NodeId, seq: u64) -> Option<Duration> {
        let probe = self.open.get_mut(&seq)?;
        let ours = probe.target == target && probe.asked.contains(&helper) && !probe.reached;
        probe.reached |= ours;
        ours.then_some(probe.sent_at)
    }

    /// Whether the peer did not answer its ping in time, and nobody else has reached it since.
    pub(super) fn is_overdue(&self, target: NodeId) -> bool {
        self.open.values().any(|probe| probe.target == target && probe.is_overdue())
    }

    /// How many peers are overdue.
    pub(super) fn overdue(&self) -> usize {
        self.open.values().filter(|probe| probe.is_overdue()).count()
    }

    /// Drops the questions to all but these peers.
    pub(super) fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.open.retain(|_, probe| keep(probe.target));
    }

    /// Closes a question.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Probe> {
        self.open.remove(&seq)
    }

    /// Closes all questions, and returns whom those concerned that nobody answered.
    pub(super) fn take_unanswered(&mut self) -> Vec<NodeId> {
        let open = std::mem::take(&mut self.open).into_values();
        open.filter(|probe| !probe.reached).map(|probe| probe.target).collect()
    }

    /// Grants the time that we missed ourselves.
    pub(super) fn extend(&mut self, missed: Duration) {
        for probe in self.open.values_mut() {
            probe.ask_at = probe.ask_at.map(|at| at + missed);
            probe.deadline += missed;
        }
    }

    /// The questions with which something is to be done by `now`.
    pub(super) fn due(&self, now: Duration) -> Vec<u64> {
        let due = self.open.iter().filter(|(_, probe)| probe.next_timeout() <= now);
        due.map(|(seq, _)| *seq).collect()
    }

    /// When something is to be done next.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.open.values().map(Probe::next_timeout).min()
    }
}
