//! What a job is: its name, when it is due, and what happens when a tick is late or overlaps.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schedule::{Schedule, ScheduleError};

/// The longest job name, in bytes.
pub const JOB_NAME_BYTES_MAX: usize = 128;
/// The most finished ticks that one job keeps.
pub const HISTORY_MAX: u32 = 10_000;
/// The most ticks of one job that may wait or run at once.
pub const OPEN_TICKS_MAX: u32 = 1_000;
/// The most late ticks that [`Misfire::All`] catches up with.
pub const CATCH_UP_MAX: u32 = 10_000;
/// The longest [`JobSpec::grace_ms`], in milliseconds: one hour.
pub const GRACE_MS_MAX: u64 = 3_600_000;

/// A job's name, unique in the cluster: 1 to 128 bytes of `a-z A-Z 0-9 - _ . / :`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobName(String);

impl JobName {
    /// Takes 1 to 128 bytes of `a-z A-Z 0-9 - _ . / :`.
    ///
    /// # Errors
    /// [`JobError::Name`] shows the name.
    pub fn new(name: impl Into<String>) -> Result<Self, JobError> {
        let name = name.into();
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':');
        let fits = (1..=JOB_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed);
        if fits { Ok(Self(name)) } else { Err(JobError::Name { name }) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for JobName {
    type Error = JobError;

    fn try_from(name: String) -> Result<Self, JobError> {
        Self::new(name)
    }
}

impl From<JobName> for String {
    fn from(name: JobName) -> Self {
        name.0
    }
}

/// What happens to a tick that is claimed while an earlier tick of the job is open, that is
/// waiting for a worker or running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Overlap {
    /// The tick is recorded as skipped. A job that must run every late tick pairs
    /// [`Misfire::All`] with one of the other two.
    #[default]
    Skip,
    /// The tick waits; ticks start one after another in the order of their instants.
    BufferAll {
        /// How many may wait, 1 to 1000. One more is recorded as skipped.
        max: u32,
    },
    /// The ticks run side by side.
    Allow {
        /// How many may be open, 1 to 1000. One more is recorded as skipped.
        max: u32,
    },
}

/// What happens to late ticks: those that were due longer than [`JobSpec::grace_ms`] ago when a
/// leader got to them, because there was no leader, no quorum or too much to do. Whatever is not
/// run is recorded as missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Misfire {
    /// Late ticks are missed.
    Skip,
    /// The latest due tick runs, late or not; the late ones before it are missed.
    Latest,
    /// Late ticks run, oldest first.
    All {
        /// How many of the late ticks, the newest ones, 1 to 10000; older ones are missed.
        max: u32,
        /// Ticks due longer ago than this, in milliseconds, are missed.
        max_age_ms: u64,
    },
}

impl Default for Misfire {
    /// Up to 1000 ticks of the last hour.
    fn default() -> Self {
        Self::All { max: 1_000, max_age_ms: 3_600_000 }
    }
}

/// What the cluster knows about a job. The code that runs is registered with each worker under
/// the same name.
///
/// ```
/// use clustron_scheduler::{JobName, JobSpec, Overlap, Schedule};
///
/// let spec = JobSpec::new(JobName::new("billing/close-day")?, Schedule::cron("5 0 * * *")?)
///     .overlap(Overlap::BufferAll { max: 7 });
/// spec.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The name, unique in the cluster.
    pub name: JobName,
    /// When it is due.
    pub schedule: Schedule,
    /// What happens to a tick while an earlier one is open. Default: skip.
    pub overlap: Overlap,
    /// What happens to late ticks. Default: the newest 1000 of the last hour run.
    pub misfire: Misfire,
    /// A tick claimed at most this long after its instant, in milliseconds, is on time and never a
    /// misfire. Default: 1000. At most one hour. Choose it longer than a leader change takes if an
    /// ordinary failover is no reason to miss a tick.
    pub grace_ms: u64,
    /// How many finished ticks are kept, 1 to 10000. Default: 100. Fewer if all jobs' histories
    /// together exceed [`crate::HISTORY_BYTES_MAX`]. The counters never forget.
    pub history: u32,
}

impl JobSpec {
    /// A job with the default policies. Each `~` of its schedule becomes the number that the job's
    /// name gives.
    pub fn new(name: JobName, schedule: Schedule) -> Self {
        Self {
            schedule: schedule.spread_for(&name),
            name,
            overlap: Overlap::default(),
            misfire: Misfire::default(),
            grace_ms: 1_000,
            history: 100,
        }
    }

    /// Sets what happens to a tick while an earlier one is open.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets what happens to late ticks.
    #[must_use]
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = misfire;
        self
    }

    /// Sets how late a tick may be and still count as on time. Milliseconds are cut off below.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Sets how many finished ticks are kept.
    #[must_use]
    pub fn history(mut self, ticks: u32) -> Self {
        self.history = ticks;
        self
    }

    /// Checks every number. The replicated state does so again and refuses what does not fit.
    ///
    /// # Errors
    /// [`JobError`] names the number, its value and what is allowed.
    pub fn check(&self) -> Result<(), JobError> {
        self.schedule.check()?;
        self.schedule.check_spread()?;
        in_range("history", self.history.into(), 1, HISTORY_MAX.into())?;
        in_range("grace_ms", self.grace_ms, 0, GRACE_MS_MAX)?;
        if let Overlap::BufferAll { max } | Overlap::Allow { max } = self.overlap {
            in_range("overlap max", max.into(), 1, OPEN_TICKS_MAX.into())?;
        }
        if let Misfire::All { max, .. } = self.misfire {
            in_range("misfire max", max.into(), 1, CATCH_UP_MAX.into())?;
        }
        Ok(())
    }
}

fn in_range(what: &'static str, value: u64, min: u64, max: u64) -> Result<(), JobError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(JobError::OutOfRange { what, value, min, max })
    }
}

/// Why a job was refused. Nothing was changed; correct the value and try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The name has a character or a length that is not allowed.
    #[error(
        "job name {name:?} is not valid: use 1 to {JOB_NAME_BYTES_MAX} bytes of a-z, A-Z, 0-9, '-', '_', '.', '/' or ':'"
    )]
    Name {
        /// The name as it was given.
        name: String,
    },
    /// A number is out of its range.
    #[error("{what} is {value}; allowed are {min} to {max}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// The schedule cannot be used.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> JobSpec {
        let schedule = Schedule::every(Duration::from_secs(1)).unwrap();
        JobSpec::new(JobName::new("a").unwrap(), schedule)
    }

    #[test]
    fn names_are_refused_with_the_name_and_the_remedy() {
        for good in ["a", "team/job:v2", "A_b-c.9"] {
            assert!(JobName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "two words", "ümlaut", &"x".repeat(129)] {
            let error = JobName::new(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_bad_name_does_not_decode() {
        let bytes = clustron_core::codec::encode("two words").unwrap();
        assert!(clustron_core::codec::decode::<JobName>(&bytes).is_err());
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        assert_eq!(spec().check(), Ok(()));
        for (bad, message) in [
            (spec().history(0), "history is 0; allowed are 1 to 10000"),
            (spec().history(10_001), "history is 10001; allowed are 1 to 10000"),
            (spec().grace(Duration::MAX), "grace_ms is 18446744073709551615"),
            (spec().overlap(Overlap::BufferAll { max: 0 }), "overlap max is 0"),
            (spec().overlap(Overlap::Allow { max: 1_001 }), "overlap max is 1001"),
            (spec().misfire(Misfire::All { max: 0, max_age_ms: 1 }), "misfire max is 0"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
