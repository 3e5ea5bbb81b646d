//! Who is there, as far as one node can tell.
//!
//! Picture a village at night without a bell tower. Every so often each villager knocks at one
//! neighbour's door. No answer may mean that the neighbour sleeps, or that the knock was drowned
//! by the wind, so three others are asked to knock too. If they get no answer either, the word
//! goes round that the neighbour is *suspected*. Whoever hears this of himself leans out of the
//! window and shouts "still here, and this is my *second* shout", and the count of his shouts is
//! how the old rumour loses against the new one wherever the two meet. Only who does not shout in
//! time is taken for gone. Two things make the village wise. Who has just overslept himself does
//! not blame the others for a silent hour. And who finds a door bricked up need not wait: he
//! looks a second time, to be sure that it is the right door, and says so.
//!
//! This is SWIM (Das, Gupta, Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process
//! Group Membership Protocol", 2002) with the corrections of Lifeguard (Dadgar, Phillips, Currey,
//! 2018), and with lost connections as a hint. It does not decide who belongs to the cluster: the
//! agreed view does, and comes in as [`Input::ViewChanged`].
//!
//! [`Membership`] is a value without socket, clock, task or random source: what happened goes in
//! with the time, what to do comes out.

mod config;
mod evidence;
mod exchange;
mod gossip;
mod health;
mod input;
mod message;
mod peer;
mod probe;
mod tombstone;
mod verdict;
mod verify;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub use config::{InvalidMembershipConfig, MembershipConfig};
use evidence::EvidenceKind;
#[cfg(test)]
use evidence::{Evidence, Verdict};
pub(crate) use input::{Effect, Input, Verification};
#[cfg(test)]
use message::Update;
pub(crate) use message::{Message, PeerState};
pub(crate) use peer::Peer;

use crate::{Incarnation, NodeId};

/// One node's picture of the others, and the protocol that keeps it true.
///
/// All times are [`Duration`]s since the node started, on a clock that keeps counting while the
/// process is stopped.
#[derive(Debug)]
pub(crate) struct Membership {
    local: NodeId,
    incarnation: Incarnation,
    config: MembershipConfig,
    rng: StdRng,
    now: Duration,
    peers: BTreeMap<NodeId, Peer>,
    tombstones: tombstone::Tombstones,

    order: probe::ProbeOrder,
    turn: u64,
    seq: u64,
    probes: BTreeMap<u64, probe::Probe>,
    relays: BTreeMap<u64, exchange::Relay>,
    probe_due: Option<Duration>,

    queue: gossip::GossipQueue,
    gossip_due: Option<Duration>,

    health: health::LocalHealth,
    /// When anything came from anybody.
    last_heard: Duration,
    /// The earliest of all timers, as it was after the last input.
    due: Option<Duration>,
    /// What the present input has led to so far.
    effects: Vec<Effect>,
}

impl Membership {
    /// A node that knows nobody yet. `config` has passed its check; `seed` decides all that is
    /// left to chance, so that the same inputs give the same effects.
    pub(crate) fn new(
        local: NodeId,
        incarnation: Incarnation,
        config: MembershipConfig,
        seed: u64,
    ) -> Self {
        let health = health::LocalHealth::new(config.local_health_max);
        Self {
            local,
            incarnation,
            config,
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            peers: BTreeMap::new(),
            tombstones: tombstone::Tombstones::default(),
            order: probe::ProbeOrder::default(),
            turn: 0,
            seq: 0,
            probes: BTreeMap::new(),
            relays: BTreeMap::new(),
            probe_due: None,
            queue: gossip::GossipQueue::default(),
            gossip_due: None,
            health,
            last_heard: Duration::ZERO,
            due: None,
            effects: Vec::new(),
        }
    }

    /// Takes one input and returns what is to be done, in order.
    pub(crate) fn handle(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now);
        self.forgive_lateness();
        match input {
            Input::ViewChanged(view) => self.view_changed(&view),
            Input::Received { from, message } => self.received(from, &message),
            Input::ConnectionLost { peer } => self.connection_lost(peer),
            Input::Verified { peer, result } => self.verified(peer, result),
            Input::Timeout => self.timeout(),
        }
        self.due = self.earliest_timer();
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Timeout`] is due, on the same clock as `now`; `None` while there is nothing
    /// to wait for. Changes with every input.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.due
    }

    /// Our own incarnation; only ever rises.
    #[cfg(test)]
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// What we know of a peer; `None` for ourselves and for nodes outside the view.
    #[cfg(test)]
    pub(crate) fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.get(&id)
    }

    /// All peers in the order of their ids, without ourselves.
    #[cfg(test)]
    pub(crate) fn peers(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    fn view_changed(&mut self, view: &[(NodeId, Incarnation)]) {
        let view: BTreeMap<NodeId, Incarnation> = view.iter().copied().collect();
        let gone: Vec<NodeId> =
            self.peers.keys().filter(|id| !view.contains_key(id)).copied().collect();
        for id in gone {
            self.drop_peer(id);
        }
        for (id, incarnation) in view {
            if id == self.local {
                if incarnation > self.incarnation {
                    self.raise_incarnation(incarnation);
                }
            } else if let Some(peer) = self.peers.get_mut(&id) {
                if incarnation > peer.incarnation {
                    peer.record(self.now, EvidenceKind::Readmitted { incarnation });
                    self.revive(id, incarnation);
                }
            } else {
                self.tombstones.forget(id);
                self.peers.insert(id, Peer::new(incarnation));
                self.order.insert(id, &mut self.rng);
            }
        }
        if self.peers.is_empty() {
            self.probe_due = None;
        } else if self.probe_due.is_none() {
            // Nodes that start together should not knock together.
            let wait = self.config.probe_interval.mul_f64(self.rng.random_range(0.0..1.0));
            self.probe_due = Some(self.now + wait);
        }
    }

    fn drop_peer(&mut self, id: NodeId) {
        if let Some(peer) = self.peers.remove(&id) {
            self.tombstones.bury(id, peer.incarnation);
        }
        self.order.remove(id);
        self.queue.remove(id);
        self.probes.retain(|_, probe| probe.target != id);
    }

    fn timeout(&mut self) {
        let now = self.now;
        self.check_probes();
        self.check_doubts();
        if self.probe_due.is_some_and(|due| due <= now) {
            self.probe_next();
            // Lifeguard stretches the period along with the probe that fills it.
            self.probe_due = Some(now + self.health.scale(self.config.probe_interval));
        }
        if self.gossip_due.is_some_and(|due| due <= now) {
            self.gossip();
        }
    }

    fn check_doubts(&mut self) {
        let now = self.now;
        let due: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.next_timeout().is_some_and(|due| due <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if let Some(suspicion) = &mut peer.suspicion {
                if suspicion.deadline <= now {
                    let waited = now.saturating_sub(suspicion.since);
                    let incarnation = peer.incarnation;
                    peer.record(now, EvidenceKind::SuspicionExpired { waited });
                    self.convict(id, incarnation);
                    continue;
                }
                if suspicion.take_reminder(now) {
                    self.remind(id);
                }
            }
            self.confirm_gone(id);
        }
    }

    /// Holds the time in which this process did not run against nobody.
    ///
    /// A timer that fires late means that we were starved or stopped. Answers and objections may
    /// have come meanwhile and sit unread, so no deadline that passed in our absence is evidence.
    /// After a short absence all deadlines move by what we missed; after one as long as a probe
    /// period, open probes are asked again and suspects get their whole time again, from now.
    /// Any input can be the first after an absence, so this comes before all of them.
    fn forgive_lateness(&mut self) {
        let now = self.now;
        let Some(missed) = self.due.and_then(|due| now.checked_sub(due)) else { return };
        if missed <= self.config.late_timer {
            return;
        }
        self.health.worse();
        let long = missed >= self.config.probe_interval;
        let timeout = self.config.suspicion_timeout;
        for peer in self.peers.values_mut() {
            if let Some(suspicion) = &mut peer.suspicion {
                if long {
                    *suspicion = peer::Suspicion::new(now, timeout);
                } else {
                    suspicion.extend(missed);
                }
            }
            if let peer::Verifying::Waiting { until } = &mut peer.verifying {
                *until = now.max(*until);
            }
        }
        if long {
            for probe in std::mem::take(&mut self.probes).into_values() {
                self.start_probe(probe.target);
            }
        } else {
            for probe in self.probes.values_mut() {
                probe.ask_at = probe.ask_at.map(|at| at + missed);
                probe.deadline += missed;
            }
        }
        // These are overdue, and no longer late.
        self.probe_due = self.probe_due.map(|due| due.max(now));
        self.gossip_due = self.gossip_due.map(|due| due.max(now));
    }

    fn earliest_timer(&self) -> Option<Duration> {
        let probes = self.probes.values().map(probe::Probe::next_timeout);
        let doubts = self.peers.values().filter_map(Peer::next_timeout);
        probes.chain(doubts).chain(self.probe_due).chain(self.gossip_due).min()
    }
}
