//! Direct ways to peers that do not work.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use crate::NodeId;

/// How many periods lie between two looks at broken links.
const RETEST_PERIODS: u64 = 4;

/// How many broken links are looked at in one go.
const RETEST_MAX: usize = 2;

/// The peers that answered others but not us. Where a cable is cut, both ends still run; whoever
/// sends to the other end should know that it takes a detour.
#[derive(Debug, Default)]
pub(super) struct Links {
    broken: BTreeSet<NodeId>,
    /// After whom the next look begins.
    last: NodeId,
}

impl Links {
    /// The direct way does not work; says whether that is new.
    pub(super) fn broke(&mut self, peer: NodeId) -> bool {
        self.broken.insert(peer)
    }

    /// The direct way works; says whether that is new.
    pub(super) fn mended(&mut self, peer: NodeId) -> bool {
        self.broken.remove(&peer)
    }

    /// Forgets all but these peers: what is known of the way to one that failed says nothing about
    /// the way to the one that comes back.
    pub(super) fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.broken.retain(|peer| keep(*peer));
    }

    /// Whom to try directly in this period, a few at a time, everybody in turn.
    pub(super) fn retest(&mut self, turn: u64) -> Vec<NodeId> {
        if self.broken.is_empty() || !turn.is_multiple_of(RETEST_PERIODS) {
            return Vec::new();
        }
        let after = self.broken.range((Excluded(self.last), Unbounded));
        let around = self.broken.range(..=self.last);
        let chosen: Vec<NodeId> = after.chain(around).take(RETEST_MAX).copied().collect();
        self.last = chosen.last().copied().unwrap_or_default();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_links_are_tried_in_turn_and_rarely() {
        let mut links = Links::default();
        for id in 1..=5 {
            assert!(links.broke(NodeId(id)));
        }
        assert!(!links.broke(NodeId(1)), "known");
        assert!(links.mended(NodeId(5)));
        assert!(!links.mended(NodeId(5)), "known");
        let mut tried = Vec::new();
        for turn in 0..13 {
            tried.push(links.retest(turn).iter().map(|id| id.0).collect::<Vec<_>>());
        }
        assert_eq!(tried[0], [1, 2]);
        assert_eq!(tried[4], [3, 4]);
        assert_eq!(tried[8], [1, 2]);
        assert_eq!(tried.iter().filter(|tried| !tried.is_empty()).count(), 4);
    }
}
