//! Runs attempts on this node and reports how they ended, until somebody has recorded it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clustron_core::{ClusterHandle, FencingToken, Message, Replicated, Request, Timestamp};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::context::JobContext;
use crate::job::JobName;
use crate::message::{Command, Reply, Run, RunReply, RunResult};
use crate::metrics::SchedulerMetrics;
use crate::scheduler::Jobs;
use crate::state::SchedulerState;

/// How long one try to have a result recorded may take.
const REPORT_DEADLINE: Duration = Duration::from_secs(5);

/// How long to wait before the next try.
const REPORT_AGAIN_AFTER: Duration = Duration::from_millis(50);

impl Message for Run {
    const KIND: &'static str = "scheduler.run";
}

impl Request for Run {
    type Reply = RunReply;
}

/// An attempt that is not done with: it runs, or its result is not recorded yet.
struct Attempt {
    token: FencingToken,
    ended: bool,
    cancel: CancellationToken,
}

/// The attempts on this node, at most `running_max` and the results that wait to be recorded.
pub(crate) struct Worker {
    cluster: ClusterHandle,
    jobs: Arc<Jobs>,
    state: Replicated<SchedulerState>,
    running_max: usize,
    attempts: Mutex<BTreeMap<(JobName, Timestamp), Attempt>>,
    metrics: Arc<SchedulerMetrics>,
}

impl Worker {
    /// Takes orders from now on.
    pub(crate) fn start(
        cluster: &ClusterHandle,
        jobs: Arc<Jobs>,
        state: Replicated<SchedulerState>,
        running_max: NonZeroU32,
        metrics: Arc<SchedulerMetrics>,
    ) {
        let worker = Arc::new(Self {
            cluster: cluster.clone(),
            jobs,
            state,
            running_max: running_max.get() as usize,
            attempts: Mutex::default(),
            metrics,
        });
        let closing = worker.clone();
        cluster.spawn("scheduler: tell jobs of the shutdown", async move {
            closing.cluster.closing().await;
            closing.lock().values().for_each(|attempt| attempt.cancel.cancel());
        });
        cluster.on_request(move |_from, run: Run| std::future::ready(worker.clone().accept(run)));
    }

    /// Starts an attempt unless it is here already. Safe to call again with the same order.
    fn accept(self: Arc<Self>, run: Run) -> RunReply {
        if !self.jobs.contains_key(&run.job) {
            return RunReply::NoHandler;
        }
        let cancel = CancellationToken::new();
        {
            let mut attempts = self.lock();
            let key = (run.job.clone(), run.scheduled);
            match attempts.get(&key) {
                Some(known) if known.token == run.token => {
                    return match known.ended {
                        true => RunReply::AlreadyFinished,
                        false => RunReply::AlreadyRunning,
                    };
                }
                // An order that was overtaken by a newer one for the same tick.
                Some(known) if known.token > run.token => return RunReply::AlreadyFinished,
                // The newer attempt is the one that counts; tell the older to stop.
                Some(known) => known.cancel.cancel(),
                None => {}
            }
            if attempts.len() >= self.running_max || self.cluster.is_closing() {
                return RunReply::Busy;
            }
            let attempt = Attempt { token: run.token, ended: false, cancel: cancel.clone() };
            attempts.insert(key, attempt);
        }
        let cluster = self.cluster.clone();
        cluster.spawn("scheduler: attempt", self.run(run, cancel));
        RunReply::Accepted
    }

    async fn run(self: Arc<Self>, run: Run, cancel: CancellationToken) {
        let clock = self.cluster.clock();
        let started = clock.now();
        self.metrics.lag.observe(started.saturating_since(run.scheduled).as_secs_f64());
        let result = self.execute(&run, cancel).await;
        match &result {
            RunResult::Ran => self.metrics.runs_ran.inc(),
            RunResult::Failed { error } => {
                tracing::warn!(job = %run.job, scheduled = %run.scheduled, error, "a job failed");
                self.metrics.runs_failed.inc()
            }
        };
        let key = (run.job.clone(), run.scheduled);
        if let Some(attempt) = self.lock().get_mut(&key).filter(|a| a.token == run.token) {
            attempt.ended = true;
        }
        let report = Command::Finish {
            job: run.job.clone(),
            scheduled: run.scheduled,
            token: run.token,
            worker: self.cluster.node().id,
            result,
            started,
            finished: clock.now(),
        };
        self.report(&report).await;
        let mut attempts = self.lock();
        if attempts.get(&key).is_some_and(|attempt| attempt.token == run.token) {
            attempts.remove(&key);
        }
    }

    async fn execute(&self, run: &Run, cancel: CancellationToken) -> RunResult {
        let Some((_, handler)) = self.jobs.get(&run.job) else {
            return RunResult::Failed { error: "the job has no handler here".to_owned() };
        };
        let context = JobContext::new(run.clone(), self.cluster.clone(), cancel);
        match AssertUnwindSafe(async { handler(context).await }).catch_unwind().await {
            Ok(Ok(())) => RunResult::Ran,
            Ok(Err(error)) => RunResult::Failed { error },
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                let error = format!("panicked: {}", text.unwrap_or_default());
                RunResult::Failed { error }
            }
        }
    }

    /// Proposes the result until it is settled. Every answer settles it; what has no answer is
    /// tried again, which the token makes safe.
    async fn report(&self, report: &Command) {
        loop {
            match self.state.propose(report, REPORT_DEADLINE).await {
                Ok(Reply::Superseded) => {
                    self.metrics.runs_superseded.inc();
                    tracing::warn!(job = %report.job(), "a result came after a newer attempt was granted");
                    return;
                }
                Ok(Reply::Rejected(why)) => {
                    tracing::warn!(job = %report.job(), %why, "a result was refused");
                    return;
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(job = %report.job(), %error, "a result is not recorded yet");
                    tokio::time::sleep(REPORT_AGAIN_AFTER).await;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(JobName, Timestamp), Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
