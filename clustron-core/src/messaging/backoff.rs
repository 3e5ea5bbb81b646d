//! How long to wait before dialling again: like knocking at a door where nobody opens, ever more
//! rarely, and not in step with everybody else who knocks.

use std::time::Duration;

/// The wait after the first failure. Long enough that senders do not dial in a loop.
const FIRST: Duration = Duration::from_millis(50);

/// The longest wait. Far shorter than a leader may be silent, so that one who is back is called
/// before others stand for election, and before it could be put out for having been away.
const MOST: Duration = Duration::from_millis(250);

/// A connection that lived this long was a good one: what comes after it begins anew.
pub(super) const STEADY_AFTER: Duration = Duration::from_secs(5);

/// The waits between attempts to reach one peer.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure: half of what it is due for certain, and of the
    /// other half as much as `draw` says, any number.
    pub(super) fn failed(&mut self, draw: u64) -> Duration {
        let wait = MOST.min(FIRST * (1 << self.failures.min(5)));
        self.failures = self.failures.saturating_add(1);
        let half = wait / 2;
        half + half * u32::try_from(draw % 1025).unwrap_or(0) / 1024
    }

    /// The next failure is the first again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wait_doubles_up_to_a_bound_and_begins_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..8).map(|_| backoff.failed(1024).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 250, 250, 250, 250, 250]);
        backoff.reset();
        assert_eq!(backoff.failed(0).as_millis(), 25);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_bound_or_shorter_than_half_of_its_turn(draws: Vec<u64>) {
            let mut backoff = Backoff::default();
            for (at, draw) in draws.into_iter().enumerate() {
                let turn = MOST.min(FIRST * (1 << at.min(5)));
                let wait = backoff.failed(draw);
                prop_assert!(wait >= turn / 2 && wait <= turn, "{:?} of {:?}", wait, turn);
            }
        }
    }
}
