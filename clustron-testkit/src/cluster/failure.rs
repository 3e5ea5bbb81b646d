//! What a simulated run that went wrong tells.

use std::fmt;
use std::time::Duration;

/// How many of the last lines of the trace the message shows.
const LINES_SHOWN: usize = 40;

/// A promise was broken, or a run did not come to its end. It says with which seed to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// When, in virtual time since the beginning.
    pub at: Duration,
    /// The predicate that does not hold, or what did not come about.
    pub predicate: String,
    /// What was seen.
    pub detail: String,
    /// The trace up to there, a line each.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, predicate, detail, trace } = self;
        write!(f, "seed {seed}, after {at:?}: {predicate}: {detail}")?;
        for line in &trace[trace.len().saturating_sub(LINES_SHOWN)..] {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
