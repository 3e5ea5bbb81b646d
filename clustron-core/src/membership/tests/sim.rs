//! Many machines on one virtual network, in one thread, decided by one seed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::membership::Verification;
use crate::membership::{Effect, Input, Membership, MembershipConfig, PeerState, Verdict};
use crate::{Incarnation, NodeId};

/// How long a dial waits for an answer.
const DIAL_TIMEOUT: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Running,
    /// Stopped by a signal: the host still takes in what arrives.
    Paused,
    /// The host is gone: nothing answers.
    CrashedSilent,
    /// The process is gone, its host is not: connections close, and new ones are refused.
    CrashedRefusing,
}

enum Event {
    Deliver { to: usize, input: Input },
    Dial { from: usize, to: usize },
    Timer { node: usize },
}

struct Node {
    machine: Membership,
    fate: Fate,
    inbox: Vec<Input>,
    side: u8,
    timer: Option<Duration>,
}

pub(super) struct Net {
    pub(super) now: Duration,
    pub(super) loss: f64,
    /// Every verdict: when, by whom, what.
    pub(super) verdicts: Vec<(Duration, usize, Verdict)>,
    /// Every raised incarnation: when, by whom.
    pub(super) refuted: Vec<(Duration, usize)>,
    /// A fingerprint of all that was done, if wanted: it costs most of the time.
    pub(super) trace: Option<DefaultHasher>,
    pub(super) messages: u64,
    nodes: Vec<Node>,
    events: BTreeMap<(Duration, u64), Event>,
    scheduled: u64,
    seed: u64,
    rng: StdRng,
}

impl Net {
    /// `size` nodes that know each other; they have just started.
    pub(super) fn new(size: usize, seed: u64) -> Self {
        Self::with_config(size, seed, &MembershipConfig::default())
    }

    pub(super) fn with_config(size: usize, seed: u64, config: &MembershipConfig) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        // Ids are random in life too: the ring must not follow the order of starting.
        let ids: Vec<u64> = (0..size).map(|_| rng.random_range(1..u64::MAX)).collect();
        let view: Vec<_> = ids.iter().map(|id| (NodeId(*id), Incarnation(1))).collect();
        let nodes = view
            .iter()
            .map(|(id, incarnation)| {
                let machine = Membership::new(*id, *incarnation, config.clone(), rng.random());
                Node { machine, fate: Fate::Running, inbox: Vec::new(), side: 0, timer: None }
            })
            .collect();
        let mut net = Self {
            now: Duration::ZERO,
            loss: 0.0,
            verdicts: Vec::new(),
            refuted: Vec::new(),
            trace: None,
            messages: 0,
            nodes,
            events: BTreeMap::new(),
            scheduled: 0,
            seed,
            rng,
        };
        for to in 0..size {
            net.schedule(
                Duration::ZERO,
                Event::Deliver { to, input: Input::ViewChanged(view.clone()) },
            );
        }
        net
    }

    pub(super) fn id(&self, node: usize) -> NodeId {
        self.nodes[node].machine.local
    }

    pub(super) fn machine(&self, node: usize) -> &Membership {
        &self.nodes[node].machine
    }

    pub(super) fn crash(&mut self, node: usize, fate: Fate) {
        self.nodes[node].fate = fate;
        if fate == Fate::CrashedRefusing {
            let peer = self.id(node);
            for to in (0..self.nodes.len()).filter(|to| *to != node) {
                let delay = self.delay();
                self.schedule(delay, Event::Deliver { to, input: Input::ConnectionLost { peer } });
            }
        }
    }

    pub(super) fn pause(&mut self, node: usize) {
        self.nodes[node].fate = Fate::Paused;
    }

    /// Lets a paused node run again. Whether it looks at its clock or at its inbox first is up to
    /// the seed.
    pub(super) fn resume(&mut self, node: usize) {
        self.nodes[node].fate = Fate::Running;
        let mut inputs = std::mem::take(&mut self.nodes[node].inbox);
        if self.nodes[node].machine.next_timeout().is_some_and(|due| due <= self.now) {
            let at = if self.seed.is_multiple_of(2) { 0 } else { inputs.len() };
            inputs.insert(at, Input::Timeout);
        }
        for input in inputs {
            self.feed(node, input);
        }
    }

    /// Nodes on different sides cannot reach each other.
    pub(super) fn partition(&mut self, side: impl Fn(usize) -> u8) {
        for (at, node) in self.nodes.iter_mut().enumerate() {
            node.side = side(at);
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Runs until `done`, and returns how long that took; `None` if `end` came first.
    pub(super) fn run_until(
        &mut self,
        end: Duration,
        done: impl Fn(&Net) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while let Some(entry) = self.events.first_entry() {
            let at = entry.key().0;
            if at > end {
                break;
            }
            let event = entry.remove();
            self.now = self.now.max(at);
            self.happen(event);
            if done(self) {
                return Some(self.now - start);
            }
        }
        None
    }

    /// Whether every running node thinks `node` to be in `state`.
    pub(super) fn all_think(&self, node: usize, state: PeerState) -> bool {
        let id = self.id(node);
        self.nodes.iter().enumerate().all(|(at, other)| {
            at == node
                || other.fate != Fate::Running
                || other.machine.peer(id).is_some_and(|peer| peer.state() == state)
        })
    }

    pub(super) fn downs(&self) -> Vec<&(Duration, usize, Verdict)> {
        self.verdicts.iter().filter(|(_, _, verdict)| verdict.state == PeerState::Down).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, input } => match self.nodes[to].fate {
                Fate::Running => self.feed(to, input),
                Fate::Paused => self.nodes[to].inbox.push(input),
                Fate::CrashedSilent | Fate::CrashedRefusing => {}
            },
            Event::Timer { node } => {
                let due =
                    self.nodes[node].machine.next_timeout().is_some_and(|due| due <= self.now);
                if due && self.nodes[node].fate == Fate::Running {
                    self.feed(node, Input::Timeout);
                    let next = self.nodes[node].machine.next_timeout();
                    assert!(next.is_none_or(|next| next > self.now), "a timer that never ends");
                }
            }
            Event::Dial { from, to } => {
                let peer = self.id(to);
                let apart = self.nodes[from].side != self.nodes[to].side;
                let (delay, result) = match self.nodes[to].fate {
                    Fate::Running if !apart => (self.delay(), Verification::Reached),
                    Fate::CrashedRefusing if !apart => {
                        (self.delay(), Verification::Gone { why: "refused".into() })
                    }
                    Fate::Running | Fate::Paused | Fate::CrashedSilent | Fate::CrashedRefusing => {
                        (DIAL_TIMEOUT, Verification::NoAnswer { why: "timed out".into() })
                    }
                };
                let input = Input::Verified { peer, result };
                self.schedule(delay, Event::Deliver { to: from, input });
            }
        }
    }

    fn feed(&mut self, at: usize, input: Input) {
        let effects = self.nodes[at].machine.handle(self.now, input);
        if let Some(trace) = &mut self.trace {
            (self.now, at, format!("{effects:?}")).hash(trace);
        }
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(at, to, message),
                Effect::Verify { peer } => {
                    let (delay, to) = (self.delay(), self.index(peer));
                    self.schedule(delay, Event::Dial { from: at, to });
                }
                Effect::Verdict(verdict) => self.verdicts.push((self.now, at, verdict)),
                Effect::Refuted { .. } => self.refuted.push((self.now, at)),
            }
        }
        let due = self.nodes[at].machine.next_timeout();
        if due != self.nodes[at].timer {
            self.nodes[at].timer = due;
            if let Some(due) = due {
                self.schedule(due.saturating_sub(self.now), Event::Timer { node: at });
            }
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: crate::membership::Message) {
        self.messages += 1;
        let to = self.index(to);
        let lost = self.loss > 0.0 && self.rng.random_bool(self.loss);
        if lost || self.nodes[from].side != self.nodes[to].side {
            return;
        }
        let (delay, from) = (self.delay(), self.id(from));
        self.schedule(delay, Event::Deliver { to, input: Input::Received { from, message } });
    }

    fn index(&self, id: NodeId) -> usize {
        self.nodes.iter().position(|node| node.machine.local == id).unwrap()
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(100..5000))
    }

    fn schedule(&mut self, delay: Duration, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now + delay, self.scheduled), event);
    }
}
