//! Doubting ourselves before we doubt others.

use std::time::Duration;

/// How well this node itself is doing: 0 is well. Every sign that we are slow makes it worse and
/// every answered probe makes it better, and the worse it is the longer we wait for others
/// (Lifeguard's local health multiplier: Dadgar, Phillips, Currey, "Lifeguard: Local Health
/// Awareness for More Accurate Failure Detection", 2018, §IV-A).
#[derive(Debug)]
pub(crate) struct LocalHealth {
    score: u32,
    max: u32,
}

impl LocalHealth {
    /// In perfect health; never gets worse than `max`.
    pub(crate) fn new(max: u32) -> Self {
        Self { score: 0, max }
    }

    /// A probe failed while we heard from nobody, a timer came late or somebody suspected us.
    pub(crate) fn worse(&mut self) {
        self.score = self.max.min(self.score + 1);
    }

    /// A probe was answered.
    pub(crate) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// The time to allow others where a healthy node allows `time`.
    pub(crate) fn scale(&self, time: Duration) -> Duration {
        time * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_node_allows_others_more_time_within_bounds() {
        let second = Duration::from_secs(1);
        let mut health = LocalHealth::new(2);
        assert_eq!(health.scale(second), second);
        for _ in 0..5 {
            health.worse();
        }
        assert_eq!(health.scale(second), second * 3);
        for _ in 0..5 {
            health.better();
        }
        assert_eq!(health.scale(second), second);
    }
}
