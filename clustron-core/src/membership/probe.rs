//! Asking one peer after the other for a sign of life.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::evidence::EvidenceKind;
use super::message::{Message, PeerState};
use super::{Effect, Membership};
use crate::NodeId;

/// The order in which peers are probed: a shuffled pass over all of them, then another (SWIM
/// §4.3). Nobody waits longer than two passes, and no two nodes ask in the same order.
#[derive(Debug, Default)]
pub(crate) struct ProbeOrder {
    pass: Vec<NodeId>,
    next: usize,
}

impl ProbeOrder {
    /// Puts a new peer at a random place among those that are still to come in this pass.
    pub(crate) fn insert(&mut self, peer: NodeId, rng: &mut StdRng) {
        let at = rng.random_range(self.next.min(self.pass.len())..=self.pass.len());
        self.pass.insert(at, peer);
    }

    /// Takes a peer out.
    pub(crate) fn remove(&mut self, peer: NodeId) {
        if let Some(at) = self.pass.iter().position(|other| *other == peer) {
            self.pass.remove(at);
            if at < self.next {
                self.next -= 1;
            }
        }
    }

    /// The next peer; `None` if there are none.
    pub(crate) fn next(&mut self, rng: &mut StdRng) -> Option<NodeId> {
        if self.next >= self.pass.len() {
            self.pass.shuffle(rng);
            self.next = 0;
        }
        let peer = self.pass.get(self.next).copied()?;
        self.next += 1;
        Some(peer)
    }
}

/// A question to a peer that is still open. It is kept under the `seq` of its ping.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) target: NodeId,
    pub(super) sent_at: Duration,
    /// When others are asked to try; `None` once they were.
    pub(super) ask_at: Option<Duration>,
    pub(super) deadline: Duration,
    /// Who was asked to try.
    pub(super) asked: Vec<NodeId>,
}

impl Probe {
    pub(super) fn next_timeout(&self) -> Duration {
        self.ask_at.map_or(self.deadline, |ask_at| ask_at.min(self.deadline))
    }
}

impl Membership {
    /// Probes whoever's turn it is. Every other turn goes to the neighbour, that is the first
    /// Alive peer after us in the order of ids: the random order finds a crash quickly in most
    /// cases, the ring of neighbours bounds it to two periods in all cases and at any size.
    pub(super) fn probe_next(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        let random =
            if self.turn.is_multiple_of(2) { self.order.next(&mut self.rng) } else { None };
        // Where all are silent there is no neighbour, and only the random order has anybody left.
        let target = random.or_else(|| self.neighbour());
        let Some(target) = target.or_else(|| self.order.next(&mut self.rng)) else { return };
        match self.peers.get(&target).map(|peer| peer.state) {
            Some(PeerState::Alive) => self.start_probe(target),
            // There is nothing left to find out about it, but the ping tells it that it is
            // doubted. After a healed partition this is how both sides get to object.
            Some(PeerState::Suspect | PeerState::Down) => self.remind(target),
            None => {}
        }
    }

    /// Opens a question, unless one is open already.
    pub(super) fn start_probe(&mut self, target: NodeId) {
        if self.probes.values().any(|probe| probe.target == target) {
            return;
        }
        let seq = self.ping(target);
        let probe = Probe {
            target,
            sent_at: self.now,
            ask_at: Some(self.now + self.health.scale(self.config.probe_timeout)),
            deadline: self.now + self.health.scale(self.config.probe_interval),
            asked: Vec::new(),
        };
        self.probes.insert(seq, probe);
    }

    /// Opens a question and asks the others along, because there already is reason for doubt.
    pub(super) fn start_urgent_probe(&mut self, target: NodeId) {
        self.start_probe(target);
        let open = self.probes.iter().find(|(_, p)| p.target == target && p.ask_at.is_some());
        if let Some(seq) = open.map(|(seq, _)| *seq) {
            self.ask_others(seq);
        }
    }

    /// Pings a peer without expecting anything: the message alone tells it what we think of it.
    pub(super) fn remind(&mut self, peer: NodeId) {
        self.ping(peer);
    }

    /// Moves the open questions on.
    pub(super) fn check_probes(&mut self) {
        let due: Vec<u64> = self
            .probes
            .iter()
            .filter(|(_, probe)| probe.next_timeout() <= self.now)
            .map(|(seq, _)| *seq)
            .collect();
        for seq in due {
            if self.probes.get(&seq).is_some_and(|probe| probe.ask_at.is_some()) {
                self.ask_others(seq);
                // Crashes come in company. The silent peer may have been the one who watches, or
                // whom we watch: look at the next one now, not in two periods.
                if let Some(neighbour) = self.neighbour() {
                    self.start_probe(neighbour);
                }
            } else {
                self.probe_failed(seq);
            }
        }
    }

    /// A peer answered our ping.
    pub(super) fn probe_answered(&mut self, from: NodeId, seq: u64) {
        if self.probes.get(&seq).is_none_or(|probe| probe.target != from) {
            return;
        }
        if let Some(probe) = self.probes.remove(&seq)
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.round_trip = Some(self.now.saturating_sub(probe.sent_at));
            self.health.better();
        }
    }

    /// A peer that we asked to try reports that `target` answered. Says nothing about our own
    /// health, because the direct path failed.
    pub(super) fn probe_answered_indirectly(&mut self, from: NodeId, seq: u64, target: NodeId) {
        let ours = |probe: &Probe| probe.target == target && probe.asked.contains(&from);
        if self.probes.get(&seq).is_some_and(ours) {
            self.probes.remove(&seq);
        }
    }

    fn ask_others(&mut self, seq: u64) {
        let Some(probe) = self.probes.get_mut(&seq) else { return };
        let target = probe.target;
        let others: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(id, peer)| **id != target && peer.state == PeerState::Alive)
            .map(|(id, _)| *id)
            .collect();
        let asked: Vec<NodeId> =
            others.choose_multiple(&mut self.rng, self.config.indirect_probes).copied().collect();
        // Counted from now: should this timer be late, then the others still get their time.
        let rest = self.config.probe_interval.saturating_sub(self.config.probe_timeout);
        probe.deadline = probe.deadline.max(self.now + self.health.scale(rest));
        probe.ask_at = None;
        probe.asked = asked.clone();
        for other in asked {
            let updates = self.updates_for(other);
            let message = Message::PingRequest { seq, target, updates };
            self.effects.push(Effect::Send { to: other, message });
        }
    }

    fn probe_failed(&mut self, seq: u64) {
        let Some(probe) = self.probes.remove(&seq) else { return };
        let Some(peer) = self.peers.get_mut(&probe.target) else { return };
        let waited = self.now.saturating_sub(probe.sent_at);
        peer.record(self.now, EvidenceKind::ProbeTimedOut { waited });
        if !probe.asked.is_empty() {
            peer.record(self.now, EvidenceKind::IndirectProbesFailed { asked: probe.asked });
        }
        if peer.state == PeerState::Alive {
            let incarnation = peer.incarnation;
            // Hearing from nobody at all is a sign that the fault is ours; hearing from others
            // is a sign that it is not, however many are silent. The peers that were asked to try
            // have at least confirmed that (as Lifeguard's negative acknowledgements do).
            if self.last_heard < probe.sent_at {
                self.health.worse();
            }
            self.suspect(probe.target, incarnation);
            self.remind(probe.target);
        }
    }

    /// The first peer after us in the order of ids, which is a ring, that is Alive and does not
    /// owe us an answer. Skipping the silent ones means that of several neighbours which crash
    /// together each is found one `probe_timeout` after the one before.
    fn neighbour(&self) -> Option<NodeId> {
        let silent =
            |id: NodeId| self.probes.values().any(|p| p.target == id && p.ask_at.is_none());
        let after = self.peers.range(self.local..);
        let around = self.peers.range(..self.local);
        after
            .chain(around)
            .find(|(id, peer)| peer.state == PeerState::Alive && !silent(**id))
            .map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn every_pass_visits_every_peer_once_in_a_new_order() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut order = ProbeOrder::default();
        for id in 0..20 {
            order.insert(NodeId(id), &mut rng);
        }
        let mut pass = || (0..20).map(|_| order.next(&mut rng).unwrap()).collect::<Vec<_>>();
        let (first, second) = (pass(), pass());
        assert_ne!(first, second);
        for pass in [first, second] {
            assert_eq!(pass.into_iter().collect::<BTreeSet<_>>().len(), 20);
        }
    }

    #[test]
    fn a_peer_that_joins_or_leaves_in_mid_pass_changes_nobody_elses_turn() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut order = ProbeOrder::default();
        for id in 0..4 {
            order.insert(NodeId(id), &mut rng);
        }
        let mut seen = vec![order.next(&mut rng).unwrap(), order.next(&mut rng).unwrap()];
        order.insert(NodeId(9), &mut rng);
        order.remove(seen[0]);
        seen.extend((0..3).map(|_| order.next(&mut rng).unwrap()));
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 5);
    }

    #[test]
    fn nobody_is_next_among_none() {
        assert_eq!(ProbeOrder::default().next(&mut StdRng::seed_from_u64(7)), None);
    }
}
