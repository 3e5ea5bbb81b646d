//! A wire between two ends that takes so much at a time, and may be bad.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::Rng;
use rand::rngs::StdRng;

/// What goes wrong on the wire, each with a probability.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quality {
    pub(super) drop: f64,
    pub(super) double: f64,
    pub(super) corrupt: f64,
    /// Whether packets arrive in the order in which they were written.
    pub(super) in_order: bool,
}

impl Quality {
    /// One connection of TCP.
    pub(super) const STREAM: Self = Self { drop: 0.0, double: 0.0, corrupt: 0.0, in_order: true };
}

/// Bytes that are under way at most: then the writer waits.
const CAPACITY: usize = 32 << 10;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Direction {
    under_way: BTreeMap<(Duration, u64), Bytes>,
    bytes: usize,
    order_next: u64,
    last_at: Duration,
}

impl Direction {
    pub(super) fn has_room(&self) -> bool {
        self.bytes < CAPACITY
    }

    pub(super) fn write(&mut self, now: Duration, packet: &Bytes, q: Quality, rng: &mut StdRng) {
        let copies = match rng.random::<f64>() {
            x if x < q.drop => 0,
            x if x < q.drop + q.double => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let mut packet = packet.clone();
            if !packet.is_empty() && rng.random_bool(q.corrupt) {
                let mut bytes = BytesMut::from(&packet[..]);
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
                packet = bytes.freeze();
            }
            let late = !q.in_order && rng.random_bool(0.02);
            let delay_us = rng.random_range(if late { 200..1_000_000 } else { 200..20_000 });
            let mut at = now + Duration::from_micros(delay_us);
            if q.in_order {
                at = at.max(self.last_at);
                self.last_at = at;
            }
            self.bytes += packet.len();
            self.under_way.insert((at, self.order_next), packet);
            self.order_next += 1;
        }
    }

    pub(super) fn next_at(&self) -> Option<Duration> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn arrived(&mut self, now: Duration) -> Option<Bytes> {
        let first = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        let packet = first.remove();
        self.bytes -= packet.len();
        Some(packet)
    }

    pub(super) fn cut(&mut self) {
        (self.under_way, self.bytes) = (BTreeMap::new(), 0);
    }
}
