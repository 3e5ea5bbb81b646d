//! What a job is: its name, when it is due, and what happens when a tick is late or overlaps.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clustron_core::codec::{self, CodecError};
use serde::{Deserialize, Deserializer, Serialize};

use crate::placement::Placement;
use crate::policy::{BACKOFF_MS_MAX, RETRIES_MAX, Retries};
use crate::schedule::{Schedule, ScheduleError};

/// The longest job name, in bytes.
pub const JOB_NAME_BYTES_MAX: usize = 128;
/// The most finished ticks that one job keeps.
pub const HISTORY_MAX: u32 = 10_000;
/// The most ticks of one job that may wait or run at once.
pub const OPEN_TICKS_MAX: u32 = 1_000;
/// The most late ticks that [`Misfire::All`] catches up with.
pub const CATCH_UP_MAX: u32 = 10_000;
/// The most bytes of a job's payload.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// The longest time limit of an attempt, in milliseconds: one year.
pub const TIMEOUT_MS_MAX: u64 = 365 * 86_400_000;
/// The longest [`JobSpec::grace_ms`], in milliseconds: one hour.
pub const GRACE_MS_MAX: u64 = 3_600_000;

/// A job's name, unique in the cluster: 1 to 128 bytes of `a-z A-Z 0-9 - _ . / :`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobName(Arc<str>);

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
        if fits { Ok(Self(name.into())) } else { Err(JobError::Name { name }) }
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
        name.0.as_ref().to_owned()
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
    /// What runs is told to stop, and the tick starts when it has. One that waits already is
    /// recorded as skipped.
    CancelOther,
}

impl Overlap {
    /// One tick waits; while it does, more are recorded as skipped.
    pub const BUFFER_ONE: Self = Self::BufferAll { max: 1 };

    /// How many ticks may run at once.
    pub(crate) fn at_once(self) -> usize {
        match self {
            Self::Allow { max } => max as usize,
            Self::Skip | Self::BufferAll { .. } | Self::CancelOther => 1,
        }
    }
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
    /// Whose code runs it, if not that of its own name.
    #[serde(deserialize_with = "shared")]
    pub(crate) handler: Option<JobName>,
    /// What else differs from the defaults. Most jobs have nothing here, and there may be a
    /// million.
    pub(crate) more: Option<Box<More>>,
}

/// What a job may have besides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct More {
    payload: Bytes,
    retries: Retries,
    timeout_ms: Option<u64>,
    pause_after: u32,
    per_worker_max: u32,
    placement: Option<Placement>,
    ephemeral: bool,
}

static PLAIN: More = More {
    payload: Bytes::new(),
    retries: Retries { max: 0, backoff_ms: 0, backoff_ms_max: 0 },
    timeout_ms: None,
    pause_after: 0,
    per_worker_max: 0,
    placement: None,
    ephemeral: false,
};

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
            handler: None,
            more: None,
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

    /// Has the job run by the handler of this name, instead of that of its own. So one piece of
    /// code serves many jobs, each with a payload of its own.
    #[must_use]
    pub fn handled_by(mut self, handler: JobName) -> Self {
        self.handler = Some(handler);
        self
    }

    /// Sets what each attempt is given: see [`JobContext::payload`](crate::JobContext::payload).
    ///
    /// # Errors
    /// The value has a shape that the codec does not carry.
    pub fn payload<T: Serialize + ?Sized>(self, payload: &T) -> Result<Self, CodecError> {
        let payload = codec::encode(payload)?.into();
        Ok(self.with(|more| more.payload = payload))
    }

    /// Sets how often an attempt that failed is tried again. Another worker is preferred.
    #[must_use]
    pub fn retries(self, retries: Retries) -> Self {
        self.with(|more| more.retries = retries)
    }

    /// Sets how long an attempt may take. Then it is told to stop and dropped where it waits, and
    /// has failed. What it runs on other threads is not stopped. Parts of a millisecond are cut
    /// off.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.with(|more| more.timeout_ms = Some(timeout_ms))
    }

    /// Pauses the job when so many ticks in a row have failed, after all their retries; 0, which is
    /// the default: never.
    #[must_use]
    pub fn pause_after(self, failures: u32) -> Self {
        self.with(|more| more.pause_after = failures)
    }

    /// Sets how many of the job's attempts one node runs at once; 0, which is the default: as many
    /// as the node runs of all jobs. How many run at once in the cluster is [`Overlap::Allow`]'s.
    #[must_use]
    pub fn per_worker_max(self, attempts: u32) -> Self {
        self.with(|more| more.per_worker_max = attempts)
    }

    /// Sets which members may run it. Of those the least loaded does.
    #[must_use]
    pub fn placement(self, placement: Placement) -> Self {
        self.with(|more| more.placement = Some(placement))
    }

    /// Has the job deleted once its schedule has no more ticks and all have their outcomes.
    #[must_use]
    pub fn ephemeral(self) -> Self {
        self.with(|more| more.ephemeral = true)
    }

    /// The name of the handler that runs it.
    pub fn handler(&self) -> &JobName {
        self.handler.as_ref().unwrap_or(&self.name)
    }

    /// What each attempt is given, encoded.
    pub fn payload_bytes(&self) -> &Bytes {
        &self.more().payload
    }

    /// How often an attempt that failed is tried again.
    pub fn retry_policy(&self) -> Retries {
        self.more().retries
    }

    /// How long an attempt may take.
    pub fn time_limit(&self) -> Option<Duration> {
        self.more().timeout_ms.map(Duration::from_millis)
    }

    /// After how many failures in a row the job is paused; 0 for never.
    pub fn pauses_after(&self) -> u32 {
        self.more().pause_after
    }

    /// How many of its attempts one node runs at once, if that is limited.
    pub fn most_per_worker(&self) -> Option<usize> {
        let most = self.more().per_worker_max as usize;
        (most > 0).then_some(most)
    }

    /// Which members may run it; `None` for all.
    pub fn placed(&self) -> Option<&Placement> {
        self.more().placement.as_ref()
    }

    /// Whether it is deleted when it has nothing more to do.
    pub fn is_ephemeral(&self) -> bool {
        self.more().ephemeral
    }

    /// About how much it takes in a snapshot, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        // Numbers, and the schedule's usual text.
        const FIXED: usize = 128;
        let more = self.more();
        let handler = self.handler.as_ref().map_or(0, |handler| handler.as_str().len());
        let placement = more.placement.as_ref().map_or(0, |placement| placement.as_str().len());
        let schedule = self.schedule.text_bytes();
        let texts = self.name.as_str().len() + handler + placement + schedule;
        (FIXED + texts + more.payload.len()) as u64
    }

    fn more(&self) -> &More {
        self.more.as_deref().unwrap_or(&PLAIN)
    }

    fn with(mut self, change: impl FnOnce(&mut More)) -> Self {
        let mut more = self.more.take().unwrap_or_default();
        change(&mut more);
        // The same job in one way only, since jobs are compared.
        self.more = (*more != PLAIN).then_some(more);
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
        let more = self.more();
        in_range("payload bytes", more.payload.len() as u64, 0, PAYLOAD_BYTES_MAX as u64)?;
        in_range("retries max", more.retries.max.into(), 0, RETRIES_MAX.into())?;
        in_range("backoff_ms", more.retries.backoff_ms, 0, BACKOFF_MS_MAX)?;
        in_range("backoff_ms_max", more.retries.backoff_ms_max, 0, BACKOFF_MS_MAX)?;
        if let Some(timeout_ms) = more.timeout_ms {
            in_range("timeout_ms", timeout_ms, 1, TIMEOUT_MS_MAX)?;
        }
        Ok(())
    }
}

/// How many names of handlers a thread remembers.
const HANDLERS_MAX: usize = 1_024;

thread_local! {
    static HANDLERS: RefCell<BTreeSet<JobName>> = RefCell::default();
}

/// Decodes the name of a handler. Many jobs have the same, and share it.
fn shared<'de, D: Deserializer<'de>>(from: D) -> Result<Option<JobName>, D::Error> {
    let Some(name) = Option::<JobName>::deserialize(from)? else { return Ok(None) };
    Ok(Some(HANDLERS.with_borrow_mut(|known| {
        if let Some(known) = known.get(&name) {
            return known.clone();
        }
        if known.len() < HANDLERS_MAX {
            known.insert(name.clone());
        }
        name
    })))
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
    /// A job in the code is to be forgotten after so many runs, and would begin again with the next
    /// leader.
    #[error(
        "the job {job} is in the code, ephemeral and to run {times} times: once forgotten it would \
         begin again; put it while the cluster runs, or do not make it ephemeral"
    )]
    EphemeralInCode {
        /// The job.
        job: JobName,
        /// How often it is to run.
        times: u64,
    },
    /// The schedule cannot be used.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

#[cfg(test)]
mod tests;
