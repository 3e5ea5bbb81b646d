//! Clustron scheduler: jobs that run once per tick somewhere in the cluster, whoever dies.
//!
//! The leader claims every due tick in the replicated log, sends it to one of the members, and the
//! member's result is recorded in the log too. A crash of leader, worker or network leaves every
//! due tick with exactly one recorded outcome.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use clustron_core::Cluster;
//! use clustron_scheduler::{JobName, Scheduler};
//! use std::time::Duration;
//!
//! let mut builder = Cluster::builder("shop");
//! let scheduler = builder.install(Scheduler::new().every(
//!     "sweep",
//!     Duration::from_millis(100),
//!     |job| async move {
//!         println!("{} as attempt {} of token {}", job.scheduled(), job.attempt(), job.token());
//!         Ok::<(), String>(())
//!     },
//! )?);
//! let cluster = builder.start().await?;
//!
//! let sweep = JobName::new("sweep")?;
//! let mut changes = scheduler.changes();
//! while scheduler.stale_history(&sweep).map_or(true, |history| history.is_empty()) {
//!     changes.changed().await?;
//! }
//! let history = scheduler.history(&sweep, Duration::from_secs(5)).await?;
//! println!("{:?} by {:?}", history[0].outcome, history[0].worker);
//! cluster.shutdown(Duration::from_secs(5)).await?;
//! # Ok(()) }
//! ```
//!
//! Jobs are also made, replaced, paused, run by hand and deleted while the cluster runs, from any
//! node: see [`SchedulerHandle::put`] and its neighbours. What a job does when it fails, overlaps
//! or is late, where it runs and how long it may take, its [`JobSpec`] says.
//!
//! # What it promises
//!
//! * Every due tick has exactly one committed claim and exactly one recorded outcome.
//! * Nothing starts before its claim commits. Execution is at least once: a node may die between
//!   the work and its record. The [fencing token](JobContext::token) lets what the job changes
//!   refuse the late one.
//! * A result with an older token is recorded and has no effect.
//! * A clock that is set back never makes a tick fire again. Intervals align to the Unix epoch, so
//!   that a change of leader shifts no phase.
//! * In a time zone, a moment that the clocks leave out is due after the gap, and one that they
//!   show twice is due once, unless the [`Schedule`] says otherwise.
//!
//! # Limits
//!
//! * A tick is a whole millisecond. Cron expressions name seconds, until the end of 2100.
//! * When the clocks of a time zone change is known as of the build ([`Zone::tables`]). Of several
//!   builds in one cluster the leader's counts.
//! * The leader goes by its clock. Where that is more than two seconds from the median of the
//!   voters' clocks it goes by the median, and says so; one that leaps is not believed before the
//!   voters have been asked. Two voters cannot tell which of them is wrong, unless one leaps.
//! * A run has no time limit unless the job has one. A job that leaves the code stays in the
//!   cluster's table until it is deleted; its due ticks wait for a node that has its handler.
//! * A job runs on the runtime of the node's heartbeats: work that blocks belongs in
//!   `spawn_blocking`.

mod ask;
mod clock_guard;
mod context;
mod cron;
mod error;
mod firing;
mod handle;
mod job;
mod job_state;
mod leader;
mod message;
mod metrics;
mod nearest;
mod placement;
mod planner;
mod policy;
mod preview;
mod progress;
mod query;
mod recent;
mod schedule;
mod scheduler;
mod state;
mod tick;
mod worker;
mod workers;

#[cfg(test)]
mod simulation;

pub use ask::{Answer, Ask, BACKFILL_MAX, ChangeError, Expected, Refused};
pub use clock_guard::{AskClock, CLOCK_APART_MS_MAX};
pub use context::{JobContext, KeepError};
pub use cron::{CRON_BYTES_MAX, CronExpr};
pub use error::{DefineError, QueryError};
pub use firing::{
    ERROR_BYTES_MAX, Firing, LATE_RESULTS_MAX, LateResult, MissReason, Outcome, SkipReason,
    WHY_BYTES_MAX,
};
pub use handle::{JobStatus, Put, SchedulerHandle};
pub use job::{
    CATCH_UP_MAX, GRACE_MS_MAX, HISTORY_MAX, JOB_NAME_BYTES_MAX, JobError, JobName, JobSpec,
    Misfire, OPEN_TICKS_MAX, Overlap, PAYLOAD_BYTES_MAX, TIMEOUT_MS_MAX,
};
pub use job_state::{Counters, Job, KEPT_BYTES_MAX, Paused};
pub use message::{Command, Rejection, Reply, Run, RunReply, RunResult, Seen, Start};
pub use metrics::JOBS_SHOWN_MAX;
pub use placement::{PLACEMENT_BYTES_MAX, Placement, PlacementError};
pub use policy::{BACKOFF_MS_MAX, RETRIES_MAX, Retries};
pub use progress::{LINE_BYTES_MAX, LINES_MAX, Look, Running};
pub use query::{HistoryQuery, OutcomeKind};
pub use schedule::{
    DstGap, DstOverlap, EXCLUDED_MAX, EXCLUSIONS_MAX, Exclusion, INTERVAL_MS_MAX, JITTER_MS_MAX,
    NoTick, RULES_MAX, Rule, SCHEDULE_BYTES_MAX, Schedule, ScheduleError, Zone,
};
pub use scheduler::Scheduler;
pub use state::{HISTORY_BYTES_MAX, JOB_BYTES_MAX, JOBS_MAX, SchedulerState};
pub use tick::TickId;
pub use workers::RUNNING_MAX_DEFAULT;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
