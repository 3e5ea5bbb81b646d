//! How many connections a node takes, in all and of each peer: like chairs, counted before anybody
//! sits down.
//!
//! A look (`Lane::Look`) needs no chair: it is over with its handshake, and it is how others find
//! out whether this node lives.
//!
//! A peer that comes once more than it may takes the place of its own oldest connection, on the
//! lane where it has most of them. It would not have dialled anew if it still had that one; but
//! whoever is not read from, because what it sent waits for a slow handler, is not seen to be gone
//! either.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::handshake::Lane;
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
    /// The oldest first.
    by_peer: BTreeMap<NodeId, Vec<Seat>>,
    number_next: u64,
}

#[derive(Debug)]
struct Seat {
    number: u64,
    lane: Lane,
    taken_away: CancellationToken,
}

/// One accepted connection. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    peer: NodeId,
    number: u64,
    taken_away: CancellationToken,
}

/// There are as many connections as the node takes in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) most: usize,
}

impl Places {
    pub(super) fn new(most: usize, per_peer_most: usize) -> Arc<Self> {
        Arc::new(Self { most, per_peer_most, taken: Mutex::default() })
    }

    /// Takes a place for a connection of that peer. Says whether an older one has to go for it.
    pub(super) fn take(self: &Arc<Self>, peer: NodeId, lane: Lane) -> Result<(Place, bool), Full> {
        let mut taken = self.lock();
        let goes = taken.by_peer.get_mut(&peer).filter(|seats| seats.len() >= self.per_peer_most);
        let goes = goes.and_then(take_away_oldest).is_some();
        taken.total -= usize::from(goes);
        if taken.total >= self.most {
            return Err(Full { most: self.most });
        }
        let (number, taken_away) = (taken.number_next, CancellationToken::new());
        taken.number_next += 1;
        taken.total += 1;
        let seat = Seat { number, lane, taken_away: taken_away.clone() };
        taken.by_peer.entry(peer).or_default().push(seat);
        Ok((Place { places: self.clone(), peer, number, taken_away }, goes))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes away the oldest place on the lane that has most of them.
fn take_away_oldest(seats: &mut Vec<Seat>) -> Option<()> {
    let on = |lane| seats.iter().filter(|seat| seat.lane == lane).count();
    let fullest = seats.iter().map(|seat| seat.lane).max_by_key(|lane| on(*lane))?;
    let at = seats.iter().position(|seat| seat.lane == fullest)?;
    seats.remove(at).taken_away.cancel();
    Some(())
}

impl Place {
    /// Resolves when another connection of the peer has got it.
    pub(super) async fn taken_away(&self) {
        self.taken_away.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        let Some(seats) = taken.by_peer.get_mut(&self.peer) else { return };
        // Another one has it already if it was taken away.
        let Some(at) = seats.iter().position(|seat| seat.number == self.number) else { return };
        seats.remove(at);
        if seats.is_empty() {
            taken.by_peer.remove(&self.peer);
        }
        taken.total -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_come_free_again() {
        let (anna, bert) = (NodeId(1), NodeId(2));
        let places = Places::new(3, 2);
        let take = |peer| places.take(peer, Lane::Data);
        let first = take(anna).unwrap();
        let _second = take(anna).unwrap();
        let _third = take(bert).unwrap();
        assert_eq!(take(bert).unwrap_err(), Full { most: 3 });
        drop(first);
        let fourth = take(bert).unwrap();
        drop(fourth);
        take(anna).unwrap();
        let taken = places.lock();
        assert_eq!((taken.by_peer.len(), taken.total), (2, 2));
    }

    #[test]
    fn who_comes_too_often_loses_the_oldest_on_the_lane_where_it_has_most() {
        let anna = NodeId(1);
        let places = Places::new(9, 3);
        let (control, _) = places.take(anna, Lane::Control).unwrap();
        let (first, goes) = places.take(anna, Lane::Data).unwrap();
        assert!(!goes);
        let (second, _) = places.take(anna, Lane::Data).unwrap();
        let (_third, goes) = places.take(anna, Lane::Bulk).unwrap();
        assert!(goes && first.taken_away.is_cancelled());
        assert!(!control.taken_away.is_cancelled() && !second.taken_away.is_cancelled());
        drop(first);
        assert_eq!(places.lock().total, 3);
    }
}
