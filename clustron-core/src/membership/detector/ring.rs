//! The ring of ids.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use crate::NodeId;

/// Nodes in the order of their ids, the first after the last. Every node can work out on its own
/// who stands beside whom, and all come to the same result as far as they agree on who is there.
#[derive(Debug, Default)]
pub(super) struct Ring {
    ids: BTreeSet<NodeId>,
}

impl Ring {
    /// Puts a node in its place.
    pub(super) fn insert(&mut self, id: NodeId) {
        self.ids.insert(id);
    }

    /// Takes a node out.
    pub(super) fn remove(&mut self, id: NodeId) {
        self.ids.remove(&id);
    }

    /// The others, nearest successor of `id` first. `id` need not be in the ring.
    pub(super) fn after(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.ids.range((Excluded(id), Unbounded)).chain(self.ids.range(..id)).copied()
    }

    /// The others, nearest predecessor of `id` first. `id` need not be in the ring.
    pub(super) fn before(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let below = self.ids.range(..id).rev();
        below.chain(self.ids.range((Excluded(id), Unbounded)).rev()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_closes_and_leaves_out_whom_it_is_asked_about() {
        let mut ring = Ring::default();
        for id in [10, 20, 30, 40] {
            ring.insert(NodeId(id));
        }
        ring.remove(NodeId(40));
        let after = |id| ring.after(NodeId(id)).map(|id| id.0).collect::<Vec<_>>();
        let before = |id| ring.before(NodeId(id)).map(|id| id.0).collect::<Vec<_>>();
        assert_eq!(after(20), [30, 10]);
        assert_eq!(before(20), [10, 30]);
        assert_eq!(after(25), [30, 10, 20]);
        assert_eq!(before(25), [20, 10, 30]);
    }
}
