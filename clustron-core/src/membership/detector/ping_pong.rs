//! Asking one peer after the other for a sign of life.
//!
//! A villager who knocks at doors: at every second knock that of his neighbour, in between one by
//! lot. Where nobody opens he has three others knock. Some doors stick only for him: if the
//! others are let in, then the way is at fault and not the one who lives there. And when he hears
//! that somebody near is not answering, he goes and knocks himself.
//!
//! This is the probing of SWIM (Das, Gupta, Motivala, "SWIM: Scalable Weakly-consistent
//! Infection-style Process Group Membership Protocol", 2002) with the corrections of Lifeguard
//! (Dadgar, Phillips, Currey, 2018: <https://arxiv.org/abs/1707.00788>), and with a ring of
//! neighbours that bounds how long a crash can go unnoticed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::cases::{Cases, Standing, note};
use super::health::LocalHealth;
use super::lateness::{Absence, Lateness};
use super::links::Links;
use super::order::ProbeOrder;
use super::probes::Probes;
use super::{Action, FailureDetector, Observation};
use crate::NodeId;
use crate::membership::{EvidenceKind, MembershipConfig};

/// Finds failed peers by direct and indirect probes.
#[derive(Debug)]
pub struct PingPong {
    interval: Duration,
    indirect_probes: usize,
    /// How many trusted peers this node may have between itself and an accused one, and one more,
    /// and still look at it.
    span: usize,
    rng: StdRng,
    now: Duration,
    cases: Cases,
    order: ProbeOrder,
    turn: u64,
    /// The first trusted peer after us on the ring.
    neighbour: Option<NodeId>,
    probes: Probes,
    probe_due: Option<Duration>,
    links: Links,
    /// Whether there was no room for all questions that came up.
    look_due: bool,
    health: LocalHealth,
    lateness: Lateness,
    /// What the present observation has led to so far.
    actions: Vec<Action>,
}

impl PingPong {
    /// Watches nobody yet. `config` has passed its check; `seed` decides all that is left to
    /// chance.
    pub fn new(local: NodeId, config: &MembershipConfig, seed: u64) -> Self {
        Self {
            interval: config.probe_interval,
            indirect_probes: config.indirect_probes,
            span: 2 * config.observers - 1,
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            cases: Cases::new(local, config),
            order: ProbeOrder::default(),
            turn: 0,
            neighbour: None,
            probes: Probes::new(config),
            probe_due: None,
            links: Links::default(),
            look_due: false,
            health: LocalHealth::new(config.local_health_max),
            lateness: Lateness::new(config),
            actions: Vec::new(),
        }
    }

    fn observe(&mut self, observation: Observation) {
        let (now, actions) = (self.now, &mut self.actions);
        match observation {
            Observation::Peers(peers) => {
                let change = self.cases.set_peers(&peers);
                for id in change.gone {
                    self.order.remove(id);
                }
                for id in change.new {
                    self.order.insert(id, &mut self.rng);
                }
                self.start_or_stop();
                // Who is new is asked in its turn.
                self.meet_neighbour();
            }
            Observation::Heard { from } | Observation::Heartbeat { from } => {
                if self.cases.standing(from).is_some() {
                    self.health.heard(now);
                }
            }
            Observation::Answered { from, seq } => self.answered(from, seq),
            Observation::AnsweredThrough { helper, target, seq } => {
                if let Some(sent_at) = self.probes.reached(helper, target, seq) {
                    let after = now.saturating_sub(sent_at);
                    note(actions, target, EvidenceKind::AnsweredThrough { helper, after });
                }
            }
            Observation::ConnectionLost { peer } => self.cases.connection_lost(peer, actions),
            Observation::Verified { peer, result } => {
                if self.cases.verified(now, peer, result, actions) {
                    self.start_urgent_probe(peer);
                }
            }
            Observation::Accused { peer, by } => self.cases.accused(now, peer, by, actions),
            Observation::Settled { peer } => self.cases.settle(peer),
            Observation::Cleared { peer } => {
                // A question that is open was put to the life before.
                self.probes.retain(|target| target != peer);
                self.cases.clear(peer);
            }
            Observation::Unconfirmed { peer } => {
                if self.cases.reopen(now, peer) {
                    self.look_at(peer);
                }
            }
            Observation::AccusedOurselves => self.health.worse(),
            Observation::Timeout => self.timeout(),
        }
    }

    fn start_or_stop(&mut self) {
        if self.cases.is_empty() {
            self.probe_due = None;
        } else if self.probe_due.is_none() {
            // Nodes that start together should not knock together.
            let wait = self.interval.mul_f64(self.rng.random_range(0.0..1.0));
            self.probe_due = Some(self.now + wait);
        }
    }

    fn meet_neighbour(&mut self) {
        let neighbour = self.trusted_successors().next();
        self.neighbour = neighbour;
    }

    fn timeout(&mut self) {
        let now = self.now;
        self.check_probes();
        for peer in self.cases.timeout(now, &mut self.actions) {
            self.look_at(peer);
        }
        if self.probe_due.is_some_and(|due| due <= now) {
            self.probe_next();
            // Lifeguard stretches the period too. But then a crash that only this node watches
            // would wait for its recovery; that it allows others more time to answer is enough.
            self.probe_due = Some(now + self.interval);
        }
    }

    /// Probes whoever's turn it is. Every other turn goes to the neighbour: the random order
    /// finds a crash quickly in most cases, the ring of neighbours bounds it to two periods in
    /// all cases and at any size.
    fn probe_next(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        for peer in self.links.retest(self.turn) {
            self.start_probe(peer);
        }
        let random =
            if self.turn.is_multiple_of(2) { self.order.next(&mut self.rng) } else { None };
        // Where all are silent there is no neighbour, and only the random order has anybody left.
        let target = random.or_else(|| self.neighbours().next());
        let Some(target) = target.or_else(|| self.order.next(&mut self.rng)) else { return };
        match self.cases.standing(target) {
            Some(Standing::Trusted) => {
                self.start_probe(target);
            }
            // There is nothing left to find out about it, but the message tells it that it is
            // doubted. After a healed partition this is how both sides get to object.
            Some(Standing::Doubted | Standing::Failed) => {
                self.actions.push(Action::Remind { to: target });
            }
            None => {}
        }
    }

    /// Opens a question, unless there is nothing left to find out. Says whether one is open.
    fn start_probe(&mut self, target: NodeId) -> bool {
        self.cases.is_judged(target)
            && self.probes.start(self.now, target, &self.health, &mut self.actions)
    }

    /// Opens a question and asks the others along, because there already is reason for doubt. Says
    /// whether there was room for it.
    fn start_urgent_probe(&mut self, target: NodeId) -> bool {
        let started = self.start_probe(target);
        if let Some(seq) = self.probes.of(target)
            && self.probes.probe(seq).is_some_and(|probe| probe.ask_at.is_some())
        {
            self.ask_others(seq);
        }
        started
    }

    /// Looks for itself at a peer that is doubted.
    fn look_at(&mut self, peer: NodeId) -> bool {
        let started = self.start_urgent_probe(peer);
        if started {
            self.cases.mark_looked(peer);
        }
        started
    }

    /// Looks at those of its next successors whom others accuse. Each accused peer is so looked at
    /// by a few nodes, whichever of them heard of it, and not by all.
    fn look_around(&mut self) {
        let near = self.cases.successors(self.span).map(|(peer, _)| peer);
        let unseen: Vec<NodeId> = near.filter(|peer| self.cases.is_unseen(*peer)).collect();
        // Where there is no room for another question, the rest waits until one is closed.
        self.look_due = unseen.into_iter().any(|peer| !self.look_at(peer));
    }

    /// Moves the open questions on.
    fn check_probes(&mut self) {
        for seq in self.probes.due(self.now) {
            if self.probes.probe(seq).is_some_and(|probe| probe.ask_at.is_some()) {
                self.ask_others(seq);
                self.look_farther();
            } else {
                self.probe_ended(seq);
            }
        }
    }

    /// Crashes come in company. The silent peer may have been the one who watches, or whom we
    /// watch: look at the next neighbour now, not in two periods. The more are silent already, the
    /// farther we look at once.
    fn look_farther(&mut self) {
        let silent = self.probes.overdue();
        let next: Vec<NodeId> = self.neighbours().take(silent).collect();
        for neighbour in next {
            self.start_probe(neighbour);
        }
    }

    fn ask_others(&mut self, seq: u64) {
        let Some(target) = self.probes.probe(seq).map(|probe| probe.target) else { return };
        let asked = self.cases.draw(self.indirect_probes, target, &mut self.rng);
        for helper in &asked {
            self.actions.push(Action::PingThrough { helper: *helper, target, seq });
        }
        if asked.is_empty() {
            // Nobody is there to ask. One lost message should not be enough.
            self.actions.push(Action::Ping { to: target, seq });
        }
        self.probes.set_asked(self.now, seq, asked, &self.health);
    }

    fn answered(&mut self, from: NodeId, seq: u64) {
        let Some(probe) = self.probes.answered(from, seq) else { return };
        let round_trip = self.now.saturating_sub(probe.sent_at);
        note(&mut self.actions, from, EvidenceKind::ProbeAnswered { round_trip });
        self.health.better();
        if self.links.mended(from) {
            self.actions.push(Action::Link { peer: from, works: true });
        }
    }

    /// The time for an answer is over, and none came on the direct way.
    fn probe_ended(&mut self, seq: u64) {
        let Some(probe) = self.probes.remove(seq) else { return };
        let peer = probe.target;
        if probe.reached {
            if self.links.broke(peer) {
                self.actions.push(Action::Link { peer, works: false });
            }
            return;
        }
        let waited = self.now.saturating_sub(probe.sent_at);
        let local_health = self.health.score();
        note(&mut self.actions, peer, EvidenceKind::ProbeTimedOut { waited, local_health });
        if !probe.asked.is_empty() {
            let failed = EvidenceKind::IndirectProbesFailed { asked: probe.asked };
            note(&mut self.actions, peer, failed);
        }
        self.health.missed(self.now, probe.sent_at);
        self.cases.suspect(self.now, peer, &mut self.actions);
    }

    /// The trusted peers after us on the ring that do not owe us an answer, nearest first. Skipping
    /// the silent ones, several neighbours that crash together are all found.
    fn neighbours(&self) -> impl Iterator<Item = NodeId> {
        self.trusted_successors().filter(|peer| !self.probes.is_overdue(*peer))
    }

    fn trusted_successors(&self) -> impl Iterator<Item = NodeId> {
        let all = self.cases.successors(usize::MAX);
        all.filter(|(_, standing)| *standing == Standing::Trusted).map(|(peer, _)| peer)
    }

    /// Holds our own absence against nobody. Returns whom to ask again.
    fn forgive_lateness(&mut self) -> Vec<NodeId> {
        let Some(absence) = self.lateness.notice(self.now) else { return Vec::new() };
        self.health.worse();
        self.cases.forgive(self.now, absence);
        // This one is overdue, and no longer late.
        self.probe_due = self.probe_due.map(|due| due.max(self.now));
        match absence {
            Absence::Short(missed) => {
                self.probes.extend(missed);
                Vec::new()
            }
            Absence::Long => self.probes.take_unanswered(),
        }
    }

    /// Draws the consequences where somebody's standing changed.
    fn follow_up(&mut self) {
        let changed = self.cases.take_changed();
        if changed {
            let cases = &self.cases;
            self.probes.retain(|peer| cases.is_judged(peer));
            self.links.retain(|peer| cases.is_judged(peer));
            // Whoever stood between us and the new neighbour was watching it, and is silent.
            let before = self.neighbour;
            self.meet_neighbour();
            if let Some(neighbour) = self.neighbour.filter(|new| Some(*new) != before) {
                self.start_probe(neighbour);
            }
        }
        if changed || (self.look_due && !self.probes.is_full()) {
            self.look_around();
        }
    }
}

impl FailureDetector for PingPong {
    fn handle(&mut self, now: Duration, observation: Observation) -> Vec<Action> {
        self.now = self.now.max(now);
        let again = self.forgive_lateness();
        self.observe(observation);
        for target in again {
            self.start_probe(target);
        }
        self.follow_up();
        let probes = self.probes.next_timeout();
        let timers = probes.into_iter().chain(self.cases.next_timeout()).chain(self.probe_due);
        self.lateness.expect(timers.min());
        std::mem::take(&mut self.actions)
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.lateness.due()
    }

    fn local_health(&self) -> u32 {
        self.health.score()
    }
}

#[cfg(test)]
mod tests;
