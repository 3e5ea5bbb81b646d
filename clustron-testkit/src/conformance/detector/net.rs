//! Many detectors on one virtual network, in one thread, decided by one seed.
//!
//! Around each detector stands as much of a node as it needs: somebody who carries messages, dials,
//! tells the others of suspicions, and objects when he hears that he is suspected himself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Make;
use super::rules::Supervised;
use super::wire::{Content, Event, Fate, Input, News, Opinion};
use clustron_core::NodeId;
use clustron_core::membership::{Action, Observation, Verification};

/// How long a dial waits for an answer.
const DIAL_TIMEOUT: Duration = Duration::from_millis(300);

/// One detector, and what a node keeps around it.
#[derive(Debug)]
pub(super) struct Node {
    id: NodeId,
    detector: Supervised,
    fate: Fate,
    pub(super) side: u8,
    inbox: Vec<Input>,
    timer: Option<Duration>,
    pub(super) life: u64,
    /// Of each other node: which life was heard of last, and what is thought of it.
    pub(super) others: Vec<(u64, Opinion)>,
}

/// All nodes, and what is under way between them.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) now: Duration,
    /// The share of messages that are lost. News always arrives: it is told again and again.
    pub(super) loss: f64,
    /// Whether nodes object when they hear that they are doubted.
    pub(super) objections: bool,
    /// Whether dials across sides are refused, instead of being left without an answer.
    pub(super) refuse_across: bool,
    /// Pairs that cannot reach each other directly, lower number first, and are refused.
    pub(super) broken_links: BTreeSet<(usize, usize)>,
    /// Nodes whose dials are all refused.
    pub(super) misdialling: BTreeSet<usize>,
    /// Every Suspect: when, by whom, about whom.
    pub(super) suspects: Vec<(Duration, usize, usize)>,
    /// Every Down that a detector decided: when, by whom, about whom.
    pub(super) downs: Vec<(Duration, usize, usize)>,
    /// Messages sent and timeouts fired by each node.
    pub(super) messages: Vec<u64>,
    pub(super) timeouts: Vec<u64>,
    /// All that was done, if wanted.
    pub(super) trace: Option<Vec<String>>,
    pub(super) nodes: Vec<Node>,
    index: BTreeMap<NodeId, usize>,
    events: BTreeMap<(Duration, u64), Event>,
    scheduled: u64,
    seed: u64,
    pub(super) rng: StdRng,
}

impl Net {
    /// `size` nodes that know each other and have just started. Node 0 has the lowest id, and so on
    /// round the ring. `what` names the scenario.
    pub(super) fn new(make: Make<'_>, size: usize, seed: u64, what: &str) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut ids = BTreeSet::new();
        while ids.len() < size {
            ids.insert(NodeId(rng.random_range(1..u64::MAX)));
        }
        let context = format!("{what} ({size} nodes, seed {seed})");
        let nodes = ids.iter().map(|id| Node {
            id: *id,
            detector: Supervised::new(*id, make(*id, rng.random()), context.clone()),
            fate: Fate::Running,
            side: 0,
            inbox: Vec::new(),
            timer: None,
            life: 1,
            others: vec![(1, Opinion::Trusted); size],
        });
        let mut net = Self {
            now: Duration::ZERO,
            loss: 0.0,
            objections: true,
            refuse_across: false,
            broken_links: BTreeSet::new(),
            misdialling: BTreeSet::new(),
            suspects: Vec::new(),
            downs: Vec::new(),
            messages: vec![0; size],
            timeouts: vec![0; size],
            trace: None,
            nodes: nodes.collect(),
            index: ids.iter().enumerate().map(|(at, id)| (*id, at)).collect(),
            events: BTreeMap::new(),
            scheduled: 0,
            seed,
            rng: StdRng::seed_from_u64(seed ^ 0x5eed),
        };
        for to in 0..size {
            let peers = ids.iter().copied().filter(|id| *id != net.nodes[to].id).collect();
            net.observe(to, Observation::Peers(peers));
        }
        net
    }

    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn id(&self, node: usize) -> NodeId {
        self.nodes[node].id
    }

    /// Lets a detector observe something out of the blue.
    pub(super) fn observe(&mut self, node: usize, observation: Observation) {
        self.feed(node, Input::Observed(observation));
    }

    pub(super) fn crash(&mut self, node: usize, fate: Fate) {
        self.nodes[node].fate = fate;
        if fate == Fate::Refusing {
            let lost = Observation::ConnectionLost { peer: self.id(node) };
            for to in (0..self.size()).filter(|to| *to != node) {
                let delay = self.delay();
                let input = Input::Observed(lost.clone());
                self.schedule(delay, Event::Deliver { to, input });
            }
        }
    }

    /// All connections of a pair close.
    pub(super) fn lose_connections(&mut self, a: usize, b: usize) {
        for (at, peer) in [(a, b), (b, a)] {
            let peer = self.id(peer);
            if self.nodes[at].fate == Fate::Running {
                self.observe(at, Observation::ConnectionLost { peer });
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
        if self.nodes[node].detector.next_timeout().is_some_and(|due| due <= self.now) {
            let at = if self.seed.is_multiple_of(2) { 0 } else { inputs.len() };
            inputs.insert(at, Input::Observed(Observation::Timeout));
        }
        for input in inputs {
            self.feed(node, input);
        }
    }

    /// Nodes on different sides cannot reach each other in any way.
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

    /// Whether every running node has this opinion of `node`.
    pub(super) fn all_think(&self, node: usize, opinion: Opinion) -> bool {
        self.nodes.iter().enumerate().all(|(at, other)| {
            at == node || other.fate != Fate::Running || other.others[node].1 == opinion
        })
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, input } => match self.nodes[to].fate {
                Fate::Running => self.feed(to, input),
                Fate::Paused => self.nodes[to].inbox.push(input),
                Fate::Silent | Fate::Refusing => {}
            },
            Event::Timer { node } => {
                let due =
                    self.nodes[node].detector.next_timeout().is_some_and(|due| due <= self.now);
                if due && self.nodes[node].fate == Fate::Running {
                    self.timeouts[node] += 1;
                    self.observe(node, Observation::Timeout);
                }
            }
            Event::Dial { from, to } => {
                let apart = self.nodes[from].side != self.nodes[to].side;
                let refused = self.misdialling.contains(&from)
                    || self.broken_links.contains(&(from.min(to), from.max(to)))
                    || apart && self.refuse_across;
                let (delay, result) = match self.nodes[to].fate {
                    _ if refused => (self.delay(), Verification::Gone { why: "reset".into() }),
                    Fate::Running if !apart => (self.delay(), Verification::Reached),
                    Fate::Refusing if !apart => {
                        (self.delay(), Verification::Gone { why: "refused".into() })
                    }
                    Fate::Running | Fate::Paused | Fate::Silent | Fate::Refusing => {
                        (DIAL_TIMEOUT, Verification::NoAnswer { why: "timed out".into() })
                    }
                };
                let observed = Observation::Verified { peer: self.id(to), result };
                let input = Input::Observed(observed);
                self.schedule(delay, Event::Deliver { to: from, input });
            }
        }
    }

    fn feed(&mut self, at: usize, input: Input) {
        match input {
            Input::Observed(observation) => self.tell(at, observation),
            Input::News(news) => self.hear_news(at, news),
            Input::Message(message) => self.receive(at, message),
        }
        let due = self.nodes[at].detector.next_timeout();
        if due != self.nodes[at].timer {
            self.nodes[at].timer = due;
            if let Some(due) = due {
                self.schedule(due.saturating_sub(self.now), Event::Timer { node: at });
            }
        }
    }

    pub(super) fn tell(&mut self, at: usize, observation: Observation) {
        let cause = self.trace.is_some().then(|| format!("{observation:?}"));
        let actions = self.nodes[at].detector.handle(self.now, observation);
        if let (Some(trace), Some(cause)) = (&mut self.trace, cause) {
            trace.push(format!("{:?} {at}: {cause} -> {actions:?}", self.now));
        }
        for action in actions {
            self.act(at, action);
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        match action {
            Action::Ping { to, seq } => self.send(at, self.index[&to], Content::Ping { seq }),
            Action::Remind { to } => self.send(at, self.index[&to], Content::Remind),
            Action::Heartbeat { to } => self.send(at, self.index[&to], Content::Heartbeat),
            Action::PingThrough { helper, target, seq } => {
                let target = self.index[&target];
                self.send(at, self.index[&helper], Content::PingRequest { target, seq });
            }
            Action::Verify { peer } => {
                let (delay, to) = (self.delay(), self.index[&peer]);
                self.schedule(delay, Event::Dial { from: at, to });
            }
            Action::Suspect { peer } => {
                let about = self.index[&peer];
                self.nodes[at].others[about].1 = Opinion::Suspect;
                self.suspects.push((self.now, at, about));
                let life = self.nodes[at].others[about].0;
                self.spread(at, News::Accused { about, life, by: at });
            }
            Action::Down { peers } => {
                for peer in peers {
                    let about = self.index[&peer];
                    self.nodes[at].others[about].1 = Opinion::Down;
                    self.downs.push((self.now, at, about));
                    let life = self.nodes[at].others[about].0;
                    self.spread(at, News::Down { about, life });
                }
            }
            Action::Link { .. } | Action::Note { .. } => {}
        }
    }

    pub(super) fn delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(100..5000))
    }

    pub(super) fn schedule(&mut self, delay: Duration, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now + delay, self.scheduled), event);
    }
}
