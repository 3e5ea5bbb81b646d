//! Picking peers at random.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, index};
use rand::{Rng, RngCore};

use crate::NodeId;

/// How often a pick that does not suit is repeated, per peer wanted. Where hardly anybody suits, a
/// pick may so come back with fewer than there are, which costs one round of gossip.
const TRIES: usize = 8;

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

    /// Up to `count` different peers that suit.
    pub(super) fn pick(
        &self,
        count: usize,
        rng: &mut StdRng,
        suits: impl Fn(NodeId) -> bool,
    ) -> Vec<NodeId> {
        let mut picked = Vec::with_capacity(count);
        if self.peers.is_empty() {
            return picked;
        }
        if self.peers.len() <= count * TRIES {
            // Few enough to look at each, from a random one on.
            let fit: Vec<NodeId> = self.peers.iter().copied().filter(|id| suits(*id)).collect();
            picked.extend(fit.choose_multiple(rng, count));
            return picked;
        }
        for _ in 0..count * TRIES {
            let peer = self.peers[rng.random_range(0..self.peers.len())];
            if suits(peer) && !picked.contains(&peer) {
                picked.push(peer);
                if picked.len() == count {
                    break;
                }
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn nobody_is_drawn_from_none() {
        let mut rng = StdRng::seed_from_u64(7);
        assert!(Pool::default().draw(3, NodeId(1), &mut rng).is_empty());
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

    #[test]
    fn picks_are_different_and_suit_and_come_from_everywhere() {
        let mut rng = StdRng::seed_from_u64(1);
        for size in [1, 5, 20, 200] {
            let mut pool = Pool::default();
            (0..size).for_each(|id| pool.insert(NodeId(id)));
            pool.insert(NodeId(0));
            pool.remove(NodeId(3));
            pool.remove(NodeId(3));
            let mut seen = BTreeSet::new();
            for _ in 0..2000 {
                let picked = pool.pick(3, &mut rng, |id| id.0 % 2 == 0);
                assert!(picked.len() <= 3 && picked.iter().all(|id| id.0 % 2 == 0));
                assert_eq!(picked.iter().collect::<BTreeSet<_>>().len(), picked.len());
                seen.extend(picked);
            }
            assert_eq!(seen, (0..size).step_by(2).map(NodeId).collect(), "{size}");
        }
    }
}
