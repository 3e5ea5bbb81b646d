//! Picking peers at random.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;

use crate::NodeId;

/// How often a pick that does not suit is repeated, per peer wanted. Where hardly anybody suits, a
/// pick may so come back with fewer than there are, which costs one round of gossip.
const TRIES: usize = 8;

/// All peers, so that picking one costs the same at any number.
#[derive(Debug, Default)]
pub(super) struct Roster {
    peers: Vec<NodeId>,
    places: BTreeMap<NodeId, usize>,
}

impl Roster {
    pub(super) fn insert(&mut self, peer: NodeId) {
        if let std::collections::btree_map::Entry::Vacant(place) = self.places.entry(peer) {
            place.insert(self.peers.len());
            self.peers.push(peer);
        }
    }

    pub(super) fn remove(&mut self, peer: NodeId) {
        let Some(place) = self.places.remove(&peer) else { return };
        self.peers.swap_remove(place);
        if let Some(moved) = self.peers.get(place) {
            self.places.insert(*moved, place);
        }
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
            use rand::seq::IndexedRandom;
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
    fn picks_are_different_and_suit_and_come_from_everywhere() {
        let mut rng = StdRng::seed_from_u64(1);
        for size in [1, 5, 20, 200] {
            let mut roster = Roster::default();
            (0..size).for_each(|id| roster.insert(NodeId(id)));
            roster.insert(NodeId(0));
            roster.remove(NodeId(3));
            roster.remove(NodeId(3));
            let mut seen = BTreeSet::new();
            for _ in 0..2000 {
                let picked = roster.pick(3, &mut rng, |id| id.0 % 2 == 0);
                assert!(picked.len() <= 3 && picked.iter().all(|id| id.0 % 2 == 0));
                assert_eq!(picked.iter().collect::<BTreeSet<_>>().len(), picked.len());
                seen.extend(picked);
            }
            assert_eq!(seen, (0..size).step_by(2).map(NodeId).collect(), "{size}");
        }
    }
}
