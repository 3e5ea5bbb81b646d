//! How an application looks at its jobs, and changes them.

mod changes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clustron_core::{LateCluster, NodeId, ProposeError, Replicated, Timestamp};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::error::QueryError;
use crate::firing::Firing;
use crate::job::{JobName, JobSpec};
use crate::job_state::{Counters, Job, Paused};
use crate::metrics::SchedulerMetrics;
use crate::progress::{Look, Running};
use crate::query::{Found, HistoryQuery};
use crate::state::SchedulerState;

pub use changes::Put;

/// How many jobs one look of a query takes.
const LOOKED_AT_ONCE: usize = 1_000;

/// How one job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// The job as the cluster knows it.
    pub spec: JobSpec,
    /// The token of its last change: it rises with each.
    pub generation: u64,
    /// When it was first defined: ticks strictly after it are due.
    pub since: Timestamp,
    /// Every tick up to here has been claimed.
    pub cursor: Timestamp,
    /// When it is due next, with the jitter of its schedule, by this node's tables of time zones.
    pub next_due: Option<Timestamp>,
    /// Why it takes no ticks, if it is paused.
    pub paused: Option<Paused>,
    /// What became of its ticks since it was first defined.
    pub counters: Counters,
    /// Ticks without an outcome yet, oldest first.
    pub open: Vec<Firing>,
}

/// A way to look at the jobs from any node. Cheap to clone; works once the node has started.
///
/// Plain calls are linearizable: they see everything that was recorded anywhere before the call,
/// and fail when that cannot be confirmed. The `stale_` calls look at this node's copy as it is.
#[derive(Debug, Clone)]
pub struct SchedulerHandle {
    state: Replicated<SchedulerState>,
    cluster: LateCluster,
    metrics: Arc<SchedulerMetrics>,
}

impl SchedulerHandle {
    pub(crate) fn new(
        state: Replicated<SchedulerState>,
        cluster: LateCluster,
        metrics: Arc<SchedulerMetrics>,
    ) -> Self {
        Self { state, cluster, metrics }
    }

    /// The finished ticks of a job that are kept, newest first.
    ///
    /// # Errors
    /// The job is unknown, or the copy could not be confirmed to be current within the deadline.
    pub async fn history(
        &self,
        job: &JobName,
        deadline: Duration,
    ) -> Result<Vec<Firing>, QueryError> {
        self.confirm(deadline).await?;
        self.stale_history(job)
    }

    /// Like [`history`](Self::history), of this node's copy as it is.
    ///
    /// # Errors
    /// The job is unknown here.
    pub fn stale_history(&self, job: &JobName) -> Result<Vec<Firing>, QueryError> {
        let history = self.state.read_local(|state| {
            state.job(job).map(|job| job.history().cloned().collect::<Vec<_>>())
        });
        history.ok_or_else(|| QueryError::UnknownJob(job.clone()))
    }

    /// The finished ticks that a query asks for, of one job or of all, with their jobs, newest
    /// first. Of many jobs it looks at some at a time, so that the node goes on with its work.
    ///
    /// # Errors
    /// The query names an unknown job, or the copy could not be confirmed to be current within the
    /// deadline.
    pub async fn find(
        &self,
        query: &HistoryQuery,
        deadline: Duration,
    ) -> Result<Vec<(JobName, Firing)>, QueryError> {
        self.confirm(deadline).await?;
        let mut found = Found::by(query);
        if let Some(name) = query.only() {
            let known = self
                .state
                .read_local(|state| state.job(name).map(|job| found.look(name, job.history())));
            known.ok_or_else(|| QueryError::UnknownJob(name.clone()))?;
            return Ok(found.newest());
        }
        let mut last: Option<JobName> = None;
        loop {
            let looked_at = self.state.read_local(|state| {
                let jobs = state.jobs_after(last.as_ref()).take(LOOKED_AT_ONCE);
                let look = |job: &Job| {
                    found.look(&job.spec().name, job.history());
                    job.spec().name.clone()
                };
                jobs.map(look).last()
            });
            if looked_at.is_none() {
                return Ok(found.newest());
            }
            last = looked_at;
            tokio::task::yield_now().await;
        }
    }

    /// How a job stands.
    ///
    /// # Errors
    /// The job is unknown, or the copy could not be confirmed to be current within the deadline.
    pub async fn status(&self, job: &JobName, deadline: Duration) -> Result<JobStatus, QueryError> {
        self.confirm(deadline).await?;
        self.stale_status(job)
    }

    /// Like [`status`](Self::status), of this node's copy as it is.
    ///
    /// # Errors
    /// The job is unknown here.
    pub fn stale_status(&self, job: &JobName) -> Result<JobStatus, QueryError> {
        let status = self.state.read_local(|state| {
            state.job(job).map(|job| JobStatus {
                spec: job.spec().clone(),
                generation: job.generation(),
                since: job.since(),
                cursor: job.cursor(),
                next_due: job.next_due(),
                paused: job.paused().cloned(),
                counters: job.counters(),
                open: job.open().cloned().collect(),
            })
        });
        status.ok_or_else(|| QueryError::UnknownJob(job.clone()))
    }

    /// What runs of a job now, with what it says of itself, from the nodes that run it. Those that
    /// do not answer in time are left out.
    pub async fn running(&self, job: &JobName, deadline: Duration) -> Vec<Running> {
        let Some(cluster) = self.cluster.get() else { return vec![] };
        let workers: BTreeSet<NodeId> = self.state.read_local(|state| {
            let open = state.job(job).into_iter().flat_map(|job| job.open());
            open.filter_map(|firing| firing.worker).collect()
        });
        let look = Look { job: job.clone() };
        let looks = workers.into_iter().map(|worker| cluster.request(worker, &look, deadline));
        let looked = futures::future::join_all(looks).await;
        let mut running: Vec<Running> = looked.into_iter().flatten().flatten().collect();
        running.sort_by_key(|running| running.tick);
        running
    }

    /// The names of all jobs, from this node's copy as it is.
    pub fn stale_jobs(&self) -> Vec<JobName> {
        self.state.read_local(|state| state.jobs().map(|job| job.spec().name.clone()).collect())
    }

    /// Changes whenever something happened to any job here: the log index of the latest change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.state.applied()
    }

    /// Adds this node's scheduler metrics to a registry, named `clustron_scheduler_…`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    async fn confirm(&self, deadline: Duration) -> Result<(), QueryError> {
        let confirmed = match self.cluster.get() {
            Some(cluster) => cluster.barrier(deadline).await,
            None => Err(ProposeError::NotRunning),
        };
        confirmed.map_err(QueryError::NotCurrent)
    }
}
