//! Who is there, as far as one node can tell.
//!
//! Picture a village at night without a bell tower. A watchman who gets no answer at a neighbour's
//! door says so, and the word goes round that the neighbour is *suspected*. Whoever hears this of
//! himself leans out of the window and shouts "still here, and this is my *second* shout", and the
//! count of his shouts is how the old rumour loses against the new one wherever the two meet. Only
//! who does not shout in time is taken for gone. And because word of mouth now and then misses a
//! house, two villagers who meet compare what they know.
//!
//! How the watchman goes about it is the [`FailureDetector`]'s business; [`Membership`] is the word
//! of mouth. It is SWIM (Das, Gupta, Motivala, "SWIM: Scalable Weakly-consistent Infection-style
//! Process Group Membership Protocol", 2002) with the corrections of Lifeguard (Dadgar, Phillips,
//! Currey, 2018), lost connections as a hint, and anti-entropy. It does not decide who belongs to
//! the cluster: the agreed view does, and comes in as [`Input::ViewChanged`].
//!
//! Both are values without socket, clock, task or random source: what happened goes in with the
//! time, what to do comes out.

mod bug;
mod config;
mod describe;
mod detector;
mod evidence;
mod exchange;
mod gossip;
mod input;
mod message;
mod opinion;
mod peer;
mod pool;
mod relay;
mod sync;
mod tombstone;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub use bug::Bug;
pub use config::{DetectorKind, InvalidMembershipConfig, MembershipConfig};
pub use detector::{
    Action, FailureDetector, Heartbeat, Observation, PingPong, Quorum, Verification,
    configured_detector,
};
pub use evidence::{Case, EVIDENCE_MAX, Evidence, EvidenceKind, Verdict};
pub use input::{Effect, Input, Listed};
pub use message::{LINKS_MAX, Message, NEWS_MAX, News, PeerState, Range, Standing};
use peer::Peer;

use crate::{Incarnation, Metadata, NodeId};

/// One node's picture of the others, and the protocol that keeps it true.
///
/// All times are [`Duration`]s since the node started, on a clock that keeps counting while the
/// process is stopped.
#[derive(Debug)]
pub struct Membership {
    local: NodeId,
    incarnation: Incarnation,
    leaving: bool,
    described: peer::Described,
    links: peer::Links,
    config: MembershipConfig,
    detector: Box<dyn FailureDetector>,
    rng: StdRng,
    now: Duration,

    peers: BTreeMap<NodeId, Peer>,
    roster: pool::Pool,
    /// The peers that are not Alive.
    doubted: BTreeSet<NodeId>,
    /// The last one of them that was told.
    doubts_told: Option<NodeId>,
    /// Whom the present message accuses of what they have objected to; at most as many as one
    /// message has news.
    outdated: Vec<NodeId>,
    tombstones: tombstone::Tombstones,

    seq: u64,
    relays: relay::Relays,
    queue: gossip::GossipQueue,
    gossip_due: Option<Duration>,
    sync_due: Option<Duration>,
    /// The fingerprint of this node, and the sum of all.
    own_print: u64,
    print: u64,

    #[cfg(feature = "simulation")]
    bug: Option<Bug>,
    /// What the present input has led to so far.
    effects: Vec<Effect>,
}

impl Membership {
    /// A node that knows nobody yet, with the detector that its configuration names. `node` is how
    /// it describes itself; `config` has passed its check; `seed` decides all that is left to
    /// chance, so that the same inputs give the same effects.
    ///
    /// A node that starts again under its old identity comes with a higher incarnation, and with
    /// [`Listed::first_revision`] for its metadata, so that what it says now is newer than anything
    /// that it said before.
    pub fn new(node: &Listed, config: MembershipConfig, seed: u64) -> Self {
        let detector = configured_detector(node.id, &config, seed);
        Self::with_detector(node, config, seed, detector)
    }

    /// The same with a detector of your own.
    pub fn with_detector(
        node: &Listed,
        config: MembershipConfig,
        seed: u64,
        detector: Box<dyn FailureDetector>,
    ) -> Self {
        let mut membership = Self {
            local: node.id,
            incarnation: node.incarnation,
            leaving: false,
            described: peer::Described {
                revision: node.revision,
                metadata: node.metadata.clone(),
                listed: node.revision,
            },
            links: peer::Links {
                version: Listed::first_revision(node.incarnation),
                broken: Vec::new(),
            },
            config,
            detector,
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            peers: BTreeMap::new(),
            roster: pool::Pool::default(),
            doubted: BTreeSet::new(),
            doubts_told: None,
            outdated: Vec::new(),
            tombstones: tombstone::Tombstones::default(),
            seq: 0,
            relays: relay::Relays::default(),
            queue: gossip::GossipQueue::default(),
            gossip_due: None,
            sync_due: None,
            own_print: 0,
            print: 0,
            #[cfg(feature = "simulation")]
            bug: None,
            effects: Vec::new(),
        };
        membership.reprint(node.id);
        membership
    }

    /// Takes one input and returns what is to be done, in order.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now);
        match input {
            Input::ViewChanged(view) => self.view_changed(view),
            Input::Received { from, message } => self.received(from, &message),
            Input::ConnectionLost { peer } => self.observe(Observation::ConnectionLost { peer }),
            Input::Verified { peer, result } => {
                self.observe(Observation::Verified { peer, result });
            }
            Input::Describe { revision, metadata } => self.describe(revision, metadata),
            Input::Leave => self.leave(),
            Input::Timeout => self.timeout(),
        }
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Timeout`] is due, on the same clock as `now`; `None` while there is nothing
    /// to wait for. Changes with every input.
    pub fn next_timeout(&self) -> Option<Duration> {
        let timers = [self.detector.next_timeout(), self.gossip_due, self.sync_due];
        timers.into_iter().flatten().min()
    }

    /// This node.
    pub fn local(&self) -> NodeId {
        self.local
    }

    /// Our own incarnation; only ever rises.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// What a peer is thought to be; `None` for ourselves and for nodes outside the view.
    pub fn state(&self, node: NodeId) -> Option<PeerState> {
        self.peers.get(&node).map(|peer| peer.state)
    }

    /// The peers that are not Alive, in the order of their ids.
    pub fn doubted(&self) -> impl Iterator<Item = (NodeId, PeerState)> {
        self.doubted.iter().filter_map(|id| Some((*id, self.state(*id)?)))
    }

    /// How a node describes itself, and which revision that is.
    pub fn metadata(&self, node: NodeId) -> Option<(u64, &Metadata)> {
        let described = match node == self.local {
            true => &self.described,
            false => &self.peers.get(&node)?.described,
        };
        Some((described.revision, &described.metadata))
    }

    /// Everything that speaks for or against a peer; `None` for ourselves and for nodes outside the
    /// view.
    pub fn case(&self, node: NodeId) -> Option<Case> {
        let peer = self.peers.get(&node)?;
        Some(Case {
            node,
            incarnation: peer.incarnation,
            state: peer.state,
            last_heard: peer.last_heard,
            round_trip: peer.round_trip,
            accusers: peer.accusers.clone(),
            local_health: self.detector.local_health(),
            evidence: peer.evidence(),
        })
    }

    fn view_changed(&mut self, view: Vec<Listed>) {
        let (gone, news) = self.differences(view);
        let mut others_changed = !gone.is_empty();
        gone.into_iter().for_each(|id| self.drop_peer(id));
        for listed in news {
            let id = listed.id;
            if id == self.local {
                // What the view has is our own word, of this life: see `Listed::first_revision`.
                self.described.list(&listed);
                self.reprint(id);
                if listed.incarnation > self.incarnation {
                    self.raise_incarnation(listed.incarnation);
                }
            } else if let Some(peer) = self.peers.get_mut(&id) {
                peer.described.list(&listed);
                if listed.incarnation > peer.incarnation {
                    let incarnation = listed.incarnation;
                    peer.record(self.now, EvidenceKind::Readmitted { incarnation });
                    self.revive(id, incarnation);
                }
                self.reprint(id);
            } else {
                others_changed = true;
                self.tombstones.forget(id);
                self.peers.insert(id, Peer::new(&listed));
                self.roster.insert(id);
                self.reprint(id);
            }
        }
        if others_changed {
            self.observe(Observation::Peers(self.peers.keys().copied().collect()));
        }
        if self.peers.is_empty() {
            self.sync_due = None;
        } else if self.sync_due.is_none() {
            // Nodes that start together should not compare together.
            self.sync_due = Some(self.now + self.config.sync_interval.mul_f64(self.rng.random()));
        }
    }

    /// Whom a view lacks, and what it says that is news here, by id. Of a thousand nodes a change
    /// of the view is about one or two.
    fn differences(&self, mut view: Vec<Listed>) -> (Vec<NodeId>, Vec<Listed>) {
        if !view.is_sorted_by_key(|listed| listed.id) {
            view.sort_by_key(|listed| listed.id);
        }
        let mut known = self.peers.iter().peekable();
        let mut gone = Vec::new();
        view.retain(|listed| {
            while let Some((id, _)) = known.next_if(|(id, _)| **id < listed.id) {
                gone.push(*id);
            }
            known.next_if(|(id, _)| **id == listed.id).is_none_or(|(_, peer)| {
                listed.incarnation > peer.incarnation || listed.revision != peer.described.listed
            })
        });
        gone.extend(known.map(|(id, _)| *id));
        (gone, view)
    }

    fn drop_peer(&mut self, id: NodeId) {
        if let Some(peer) = self.peers.remove(&id) {
            self.tombstones.bury(id, peer.incarnation);
            self.print = self.print.wrapping_sub(peer.print);
        }
        self.roster.remove(id);
        self.doubted.remove(&id);
        self.queue.remove(id);
        self.link_changed(id, true);
    }

    fn leave(&mut self) {
        if !self.leaving {
            self.leaving = true;
            self.reprint(self.local);
            self.tell_others(gossip::Topic::Standing, self.own_standing());
            self.gossip();
        }
    }

    fn timeout(&mut self) {
        let now = self.now;
        if self.detector.next_timeout().is_some_and(|due| due <= now) {
            self.observe(Observation::Timeout);
        }
        if self.gossip_due.is_some_and(|due| due <= now) {
            self.gossip();
        }
        if self.sync_due.is_some_and(|due| due <= now) {
            self.sync();
            self.sync_due = Some(now + self.config.sync_interval);
        }
    }

    /// Hands an observation to the detector, and does what it says.
    fn observe(&mut self, observation: Observation) {
        for action in self.detector.handle(self.now, observation) {
            match action {
                Action::Ping { to, seq } => self.ping(to, seq),
                Action::Remind { to } => drop(self.remind(to)),
                Action::PingThrough { helper, target, seq } => {
                    self.request_ping(helper, target, seq);
                }
                Action::Heartbeat { to } => {
                    let news = self.news_for(to);
                    self.send(to, Message::Heartbeat { news });
                }
                Action::Verify { peer } => self.effects.push(Effect::Verify { peer }),
                Action::Suspect { peer } => self.suspect_ourselves(peer),
                Action::Down { peers } => {
                    peers.into_iter().for_each(|peer| self.convict_ourselves(peer));
                }
                Action::Link { peer, works } => self.link_changed(peer, works),
                Action::Note { peer, what } => self.note(peer, what),
            }
        }
    }

    fn note(&mut self, node: NodeId, what: EvidenceKind) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match what {
            // As long as all is well, the last answer is enough.
            EvidenceKind::ProbeAnswered { round_trip } if peer.state == PeerState::Alive => {
                peer.round_trip = Some(round_trip);
            }
            what => peer.record(self.now, what),
        }
    }
}
