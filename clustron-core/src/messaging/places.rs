//! How many connections a node takes, in all and of each peer: like chairs, counted before anybody
//! sits down.
//!
//! A look (`Lane::Look`) needs no chair: it is over with its handshake, and it is how others find
//! out whether this node lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::identity::NodeId;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    per_peer_most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_peer: BTreeMap<NodeId, usize>,
}

/// One accepted connection. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    peer: NodeId,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many connections as the node takes in all.
    All { most: usize },
    /// There are as many as it takes of this peer.
    Peer { most: usize },
}

impl Places {
    pub(super) fn new(most: usize, per_peer_most: usize) -> Arc<Self> {
        Arc::new(Self { most, per_peer_most, taken: Mutex::default() })
    }

    /// Takes a place for a connection of that peer.
    pub(super) fn take(self: &Arc<Self>, peer: NodeId) -> Result<Place, Full> {
        let mut taken = self.lock();
        if taken.total >= self.most {
            return Err(Full::All { most: self.most });
        }
        let of_peer = taken.by_peer.entry(peer).or_default();
        if *of_peer >= self.per_peer_most {
            return Err(Full::Peer { most: self.per_peer_most });
        }
        *of_peer += 1;
        taken.total += 1;
        Ok(Place { places: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total -= 1;
        if let Some(of_peer) = taken.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_by_peer_and_come_free_again() {
        let (anna, bert) = (NodeId(1), NodeId(2));
        let places = Places::new(3, 2);
        let first = places.take(anna).unwrap();
        let _second = places.take(anna).unwrap();
        assert_eq!(places.take(anna).unwrap_err(), Full::Peer { most: 2 });
        let _third = places.take(bert).unwrap();
        assert_eq!(places.take(bert).unwrap_err(), Full::All { most: 3 });
        drop(first);
        let fourth = places.take(bert).unwrap();
        drop(fourth);
        places.take(anna).unwrap();
        assert_eq!(places.lock().by_peer.len(), 2);
    }
}
