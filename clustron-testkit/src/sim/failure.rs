//! How a run ends that found something.

use std::fmt;
use std::time::Duration;

/// A property did not hold. Everything to see it again is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run: it repeats the failure.
    pub seed: u64,
    /// When it happened, in virtual time since the simulation began.
    pub at: Duration,
    /// The name of the predicate.
    pub predicate: String,
    /// What is wrong.
    pub what: String,
    /// The last lines of the trace, as many as [`Tracing`](super::Tracing) kept.
    pub tail: Vec<String>,
    /// The command that repeats it, if somebody set it.
    pub repeat: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, at, predicate, what, tail, repeat } = self;
        write!(f, "{predicate} broken at {at:?} with seed {seed}: {what}")?;
        for line in tail {
            write!(f, "\n    {line}")?;
        }
        match repeat {
            Some(repeat) => write!(f, "\nrepeat with: {repeat}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
