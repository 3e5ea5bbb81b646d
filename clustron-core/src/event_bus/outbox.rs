//! What is on its way to the other nodes: a tray for each, which somebody empties as fast as the
//! node takes it. When a tray is full, the newest go to the floor, and the receiver sees by the
//! numbers that they are missing.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::identity::NodeId;

/// Events that may wait for one node.
pub(super) const EVENTS_MAX: usize = 1024;

/// Their bytes together.
const BYTES_MAX: usize = 8 << 20;

/// See the module's documentation. A node has a tray as long as somebody empties it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    trays: BTreeMap<NodeId, Tray>,
}

#[derive(Debug, Default)]
struct Tray {
    events: VecDeque<Bytes>,
    bytes: usize,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It waits, and somebody has to be found who empties the tray.
    First,
    /// It waits behind others. With so many that whoever publishes should let others run.
    Behind { many: bool },
    /// There was no room.
    Dropped,
}

impl Outbox {
    /// Puts an event into a node's tray.
    pub(super) fn put(&mut self, to: NodeId, event: Bytes) -> Put {
        let is_new = !self.trays.contains_key(&to);
        let tray = self.trays.entry(to).or_default();
        let bytes = tray.bytes + event.len();
        if !tray.events.is_empty() && (tray.events.len() >= EVENTS_MAX || bytes > BYTES_MAX) {
            return Put::Dropped;
        }
        tray.bytes = bytes;
        tray.events.push_back(event);
        match is_new {
            true => Put::First,
            false => Put::Behind { many: tray.events.len() > EVENTS_MAX / 4 },
        }
    }

    /// The next event for a node. `None` when there is none, and nobody empties its tray any more.
    pub(super) fn take(&mut self, to: NodeId) -> Option<Bytes> {
        let tray = self.trays.get_mut(&to)?;
        let Some(event) = tray.events.pop_front() else {
            self.trays.remove(&to);
            return None;
        };
        tray.bytes -= event.len();
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);

    #[test]
    fn a_tray_is_emptied_in_order_and_by_one() {
        let mut outbox = Outbox::default();
        let event = |n: u8| Bytes::from(vec![n]);
        assert_eq!(outbox.put(A, event(1)), Put::First);
        assert_eq!(outbox.put(A, event(2)), Put::Behind { many: false });
        assert_eq!(outbox.take(A), Some(event(1)));
        assert_eq!(outbox.take(A), Some(event(2)));
        // Still being emptied.
        assert_eq!(outbox.put(A, event(3)), Put::Behind { many: false });
        assert_eq!(outbox.take(A), Some(event(3)));
        assert_eq!(outbox.take(A), None);
        assert_eq!(outbox.put(A, event(4)), Put::First);
    }

    #[test]
    fn a_full_tray_takes_no_more_by_number_or_by_bytes() {
        let mut outbox = Outbox::default();
        let put = (0..2000).map(|_| outbox.put(A, Bytes::new())).filter(|put| *put != Put::Dropped);
        assert_eq!(put.count(), EVENTS_MAX);
        let large = Bytes::from(vec![0; BYTES_MAX / 2]);
        let puts = [0; 3].map(|_| outbox.put(NodeId(2), large.clone()));
        assert_eq!(puts, [Put::First, Put::Behind { many: false }, Put::Dropped]);
    }
}
