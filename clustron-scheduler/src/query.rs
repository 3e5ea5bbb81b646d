//! Which finished ticks somebody wants to see.

use std::cmp::Reverse;

use clustron_core::Timestamp;

use crate::firing::{Firing, Outcome};
use crate::job::{HISTORY_MAX, JobName};

/// How many ticks are told unless said otherwise.
const LIMIT_DEFAULT: usize = 1_000;

/// What became of a tick, without the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OutcomeKind {
    /// [`Outcome::Ran`].
    Ran,
    /// [`Outcome::Failed`].
    Failed,
    /// [`Outcome::Cancelled`].
    Cancelled,
    /// [`Outcome::Skipped`].
    Skipped,
    /// [`Outcome::Missed`].
    Missed,
}

impl Outcome {
    /// Which it is, without the details.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Ran => OutcomeKind::Ran,
            Self::Failed { .. } => OutcomeKind::Failed,
            Self::Cancelled => OutcomeKind::Cancelled,
            Self::Skipped { .. } => OutcomeKind::Skipped,
            Self::Missed { .. } => OutcomeKind::Missed,
        }
    }
}

/// Which of the finished ticks that are kept to tell: all, unless narrowed.
///
/// ```
/// use clustron_scheduler::{HistoryQuery, JobName, OutcomeKind};
///
/// let query = HistoryQuery::new()
///     .job(JobName::new("invoice/7")?)
///     .outcome(OutcomeKind::Failed)
///     .outcome(OutcomeKind::Missed)
///     .from("2026-11-01T00:00:00Z".parse()?)
///     .limit(20);
/// # drop(query); Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    job: Option<JobName>,
    outcomes: Vec<OutcomeKind>,
    from: Timestamp,
    until: Timestamp,
    limit: usize,
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self {
            job: None,
            outcomes: Vec::new(),
            from: Timestamp::from_unix_ms(i64::MIN),
            until: Timestamp::from_unix_ms(i64::MAX),
            limit: LIMIT_DEFAULT,
        }
    }
}

impl HistoryQuery {
    /// All ticks of all jobs, of which the newest 1,000 are told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those of this job.
    #[must_use]
    pub fn job(self, job: JobName) -> Self {
        Self { job: Some(job), ..self }
    }

    /// Only those with this outcome; called again, with that one too.
    #[must_use]
    pub fn outcome(mut self, outcome: OutcomeKind) -> Self {
        self.outcomes.push(outcome);
        self
    }

    /// Only those that were due at this instant or later. A missed range counts if any of it was.
    #[must_use]
    pub fn from(self, from: Timestamp) -> Self {
        Self { from, ..self }
    }

    /// Only those that were due at this instant or earlier.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Self {
        Self { until, ..self }
    }

    /// The newest so many, at most [`HISTORY_MAX`].
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit: limit.min(HISTORY_MAX as usize), ..self }
    }

    pub(crate) fn only(&self) -> Option<&JobName> {
        self.job.as_ref()
    }

    fn asks_for(&self, firing: &Firing) -> bool {
        let Some(outcome) = &firing.outcome else { return false };
        let last = match outcome {
            Outcome::Missed { until, .. } => *until,
            _ => firing.scheduled,
        };
        (self.outcomes.is_empty() || self.outcomes.contains(&outcome.kind()))
            && last >= self.from
            && firing.scheduled <= self.until
    }
}

/// The newest ticks that a query asks for, of what was looked at so far.
pub(crate) struct Found<'a> {
    query: &'a HistoryQuery,
    found: Vec<(JobName, Firing)>,
}

impl<'a> Found<'a> {
    pub(crate) fn by(query: &'a HistoryQuery) -> Self {
        Self { query, found: Vec::new() }
    }

    /// Looks at the finished ticks of one job.
    pub(crate) fn look<'f>(&mut self, job: &JobName, history: impl Iterator<Item = &'f Firing>) {
        for firing in history.filter(|firing| self.query.asks_for(firing)) {
            self.found.push((job.clone(), firing.clone()));
            if self.found.len() >= 2 * self.query.limit.max(1) {
                self.keep_newest();
            }
        }
    }

    pub(crate) fn newest(mut self) -> Vec<(JobName, Firing)> {
        self.keep_newest();
        self.found
    }

    fn keep_newest(&mut self) {
        let place = |(job, firing): &(JobName, Firing)| (Reverse(firing.id()), job.clone());
        self.found.sort_by_cached_key(place);
        self.found.truncate(self.query.limit);
    }
}

#[cfg(test)]
mod tests {
    use clustron_core::Epoch;

    use super::*;
    use crate::firing::MissReason;

    fn s(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1_000)
    }

    fn name(name: &str) -> JobName {
        JobName::new(name).unwrap()
    }

    /// `a` runs in even seconds and fails in odd ones; `b` missed the seconds 3 to 6; one is open.
    fn told(query: &HistoryQuery) -> Vec<(String, i64)> {
        let tick = |second: i64, outcome| Firing {
            outcome,
            ..Firing::claimed(s(second), 1, second as u64, Epoch(1), s(second))
        };
        let outcome = |second| match second % 2 {
            0 => Outcome::Ran,
            _ => Outcome::Failed { error: String::new() },
        };
        let a: Vec<Firing> = (0..10).map(|second| tick(second, Some(outcome(second)))).collect();
        let missed = Outcome::Missed { reason: MissReason::Late, until: s(6), count: 4 };
        let b = [tick(3, Some(missed)), tick(9, None)];
        let mut found = Found::by(query);
        found.look(&name("a"), a.iter());
        found.look(&name("b"), b.iter());
        let seconds = |(job, firing): (JobName, Firing)| {
            (job.as_str().to_owned(), firing.scheduled.unix_ms() / 1_000)
        };
        found.newest().into_iter().map(seconds).collect()
    }

    #[test]
    fn a_query_tells_what_it_asks_for_newest_first() {
        let all = HistoryQuery::new();
        assert_eq!(told(&all).len(), 11, "what is open has no outcome yet");
        assert!(told(&all).is_sorted_by(|a, b| a.1 >= b.1));
        let of = |job: &str, seconds: &[i64]| -> Vec<(String, i64)> {
            seconds.iter().map(|second| (job.to_owned(), *second)).collect()
        };
        let failed = all.clone().outcome(OutcomeKind::Failed);
        assert_eq!(told(&failed), of("a", &[9, 7, 5, 3, 1]));
        assert_eq!(told(&failed.clone().from(s(3)).until(s(7))), of("a", &[7, 5, 3]));
        assert_eq!(told(&failed.clone().limit(2)), of("a", &[9, 7]));
        assert_eq!(told(&failed.clone().limit(0)), vec![]);
        let missed = all.outcome(OutcomeKind::Missed);
        // A range counts as long as any of it does.
        assert_eq!(told(&missed.clone().from(s(6))), of("b", &[3]));
        assert_eq!(told(&missed.clone().until(s(3))), of("b", &[3]));
        assert_eq!(told(&missed.clone().from(s(7))), vec![]);
        assert_eq!(told(&missed.clone().until(s(2))), vec![]);
        assert_eq!(told(&failed.outcome(OutcomeKind::Missed)).len(), 6);
    }
}
