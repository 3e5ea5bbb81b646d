//! Listening for the others' heartbeats.
//!
//! A row of houses, each with a bell. Everybody rings for the next few houses down the row, and
//! listens for the few up the row: he knows how regularly each of their bells comes, and misses
//! it when it is later than that explains. If one of them falls silent, the next house up the row
//! comes within his hearing; he knocks there once instead of waiting whether its bell will come.
//!
//! This is the accrual detector of Hayashibara, Défago, Yared and Katayama (2004), see the module
//! `rhythm`, on a ring of neighbours, so that what a node sends does not grow with the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::alarms::Alarms;
use super::cases::{Cases, Standing, note};
use super::health::LocalHealth;
use super::lateness::{Absence, Lateness};
use super::order::ProbeOrder;
use super::probes::Probes;
use super::rhythm::{Rhythm, deviations_for};
use super::{Action, FailureDetector, Observation};
use crate::NodeId;
use crate::membership::{EvidenceKind, MembershipConfig};

/// In quarters of an interval: the least silence that is suspected, however regular the rhythm. One
/// heartbeat that gets lost is no silence.
const SILENT_QUARTERS_MIN: u32 = 9;

/// In quarters of an interval: the silence that is always suspected, however irregular the rhythm.
/// Beyond it, a crash would go unnoticed for longer than the configuration promises.
const SILENT_QUARTERS_MAX: u32 = 12;

/// The most doubted peers between a node and its watchers to which it goes on sending.
const DOUBTED_WATCHERS_MAX: usize = 16;

/// Finds failed peers by the heartbeats that stay away.
#[derive(Debug)]
pub struct Heartbeat {
    interval: Duration,
    watchers: usize,
    /// How many standard deviations late a heartbeat may be.
    deviations: f64,
    /// How many trusted peers this node may have between itself and an accused one, and one more,
    /// and still look at it.
    span: usize,
    rng: StdRng,
    now: Duration,
    cases: Cases,
    watched: BTreeMap<NodeId, Rhythm>,
    alarms: Alarms,
    probes: Probes,
    /// Whether there was no room for all questions that came up.
    look_due: bool,
    /// Whose turn it is to be reminded, if it is not trusted.
    order: ProbeOrder,
    beat_due: Option<Duration>,
    /// Whether any heartbeat came since we sent ours.
    heard_beat: bool,
    health: LocalHealth,
    lateness: Lateness,
    /// What the present observation has led to so far.
    actions: Vec<Action>,
}

impl Heartbeat {
    /// Watches nobody yet. `config` has passed its check; `seed` decides all that is left to
    /// chance.
    pub fn new(local: NodeId, config: &MembershipConfig, seed: u64) -> Self {
        Self {
            interval: config.heartbeat_interval,
            watchers: config.heartbeat_watchers,
            deviations: deviations_for(f64::from(config.phi_threshold)),
            span: 2 * config.observers - 1,
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            cases: Cases::new(local, config),
            watched: BTreeMap::new(),
            alarms: Alarms::default(),
            probes: Probes::new(config),
            look_due: false,
            order: ProbeOrder::default(),
            beat_due: None,
            heard_beat: false,
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
                // Who is new is no take-over: its heartbeats will come by themselves.
                self.watch(false);
            }
            Observation::Heard { from } => self.heard(from),
            Observation::Heartbeat { from } => {
                self.heard(from);
                if let Some(rhythm) = self.watched.get_mut(&from) {
                    rhythm.beat(now);
                    self.heard_beat = true;
                    self.set_alarm(from);
                }
            }
            Observation::Answered { from, seq } => self.answered(from, seq),
            // We ask nobody to ask.
            Observation::AnsweredThrough { .. } => {}
            Observation::ConnectionLost { peer } => self.cases.connection_lost(peer, actions),
            Observation::Verified { peer, result } => {
                if self.cases.verified(now, peer, result, actions) {
                    self.start_probe(peer);
                }
            }
            Observation::Accused { peer, by } => self.cases.accused(now, peer, by, actions),
            Observation::Settled { peer } => self.cases.settle(peer),
            Observation::Cleared { peer } => {
                // A question that is open was put to the life before, and a silence was its own.
                self.probes.retain(|target| target != peer);
                self.cases.clear(peer);
                self.restart(peer);
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
            self.beat_due = None;
        } else if self.beat_due.is_none() {
            // Nodes that start together should not ring together.
            let wait = self.interval.mul_f64(self.rng.random_range(0.0..1.0));
            self.beat_due = Some(self.now + wait);
        }
    }

    fn heard(&mut self, from: NodeId) {
        if self.cases.standing(from).is_some() {
            self.health.heard(self.now);
        }
    }

    fn timeout(&mut self) {
        let now = self.now;
        self.check_probes();
        while let Some(peer) = self.alarms.take_due(now) {
            self.check_rhythm(peer);
        }
        for peer in self.cases.timeout(now, &mut self.actions) {
            self.look_at(peer);
        }
        if self.beat_due.is_some_and(|due| due <= now) {
            self.beat();
            self.beat_due = Some(now + self.interval);
        }
    }

    /// Sends heartbeats to those who listen for them. Where one of them is doubted the next one
    /// listens too; the doubted one still hears us, should it live.
    fn beat(&mut self) {
        let mut doubted = 0;
        for (to, standing) in self.cases.successors(self.watchers) {
            doubted += usize::from(standing == Standing::Doubted);
            if standing == Standing::Trusted || doubted <= DOUBTED_WATCHERS_MAX {
                self.actions.push(Action::Heartbeat { to });
            }
        }
        if std::mem::take(&mut self.heard_beat) {
            self.health.better();
        }
        // After a healed partition this is how both sides get to object.
        if let Some(to) = self.order.next(&mut self.rng)
            && self.cases.standing(to) != Some(Standing::Trusted)
        {
            self.actions.push(Action::Remind { to });
        }
    }

    /// Listens for those who send us heartbeats, as far as we know. With `knock`, whoever comes
    /// into our hearing because somebody in between fell silent is asked for a sign of life:
    /// crashes come in company, and those who watched it may have gone down with it.
    fn watch(&mut self, knock: bool) {
        let near: BTreeMap<NodeId, Standing> = self.cases.predecessors(self.watchers).collect();
        self.watched.retain(|peer, _| {
            let keep = near.contains_key(peer);
            if !keep {
                self.alarms.clear(*peer);
            }
            keep
        });
        let doubted = near.values().filter(|standing| **standing == Standing::Doubted).count();
        let mut taken_over = false;
        for (peer, standing) in near {
            if standing == Standing::Trusted && !self.watched.contains_key(&peer) {
                self.watched.insert(peer, Rhythm::new(self.now, self.interval));
                self.set_alarm(peer);
                taken_over = true;
            }
        }
        if taken_over && knock {
            // The more are silent already, the farther we look at once.
            let farther = self.cases.predecessors(self.watchers + doubted);
            let trusted = farther.filter(|(_, standing)| *standing == Standing::Trusted);
            let unheard = trusted
                .map(|(peer, _)| peer)
                .filter(|peer| self.watched.get(peer).is_none_or(|rhythm| !rhythm.is_heard()));
            for peer in unheard.collect::<Vec<_>>() {
                self.start_probe(peer);
            }
        }
    }

    /// Begins to wait anew for the peer's heartbeats.
    fn restart(&mut self, peer: NodeId) {
        if let Some(rhythm) = self.watched.get_mut(&peer) {
            rhythm.restart(self.now);
            self.set_alarm(peer);
        }
    }

    fn set_alarm(&mut self, peer: NodeId) {
        if self.cases.is_suspected_by_us(peer) {
            self.alarms.clear(peer);
        } else if let Some(due) = self.missed_at(peer) {
            self.alarms.set(peer, due);
        }
    }

    /// When the peer will have been silent for too long.
    fn missed_at(&self, peer: NodeId) -> Option<Duration> {
        let rhythm = self.watched.get(&peer)?;
        let quarter = self.interval / 4;
        let allowed = rhythm
            .allowed(self.deviations)
            .clamp(quarter * SILENT_QUARTERS_MIN, quarter * SILENT_QUARTERS_MAX);
        Some(rhythm.last() + self.health.scale(allowed))
    }

    /// The peer's heartbeat is overdue, as it was when the alarm was set.
    fn check_rhythm(&mut self, peer: NodeId) {
        let now = self.now;
        let Some(rhythm) = self.watched.get(&peer) else { return };
        if self.missed_at(peer).is_some_and(|due| due > now) {
            // We have found ourselves unwell since.
            self.set_alarm(peer);
        } else if rhythm.is_heard() {
            let silent = now.saturating_sub(rhythm.last());
            let phi = rhythm.phi(now).round().min(f64::from(u16::MAX)) as u32;
            self.health.missed(now, rhythm.last());
            let local_health = self.health.score();
            let missing = EvidenceKind::HeartbeatsMissing { silent, phi, local_health };
            note(&mut self.actions, peer, missing);
            self.cases.suspect(now, peer, &mut self.actions);
        } else {
            // It never sent us any. Maybe it does not think that we should listen.
            self.start_probe(peer);
            self.restart(peer);
        }
    }

    /// Opens a question, unless there is nothing left to find out. Says whether one is open.
    fn start_probe(&mut self, target: NodeId) -> bool {
        self.cases.is_judged(target)
            && self.probes.start(self.now, target, &self.health, &mut self.actions)
    }

    /// Looks for itself at a peer that is doubted.
    fn look_at(&mut self, peer: NodeId) -> bool {
        let started = self.start_probe(peer);
        if started {
            self.cases.mark_looked(peer);
        }
        started
    }

    /// Looks at those of its next predecessors whom others accuse. Those whose rhythm we know need
    /// no asking: we shall miss them ourselves, or not.
    fn look_around(&mut self) {
        let known = |peer| self.watched.get(&peer).is_some_and(Rhythm::is_heard);
        let near = self.cases.predecessors(self.span).map(|(peer, _)| peer);
        let unseen = near.filter(|peer| self.cases.is_unseen(*peer) && !known(*peer));
        let unseen: Vec<NodeId> = unseen.collect();
        // Where there is no room for another question, the rest waits until one is closed.
        self.look_due = unseen.into_iter().any(|peer| !self.look_at(peer));
    }

    fn check_probes(&mut self) {
        for seq in self.probes.due(self.now) {
            let Some(probe) = self.probes.probe(seq) else { continue };
            let peer = probe.target;
            if probe.ask_at.is_some() {
                self.actions.push(Action::Ping { to: peer, seq });
                self.probes.set_asked(self.now, seq, Vec::new(), &self.health);
                continue;
            }
            let (sent_at, waited) = (probe.sent_at, self.now.saturating_sub(probe.sent_at));
            self.probes.remove(seq);
            let local_health = self.health.score();
            let timed_out = EvidenceKind::ProbeTimedOut { waited, local_health };
            note(&mut self.actions, peer, timed_out);
            self.health.missed(self.now, sent_at);
            self.cases.suspect(self.now, peer, &mut self.actions);
        }
    }

    fn answered(&mut self, from: NodeId, seq: u64) {
        let Some(probe) = self.probes.answered(from, seq) else { return };
        let round_trip = self.now.saturating_sub(probe.sent_at);
        note(&mut self.actions, from, EvidenceKind::ProbeAnswered { round_trip });
        self.health.better();
        if self.watched.get(&from).is_some_and(|rhythm| !rhythm.is_heard()) {
            self.restart(from);
        }
    }

    /// Holds our own absence against nobody. Returns whom to ask again.
    fn forgive_lateness(&mut self) -> Vec<NodeId> {
        let Some(absence) = self.lateness.notice(self.now) else { return Vec::new() };
        self.health.worse();
        self.cases.forgive(self.now, absence);
        for rhythm in self.watched.values_mut() {
            match absence {
                Absence::Short(missed) => rhythm.extend(missed),
                Absence::Long => rhythm.restart(self.now),
            }
        }
        let watched: Vec<NodeId> = self.watched.keys().copied().collect();
        watched.into_iter().for_each(|peer| self.set_alarm(peer));
        // This one is overdue, and no longer late.
        self.beat_due = self.beat_due.map(|due| due.max(self.now));
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
            self.watch(true);
        }
        if changed || (self.look_due && !self.probes.is_full()) {
            self.look_around();
        }
    }
}

impl FailureDetector for Heartbeat {
    fn handle(&mut self, now: Duration, observation: Observation) -> Vec<Action> {
        self.now = self.now.max(now);
        let again = self.forgive_lateness();
        self.observe(observation);
        for target in again {
            self.start_probe(target);
        }
        self.follow_up();
        let timers = self.probes.next_timeout().into_iter().chain(self.cases.next_timeout());
        let timers = timers.chain(self.alarms.next()).chain(self.beat_due);
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
