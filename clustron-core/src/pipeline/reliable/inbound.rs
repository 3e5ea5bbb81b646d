//! What has arrived: all up to some number was handed on, and what came too early waits.

use std::collections::BTreeMap;
use std::ops::Range;

use super::head::RANGES_MAX;
use crate::pipeline::Packet;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Inbound {
    packets_max: u64,
    bytes_max: usize,
    /// The first number that has not arrived.
    expected: u64,
    early: BTreeMap<u64, Packet>,
    early_bytes: usize,
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was the next one. It and what has waited for it goes up.
    Next,
    /// Something before it is missing.
    Early,
    /// It was here before, or there is no room to keep it.
    Dropped,
}

impl Inbound {
    pub(super) fn new(packets_max: u64, bytes_max: usize) -> Self {
        let (early, early_bytes) = (BTreeMap::new(), 0);
        Self { packets_max, bytes_max, expected: 0, early, early_bytes }
    }

    /// Takes a packet, and gives to `up` what is in order now.
    pub(super) fn accept(
        &mut self,
        number: u64,
        mut packet: Packet,
        mut up: impl FnMut(Packet),
    ) -> Result<Arrival, String> {
        let end = self.expected.saturating_add(self.packets_max);
        if number >= end {
            return Err(format!("packet {number} came, at most {} may", end - 1));
        }
        if number < self.expected || self.early.contains_key(&number) {
            return Ok(Arrival::Dropped);
        }
        if number > self.expected {
            if self.early_bytes + packet.cost() > self.bytes_max {
                return Ok(Arrival::Dropped);
            }
            // It may wait long, and must not hold more than is counted.
            packet.detach();
            self.early_bytes += packet.cost();
            self.early.insert(number, packet);
            return Ok(Arrival::Early);
        }
        up(packet);
        self.expected += 1;
        while let Some(packet) = self.early.remove(&self.expected) {
            self.early_bytes -= packet.cost();
            up(packet);
            self.expected += 1;
        }
        Ok(Arrival::Next)
    }

    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// Whether something is missing.
    pub(super) fn has_gaps(&self) -> bool {
        !self.early.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.early_bytes
    }

    /// What came too early, as ranges: the lowest ones.
    pub(super) fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for number in self.early.keys().copied() {
            let count = ranges.len();
            match ranges.last_mut() {
                Some(last) if last.end == number => last.end = number + 1,
                _ if count == RANGES_MAX => break,
                _ => ranges.push(number..number + 1),
            }
        }
        ranges
    }
}
