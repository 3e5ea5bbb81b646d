//! When a job is due: a cron expression or a fixed interval, as a value that two nodes agree on.

use std::fmt;
use std::time::Duration;

use clustron_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cron::CronExpr;

/// The longest interval and the longest phase, in milliseconds: 366 days.
pub const INTERVAL_MS_MAX: u64 = 366 * 24 * 3_600_000;

/// When a job is due. Every instant is UTC and a whole millisecond.
///
/// ```
/// use clustron_core::Timestamp;
/// use clustron_scheduler::Schedule;
///
/// let nightly = Schedule::cron("30 2 * * *")?;
/// let due = nightly.next_after(Timestamp::from_unix_ms(0));
/// assert_eq!(due.map(|t| t.to_string()), Some("1970-01-01T02:30:00.000Z".to_owned()));
/// # Ok::<(), clustron_scheduler::ScheduleError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Schedule {
    /// The civil instants, in UTC, that a cron expression names.
    Cron(CronExpr),
    /// Every `interval_ms`, aligned to the Unix epoch, so that neither a failover nor a restart
    /// moves the phase: the instants are `phase_ms + k * interval_ms` for every whole `k`.
    Every {
        /// The distance between two instants, in milliseconds: 1 ms to 366 days.
        interval_ms: u64,
        /// How long after the aligned instant the job is due, in milliseconds, less than
        /// `interval_ms`. Spreads jobs of one interval.
        phase_ms: u64,
    },
}

impl Schedule {
    /// A schedule in cron notation and UTC; see [`CronExpr`] for what is understood.
    ///
    /// # Errors
    /// Names the field, the value and what is allowed.
    pub fn cron(text: &str) -> Result<Self, ScheduleError> {
        CronExpr::parse(text).map(Self::Cron)
    }

    /// A schedule of fixed intervals aligned to the Unix epoch.
    ///
    /// # Errors
    /// If `interval` is not a whole number of milliseconds from 1 ms to 366 days.
    pub fn every(interval: Duration) -> Result<Self, ScheduleError> {
        Self::every_with_phase(interval, Duration::ZERO)
    }

    /// Like [`Schedule::every`], each instant `phase` later.
    ///
    /// # Errors
    /// Also if `phase` is not in whole milliseconds or not shorter than `interval`.
    pub fn every_with_phase(interval: Duration, phase: Duration) -> Result<Self, ScheduleError> {
        let refused = || ScheduleError::Interval { interval, phase };
        let schedule = Self::Every {
            interval_ms: whole_ms(interval).ok_or_else(refused)?,
            phase_ms: whole_ms(phase).ok_or_else(refused)?,
        };
        schedule.check()?;
        Ok(schedule)
    }

    /// Checks a value that was built by hand or came from a peer.
    ///
    /// # Errors
    /// If an interval or phase is out of its range. A [`CronExpr`] is checked when it is made.
    pub fn check(&self) -> Result<(), ScheduleError> {
        match *self {
            Self::Cron(_) => Ok(()),
            Self::Every { interval_ms, phase_ms } => {
                let fits = (1..=INTERVAL_MS_MAX).contains(&interval_ms) && phase_ms < interval_ms;
                let interval = Duration::from_millis(interval_ms);
                let phase = Duration::from_millis(phase_ms);
                if fits { Ok(()) } else { Err(ScheduleError::Interval { interval, phase }) }
            }
        }
    }

    /// The first instant strictly after `t`, or `None` if there is none: the expression's years
    /// are over, the day does not exist (30 February), or the calendar ends.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        let next = match self {
            Self::Cron(cron) => cron.next_after(t),
            Self::Every { interval_ms, phase_ms } => {
                let steps = steps_until(t, *interval_ms, *phase_ms)?;
                at_step(steps + 1, *interval_ms, *phase_ms)
            }
        };
        // A tick that is not after the cursor would be fired twice: better none than that.
        next.filter(|next| *next > t)
    }

    /// Counts the instants in `(after, until]` except the newest `keep` of them. Looks at no more
    /// than `steps_max` cron instants; an interval is arithmetic and always complete.
    pub(crate) fn count_oldest(
        &self,
        after: Timestamp,
        until: Timestamp,
        keep: usize,
        steps_max: usize,
    ) -> Counted {
        match self {
            Self::Every { interval_ms, phase_ms } => {
                count_every(*interval_ms, *phase_ms, after, until, keep)
            }
            Self::Cron(_) => self.count_by_walking(after, until, keep, steps_max),
        }
    }

    fn count_by_walking(
        &self,
        after: Timestamp,
        until: Timestamp,
        keep: usize,
        steps_max: usize,
    ) -> Counted {
        let mut kept = std::collections::VecDeque::with_capacity(keep.min(steps_max));
        let mut counted = Counted { complete: true, ..Counted::default() };
        let mut at = after;
        while let Some(next) = self.next_after(at).filter(|next| *next <= until) {
            if counted.steps >= steps_max {
                counted.complete = false;
                break;
            }
            counted.steps += 1;
            at = next;
            kept.push_back(next);
            if kept.len() > keep
                && let Some(dropped) = kept.pop_front()
            {
                counted.count += 1;
                let first = counted.range.map_or(dropped, |(first, _)| first);
                counted.range = Some((first, dropped));
            }
        }
        counted
    }
}

/// What [`Schedule::count_oldest`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// How many instants, without the kept ones.
    pub(crate) count: u64,
    /// The first and the last of them.
    pub(crate) range: Option<(Timestamp, Timestamp)>,
    /// False if `steps_max` was reached: more instants follow, and this count is right so far.
    pub(crate) complete: bool,
    /// How many instants were looked at.
    pub(crate) steps: usize,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(cron) => write!(f, "cron \"{cron}\" UTC"),
            Self::Every { interval_ms, phase_ms: 0 } => write!(f, "every {interval_ms} ms"),
            Self::Every { interval_ms, phase_ms } => {
                write!(f, "every {interval_ms} ms, {phase_ms} ms late")
            }
        }
    }
}

/// Why a schedule was refused. Nothing was changed; correct the text or the number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is no expression at all.
    #[error(
        "the cron expression is empty: use 5 fields (minute, hour, day of month, month, day of week), 6 with seconds first, 7 with the year last, or a macro such as @daily"
    )]
    Empty,
    /// The expression is longer than any sensible one.
    #[error("the cron expression has {bytes} bytes; allowed are {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// The expression has too few or too many fields.
    #[error(
        "the cron expression {text:?} has {count} fields: use 5 (minute, hour, day of month, month, day of week), 6 (seconds first) or 7 (year last)"
    )]
    FieldCount {
        /// The expression.
        text: String,
        /// How many fields it has.
        count: usize,
    },
    /// The word after `@` means nothing.
    #[error(
        "the cron macro {text:?} is unknown: use @yearly, @annually, @monthly, @weekly, @daily, @midnight or @hourly"
    )]
    UnknownMacro {
        /// The macro.
        text: String,
    },
    /// One field is wrong.
    #[error("cron field {field}: {value:?} {problem}; allowed: {allowed}")]
    Field {
        /// The field's name, for example "day of week".
        field: &'static str,
        /// The part of the field that is wrong.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
        /// What the field takes.
        allowed: &'static str,
    },
    /// The cron library refused an expression that had passed the checks above: a defect here.
    #[error("the cron expression {text:?} cannot be used: {reason}")]
    Refused {
        /// The expression.
        text: String,
        /// What the library said.
        reason: String,
    },
    /// The interval or phase does not fit.
    #[error(
        "an interval of {interval:?} with a phase of {phase:?} cannot be used: the interval is 1 ms to 366 days, the phase is shorter than the interval, and both are whole milliseconds"
    )]
    Interval {
        /// The interval as given.
        interval: Duration,
        /// The phase as given.
        phase: Duration,
    },
}

fn whole_ms(duration: Duration) -> Option<u64> {
    let ms = u64::try_from(duration.as_millis()).ok()?;
    (Duration::from_millis(ms) == duration).then_some(ms)
}

/// How many whole intervals after the phase `t` lies; `None` if the interval is unusable.
fn steps_until(t: Timestamp, interval_ms: u64, phase_ms: u64) -> Option<i128> {
    (interval_ms > 0)
        .then(|| (i128::from(t.unix_ms()) - i128::from(phase_ms)).div_euclid(interval_ms.into()))
}

fn at_step(steps: i128, interval_ms: u64, phase_ms: u64) -> Option<Timestamp> {
    let ms = steps.checked_mul(interval_ms.into())?.checked_add(phase_ms.into())?;
    i64::try_from(ms).ok().map(Timestamp::from_unix_ms)
}

fn count_every(
    interval_ms: u64,
    phase_ms: u64,
    after: Timestamp,
    until: Timestamp,
    keep: usize,
) -> Counted {
    let none = Counted { complete: true, ..Counted::default() };
    let (Some(start), Some(end)) =
        (steps_until(after, interval_ms, phase_ms), steps_until(until, interval_ms, phase_ms))
    else {
        return none;
    };
    let count = end.saturating_sub(start).saturating_sub(i128::try_from(keep).unwrap_or(i128::MAX));
    let last = start.saturating_add(count);
    match (
        u64::try_from(count),
        at_step(start + 1, interval_ms, phase_ms),
        at_step(last, interval_ms, phase_ms),
    ) {
        (Ok(count @ 1..), Some(first), Some(last)) => {
            Counted { count, range: Some((first, last)), ..none }
        }
        _ => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn intervals_align_to_the_unix_epoch() {
        let every = Schedule::every_with_phase(Duration::from_secs(10), Duration::from_secs(3));
        let every = every.unwrap();
        for (after, next) in
            [(0, 3_000), (2_999, 3_000), (3_000, 13_000), (-1, 3_000), (-7_000, 3_000)]
        {
            assert_eq!(every.next_after(ms(after)), Some(ms(next)), "after {after}");
        }
        assert_eq!(every.next_after(ms(-7_001)), Some(ms(-7_000)));
        assert_eq!(every.next_after(ms(i64::MAX)), None);
        assert!(every.next_after(ms(i64::MIN)).is_some());
        assert_eq!(every.to_string(), "every 10000 ms, 3000 ms late");
    }

    #[test]
    fn intervals_out_of_range_are_refused_with_both_numbers() {
        for bad in [
            Duration::ZERO,
            Duration::from_micros(500),
            Duration::from_micros(1_500),
            Duration::from_secs(367 * 86_400),
            Duration::MAX,
        ] {
            let error = Schedule::every(bad).unwrap_err().to_string();
            assert!(error.contains("1 ms to 366 days"), "{error}");
        }
        assert!(Schedule::every(Duration::from_secs(366 * 86_400)).is_ok());
        let second = Duration::from_secs(1);
        assert!(Schedule::every_with_phase(second, second).is_err());
    }

    #[test]
    fn a_hand_built_interval_of_zero_never_fires() {
        let broken = Schedule::Every { interval_ms: 0, phase_ms: 0 };
        assert!(broken.check().is_err());
        assert_eq!(broken.next_after(ms(0)), None);
        assert_eq!(broken.count_oldest(ms(0), ms(100), 0, 10).count, 0);
    }

    #[test]
    fn counting_by_arithmetic_agrees_with_walking() {
        for (interval_ms, phase_ms) in [(1, 0), (7, 3), (10, 0), (250, 249)] {
            let every = Schedule::Every { interval_ms, phase_ms };
            for after in -20..20 {
                for until in [after - 5, after, after + 1, after + 9, after + 500] {
                    for keep in [0, 1, 3, 100] {
                        let fast = every.count_oldest(ms(after), ms(until), keep, 0);
                        let slow = every.count_by_walking(ms(after), ms(until), keep, 1_000);
                        assert_eq!(fast, Counted { steps: 0, ..slow }, "{every} {after}..{until}");
                    }
                }
            }
        }
    }

    #[test]
    fn counting_a_long_cron_range_stops_at_the_bound_and_says_so() {
        let cron = Schedule::cron("* * * * * *").unwrap();
        let counted = cron.count_oldest(ms(0), ms(1_000_000), 2, 10);
        assert_eq!(counted.count, 8);
        assert_eq!(counted.range, Some((ms(1_000), ms(8_000))));
        assert!(!counted.complete);
    }
}
