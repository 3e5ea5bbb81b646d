//! What a job may take, and what happens when it fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most retries of one tick.
pub const RETRIES_MAX: u32 = 1_000;
/// The longest pause between two attempts, in milliseconds: one day.
pub const BACKOFF_MS_MAX: u64 = 86_400_000;

/// How often an attempt that failed is tried again, and when. Attempts whose worker was lost do
/// not count: they are granted again at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// How often, at most 1000. Default: never.
    pub max: u32,
    /// The pause before the first retry, in milliseconds. Each is twice as long as the one before.
    pub backoff_ms: u64,
    /// The longest pause, in milliseconds; at most one day.
    pub backoff_ms_max: u64,
}

impl Retries {
    /// So many retries, after pauses that double from the first to the longest. Parts of a
    /// millisecond are cut off.
    pub fn new(max: u32, first: Duration, longest: Duration) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self { max, backoff_ms: ms(first), backoff_ms_max: ms(longest) }
    }

    /// The pause after this many failures, from 1.
    pub fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(63);
        let pause = self.backoff_ms.saturating_mul(1 << doublings);
        Duration::from_millis(pause.min(self.backoff_ms_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retries = Retries::new(9, Duration::from_millis(10), Duration::from_millis(75));
        let pauses = [1, 2, 3, 4, 5, 1_000].map(|failures| retries.pause(failures).as_millis());
        assert_eq!(pauses, [10, 20, 40, 75, 75, 75]);
        assert_eq!(Retries::default().pause(u32::MAX), Duration::ZERO);
    }
}
