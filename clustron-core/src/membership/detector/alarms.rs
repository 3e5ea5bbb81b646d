//! One alarm per peer, and which of them rings next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::NodeId;

/// At most one instant per peer, ordered by time: finding what is due costs the same with one
/// peer as with a thousand.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    of: BTreeMap<NodeId, Duration>,
    by_time: BTreeSet<(Duration, NodeId)>,
}

impl Alarms {
    /// Sets the peer's alarm, in place of the one that it had.
    pub(super) fn set(&mut self, peer: NodeId, at: Duration) {
        match self.of.insert(peer, at) {
            Some(before) if before == at => return,
            Some(before) => {
                self.by_time.remove(&(before, peer));
            }
            None => {}
        }
        self.by_time.insert((at, peer));
    }

    /// Takes the peer's alarm away.
    pub(super) fn clear(&mut self, peer: NodeId) {
        if let Some(before) = self.of.remove(&peer) {
            self.by_time.remove(&(before, peer));
        }
    }

    /// Takes out whoever's alarm rings first, if it rings by `now`.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<NodeId> {
        let (at, peer) = self.by_time.first().copied()?;
        if at > now {
            return None;
        }
        self.clear(peer);
        Some(peer)
    }

    /// When the next one rings.
    pub(super) fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn alarms_ring_in_the_order_of_time_and_once() {
        let mut alarms = Alarms::default();
        alarms.set(NodeId(1), ms(30));
        alarms.set(NodeId(2), ms(20));
        alarms.set(NodeId(3), ms(10));
        alarms.set(NodeId(3), ms(40));
        alarms.clear(NodeId(2));
        assert_eq!(alarms.next(), Some(ms(30)));
        assert_eq!(alarms.take_due(ms(29)), None);
        assert_eq!(alarms.take_due(ms(50)), Some(NodeId(1)));
        assert_eq!(alarms.take_due(ms(50)), Some(NodeId(3)));
        assert_eq!(alarms.take_due(ms(50)), None);
        assert_eq!(alarms.next(), None);
    }
}
