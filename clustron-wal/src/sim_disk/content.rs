//! The content of one simulated file: what reads see, and what a crash would leave.

use rand::Rng;
use rand::rngs::StdRng;

/// What survives or not, whole.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// What reads see.
    cached: Vec<u8>,
    /// What is certain.
    durable: Vec<u8>,
    /// What lies between the two, in order.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { cached: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() }
    }

    pub(super) fn read(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        put(&mut self.cached, bytes, offset);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.cached.resize(len, 0);
        self.pending.push(Change::Truncate { len });
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.durable, &bytes, offset),
                Change::Truncate { len } => self.durable.resize(len, 0),
            }
        }
    }

    /// The system gives up what it should have written, and keeps showing it.
    pub(super) fn give_up(&mut self) {
        self.pending.clear();
    }

    /// What survives of it is all that is left.
    pub(super) fn crash(&mut self, rng: &mut StdRng) {
        // Now and then all of it or nothing: the likeliest cases in the field.
        let chance = [0.0, 0.5, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        for change in self.pending.drain(..) {
            match change {
                Change::Truncate { len } if rng.random_bool(chance) => self.durable.resize(len, 0),
                Change::Truncate { .. } => {}
                Change::Write { offset, bytes } => {
                    tear(&mut self.durable, offset, &bytes, chance, rng);
                }
            }
        }
        self.cached.clone_from(&self.durable);
    }

    pub(super) fn flip_bit(&mut self, byte: u64, bit: u8) {
        assert!(bit < 8, "a byte has the bits 0 to 7, not {bit}");
        for bytes in [&mut self.cached, &mut self.durable] {
            let len = bytes.len();
            let found = usize::try_from(byte).ok().and_then(|byte| bytes.get_mut(byte));
            let found = found.unwrap_or_else(|| panic!("the file has {len} bytes, not {byte}"));
            *found ^= 1 << bit;
        }
    }

    pub(super) fn cut_off(&mut self, bytes: u64) {
        let len = self.cached.len();
        assert!(bytes < len as u64, "the file has only {len} bytes, it cannot be cut at {bytes}");
        self.pending.clear();
        self.cached.truncate(bytes as usize);
        self.durable.clone_from(&self.cached);
    }
}

fn put(target: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[offset..end].copy_from_slice(bytes);
}

/// Writes those sectors that survive, in any order as far as anybody can see.
fn tear(target: &mut Vec<u8>, offset: usize, bytes: &[u8], chance: f64, rng: &mut StdRng) {
    let end = offset + bytes.len();
    let mut at = offset;
    while at < end {
        let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        if rng.random_bool(chance) {
            put(target, &bytes[at - offset..next - offset], at);
        }
        at = next;
    }
    // The length may have become durable without what it promises.
    if target.len() < end && rng.random_bool(chance / 2.0) {
        let len = rng.random_range(target.len()..=end);
        target.resize(len, 0);
    }
}
