//! Why a schedule was refused, in words that point at the place.

use std::ops::Range;
use std::time::Duration;

use super::{EXCLUSIONS_MAX, INTERVAL_MS_MAX, JITTER_MS_MAX, RULES_MAX, SCHEDULE_BYTES_MAX};

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
        "the cron macro {text:?} is unknown{}: use @yearly, @annually, @monthly, @weekly, @daily, @midnight or @hourly",
        meant(.nearest)
    )]
    UnknownMacro {
        /// The macro.
        text: String,
        /// One that may have been meant.
        nearest: Option<String>,
    },
    /// One field is wrong. [`ScheduleError::marked`] draws where.
    #[error(
        "cron expression {expr:?}, {field} at column {}: {:?} {problem}{}; allowed: {allowed}",
        column(.expr, .at.start), value(.expr, .at), meant(.nearest)
    )]
    Field {
        /// The expression, with single blanks.
        expr: String,
        /// The part of it that is wrong, in bytes.
        at: Range<usize>,
        /// The field's name, for example "day of week".
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
        /// What the field takes.
        allowed: &'static str,
        /// A name that may have been meant.
        nearest: Option<String>,
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
    /// No zone has this name in the tables of this build.
    #[error(
        "there is no time zone {name:?}{}: use a name of the IANA database such as Europe/Berlin, with its capitals",
        meant(.nearest)
    )]
    UnknownZone {
        /// The name as given.
        name: String,
        /// One that may have been meant.
        nearest: Option<String>,
    },
    /// A zone or a treatment of clock changes was set where no rule is in cron notation. Intervals
    /// and single instants are the same in every zone.
    #[error("{what} is set, and no rule of the schedule is in cron notation; leave it out")]
    NoCron {
        /// What was set.
        what: &'static str,
    },
    /// The dates of an exclusion cannot be used.
    #[error(
        "{text:?} is no list of dates: {problem}; write it like 2026-12-24..2026-12-26,2027-01-01"
    )]
    Dates {
        /// The list or the part of it that is wrong.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A schedule as text cannot be read.
    #[error("schedule {clause:?}: {problem}")]
    Clause {
        /// The clause, which is what stands between two semicolons.
        clause: String,
        /// What is wrong with it, and what to write.
        problem: String,
    },
    /// There are more rules than one schedule may have.
    #[error("the schedule has {count} rules; allowed are {RULES_MAX}: define a second job")]
    TooManyRules {
        /// How many.
        count: usize,
    },
    /// There are more exclusions than one schedule may have.
    #[error(
        "the schedule has {count} exclusions; allowed are {EXCLUSIONS_MAX}: one list of dates counts once"
    )]
    TooManyExclusions {
        /// How many.
        count: usize,
    },
    /// The schedule as text is longer than what nodes send each other.
    #[error("the schedule has {bytes} bytes as text; allowed are {SCHEDULE_BYTES_MAX}")]
    TooMuchText {
        /// Its length.
        bytes: usize,
    },
    /// The end comes before the start, or a window that is left out is empty.
    #[error("{what} ends at {end}, and starts at {start}: the end comes after the start")]
    EndsBeforeStart {
        /// What ends too early.
        what: &'static str,
        /// The start.
        start: clustron_core::Timestamp,
        /// The end.
        end: clustron_core::Timestamp,
    },
    /// An instant that cannot be written as RFC 3339.
    #[error("the instant {at} cannot be used; allowed are the years 0 to 9999")]
    Instant {
        /// The instant.
        at: clustron_core::Timestamp,
    },
    /// The jitter is too long.
    #[error("the jitter is {ms} ms; allowed are 0 to {JITTER_MS_MAX}")]
    Jitter {
        /// The jitter in milliseconds.
        ms: u64,
    },
    /// A schedule that is to run no times at all.
    #[error("the schedule is to run 0 times; use 1 or more, or set an end")]
    NoTimes,
    /// A `~` has not been replaced by the number that the job's name gives.
    #[error(
        "the cron expression {expr:?} has a ~ that stands for no job yet; set the schedule with JobSpec::new, or call Schedule::spread_for"
    )]
    NotSpread {
        /// The expression.
        expr: String,
    },
}

impl ScheduleError {
    /// Two lines for a terminal if one place of a cron expression is wrong: the expression, and
    /// under it a mark below the part that is meant.
    pub fn marked(&self) -> Option<String> {
        let Self::Field { expr, at, .. } = self else { return None };
        let before = " ".repeat(column(expr, at.start) - 1);
        let mark = "^".repeat(value(expr, at).chars().count().max(1));
        Some(format!("{expr}\n{before}{mark}"))
    }
}

/// The column of a byte of the text, from 1.
fn column(text: &str, at: usize) -> usize {
    text.char_indices().take_while(|(index, _)| *index < at).count() + 1
}

/// A part of the text.
fn value<'a>(text: &'a str, at: &Range<usize>) -> &'a str {
    text.get(at.clone()).unwrap_or("")
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!(", did you mean {nearest}?"))
}

// The message of `Interval` gives the bound in words.
const _: () = assert!(INTERVAL_MS_MAX == 366 * 24 * 3_600_000);
