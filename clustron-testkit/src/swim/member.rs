//! One node of a simulated cluster: the real membership machine, and a driver as thin as the real
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clustron_core::membership::{
    Effect, Input, Listed, Membership, Message, PeerState, Verdict, Verification,
};
use clustron_core::simulation::{Doubt, Looks, Seen, begin_looks};
use clustron_core::{Incarnation, Metadata, NodeId, NodeInfo, codec};

use super::registry::{STABLE_AFTER, SharedRegistry, info};
use super::wire::{Disk, Wire};
use crate::sim::{self, DialOutcome, Node, NodeIndex, Outbox, flip_bits};

/// How often a leader looks after the view, and how often it and joiners repeat themselves.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const REPEAT_EVERY: Duration = Duration::from_millis(300);

/// How often a node asks whether it is still in: a last resort.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// What a node thinks of a peer that it does not take for Alive.
#[derive(Debug, Clone, Copy)]
struct Held {
    since: Duration,
    down: bool,
    incarnation: Incarnation,
}

/// One node. See the module's documentation.
#[derive(Debug)]
pub struct Member {
    local: NodeIndex,
    info: NodeInfo,
    machine: Membership,
    registry: SharedRegistry,
    /// The version of the view that it has applied.
    version: u64,
    view_size: usize,
    /// Asks to be let in until the view has it.
    wants_in: bool,
    left: bool,
    forgetful: bool,
    doubts: BTreeMap<NodeId, Held>,
    described: BTreeMap<NodeId, (u64, Arc<Metadata>)>,
    /// As leader: its own looks at those whom it may have to take out.
    looks: Looks,
    /// As leader: who has not seen the latest view, of which version that was, and since when they
    /// wait to be told again.
    behind: BTreeSet<NodeIndex>,
    behind_of: u64,
    told_at: Duration,
    tick_due: Option<Duration>,
    ask_due: Duration,
    verdicts: Vec<Verdict>,
    /// Revisions of metadata that the latest input brought.
    heard: Vec<(NodeId, u64)>,
    sent: u64,
}

impl Member {
    /// A node in one of its lives: `machine` makes its membership machine. A `forgetful` one does
    /// not keep its incarnation on its disk.
    pub fn new(
        local: NodeIndex,
        registry: SharedRegistry,
        disk: &mut Disk,
        forgetful: bool,
        machine: impl FnOnce(&Listed) -> Membership,
    ) -> Self {
        let founder = registry.borrow_mut().founder(local);
        let (id, incarnation) = match (founder, disk.identity) {
            (Some(id), _) => (id, Incarnation(1)),
            (None, Some((id, _))) if forgetful => (id, Incarnation(1)),
            (None, Some((id, incarnation))) => (id, incarnation.next()),
            (None, None) => (registry.borrow_mut().mint(local), Incarnation(1)),
        };
        disk.identity = Some((id, incarnation));
        let revision = Listed::first_revision(incarnation);
        let info = NodeInfo { incarnation, revision, ..info(local, id) };
        let metadata = Arc::new(info.metadata());
        let machine = machine(&Listed { id, incarnation, revision, metadata });
        Self {
            local,
            info,
            machine,
            registry,
            version: 0,
            view_size: 0,
            wants_in: founder.is_none(),
            left: false,
            forgetful,
            doubts: BTreeMap::new(),
            described: BTreeMap::new(),
            looks: Looks::default(),
            behind: BTreeSet::new(),
            behind_of: 0,
            told_at: Duration::ZERO,
            tick_due: None,
            ask_due: Duration::ZERO,
            verdicts: Vec::new(),
            heard: Vec::new(),
            sent: 0,
        }
    }

    /// Its identity.
    pub fn id(&self) -> NodeId {
        self.info.id
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &Membership {
        &self.machine
    }

    /// The version of the view that it has applied.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many nodes the view has that it has applied.
    pub fn view_size(&self) -> usize {
        self.view_size
    }

    /// The verdicts of the latest input.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The revisions of roles and tags that the latest input brought.
    pub fn described(&self) -> impl Iterator<Item = (NodeId, u64)> {
        self.heard.iter().copied()
    }

    /// How many messages of its membership machine it has sent in this life.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether it asks to be let in and has not seen yet that it is.
    pub fn asks_in(&self) -> bool {
        self.wants_in
    }

    /// Whether it has left in order.
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// Whether it may lead: the cluster knows it, and most of the view is in touch as far as it
    /// can tell.
    pub fn may_lead(&self) -> bool {
        let registry = self.registry.borrow();
        let known = registry.alive().any(|node| node.id == self.info.id);
        known && !self.left && self.machine.doubted().count() * 2 < registry.alive().count()
    }

    /// Changes its tags.
    pub fn describe(&mut self, now: Duration, tag: &str, out: &mut Outbox<'_, Self>) {
        self.begin();
        let spoken = self.machine.metadata(self.info.id).map_or(0, |(revision, _)| revision);
        self.info.revision = spoken + 1;
        self.info.tags.insert("tag".to_owned(), tag.to_owned());
        let (revision, metadata) = (self.info.revision, Arc::new(self.info.metadata()));
        self.feed(now, Input::Describe { revision, metadata }, out);
    }

    /// Leaves in order, as far as it can: it says so and does not wait for the answer.
    pub fn leave(&mut self, now: Duration, out: &mut Outbox<'_, Self>) {
        self.begin();
        self.left = true;
        self.feed(now, Input::Leave, out);
    }

    /// A new input: what the one before led to has been looked at.
    fn begin(&mut self) {
        self.verdicts.clear();
        self.heard.clear();
    }

    fn leads(&self) -> bool {
        self.registry.borrow().leader() == self.local
    }

    fn feed(&mut self, now: Duration, input: Input, out: &mut Outbox<'_, Self>) {
        for effect in self.machine.handle(now, input) {
            self.perform(now, effect, out);
        }
        if !self.forgetful
            && let Some((_, incarnation)) = &mut out.disk().identity
        {
            *incarnation = (*incarnation).max(self.machine.incarnation());
        }
    }

    fn perform(&mut self, now: Duration, effect: Effect, out: &mut Outbox<'_, Self>) {
        match effect {
            Effect::Send { to, message } => {
                self.sent += 1;
                if let Some(index) = self.registry.borrow().index_of(to) {
                    out.send(index, Wire::Membership { from: self.info.id, to, message });
                }
            }
            Effect::Verify { peer } => {
                if let Some(peer) = self.registry.borrow().index_of(peer) {
                    out.dial(peer);
                }
            }
            Effect::Verdict(verdict) => {
                let Verdict { node, incarnation, state, .. } = &verdict;
                out.note(format_args!("{node} is {state} as of {incarnation}"));
                if *state == PeerState::Alive {
                    self.doubts.remove(node);
                } else {
                    let down = *state == PeerState::Down;
                    let new = Held { since: now, down, incarnation: *incarnation };
                    let held = self.doubts.entry(*node).or_insert(new);
                    (held.down, held.incarnation) = (down, *incarnation);
                }
                self.verdicts.push(verdict);
            }
            Effect::Refuted { incarnation } => {
                out.note(format_args!("says that it lives, as {incarnation}"));
                // Others hear of it by gossip, and the view stays as it is, if the node is in it.
                self.info.incarnation = incarnation;
                self.ask_due = now;
            }
            Effect::Described { node, revision, metadata } => {
                self.heard.push((node, revision));
                self.described.insert(node, (revision, metadata));
            }
            Effect::LinksChanged => {}
        }
    }

    fn apply_view(&mut self, now: Duration, version: u64, out: &mut Outbox<'_, Self>) {
        let (version, view) = self.registry.borrow().view(version);
        if version <= self.version {
            return;
        }
        (self.version, self.view_size) = (version, view.len());
        // In the order of their ids, as a view is.
        let find = |id: NodeId| Some(&view[view.binary_search_by_key(&id, |node| node.id).ok()?]);
        self.doubts.retain(|id, _| find(*id).is_some());
        let ours = find(self.info.id);
        match ours {
            Some(listed) if listed.incarnation >= self.info.incarnation => self.wants_in = false,
            Some(_) => {}
            None if !self.wants_in => self.come_back(now),
            None => {}
        }
        self.feed(now, Input::ViewChanged(view.to_vec()), out);
    }

    /// Others have put it out although it lives.
    fn come_back(&mut self, now: Duration) {
        if !self.left {
            let spoken = self.machine.incarnation().max(self.info.incarnation);
            self.info.incarnation = spoken.next();
            self.wants_in = true;
            self.tick_due = Some(now);
        }
    }

    fn tick(&mut self, now: Duration, out: &mut Outbox<'_, Self>) {
        self.tick_due = None;
        if self.wants_in {
            let leader = self.registry.borrow().leader();
            if let Some((revision, metadata)) = self.machine.metadata(self.info.id) {
                self.info.revision = revision;
                self.info.tags = metadata.tags.clone();
            }
            let join = Box::new(self.info.clone());
            if leader == self.local {
                let _ = self.registry.borrow_mut().admit(*join);
            } else {
                out.send(leader, Wire::Join(join));
            }
            self.tick_due = Some(now + REPEAT_EVERY);
        }
        if self.leads() {
            self.look_after_view(now, out);
            let version = self.registry.borrow().version();
            self.apply_view(now, version, out);
            self.tell_view(now, version, out);
            self.tick_due = Some(now + LOOK_EVERY);
        } else if self.registry.borrow().is_voter(self.local) {
            // It may be elected at any time.
            self.looks = Looks::default();
            self.behind_of = 0;
            self.tick_due = Some(now + LOOK_EVERY);
        }
    }

    fn look_after_view(&mut self, now: Duration, out: &mut Outbox<'_, Self>) {
        let mut registry = self.registry.borrow_mut();
        for (id, (revision, metadata)) in std::mem::take(&mut self.described) {
            registry.describe(id, revision, &metadata);
        }
        for (id, _) in self.machine.doubted().filter(|(_, state)| *state == PeerState::Left) {
            if let Some(case) = self.machine.case(id) {
                registry.leave(id, case.incarnation);
            }
        }
        let doubts = self.doubts.iter().map(|(id, held)| {
            let Held { since, down, incarnation } = *held;
            (*id, Doubt { incarnation, down, lasted: now.saturating_sub(since) })
        });
        let doubts = doubts.collect();
        let mut gone = registry.due(&doubts);
        gone.retain(|(id, _)| self.looks.confirm(*id));
        for id in begin_looks(&mut self.looks, &doubts, STABLE_AFTER) {
            if let Some(index) = registry.index_of(id) {
                out.dial(index);
            }
        }
        if !gone.is_empty() {
            registry.take_out(gone);
        }
    }

    fn tell_view(&mut self, now: Duration, version: u64, out: &mut Outbox<'_, Self>) {
        let fresh = self.behind_of != version;
        if fresh {
            self.behind_of = version;
            let registry = self.registry.borrow();
            self.behind = registry.alive().filter_map(|n| registry.index_of(n.id)).collect();
            self.behind.remove(&self.local);
        }
        if fresh || now >= self.told_at + REPEAT_EVERY {
            self.told_at = now;
            self.behind.iter().for_each(|to| out.send(*to, Wire::ViewAt(version)));
        }
    }

    fn dialled(
        &mut self,
        now: Duration,
        index: NodeIndex,
        outcome: DialOutcome,
        out: &mut Outbox<'_, Self>,
    ) {
        let ids: Vec<NodeId> = self.registry.borrow().ids_at(index);
        let latest = ids.last().copied();
        for id in ids {
            // Another identity at the address is proof that this one is gone.
            let result = match outcome {
                DialOutcome::Reached if Some(id) == latest => Verification::Reached,
                DialOutcome::Reached => Verification::Gone { why: "somebody else is there".into() },
                DialOutcome::Refused => Verification::Gone { why: "refused".into() },
                DialOutcome::NoAnswer => Verification::NoAnswer { why: "timed out".into() },
            };
            let seen = match result {
                Verification::Reached => Seen::Answered,
                Verification::NoAnswer { .. } => Seen::Silent,
                Verification::Gone { .. } => Seen::Gone,
            };
            self.looks.ended(id, seen);
            self.feed(now, Input::Verified { peer: id, result }, out);
        }
    }
}

impl Node for Member {
    type Message = Wire;
    type Disk = Disk;

    fn handle(&mut self, now: Duration, input: sim::Input<Wire>, out: &mut Outbox<'_, Self>) {
        self.begin();
        match input {
            sim::Input::Start => {
                self.tick_due = Some(now);
                self.ask_due = now + ASK_EVERY;
                if !self.wants_in {
                    let version = self.registry.borrow().version();
                    self.apply_view(now, version, out);
                }
            }
            sim::Input::Received { message, .. } if self.left => drop(message),
            sim::Input::Received { from, message } => match message {
                Wire::Membership { from, to, message } if to == self.info.id => {
                    self.feed(now, Input::Received { from, message }, out);
                }
                Wire::Membership { .. } => {}
                Wire::ViewAt(version) => {
                    self.apply_view(now, version, out);
                    out.send(from, Wire::ViewSeen(version));
                }
                Wire::ViewSeen(version) => {
                    if version == self.behind_of {
                        self.behind.remove(&from);
                    }
                }
                Wire::StillIn(id, incarnation) => {
                    let listed = self.registry.borrow().lists(id);
                    if self.leads() && self.may_lead() && !listed {
                        out.send(from, Wire::PutOut(id, incarnation));
                    }
                }
                Wire::PutOut(id, incarnation) => {
                    if id == self.info.id && incarnation == self.info.incarnation {
                        self.come_back(now);
                    }
                }
                Wire::Join(node) => {
                    if self.leads() && self.may_lead() {
                        let (id, incarnation) = (node.id, node.incarnation);
                        let admitted = self.registry.borrow_mut().admit(*node);
                        match admitted {
                            // One that is in already is told again.
                            Ok(()) => drop(self.behind.insert(from)),
                            Err(_stale) => out.send(from, Wire::PutOut(id, incarnation)),
                        }
                    }
                }
            },
            sim::Input::ConnectionLost { peer } => {
                let ids = self.registry.borrow().ids_at(peer);
                for peer in ids {
                    self.feed(now, Input::ConnectionLost { peer }, out);
                }
            }
            sim::Input::Dialled { peer, outcome } => self.dialled(now, peer, outcome, out),
            sim::Input::Timeout => {
                if self.machine.next_timeout().is_some_and(|due| due <= now) {
                    self.feed(now, Input::Timeout, out);
                }
                if self.ask_due <= now {
                    self.ask_due = now + ASK_EVERY;
                    let leader = self.registry.borrow().leader();
                    if leader != self.local && !self.wants_in {
                        out.send(leader, Wire::StillIn(self.info.id, self.info.incarnation));
                    }
                }
                if self.tick_due.is_some_and(|due| due <= now) {
                    self.tick(now, out);
                }
            }
        }
    }

    fn next_timeout(&self) -> Option<Duration> {
        let machine = if self.left { None } else { self.machine.next_timeout() };
        let asks = (!self.left).then_some(self.ask_due);
        machine.into_iter().chain(asks).chain(self.tick_due).min()
    }

    /// Only what membership costs: how views travel is not what is measured here.
    fn size(message: &Wire) -> usize {
        match message {
            Wire::Membership { message, .. } => codec::encoded_len(message).unwrap_or(0),
            _ => 0,
        }
    }

    /// The frame's checksum finds the damage; the decoder must survive it all the same.
    fn corrupt(message: &Wire, entropy: u64) -> Option<Wire> {
        if let Wire::Membership { message, .. } = message
            && let Ok(bytes) = codec::encode(message)
        {
            let mut bytes = bytes.to_vec();
            flip_bits(&mut bytes, entropy);
            let _ = codec::decode::<Message>(&bytes);
        }
        None
    }
}
