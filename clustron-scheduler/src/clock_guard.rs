//! Which time the leader goes by: its own clock's, unless that is far from those of most voters.

use std::time::Duration;

use clustron_core::{Message, Request, Timestamp};
use serde::{Deserialize, Serialize};

/// How far a leader's clock may be from the median of the voters', in milliseconds. Beyond it the
/// leader goes by the median.
pub const CLOCK_APART_MS_MAX: i64 = 2_000;

/// A clock that goes so much faster or slower than time does, from one look to the next, was set.
const JUMP_MS: i64 = 500;

/// How often the voters are asked for their clocks though nothing has happened.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// The pause after a question that too few have answered.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// An answer that took longer says too little.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Asks a node for its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskClock;

impl Message for AskClock {
    const KIND: &'static str = "scheduler.clock";
}

impl Request for AskClock {
    type Reply = Timestamp;
}

/// Like a sailor with one watch who asks the other ships for theirs: between two answers he goes by
/// his own, and if that makes a leap, by how long he feels it has been, until he has asked again.
///
/// Time that really passes comes from outside, counted from any beginning.
#[derive(Debug, Default)]
pub(crate) struct ClockGuard {
    /// What its own clock showed last, in milliseconds, and when that was.
    last: Option<(i64, Duration)>,
    /// What is added to its own clock.
    correction_ms: i64,
    /// How often its own clock has leapt.
    leaps: u64,
    /// When to ask next.
    ask_at: Duration,
    /// Whether the voters have ever answered.
    checked: bool,
}

/// A question to the voters that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    leaps: u64,
}

/// What the voters' clocks were found to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The own clock is good enough.
    Good,
    /// The own clock is so many milliseconds ahead of the median, or behind it if below zero.
    Apart(i64),
}

impl ClockGuard {
    /// The time to go by, at a reading of the own clock.
    pub(crate) fn now(&mut self, own: Timestamp, passed: Duration) -> Timestamp {
        let own_ms = own.unix_ms();
        if let Some((last_ms, at)) = self.last {
            let since_ms = i64::try_from(passed.saturating_sub(at).as_millis());
            let expected_ms = last_ms.saturating_add(since_ms.unwrap_or(i64::MAX));
            let leap_ms = own_ms.saturating_sub(expected_ms);
            if leap_ms.saturating_abs() > JUMP_MS {
                self.correction_ms = self.correction_ms.saturating_sub(leap_ms);
                self.leaps += 1;
                self.ask_at = passed;
            }
        }
        self.last = Some((own_ms, passed));
        Timestamp::from_unix_ms(own_ms.saturating_add(self.correction_ms))
    }

    /// Whether anything may be done by this clock yet.
    pub(crate) fn is_checked(&self) -> bool {
        self.checked
    }

    /// The voters are to be asked, if it is time to.
    pub(crate) fn question(&self, passed: Duration) -> Option<Question> {
        (self.ask_at <= passed).then_some(Question { leaps: self.leaps })
    }

    /// When they are to be asked next.
    pub(crate) fn ask_at(&self) -> Duration {
        self.ask_at
    }

    /// Takes the answers: how far, in milliseconds, the clocks of other voters are ahead of this
    /// node's, of so many voters with this one. Nothing if too few have answered, or the own clock
    /// has leapt meanwhile.
    pub(crate) fn learn(
        &mut self,
        question: Question,
        ahead_ms: &[i64],
        voters: usize,
        passed: Duration,
    ) -> Option<Found> {
        self.ask_at = passed + ASK_AGAIN_AFTER;
        if question.leaps != self.leaps {
            self.ask_at = passed;
            return None;
        }
        if ahead_ms.len() < voters / 2 {
            return None;
        }
        let mut clocks_ms = [ahead_ms, &[0]].concat();
        clocks_ms.sort_unstable();
        let (low, high) = (clocks_ms[(clocks_ms.len() - 1) / 2], clocks_ms[clocks_ms.len() / 2]);
        // Of an even number the one nearer to what was believed until now: after a leap that is
        // where the own clock would be without it.
        let from_believed = |ms: i64| ms.abs_diff(self.correction_ms);
        let median_ms = if from_believed(low) < from_believed(high) { low } else { high };
        self.checked = true;
        self.ask_at = passed + ASK_EVERY;
        let apart = median_ms.saturating_abs() > CLOCK_APART_MS_MAX;
        self.correction_ms = if apart { median_ms } else { 0 };
        Some(if apart { Found::Apart(median_ms.saturating_neg()) } else { Found::Good })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    const fn passed(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Its clock shows 1,000,000 when nothing has passed, and both others' are right.
    fn checked() -> ClockGuard {
        let mut guard = ClockGuard::default();
        assert_eq!(guard.now(ms(1_000_000), passed(0)), ms(1_000_000));
        assert!(!guard.is_checked());
        let question = guard.question(passed(0)).unwrap();
        assert_eq!(guard.learn(question, &[3, -5], 3, passed(0)), Some(Found::Good));
        assert!(guard.is_checked());
        guard
    }

    #[test]
    fn a_leap_ahead_is_not_believed_before_most_voters_have_made_it_too() {
        let mut guard = checked();
        assert_eq!(guard.question(passed(100)), None);
        assert_eq!(guard.now(ms(4_600_100), passed(100)), ms(1_000_100));
        let question = guard.question(passed(100)).unwrap();
        let hour = 3_600_000;
        assert_eq!(guard.learn(question, &[-hour], 3, passed(110)), Some(Found::Apart(hour)));
        assert_eq!(guard.now(ms(4_600_200), passed(200)), ms(1_000_200));
        // It is put right.
        assert_eq!(guard.now(ms(1_000_300), passed(300)), ms(1_000_300));
        let question = guard.question(passed(300)).unwrap();
        assert_eq!(guard.learn(question, &[0, 0], 3, passed(300)), Some(Found::Good));
        // The machines slept, all of them.
        assert_eq!(guard.now(ms(4_600_400), passed(400)), ms(1_000_400));
        let question = guard.question(passed(400)).unwrap();
        assert_eq!(guard.learn(question, &[2, 2], 3, passed(400)), Some(Found::Good));
        assert_eq!(guard.now(ms(4_600_500), passed(500)), ms(4_600_500));
    }

    #[test]
    fn a_clock_that_only_runs_fast_is_found_when_the_voters_are_asked_again() {
        let mut guard = checked();
        for n in 1..=100 {
            // A tenth too fast, which is no leap.
            let time = passed(100 * n);
            let own = ms(1_000_000 + 140 * n as i64);
            assert_eq!(guard.now(own, time), own);
            assert_eq!(guard.question(time).is_some(), n == 100);
        }
        let question = guard.question(passed(10_000)).unwrap();
        let found = guard.learn(question, &[-4_000, -4_000], 3, passed(10_000));
        assert_eq!(found, Some(Found::Apart(4_000)));
        assert_eq!(guard.now(ms(1_014_000), passed(10_000)), ms(1_010_000));
    }

    #[test]
    fn too_few_answers_and_answers_from_before_a_leap_say_nothing() {
        let mut guard = ClockGuard::default();
        guard.now(ms(0), passed(0));
        let question = guard.question(passed(0)).unwrap();
        assert_eq!(guard.learn(question, &[9_000], 5, passed(0)), None);
        assert!(guard.question(passed(100)).is_none() && guard.question(passed(200)).is_some());
        guard.now(ms(9_000), passed(1));
        assert_eq!(guard.learn(question, &[0, 0, 0, 0], 5, passed(1)), None);
        assert!(!guard.is_checked() && guard.question(passed(1)).is_some());
    }

    #[test]
    fn one_voter_believes_itself_and_of_two_each_does() {
        let mut guard = ClockGuard::default();
        let question = guard.question(passed(0)).unwrap();
        assert_eq!(guard.learn(question, &[], 1, passed(0)), Some(Found::Good));
        assert_eq!(guard.learn(question, &[-9_000_000], 2, passed(0)), Some(Found::Good));
        assert_eq!(guard.learn(question, &[9_000_000], 2, passed(0)), Some(Found::Good));
        assert_eq!(guard.learn(question, &[], 2, passed(0)), None);
        // Unless one of them was seen to leap.
        guard.now(ms(0), passed(0));
        assert_eq!(guard.now(ms(9_000_000), passed(9)), ms(9));
        let question = guard.question(passed(9)).unwrap();
        let apart = Some(Found::Apart(9_000_000));
        assert_eq!(guard.learn(question, &[-9_000_000], 2, passed(9)), apart);
    }

    proptest! {
        /// However its own clock is set, a leader whose voters' clocks are right is never further
        /// from the right time than allowed and what passes between two looks.
        #[test]
        fn most_voters_keep_a_leader_near_the_right_time(
            sets in proptest::collection::vec((-5_000_000i64..5_000_000, 1u64..400), 1..60),
            error in -200i64..200,
        ) {
            let (mut guard, mut wrong, mut time) = (checked(), 0i64, 0u64);
            for (n, (set, step)) in sets.into_iter().enumerate() {
                time += step;
                if n % 3 == 0 {
                    wrong = set;
                }
                let right = 1_000_000 + time as i64;
                let now = guard.now(ms(right + wrong), passed(time));
                let apart_ms = now.unix_ms().abs_diff(right);
                prop_assert!(apart_ms <= 2_000 + 500 + 200, "{} of {}", now, right);
                if let Some(question) = guard.question(passed(time)) {
                    let ahead = [error - wrong, -wrong];
                    prop_assert!(guard.learn(question, &ahead, 3, passed(time)).is_some());
                }
            }
        }

        #[test]
        fn no_reading_is_a_panic(
            readings in proptest::collection::vec((any::<i64>(), any::<u64>()), 0..20),
        ) {
            let mut guard = ClockGuard::default();
            for (own, time) in readings {
                guard.now(ms(own), passed(time));
                if let Some(question) = guard.question(passed(time)) {
                    guard.learn(question, &[own, i64::MIN, i64::MAX], 3, passed(time));
                }
            }
        }
    }
}
