//! Doubting ourselves before we doubt others.

use std::time::Duration;

/// How well this node itself is doing: 0 is well. Every sign that we are slow makes it worse and
/// every sign of life that came in time makes it better, and the worse it is the longer we wait
/// for others (Lifeguard's local health multiplier: Dadgar, Phillips, Currey, "Lifeguard: Local
/// Health Awareness for More Accurate Failure Detection", 2018, §IV-A).
#[derive(Debug)]
pub(super) struct LocalHealth {
    score: u32,
    max: u32,
    /// When anything came from any peer.
    last_heard: Duration,
    /// When we last blamed ourselves for hearing nothing.
    last_blamed: Duration,
}

impl LocalHealth {
    /// In perfect health; never gets worse than `max`.
    pub(super) fn new(max: u32) -> Self {
        Self { score: 0, max, last_heard: Duration::ZERO, last_blamed: Duration::ZERO }
    }

    /// A timer came late or somebody suspected us.
    pub(super) fn worse(&mut self) {
        self.score = self.max.min(self.score + 1);
    }

    /// A peer gave the sign of life that we waited for.
    pub(super) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// Something came from a peer.
    pub(super) fn heard(&mut self, now: Duration) {
        self.last_heard = now;
    }

    /// A peer was silent since `since`. Hearing from nobody at all in that time is a sign that the
    /// fault is ours; hearing from others is a sign that it is not, however many are silent. (The
    /// peers that were asked to try have at least confirmed that, as Lifeguard's negative
    /// acknowledgements do.) One silence is one sign, however many questions were open in it.
    pub(super) fn missed(&mut self, now: Duration, since: Duration) {
        if self.last_heard.max(self.last_blamed) < since {
            self.worse();
            self.last_blamed = now;
        }
    }

    /// How unwell we are.
    pub(super) fn score(&self) -> u32 {
        self.score
    }

    /// The time to allow others where a healthy node allows `time`.
    pub(super) fn scale(&self, time: Duration) -> Duration {
        time * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_slow_node_allows_others_more_time_within_bounds() {
        let mut health = LocalHealth::new(2);
        assert_eq!(health.scale(secs(1)), secs(1));
        for _ in 0..5 {
            health.worse();
        }
        assert_eq!(health.score(), 2);
        assert_eq!(health.scale(secs(1)), secs(3));
        for _ in 0..5 {
            health.better();
        }
        assert_eq!(health.scale(secs(1)), secs(1));
    }

    #[test]
    fn silence_is_our_fault_only_if_all_are_silent_and_counts_once() {
        let mut health = LocalHealth::new(8);
        health.heard(secs(5));
        health.missed(secs(6), secs(4));
        assert_eq!(health.score(), 0, "another spoke");
        health.missed(secs(8), secs(6));
        health.missed(secs(8), secs(7));
        assert_eq!(health.score(), 1);
        health.missed(secs(11), secs(9));
        assert_eq!(health.score(), 2);
    }
}
