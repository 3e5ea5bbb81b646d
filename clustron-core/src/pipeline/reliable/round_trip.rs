//! How long to wait for an acknowledgement, by [RFC 6298](https://www.rfc-editor.org/rfc/rfc6298).
//!
//! The smoothed round trip, and four times how much it varies; twice as long after each time that
//! nothing came. What was sent twice is not measured (Karn's algorithm): nobody knows which of the
//! two was acknowledged.

use std::time::Duration;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct RoundTrip {
    /// Smoothed, and its variation; `None` before the first measurement.
    measured: Option<(Duration, Duration)>,
    timeout: Duration,
    min: Duration,
    max: Duration,
}

impl RoundTrip {
    /// Nothing is known. The first timeout is three times `min`, and all are in these bounds.
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { measured: None, timeout: (3 * min).min(max), min, max }
    }

    /// Something that was sent once was acknowledged after so long. Ends the waiting longer.
    pub(super) fn measure(&mut self, round_trip: Duration) {
        let (smoothed, variation) = match self.measured {
            None => (round_trip, round_trip / 2),
            Some((smoothed, variation)) => (
                smoothed * 7 / 8 + round_trip / 8,
                variation * 3 / 4 + smoothed.abs_diff(round_trip) / 4,
            ),
        };
        self.measured = Some((smoothed, variation));
        self.timeout = (smoothed + 4 * variation).clamp(self.min, self.max);
    }

    /// Nothing came in time.
    pub(super) fn back_off(&mut self) {
        self.timeout = (2 * self.timeout).min(self.max);
    }

    /// How long to wait from now on.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_timeout_is_the_smoothed_round_trip_and_four_times_its_variation() {
        let mut round_trip = RoundTrip::new(ms(1), ms(10_000));
        round_trip.measure(ms(80));
        assert_eq!(round_trip.timeout(), ms(80 + 4 * 40));
        round_trip.measure(ms(160));
        // Smoothed 90; variation 40 * 3/4 + 80 / 4.
        assert_eq!(round_trip.timeout(), ms(90 + 4 * 50));
    }

    #[test]
    fn it_doubles_up_to_its_bound_and_a_measurement_ends_that() {
        let mut round_trip = RoundTrip::new(ms(50), ms(1000));
        let mut timeouts = Vec::new();
        for _ in 0..5 {
            timeouts.push(round_trip.timeout());
            round_trip.back_off();
        }
        assert_eq!(timeouts, [ms(150), ms(300), ms(600), ms(1000), ms(1000)]);
        round_trip.measure(ms(2));
        assert_eq!(round_trip.timeout(), ms(50), "never below its lower bound");
    }
}
