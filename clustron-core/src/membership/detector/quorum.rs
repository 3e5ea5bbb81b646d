//! Taking a peer out only when several nodes miss it, and all that vanish together at once.
//!
//! A ship is struck off the register when enough lookouts have missed it, not when one of them, who
//! may be standing in a fog of his own, says so. And when a whole convoy is late, the register is
//! not rewritten for every ship: what is certain waits a moment for what is still being found out.
//!
//! The idea is the cut detection of Rapid (Suresh, Malkhi, Gopalan, Porto Carreiro, Lokhandwala,
//! "Stable and Consistent Membership at Scale with Rapid", USENIX ATC 2018), on top of any
//! detector.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cases::note;
use super::lateness::Lateness;
use super::{Action, FailureDetector, Observation};
use crate::NodeId;
use crate::membership::{EvidenceKind, MembershipConfig};

/// From this many nodes on, one opinion is never enough, whoever else is silent: a node that misses
/// all the others is more likely cut off itself.
const NODES_FOR_TWO: usize = 4;

/// Holds back another detector's verdicts until several nodes agree.
///
/// A peer is Down when [`observers`](MembershipConfig::observers) nodes could not reach it: this
/// one, and those that accuse it and are not doubted themselves. Where fewer nodes than that are
/// left to observe, all of them suffice; but in a cluster of four or more there are always two. So
/// the last of four nodes that lost the other three in one moment goes on suspecting them for ever.
/// It has no majority for anything anyway.
#[derive(Debug)]
pub struct Quorum {
    inner: Box<dyn FailureDetector>,
    local: NodeId,
    observers: usize,
    /// How long a verdict that is certain waits for others that are not.
    patience: Duration,
    now: Duration,
    peers: BTreeSet<NodeId>,
    failed: BTreeSet<NodeId>,
    /// The peers to whom the direct way does not work, as far as was passed on.
    broken: BTreeSet<NodeId>,
    /// Everybody who is suspected, by whomever.
    cases: BTreeMap<NodeId, Case>,
    /// Whether any case changed since they were last decided.
    changed: bool,
    /// When what is certain waits no longer.
    cut_due: Option<Duration>,
    lateness: Lateness,
    /// What the present observation has led to so far.
    actions: Vec<Action>,
}

/// What speaks against one peer.
#[derive(Debug, Default)]
struct Case {
    /// Whether this node finds it silent.
    own: bool,
    /// Whether this node has said so.
    announced: bool,
    accusers: BTreeSet<NodeId>,
    /// Whether it let the time to object pass, by the watch of the inner detector.
    expired: bool,
    /// Whether the inner detector holds it for failed.
    convicted: bool,
}

impl Quorum {
    /// Wraps a detector that watches nobody yet. `config` has passed its check.
    pub fn new(inner: Box<dyn FailureDetector>, local: NodeId, config: &MembershipConfig) -> Self {
        Self {
            inner,
            local,
            observers: config.observers,
            patience: config.probe_interval + 2 * config.gossip_interval,
            now: Duration::ZERO,
            peers: BTreeSet::new(),
            failed: BTreeSet::new(),
            broken: BTreeSet::new(),
            cases: BTreeMap::new(),
            changed: false,
            cut_due: None,
            lateness: Lateness::new(config),
            actions: Vec::new(),
        }
    }

    /// Takes in what concerns the cases, before the inner detector does.
    fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Peers(peers) => {
                self.peers.clone_from(peers);
                self.peers.remove(&self.local);
                self.failed.retain(|peer| peers.contains(peer));
                self.broken.retain(|peer| peers.contains(peer));
                self.cases.retain(|peer, _| peers.contains(peer));
                self.changed = true;
            }
            Observation::Accused { peer, by } => {
                let known = self.is_judged(*peer) && self.peers.contains(by) && by != peer;
                if known {
                    self.changed |= self.cases.entry(*peer).or_default().accusers.insert(*by);
                }
            }
            Observation::Settled { peer } if self.peers.contains(peer) => self.settle(*peer),
            Observation::Cleared { peer } => {
                self.cases.remove(peer);
                self.failed.remove(peer);
                self.changed = true;
            }
            Observation::Heartbeat { from } => self.take_back(*from),
            _ => {}
        }
    }

    /// Passes on what the inner detector does, all but its verdicts.
    fn pass_on(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Suspect { peer } => {
                    let case = self.cases.entry(peer).or_default();
                    case.own = true;
                    self.changed = true;
                    if !std::mem::replace(&mut case.announced, true) {
                        self.actions.push(action);
                    }
                }
                Action::Down { peers } => {
                    self.changed = true;
                    for peer in peers {
                        // The inner detector thinks no more of the way to it, and would mend it
                        // without a word.
                        if self.broken.remove(&peer) {
                            self.actions.push(Action::Link { peer, works: true });
                        }
                        let case = self.cases.entry(peer).or_default();
                        case.expired = true;
                        case.convicted = true;
                    }
                }
                Action::Note {
                    peer,
                    what: EvidenceKind::ProbeAnswered { .. } | EvidenceKind::AnsweredThrough { .. },
                } => {
                    self.take_back(peer);
                    self.actions.push(action);
                }
                Action::Link { peer, works } => {
                    match works {
                        true => drop(self.broken.remove(&peer)),
                        false => drop(self.broken.insert(peer)),
                    }
                    self.actions.push(action);
                }
                _ => self.actions.push(action),
            }
        }
    }

    /// Takes out all at once for whom there are enough observers, unless there are others for whom
    /// there may be in a moment.
    fn decide(&mut self) {
        if !self.cases.values().any(|case| case.expired) {
            self.cut_due = None;
            return;
        }
        let needed = self.needed();
        let ready: Vec<(NodeId, Vec<NodeId>)> = self
            .cases
            .iter()
            .filter(|(_, case)| case.expired)
            .map(|(peer, case)| (*peer, self.observers_of(case)))
            .filter(|(_, observers)| observers.len() >= needed)
            .collect();
        let unstable = ready.len() < self.cases.len();
        if ready.is_empty() {
            self.cut_due = None;
        } else if !unstable || self.cut_due.is_some_and(|due| due <= self.now) {
            self.cut(ready);
        } else if self.cut_due.is_none() {
            self.cut_due = Some(self.now + self.patience);
        }
        self.look_again(needed);
    }

    fn cut(&mut self, ready: Vec<(NodeId, Vec<NodeId>)>) {
        self.cut_due = None;
        let cut = ready.len();
        let mut peers = Vec::with_capacity(cut);
        for (peer, observers) in ready {
            note(&mut self.actions, peer, EvidenceKind::QuorumReached { observers, cut });
            peers.push(peer);
            if self.cases.get(&peer).is_some_and(|case| !case.convicted) {
                let actions = self.inner.handle(self.now, Observation::Settled { peer });
                self.pass_on(actions);
            }
            self.settle(peer);
        }
        self.actions.push(Action::Down { peers });
    }

    /// Has the inner detector look again at those whom it called Down and too few others miss.
    fn look_again(&mut self, needed: usize) {
        let unconfirmed: Vec<NodeId> = self
            .cases
            .iter()
            .filter(|(_, case)| case.convicted && self.observers_of(case).len() < needed)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in unconfirmed {
            if let Some(case) = self.cases.get_mut(&peer) {
                case.convicted = false;
            }
            let actions = self.inner.handle(self.now, Observation::Unconfirmed { peer });
            self.pass_on(actions);
        }
    }

    /// There is nothing to judge about the peer any more.
    fn settle(&mut self, peer: NodeId) {
        self.cases.remove(&peer);
        self.failed.insert(peer);
        self.changed = true;
    }

    /// This node does not find the peer silent any more.
    fn take_back(&mut self, peer: NodeId) {
        if let Some(case) = self.cases.get_mut(&peer) {
            self.changed |= std::mem::take(&mut case.own);
        }
    }

    fn is_judged(&self, peer: NodeId) -> bool {
        self.peers.contains(&peer) && !self.failed.contains(&peer)
    }

    /// Whose opinion counts in this case.
    fn observers_of(&self, case: &Case) -> Vec<NodeId> {
        let own = case.own.then_some(self.local);
        let sound = |by: &&NodeId| self.is_judged(**by) && !self.cases.contains_key(by);
        own.into_iter().chain(case.accusers.iter().filter(sound).copied()).collect()
    }

    /// How many have to agree.
    fn needed(&self) -> usize {
        let nodes = (1 + self.peers.len()).saturating_sub(self.failed.len());
        let sound = nodes.saturating_sub(self.cases.len());
        let least = if nodes >= NODES_FOR_TWO { 2 } else { 1 };
        self.observers.min(sound.max(least))
    }
}

impl FailureDetector for Quorum {
    fn handle(&mut self, now: Duration, observation: Observation) -> Vec<Action> {
        self.now = self.now.max(now);
        if self.lateness.notice(self.now).is_some() && self.cut_due.is_some() {
            // The objections may lie unread.
            self.cut_due = Some(self.now + self.patience);
        }
        self.observe(&observation);
        let inner_is_due = self.inner.next_timeout().is_some_and(|due| due <= self.now);
        if observation != Observation::Timeout || inner_is_due {
            let actions = self.inner.handle(self.now, observation);
            self.pass_on(actions);
        }
        self.changed |= self.cut_due.is_some_and(|due| due <= self.now);
        while std::mem::take(&mut self.changed) {
            self.decide();
        }
        self.lateness.expect(self.cut_due);
        std::mem::take(&mut self.actions)
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.inner.next_timeout().into_iter().chain(self.cut_due).min()
    }

    fn local_health(&self) -> u32 {
        self.inner.local_health()
    }
}

#[cfg(test)]
mod tests;
