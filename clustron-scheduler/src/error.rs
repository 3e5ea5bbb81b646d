//! Why an operation of the scheduler failed.

use clustron_core::{Outcome, ProposeError};

use crate::job::{JobError, JobName};
use crate::schedule::ScheduleError;

/// A job cannot be defined as asked. Nothing was registered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DefineError {
    /// The name or a number of the job is out of range.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The schedule's text cannot be used.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// Why the history could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// No job of this name is defined, yet or at all.
    #[error("there is no job {0}")]
    UnknownJob(JobName),
    /// The node could not confirm that its copy is up to date: it has not started, or there is no
    /// majority. The stale read may still serve.
    #[error("the state cannot be confirmed to be current: {0}")]
    NotCurrent(ProposeError),
}

impl QueryError {
    /// A read has no effect, whatever happened to it.
    pub fn outcome(&self) -> Outcome {
        Outcome::NotApplied
    }
}
