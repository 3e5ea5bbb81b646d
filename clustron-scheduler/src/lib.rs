//! Scheduler.

mod cron;
mod firing;
mod job;
mod job_state;
mod message;
mod planner;
mod schedule;
mod state;
mod workers;

#[cfg(test)]
mod simulation;

pub use cron::{CRON_BYTES_MAX, CronExpr};
pub use firing::{
    ERROR_BYTES_MAX, Firing, LATE_RESULTS_MAX, LateResult, MissReason, Outcome, SkipReason,
    WHY_BYTES_MAX,
};
pub use job::{
    CATCH_UP_MAX, GRACE_MS_MAX, HISTORY_MAX, JOB_NAME_BYTES_MAX, JobError, JobName, JobSpec,
    Misfire, OPEN_TICKS_MAX, Overlap,
};
pub use job_state::{Counters, Job};
pub use message::{Command, Rejection, Reply, Run, RunReply, RunResult, Start};
pub use planner::{BATCH_MAX, Planner, SCAN_MAX};
pub use schedule::{INTERVAL_MS_MAX, Schedule, ScheduleError};
pub use state::{HISTORY_BYTES_MAX, JOBS_MAX, SchedulerState};
pub use workers::{RUNNING_MAX_DEFAULT, Workers};
