//! What is counted for each job, as long as these are not too many.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::seconds;
use crate::firing::{MissReason, SkipReason};
use crate::job::JobName;

/// The jobs that each node's metrics tell apart, the first that it had to do with since its start;
/// the rest count together as `(other)`, which is no job's name.
pub const JOBS_SHOWN_MAX: usize = 500;

const OTHER: &str = "(other)";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabel {
    job: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    job: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    job: String,
    reason: &'static str,
}

/// The counters and times of single jobs on one node.
#[derive(Debug)]
pub(crate) struct ByJob {
    shown: Mutex<BTreeSet<JobName>>,
    lag: Family<JobLabel, Histogram>,
    duration: Family<JobLabel, Histogram>,
    attempts: Family<EndLabel, Counter>,
    missed: Family<ReasonLabel, Counter>,
    skipped: Family<ReasonLabel, Counter>,
}

impl Default for ByJob {
    fn default() -> Self {
        Self {
            shown: Mutex::default(),
            lag: Family::new_with_constructor(seconds),
            duration: Family::new_with_constructor(seconds),
            attempts: Family::default(),
            missed: Family::default(),
            skipped: Family::default(),
        }
    }
}

impl ByJob {
    /// As worker: the first attempt at a tick began so much after the tick was due.
    pub(crate) fn began(&self, job: &JobName, lag: Duration) {
        let job = self.shown(job);
        self.lag.get_or_create(&JobLabel { job }).observe(lag.as_secs_f64());
    }

    /// As worker: an attempt has ended.
    pub(crate) fn ended(&self, job: &JobName, outcome: &'static str, took: Duration) {
        let job = self.shown(job);
        self.duration.get_or_create(&JobLabel { job: job.clone() }).observe(took.as_secs_f64());
        self.attempts.get_or_create(&EndLabel { job, outcome }).inc();
    }

    /// As leader: so many ticks are given up.
    pub(crate) fn missed(&self, job: &JobName, reason: MissReason, count: u64) {
        let reason = match reason {
            MissReason::Late => "late",
            MissReason::NotLatest => "not_latest",
            MissReason::TooOld => "too_old",
            MissReason::TooMany => "too_many",
            MissReason::Paused => "paused",
        };
        let job = self.shown(job);
        self.missed.get_or_create(&ReasonLabel { job, reason }).inc_by(count);
    }

    /// As leader: a tick is not to start.
    pub(crate) fn skipped(&self, job: &JobName, reason: SkipReason) {
        let reason = match reason {
            SkipReason::Overlap => "overlap",
            SkipReason::BufferFull => "buffer_full",
            SkipReason::TooManyOpen => "too_many_open",
            SkipReason::Superseded => "superseded",
        };
        let job = self.shown(job);
        self.skipped.get_or_create(&ReasonLabel { job, reason }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "job_lag_seconds",
            "From when a tick was due to when its first attempt began on this node, by job",
            self.lag.clone(),
        );
        registry.register(
            "job_duration_seconds",
            "How long attempts took on this node, by job",
            self.duration.clone(),
        );
        registry.register(
            "job_attempts",
            "Attempts that ended on this node, by job and how",
            self.attempts.clone(),
        );
        registry.register(
            "job_missed",
            "Ticks that this node as leader gave up, by job and reason",
            self.missed.clone(),
        );
        registry.register(
            "job_skipped",
            "Ticks that this node as leader claimed and that the overlap rule kept from starting, by \
             job and reason",
            self.skipped.clone(),
        );
    }

    fn shown(&self, job: &JobName) -> String {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let room = shown.len() < JOBS_SHOWN_MAX;
        let is_shown = shown.contains(job) || (room && shown.insert(job.clone()));
        if is_shown { job.as_str().to_owned() } else { OTHER.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_beyond_the_most_count_together() {
        let (by_job, mut registry) = (ByJob::default(), Registry::default());
        by_job.register(&mut registry);
        let name = |n: usize| JobName::new(format!("job{n}")).unwrap();
        for _ in 0..2 {
            for n in 0..JOBS_SHOWN_MAX + 7 {
                by_job.ended(&name(n), "ran", Duration::from_millis(3));
            }
        }
        by_job.missed(&name(1), MissReason::TooOld, 40);
        by_job.skipped(&name(1), SkipReason::Overlap);
        by_job.began(&name(1), Duration::from_secs(2));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let has = |line: &str| assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        has("job_attempts_total{job=\"job0\",outcome=\"ran\"} 2");
        has("job_attempts_total{job=\"(other)\",outcome=\"ran\"} 14");
        has("job_missed_total{job=\"job1\",reason=\"too_old\"} 40");
        has("job_skipped_total{job=\"job1\",reason=\"overlap\"} 1");
        has("job_duration_seconds_count{job=\"job1\"} 2");
        has("job_lag_seconds_sum{job=\"job1\"} 2.0");
        let attempts = text.lines().filter(|line| line.starts_with("job_attempts_total")).count();
        assert_eq!(attempts, JOBS_SHOWN_MAX + 1);
    }
}
