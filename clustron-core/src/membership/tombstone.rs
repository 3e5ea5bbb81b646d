//! Who was here, so that it can be told when it knocks again.

use std::collections::{BTreeMap, VecDeque};

use crate::{Incarnation, NodeId};

/// The most that are remembered; the oldest goes first.
pub(super) const TOMBSTONES_MAX: usize = 256;

/// The nodes that left the view, and in which incarnation.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    incarnations: BTreeMap<NodeId, Incarnation>,
    oldest_first: VecDeque<NodeId>,
}

impl Tombstones {
    /// Remembers that this incarnation, and all before it, are over.
    pub(super) fn bury(&mut self, node: NodeId, incarnation: Incarnation) {
        self.forget(node);
        if self.oldest_first.len() == TOMBSTONES_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.incarnations.remove(&oldest);
        }
        self.oldest_first.push_back(node);
        self.incarnations.insert(node, incarnation);
    }

    /// The node is back.
    pub(super) fn forget(&mut self, node: NodeId) {
        if self.incarnations.remove(&node).is_some() {
            self.oldest_first.retain(|other| *other != node);
        }
    }

    /// The last incarnation of a node that left.
    pub(super) fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.incarnations.get(&node).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_remembered() {
        let mut tombstones = Tombstones::default();
        for node in 0..=TOMBSTONES_MAX as u64 {
            tombstones.bury(NodeId(node), Incarnation(node));
        }
        assert_eq!(tombstones.incarnation(NodeId(0)), None);
        assert_eq!(tombstones.incarnation(NodeId(1)), Some(Incarnation(1)));
        tombstones.bury(NodeId(1), Incarnation(9));
        tombstones.bury(NodeId(1000), Incarnation(0));
        assert_eq!(tombstones.incarnation(NodeId(1)), Some(Incarnation(9)));
        tombstones.forget(NodeId(1));
        assert_eq!(tombstones.incarnation(NodeId(1)), None);
    }
}
