//! Whose turn it is, by lot.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::{SliceRandom, index};
use rand::{Rng, RngCore};

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

/// Peers to draw from by lot. Drawing costs the same at any size.
#[derive(Debug, Default)]
pub(super) struct Pool {
    peers: Vec<NodeId>,
    places: BTreeMap<NodeId, usize>,
}

impl Pool {
    /// Puts a peer in; does nothing if it is.
    pub(super) fn insert(&mut self, peer: NodeId) {
        if !self.places.contains_key(&peer) {
            self.places.insert(peer, self.peers.len());
            self.peers.push(peer);
        }
    }

    /// Takes a peer out.
    pub(super) fn remove(&mut self, peer: NodeId) {
        let Some(place) = self.places.remove(&peer) else { return };
        self.peers.swap_remove(place);
        // The last one fills the gap.
        if let Some(moved) = self.peers.get(place) {
            self.places.insert(*moved, place);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Draws up to `count` different peers, each with the same chance, without `except`.
    pub(super) fn draw(&self, count: usize, except: NodeId, rng: &mut impl RngCore) -> Vec<NodeId> {
        let spare = usize::from(self.places.contains_key(&except));
        let drawn = index::sample(rng, self.len(), self.len().min(count + spare));
        let peers = drawn.into_iter().map(|place| self.peers[place]);
        peers.filter(|peer| *peer != except).take(count).collect()
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
        assert!(Pool::default().draw(3, NodeId(1), &mut StdRng::seed_from_u64(7)).is_empty());
    }

    #[test]
    fn everybody_in_the_pool_is_drawn_equally_often_and_nobody_twice_at_once() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut pool = Pool::default();
        for id in 0..12 {
            pool.insert(NodeId(id));
        }
        pool.remove(NodeId(3));
        pool.remove(NodeId(11));
        let mut drawn = BTreeMap::new();
        for _ in 0..9000 {
            let three = pool.draw(3, NodeId(5), &mut rng);
            assert_eq!(three.iter().collect::<BTreeSet<_>>().len(), 3);
            three.into_iter().for_each(|id| *drawn.entry(id).or_insert(0) += 1);
        }
        let ids: Vec<u64> = drawn.keys().map(|id| id.0).collect();
        assert_eq!(ids, [0, 1, 2, 4, 6, 7, 8, 9, 10]);
        assert!(drawn.values().all(|times| (2800..3200).contains(times)), "{drawn:?}");
        assert_eq!(pool.draw(100, NodeId(99), &mut rng).len(), 10);
    }
}
