//! The wall clock of a simulated node: virtual time, as wrong as a test wants it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clustron_core::{Clock, Timestamp};
use tokio::time::Instant;

/// When every simulation begins, by right clocks: 2026-01-01T00:00:00Z.
const BEGINNING: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

/// A node's wall clock. It follows virtual time, and can be set wrong and be made to run wrong.
/// Only what asks the node's [`Clock`] sees it: timers follow virtual time, as those of an
/// operating system follow its monotonic clock. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct SimClock {
    dial: Arc<Mutex<Dial>>,
}

/// What the clock showed when it was last set, and how it runs since.
#[derive(Debug)]
struct Dial {
    set_at: Instant,
    shown_ms: f64,
    /// Milliseconds that it shows per millisecond that passes.
    rate: f64,
}

impl SimClock {
    /// A right clock, where `beginning` is when the simulation began.
    pub(super) fn new(beginning: Instant) -> Self {
        let shown_ms = BEGINNING.unix_ms() as f64;
        Self { dial: Arc::new(Mutex::new(Dial { set_at: beginning, shown_ms, rate: 1.0 })) }
    }

    /// Sets the clock forward by that many milliseconds, or back where it is negative.
    pub fn jump(&self, ms: i64) {
        self.change(|dial| dial.shown_ms += ms as f64);
    }

    /// Makes the clock run too fast by that many parts per million, or too slow where it is
    /// negative. Good quartz stays within 50.
    pub fn drift(&self, parts_per_million: i32) {
        self.change(|dial| dial.rate = 1.0 + f64::from(parts_per_million) / 1e6);
    }

    fn change(&self, change: impl FnOnce(&mut Dial)) {
        let mut dial = self.dial.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        dial.shown_ms = dial.shows(now);
        dial.set_at = now;
        change(&mut dial);
    }
}

impl Dial {
    fn shows(&self, now: Instant) -> f64 {
        let passed: Duration = now.saturating_duration_since(self.set_at);
        self.shown_ms + passed.as_secs_f64() * 1e3 * self.rate
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let dial = self.dial.lock().unwrap_or_else(PoisonError::into_inner);
        Timestamp::from_unix_ms(dial.shows(Instant::now()) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::simulate;

    #[test]
    fn a_clock_follows_virtual_time_jumps_and_drifts() {
        simulate(1, async {
            let clock = SimClock::new(Instant::now());
            assert_eq!(clock.now(), BEGINNING);
            let hour = Duration::from_secs(3600);
            tokio::time::advance(hour).await;
            assert_eq!(clock.now(), BEGINNING.saturating_add(hour));
            clock.drift(100);
            tokio::time::advance(hour).await;
            let ahead = clock.now().saturating_since(BEGINNING.saturating_add(2 * hour));
            assert_eq!(ahead, Duration::from_millis(360));
            clock.jump(-1360);
            assert_eq!(clock.now(), BEGINNING.saturating_add(2 * hour - Duration::from_secs(1)));
        });
    }
}
