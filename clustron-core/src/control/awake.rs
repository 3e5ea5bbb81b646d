//! Time that goes on while the machine sleeps.
//!
//! The clock that timers run by stands still while a machine is suspended, like a watch that stops
//! at night. For timers that is right: nobody could have answered meanwhile. But how old a copy is
//! must be told by the calendar. This counts the nights, and adds them to what the watch shows.
//!
//! It looks whenever it is asked, so it knows of each night only that it lay between two looks.
//! What happened between them is held to have been before the night: a copy may seem older than it
//! is, never newer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::time::Clock;

/// Less than this is the noise of reading two clocks one after the other.
const NOTICED: Duration = Duration::from_millis(10);

/// Nights that are told apart, the latest ones.
const NIGHTS_MAX: usize = 16;

/// See the module's documentation.
pub(super) struct Awake {
    clock: Arc<dyn Clock>,
    started: Instant,
    nights: Mutex<Nights>,
}

/// All of it counted from the node's start.
#[derive(Debug, Default)]
struct Nights {
    /// How long the machine had slept before this node started.
    asleep_before: Duration,
    /// By when each was noticed, and how long the machine had slept until before it.
    noticed: VecDeque<(Duration, Duration)>,
    /// How long the machine has slept.
    asleep: Duration,
}

impl Nights {
    fn look(&mut self, awake: Duration, asleep: Duration) {
        let asleep = asleep.saturating_sub(self.asleep_before);
        if asleep < self.asleep + NOTICED {
            return;
        }
        if self.noticed.len() == NIGHTS_MAX {
            // Two become one, as if the earlier of them had been noticed with the later.
            if let Some((_, asleep)) = self.noticed.remove(0) {
                self.noticed[0].1 = asleep;
            }
        }
        self.noticed.push_back((awake, self.asleep));
        self.asleep = asleep;
    }

    /// The time at which the watch showed this.
    fn at(&self, awake: Duration) -> Duration {
        let later = self.noticed.iter().find(|(noticed, _)| awake < *noticed);
        awake + later.map_or(self.asleep, |(_, asleep)| *asleep)
    }
}

impl Awake {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let nights = Nights { asleep_before: clock.suspended(), ..Nights::default() };
        Self { clock, started: Instant::now(), nights: Mutex::new(nights) }
    }

    /// Now, and what was so long before it by the clock of timers.
    pub(super) fn now_and(&self, before: Duration) -> (Duration, Option<Duration>) {
        let awake = self.started.elapsed();
        let mut nights = self.nights.lock().unwrap_or_else(PoisonError::into_inner);
        nights.look(awake, self.clock.suspended());
        (nights.at(awake), awake.checked_sub(before).map(|earlier| nights.at(earlier)))
    }

    /// How long ago this node started, nights included.
    pub(super) fn now(&self) -> Duration {
        self.now_and(Duration::ZERO).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn nights_count_for_what_was_before_them_only() {
        let mut nights = Nights { asleep_before: s(1000), ..Nights::default() };
        nights.look(s(1), s(1000));
        assert_eq!(nights.at(s(1)), s(1));
        nights.look(s(5), s(1100));
        assert_eq!(nights.at(s(5)), s(105));
        assert_eq!(nights.at(s(4)), s(4), "it lay between 1 and 5, so 4 is held to be before it");
        nights.look(s(9), s(1130));
        assert_eq!((nights.at(s(9)), nights.at(s(6)), nights.at(s(2))), (s(139), s(106), s(2)));
    }

    #[test]
    fn the_noise_of_two_clocks_is_no_night() {
        let mut nights = Nights::default();
        nights.look(s(1), NOTICED / 2);
        nights.look(s(2), Duration::ZERO);
        assert_eq!((nights.at(s(2)), nights.noticed.len()), (s(2), 0));
    }

    #[test]
    fn however_many_nights_there_were_nothing_seems_newer_than_it_is() {
        let mut nights = Nights::default();
        // A night of a second after each second.
        for second in 1..100 {
            nights.look(s(second), s(second));
            for earlier in 0..=second {
                let slept_since =
                    nights.at(s(second)) - nights.at(s(earlier)) - s(second - earlier);
                assert!(slept_since >= s(second - earlier), "{earlier} of {second}");
            }
        }
        assert_eq!(nights.noticed.len(), NIGHTS_MAX);
    }
}
