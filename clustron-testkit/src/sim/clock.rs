//! A node's own clock. Two wrist watches never show the same time: one was set wrong, the other
//! runs fast. A service that compares times of two machines finds that out here.

use std::time::Duration;

use super::time::{VirtualTime, nanos};

const MILLION: u64 = 1_000_000;

/// The largest deviation of a clock's rate, in parts per million: it then runs at half speed or at
/// one and a half.
pub const DRIFT_PPM_MAX: i32 = 500_000;

/// How far apart the nodes' clocks are at the start. Each node draws its own values from the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// A clock shows something between zero and this when the simulation begins.
    pub offset_max: Duration,
    /// A clock runs faster or slower than true time by at most so many parts per million, at most
    /// [`DRIFT_PPM_MAX`]. Quartz stays below 200.
    pub drift_ppm_max: i32,
}

impl Skew {
    /// All clocks show the virtual time. For scripts whose times are compared exactly.
    pub const NONE: Skew = Skew { offset_max: Duration::ZERO, drift_ppm_max: 0 };
}

impl Default for Skew {
    /// Up to an hour apart, up to 100 parts per million fast or slow.
    fn default() -> Self {
        Skew { offset_max: Duration::from_secs(3600), drift_ppm_max: 100 }
    }
}

/// Shows `shown` at `anchor` and goes on from there with its own rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    anchor: VirtualTime,
    shown: u64,
    drift_ppm: i32,
}

impl Clock {
    pub(super) fn new(offset: Duration, drift_ppm: i32) -> Clock {
        Clock { anchor: VirtualTime::ZERO, shown: nanos(offset), drift_ppm: in_range(drift_ppm) }
    }

    pub(super) fn drift_ppm(&self) -> i32 {
        self.drift_ppm
    }

    /// What the clock shows.
    pub(super) fn read(&self, now: VirtualTime) -> Duration {
        Duration::from_nanos(self.shown_at(now))
    }

    /// The first moment at which the clock shows at least `local`.
    pub(super) fn when(&self, local: Duration) -> VirtualTime {
        let ahead = nanos(local).saturating_sub(self.shown);
        if ahead == 0 {
            return self.anchor;
        }
        if ahead >= u64::MAX / 4 {
            return VirtualTime::NEVER;
        }
        let ahead = if self.drift_ppm == 0 { ahead } else { self.unstretch(ahead) };
        VirtualTime(self.anchor.0.saturating_add(ahead))
    }

    /// Sets the clock forward.
    pub(super) fn jump_forward(&mut self, now: VirtualTime, by: Duration) {
        *self = Clock { shown: self.shown_at(now).saturating_add(nanos(by)), ..self.at(now) };
    }

    /// Sets the clock back, at most to zero.
    pub(super) fn jump_back(&mut self, now: VirtualTime, by: Duration) {
        *self = Clock { shown: self.shown_at(now).saturating_sub(nanos(by)), ..self.at(now) };
    }

    pub(super) fn set_drift(&mut self, now: VirtualTime, drift_ppm: i32) {
        *self = Clock { drift_ppm: in_range(drift_ppm), ..self.at(now) };
    }

    /// The same clock, with its anchor here.
    fn at(&self, now: VirtualTime) -> Clock {
        Clock { anchor: now, shown: self.shown_at(now), drift_ppm: self.drift_ppm }
    }

    fn shown_at(&self, now: VirtualTime) -> u64 {
        let elapsed = now.0.saturating_sub(self.anchor.0);
        self.shown.saturating_add(self.stretch(elapsed))
    }

    /// True nanoseconds to shown ones, rounded down. In two parts, so that no product overflows.
    fn stretch(&self, elapsed: u64) -> u64 {
        let ppm = u64::from(self.drift_ppm.unsigned_abs());
        let (whole, rest) = (elapsed / MILLION * ppm, elapsed % MILLION * ppm);
        match self.drift_ppm {
            0 => elapsed,
            1.. => elapsed.saturating_add(whole + rest / MILLION),
            _ => elapsed - (whole + rest.div_ceil(MILLION)),
        }
    }

    /// Shown nanoseconds to true ones, rounded up: the inverse of `stretch`.
    fn unstretch(&self, ahead: u64) -> u64 {
        let rate = MILLION.saturating_add_signed(i64::from(self.drift_ppm));
        match ahead.checked_mul(MILLION) {
            Some(product) => product.div_ceil(rate),
            None => (u128::from(ahead) * u128::from(MILLION)).div_ceil(u128::from(rate)) as u64,
        }
    }
}

fn in_range(drift_ppm: i32) -> i32 {
    drift_ppm.clamp(-DRIFT_PPM_MAX, DRIFT_PPM_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    #[test]
    fn a_fast_clock_gains_and_a_slow_one_loses() {
        let hour = VirtualTime(HOUR);
        assert_eq!(Clock::new(Duration::ZERO, 0).read(hour), Duration::from_secs(3600));
        assert_eq!(Clock::new(Duration::ZERO, 100).read(hour), Duration::from_millis(3_600_360));
        let offset = Duration::from_secs(5);
        assert_eq!(Clock::new(offset, -100).read(hour), Duration::from_millis(3_604_640));
    }

    #[test]
    fn when_is_the_first_moment_that_shows_the_time() {
        for drift in [-500_000, -101, -1, 0, 1, 77, 500_000] {
            let mut clock = Clock::new(Duration::from_nanos(17), drift);
            clock.jump_forward(VirtualTime(999), Duration::from_micros(3));
            for local in [5_000, 1_000_003, 7_777_777_777, 40 * HOUR + 1] {
                let local = Duration::from_nanos(local);
                let at = clock.when(local);
                assert!(clock.read(at) >= local, "{drift} {local:?} {at}");
                assert!(clock.read(VirtualTime(at.0 - 1)) < local, "{drift} {local:?} {at}");
            }
        }
    }

    #[test]
    fn what_lies_in_the_past_is_due_already_and_the_end_of_time_never_comes() {
        let clock = Clock::new(Duration::from_secs(9), 3);
        assert_eq!(clock.when(Duration::from_secs(8)), VirtualTime::ZERO);
        assert_eq!(clock.when(Duration::MAX), VirtualTime::NEVER);
    }

    #[test]
    fn a_jump_and_a_new_rate_begin_where_the_clock_stood() {
        let mut clock = Clock::new(Duration::ZERO, 0);
        let second = VirtualTime(1_000_000_000);
        clock.jump_forward(second, Duration::from_secs(10));
        clock.set_drift(second, 500_000);
        assert_eq!(clock.read(second), Duration::from_secs(11));
        assert_eq!(clock.read(VirtualTime(3_000_000_000)), Duration::from_secs(14));
        clock.jump_back(VirtualTime(3_000_000_000), Duration::from_secs(100));
        assert_eq!(clock.read(VirtualTime(3_000_000_000)), Duration::ZERO);
    }
}
