//! One direction between two hosts.

use std::num::NonZeroU64;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

/// When a lost piece is sent again for the first time; each further time takes twice as long. As
/// Linux does between hosts that are near each other.
pub(super) const RESEND_AFTER: Duration = Duration::from_millis(200);

/// How often in a row one piece can be lost.
const LOST_IN_A_ROW_MAX: u32 = 6;

/// How good a link is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// How long a piece is on its way at least. Virtual time counts whole milliseconds, so what
    /// arrives in between is read at the next one.
    pub delay: Duration,
    /// How much longer it may be on its way, at random.
    pub jitter: Duration,
    /// The share of pieces that are lost and sent again, from 0 to 1.
    pub loss: f64,
    /// The share of pieces in which a bit is turned, from 0 to 1.
    pub corruption: f64,
    /// Bytes per second; `None` is without limit.
    pub bandwidth: Option<NonZeroU64>,
}

impl Default for Quality {
    /// Machines in one data centre: one to three milliseconds, nothing lost.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            jitter: Duration::from_millis(2),
            loss: 0.0,
            corruption: 0.0,
            bandwidth: None,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Link {
    rng: StdRng,
    pub(super) cut: bool,
    pub(super) quality: Quality,
    busy_until: Option<Instant>,
    pub(super) corrupted: u64,
}

impl Link {
    pub(super) fn new(seed: u64, from: &str, to: &str, quality: Quality) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        for (at, byte) in from.bytes().chain([0xff]).chain(to.bytes()).enumerate() {
            let at = 8 + at % 24;
            key[at] = key[at].rotate_left(3) ^ byte;
        }
        let rng = StdRng::from_seed(key);
        Self { rng, cut: false, quality, busy_until: None, corrupted: 0 }
    }

    /// How long the next small piece takes.
    pub(super) fn latency(&mut self) -> Duration {
        let mut latency = self.quality.delay + self.quality.jitter.mul_f64(self.rng.random());
        let mut again = RESEND_AFTER;
        for _ in 0..LOST_IN_A_ROW_MAX {
            if !self.loses() {
                break;
            }
            latency += again;
            again *= 2;
        }
        latency
    }

    /// Whether the next piece is lost.
    pub(super) fn loses(&mut self) -> bool {
        self.quality.loss > 0.0 && self.rng.random_bool(self.quality.loss.clamp(0.0, 1.0))
    }

    /// Sends a piece: when it arrives at the earliest. May change it.
    pub(super) fn send(&mut self, now: Instant, piece: &mut [u8]) -> Instant {
        let mut departs = now;
        if let Some(bandwidth) = self.quality.bandwidth {
            let takes = piece.len() as f64 / bandwidth.get() as f64;
            departs = self.busy_until.map_or(now, |busy| busy.max(now));
            departs += Duration::from_secs_f64(takes);
            self.busy_until = Some(departs);
        }
        let corruption = self.quality.corruption.clamp(0.0, 1.0);
        if corruption > 0.0 && !piece.is_empty() && self.rng.random_bool(corruption) {
            let at = self.rng.random_range(0..piece.len());
            piece[at] ^= 1 << self.rng.random_range(0..8);
            self.corrupted += 1;
        }
        departs + self.latency()
    }
}
