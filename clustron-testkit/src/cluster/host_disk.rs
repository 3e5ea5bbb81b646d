//! The disk of a simulated host, and what is done to it. It outlives the host's nodes.

use std::time::Duration;

use clustron_core::simulation::SimDisk;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A disk that is well takes no longer than this for a change, in microseconds.
const LATENCY_US_MAX: u64 = 3000;

/// How a node's process ends, as far as its disk is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The machine goes on: nothing is lost.
    Killed,
    /// The power fails: what was not synced survives in pieces or not at all.
    PowerLost,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct HostDisk {
    disk: SimDisk,
    /// How long a change takes as long as the disk is well.
    latency: Duration,
    /// As it was before the latest start of a node.
    before_start: Option<SimDisk>,
    /// Something was done to it that may end the present node.
    hurt: bool,
    /// It is an old copy, with which no node may start.
    old: bool,
    /// A node has tried to.
    tried: bool,
}

impl HostDisk {
    pub(super) fn new(seed: u64) -> Self {
        let latency = StdRng::seed_from_u64(seed).random_range(0..LATENCY_US_MAX);
        let latency = Duration::from_micros(latency);
        let disk = SimDisk::new(seed);
        disk.set_latency(latency);
        Self { disk, latency, before_start: None, hurt: false, old: false, tried: false }
    }

    /// The disk for a node that starts now. An old copy with which one has tried to is moved away
    /// first, as the refusal tells the operator to; also where that start was ended before it could
    /// be refused, for the next one would have a number that nobody has seen.
    pub(super) fn boot(&mut self) -> SimDisk {
        if self.tried {
            self.wipe();
        }
        (self.tried, self.hurt) = (self.old, false);
        self.before_start = Some(self.disk.copy());
        self.disk.boot()
    }

    pub(super) fn end(&self, ending: Ending) {
        match ending {
            Ending::Killed => self.disk.kill(),
            Ending::PowerLost => self.disk.crash(),
        }
    }

    /// Ends what is wrong with it. What was already done to its node stays done.
    pub(super) fn heal(&self) {
        self.disk.set_latency(self.latency);
        self.disk.set_full_after(u64::MAX);
    }

    pub(super) fn slow(&self, latency: Duration) {
        self.disk.set_latency(latency);
    }

    pub(super) fn hurt(&mut self, how: impl FnOnce(&SimDisk)) {
        self.hurt = true;
        how(&self.disk);
    }

    pub(super) fn is_hurt(&self) -> bool {
        self.hurt
    }

    /// The node that uses it has an identity of its own, and nothing rests on one before.
    pub(super) fn is_of_a_new_node(&mut self) {
        (self.old, self.tried) = (false, false);
    }

    pub(super) fn is_old(&self) -> bool {
        self.old
    }

    pub(super) fn wipe(&mut self) {
        self.disk.wipe();
        (self.old, self.tried, self.hurt) = (false, false, false);
    }

    /// Whether there is a copy from before the latest start that has a node's state in it.
    pub(super) fn has_old_copy(&self) -> bool {
        let copy = self.before_start.as_ref();
        copy.is_some_and(|copy| copy.content("identity").is_some())
    }

    /// Puts the copy from before the latest start in its place.
    pub(super) fn restore_old_copy(&mut self) {
        if let Some(copy) = self.before_start.take() {
            copy.set_latency(self.latency);
            (self.disk, self.old, self.tried, self.hurt) = (copy, true, false, false);
        }
    }
}
