//! Which node wants which kinds of events.
//!
//! Nobody asks. A node counts as wanting everything until it says what it wants, and it says so to
//! those who have sent it something in vain. From then on it owes them a word whenever it wants
//! more. So where there are no events, or all want all of them, nothing is said; and a word that is
//! lost can never keep events away from a node, because it is said again until it is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::{NodeId, NodeInfo};
use crate::messaging::{KIND_BYTES_MAX, Message, Request};
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;

/// Kinds that a node can name. One that wants more names none and gets all.
const KINDS_MAX: usize = 256;

/// How soon a node that still sends in vain is told again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wants {
    /// How often the node has started: a later process knows better.
    starts: u64,
    /// Which of its words this is.
    word: u64,
    /// The kinds that it wants. `None` where there are too many to name.
    kinds: Option<BTreeSet<String>>,
}

impl Message for Wants {
    const KIND: &'static str = "core.events-wanted";
    const BYTES_MAX: usize = KINDS_MAX * (KIND_BYTES_MAX + 9) + 64;
}

impl Request for Wants {
    type Reply = ();
}

#[cfg(feature = "simulation")]
pub(super) const WANTS: Decoder = Decoder::request::<Wants>();

/// What one node knows of what others want, and what they know of it.
#[derive(Debug, Default)]
pub(super) struct Interest {
    theirs: BTreeMap<NodeId, Wants>,
    told: BTreeMap<NodeId, Told>,
    word: u64,
    /// What the latest word says, or the one that is owed.
    said: BTreeSet<String>,
}

/// What another node was told.
#[derive(Debug, Default)]
struct Told {
    /// It has to be told.
    owed: bool,
    at: Option<Duration>,
}

impl Interest {
    /// Whether a node is to be sent events of a kind.
    pub(super) fn wants(&self, node: &NodeInfo, kind: &str) -> bool {
        let theirs = self.theirs.get(&node.id).filter(|theirs| theirs.starts == node.starts);
        theirs.and_then(|theirs| theirs.kinds.as_ref()).is_none_or(|kinds| kinds.contains(kind))
    }

    /// Takes in what a node says that is in the view.
    pub(super) fn learn(&mut self, from: NodeId, wants: Wants) {
        let age = |wants: &Wants| (wants.starts, wants.word);
        if self.theirs.get(&from).is_none_or(|known| age(known) < age(&wants)) {
            self.theirs.insert(from, wants);
        }
    }

    /// Forgets the nodes that are out of the view, so that nothing grows.
    pub(super) fn keep(&mut self, in_view: impl Fn(NodeId) -> bool) {
        self.theirs.retain(|id, _| in_view(*id));
        self.told.retain(|id, _| in_view(*id));
    }

    /// How many nodes are remembered.
    pub(super) fn len(&self) -> usize {
        self.theirs.len().max(self.told.len())
    }

    /// A node of the view has sent an event in vain. Says whether it is to be told so now.
    pub(super) fn in_vain(&mut self, from: NodeId, now: Duration) -> bool {
        let told = self.told.entry(from).or_default();
        let lately = told.at.is_some_and(|at| now.saturating_sub(at) < AGAIN_AFTER);
        let tell = !told.owed && !lately;
        told.owed |= tell;
        tell
    }

    /// This node wants a kind. Says whether somebody is to be told so.
    pub(super) fn subscribed(&mut self, kind: &str) -> bool {
        if !self.said.insert(kind.to_owned()) {
            return false;
        }
        // A word that is on its way does not say so, and settles nothing any more.
        self.word += 1;
        self.told.values_mut().for_each(|told| told.owed = true);
        !self.told.is_empty()
    }

    /// Those who have to be told.
    pub(super) fn owed(&self) -> Vec<NodeId> {
        self.told.iter().filter(|(_, told)| told.owed).map(|(id, _)| *id).collect()
    }

    /// What to tell them, where this node wants these kinds now. Who was told something else and is
    /// not owed a word gets more than it wants, at worst, and says so.
    pub(super) fn speak(&mut self, starts: u64, kinds: BTreeSet<String>) -> Wants {
        if self.word == 0 || self.said != kinds {
            self.word += 1;
            self.said = kinds;
        }
        let kinds = (self.said.len() <= KINDS_MAX).then(|| self.said.clone());
        Wants { starts, word: self.word, kinds }
    }

    /// A node has heard a word of this one.
    pub(super) fn heard(&mut self, node: NodeId, wants: &Wants, now: Duration) {
        if let Some(told) = self.told.get_mut(&node) {
            told.at = Some(now);
            told.owed = told.owed && wants.word != self.word;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::identity::{Incarnation, NodeName};

    const NOW: Duration = Duration::from_secs(100);

    fn node(id: u64, starts: u64) -> NodeInfo {
        NodeInfo {
            id: NodeId(id),
            name: NodeName::new("a").unwrap(),
            incarnation: Incarnation(1),
            addr: "a:1".to_owned(),
            roles: BTreeSet::new(),
            tags: BTreeMap::new(),
            revision: 0,
            starts,
            process: 0,
        }
    }

    fn kinds(kinds: &[&str]) -> BTreeSet<String> {
        kinds.iter().map(|kind| (*kind).to_owned()).collect()
    }

    #[test]
    fn a_node_wants_everything_until_its_present_process_says_otherwise() {
        let mut interest = Interest::default();
        assert!(interest.wants(&node(1, 1), "a"));
        let word = |word, starts| Wants { starts, word, kinds: Some(kinds(&["b"])) };
        interest.learn(NodeId(1), word(1, 1));
        assert!(!interest.wants(&node(1, 1), "a") && interest.wants(&node(1, 1), "b"));
        assert!(interest.wants(&node(1, 2), "a"), "another process");
        // An older word that comes late changes nothing.
        let newer = Wants { kinds: Some(kinds(&["a"])), ..word(3, 1) };
        interest.learn(NodeId(1), newer);
        interest.learn(NodeId(1), word(2, 1));
        assert!(interest.wants(&node(1, 1), "a"));
        interest.learn(NodeId(1), Wants { starts: 1, word: 4, kinds: None });
        assert!(interest.wants(&node(1, 1), "anything"), "more than can be named");
    }

    #[test]
    fn who_sends_in_vain_is_told_and_then_owed_a_word_when_more_is_wanted() {
        let mut interest = Interest::default();
        assert!(!interest.subscribed("a"), "nobody was told anything");
        assert!(interest.in_vain(NodeId(1), NOW));
        assert!(!interest.in_vain(NodeId(1), NOW), "that is on its way");
        let word = interest.speak(1, kinds(&["a"]));
        interest.heard(NodeId(1), &word, NOW);
        assert!(interest.owed().is_empty());
        assert!(!interest.in_vain(NodeId(1), NOW), "what was on its way already");
        assert!(interest.in_vain(NodeId(1), NOW + AGAIN_AFTER), "it has forgotten");
        interest.heard(NodeId(1), &word, NOW + AGAIN_AFTER);
        assert!(!interest.subscribed("a"));
        assert!(interest.subscribed("b"));
        assert_eq!(interest.owed(), [NodeId(1)]);
    }

    #[test]
    fn a_word_that_is_answered_after_more_was_wanted_does_not_settle_the_newer_one() {
        let mut interest = Interest::default();
        interest.in_vain(NodeId(1), NOW);
        let old = interest.speak(1, kinds(&["a"]));
        assert!(interest.subscribed("b"));
        // Answered before the new word is spoken, and after it.
        interest.heard(NodeId(1), &old, NOW);
        assert_eq!(interest.owed(), [NodeId(1)]);
        let new = interest.speak(1, kinds(&["a", "b"]));
        interest.heard(NodeId(1), &old, NOW);
        assert_eq!(interest.owed(), [NodeId(1)]);
        interest.heard(NodeId(1), &new, NOW);
        assert!(interest.owed().is_empty());
    }

    #[test]
    fn nodes_out_of_the_view_are_forgotten() {
        let mut interest = Interest::default();
        interest.in_vain(NodeId(1), NOW);
        interest.learn(NodeId(2), Wants { starts: 1, word: 1, kinds: None });
        interest.keep(|_| false);
        assert_eq!(interest.len(), 0);
    }

    #[test]
    fn the_bytes_of_what_a_node_wants_are_frozen() {
        let mut table = golden::file("interest.txt");
        let kinds = Some(BTreeSet::from(["k".to_owned()]));
        table.add("wants", &Wants { starts: 4, word: 5, kinds });
        table.add("wants all", &Wants { starts: 4, word: 5, kinds: None });
        table.check();
    }
}
