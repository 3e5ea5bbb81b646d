//! Whose turn it is, by lot.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::NodeId;

/// The order in which peers are probed: a shuffled pass over all of them, then another (SWIM
/// §4.3). Nobody waits longer than two passes, and no two nodes ask in the same order.
#[derive(Debug, Default)]
pub(super) struct ProbeOrder {
    pass: Vec<NodeId>,
    next: usize,
}

impl ProbeOrder {
    /// Puts a new peer at a random place among those that are still to come in this pass.
    pub(super) fn insert(&mut self, peer: NodeId, rng: &mut StdRng) {
        let at = rng.random_range(self.next.min(self.pass.len())..=self.pass.len());
        self.pass.insert(at, peer);
    }

    /// Takes a peer out.
    pub(super) fn remove(&mut self, peer: NodeId) {
        if let Some(at) = self.pass.iter().position(|other| *other == peer) {
            self.pass.remove(at);
            if at < self.next {
                self.next -= 1;
            }
        }
    }

    /// The next peer; `None` if there are none.
    pub(super) fn next(&mut self, rng: &mut StdRng) -> Option<NodeId> {
        if self.next >= self.pass.len() {
            self.pass.shuffle(rng);
            self.next = 0;
        }
        let peer = self.pass.get(self.next).copied()?;
        self.next += 1;
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn every_pass_visits_every_peer_once_in_a_new_order() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut order = ProbeOrder::default();
        for id in 0..20 {
            order.insert(NodeId(id), &mut rng);
        }
        let mut pass = || (0..20).map(|_| order.next(&mut rng).unwrap()).collect::<Vec<_>>();
        let (first, second) = (pass(), pass());
        assert_ne!(first, second);
        for pass in [first, second] {
            assert_eq!(pass.into_iter().collect::<BTreeSet<_>>().len(), 20);
        }
    }

    #[test]
    fn a_peer_that_joins_or_leaves_in_mid_pass_changes_nobody_elses_turn() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut order = ProbeOrder::default();
        for id in 0..4 {
            order.insert(NodeId(id), &mut rng);
        }
        let mut seen = vec![order.next(&mut rng).unwrap(), order.next(&mut rng).unwrap()];
        order.insert(NodeId(9), &mut rng);
        order.remove(seen[0]);
        seen.extend((0..3).map(|_| order.next(&mut rng).unwrap()));
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 5);
    }

    #[test]
    fn nobody_is_next_among_none() {
        assert_eq!(ProbeOrder::default().next(&mut StdRng::seed_from_u64(7)), None);
    }
}
