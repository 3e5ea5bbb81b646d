//! Runs attempts on this node and reports how they ended, until somebody has recorded it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clustron_core::{
    ClusterHandle, Committed, Message, ProposeError, Rejection, Replicated, Request, Timestamp,
};
use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock_guard::AskClock;
use crate::context::JobContext;
use crate::firing::{ERROR_BYTES_MAX, bounded};
use crate::job::JobName;
use crate::message::{Command, Reply, Run, RunReply, RunResult};
use crate::metrics::SchedulerMetrics;
use crate::progress::{Look, Notes, Running};
use crate::scheduler::Jobs;
use crate::state::SchedulerState;
use crate::tick::TickId;

/// How long one try to have a result recorded may take.
const REPORT_DEADLINE: Duration = Duration::from_secs(5);

/// How often running attempts are told that they were replaced.
const TELL_EVERY: Duration = Duration::from_millis(100);

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
    run: Run,
    ended: bool,
    started: Timestamp,
    cancel: CancellationToken,
    /// It was told to stop for a later tick's sake.
    gives_way: bool,
    notes: Notes,
}

/// Whether an attempt is its tick's newest, and the tick open, as far as this copy knows.
pub(crate) fn is_current(state: &Replicated<SchedulerState>, run: &Run) -> bool {
    state.read_local(|state| {
        let newest = state.job(&run.job).and_then(|job| job.firing(run.tick));
        newest.is_some_and(|newest| newest.is_running() && newest.token == Some(run.token))
    })
}

/// The attempts on this node, at most `running_max` and the results that wait to be recorded.
pub(crate) struct Worker {
    cluster: ClusterHandle,
    jobs: Arc<Jobs>,
    state: Replicated<SchedulerState>,
    running_max: usize,
    attempts: Mutex<BTreeMap<(JobName, TickId), Attempt>>,
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
        cluster.spawn("scheduler: stop what should not run", worker.clone().keep_told());
        let looked_at = worker.clone();
        cluster.on_request(move |_from, run: Run| std::future::ready(worker.clone().accept(run)));
        let clock = cluster.clock();
        cluster.on_request(move |_from, _: AskClock| std::future::ready(clock.now()));
        cluster.on_request(move |_from, look: Look| std::future::ready(looked_at.look(&look.job)));
    }

    /// Starts an attempt unless it is here already. Safe to call again with the same order.
    fn accept(self: Arc<Self>, run: Run) -> RunReply {
        if !self.jobs.handlers.contains_key(&run.handler) {
            return RunReply::NoHandler;
        }
        if self.is_of_earlier_process(&run) {
            // It may have begun there. The leader grants another attempt, under another token.
            return RunReply::AlreadyFinished;
        }
        let (cancel, notes) = (CancellationToken::new(), Notes::default());
        let started = self.cluster.clock().now();
        {
            let mut attempts = self.lock();
            let key = (run.job.clone(), run.tick);
            match attempts.get(&key) {
                Some(known) if known.run.token == run.token => {
                    return match known.ended {
                        true => RunReply::AlreadyFinished,
                        false => RunReply::AlreadyRunning,
                    };
                }
                // An order that was overtaken by a newer one for the same tick.
                Some(known) if known.run.token > run.token => return RunReply::AlreadyFinished,
                Some(_) | None => {}
            }
            if self.is_over(&run) {
                // A copy that was long under way, of an order that was carried out since.
                return RunReply::AlreadyFinished;
            }
            let running = attempts.values().filter(|attempt| !attempt.ended).count();
            if running >= self.running_max || self.cluster.is_closing() {
                return RunReply::Busy;
            }
            // The newer attempt is the one that counts; tell the older to stop.
            if let Some(older) = attempts.get(&key) {
                older.cancel.cancel();
            }
            // What this node's copy learns from now on is told to the attempt; what it knows, not.
            let gives_way = self.gives_way(&run);
            if gives_way {
                cancel.cancel();
            }
            let attempt = Attempt {
                run: run.clone(),
                ended: false,
                started,
                cancel: cancel.clone(),
                gives_way,
                notes: notes.clone(),
            };
            attempts.insert(key, attempt);
        }
        let cluster = self.cluster.clone();
        let context = JobContext::new(run.clone(), cluster.clone(), cancel.clone(), notes);
        cluster.spawn("scheduler: attempt", self.run(run, context, started, cancel));
        RunReply::Accepted
    }

    async fn run(
        self: Arc<Self>,
        run: Run,
        context: JobContext,
        started: Timestamp,
        cancel: CancellationToken,
    ) {
        if run.tick.asked.is_none() && run.attempt == 1 {
            let lag = started.saturating_since(run.tick.scheduled);
            self.metrics.lag.observe(lag.as_secs_f64());
            self.metrics.by_job.began(&run.job, lag);
        }
        let kept = context.clone();
        let began = Instant::now();
        let key = (run.job.clone(), run.tick);
        let result = match self.execute(&run, context, &cancel).await {
            RunResult::Failed { error } => {
                let attempts = self.lock();
                let attempt = attempts.get(&key).filter(|attempt| attempt.run.token == run.token);
                match attempt.is_some_and(|attempt| attempt.gives_way) {
                    true => RunResult::Cancelled,
                    false => RunResult::Failed { error: bounded(error, ERROR_BYTES_MAX) },
                }
            }
            result => result,
        };
        let how = match &result {
            RunResult::Ran => {
                self.metrics.runs_ran.inc();
                "ran"
            }
            RunResult::Cancelled => {
                self.metrics.runs_cancelled.inc();
                "cancelled"
            }
            RunResult::Failed { error } => {
                tracing::warn!(job = %run.job, tick = %run.tick, error, "a job failed");
                self.metrics.runs_failed.inc();
                "failed"
            }
        };
        self.metrics.by_job.ended(&run.job, how, began.elapsed());
        if let Some(attempt) = self.lock().get_mut(&key).filter(|a| a.run.token == run.token) {
            attempt.ended = true;
        }
        let report = Command::Finish {
            job: run.job.clone(),
            tick: run.tick,
            token: run.token,
            worker: self.cluster.node().id,
            result,
            started,
            finished: self.cluster.clock().now(),
            kept: kept.left(),
        };
        self.report(&report).await;
        // Until this node's own copy knows it too, this is what tells a repeated order apart.
        let mut applied = self.state.applied();
        while !self.is_over(&run) && applied.changed().await.is_ok() {}
        let mut attempts = self.lock();
        if attempts.get(&key).is_some_and(|attempt| attempt.run.token == run.token) {
            attempts.remove(&key);
        }
    }

    async fn execute(
        &self,
        run: &Run,
        context: JobContext,
        cancel: &CancellationToken,
    ) -> RunResult {
        let Some(handler) = self.jobs.handlers.get(&run.handler) else {
            return RunResult::Failed { error: "the job has no handler here".to_owned() };
        };
        let limit = run.timeout_ms.map(Duration::from_millis);
        // What is dropped when its time is over may panic, too.
        let running = AssertUnwindSafe(async {
            match limit {
                None => handler(context).await,
                Some(limit) => match tokio::time::timeout(limit, handler(context)).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        cancel.cancel();
                        Err(format!("took longer than {limit:?}"))
                    }
                },
            }
        });
        match running.catch_unwind().await {
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
                Ok(Committed { reply: Reply::Superseded, .. }) => {
                    self.metrics.runs_superseded.inc();
                    tracing::warn!(job = %report.job(), "a result came after a newer attempt was granted");
                    return;
                }
                Ok(Committed { reply: Reply::Rejected(why), .. }) => {
                    tracing::warn!(job = %report.job(), %why, "a result was refused");
                    return;
                }
                Ok(_) => return,
                // A leader without this module is of an older build, and will not lead for long.
                Err(ProposeError::Rejected(Rejection::UnknownModule { .. })) => {
                    tokio::time::sleep(REPORT_AGAIN_AFTER).await;
                }
                Err(error @ (ProposeError::TooLarge { .. } | ProposeError::Rejected(_))) => {
                    tracing::error!(job = %report.job(), %error, "a result cannot be recorded");
                    return;
                }
                Err(error) => {
                    tracing::debug!(job = %report.job(), %error, "a result is not recorded yet");
                    tokio::time::sleep(REPORT_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Whether the attempt was granted to a process of this node that has ended.
    fn is_of_earlier_process(&self, run: &Run) -> bool {
        let (view, node) = (self.cluster.view(), self.cluster.node().id);
        let record = view.node(node);
        record.is_some_and(|record| run.token.log_index() < record.process_since)
    }

    /// Whether this node's copy knows of the attempt and that it is closed or replaced.
    fn is_over(&self, run: &Run) -> bool {
        let applied = *self.state.applied().borrow();
        applied >= run.token.log_index() && !is_current(&self.state, run)
    }

    /// Whether a later tick is to take the attempt's place.
    fn gives_way(&self, run: &Run) -> bool {
        self.state.read_local(|state| {
            let newest = state.job(&run.job).and_then(|job| job.firing(run.tick));
            newest.is_some_and(|newest| newest.cancelled && newest.token == Some(run.token))
        })
    }

    /// What runs here of a job.
    fn look(&self, job: &JobName) -> Vec<Running> {
        let worker = self.cluster.node().id;
        let attempts = self.lock();
        let running = attempts.values().filter(|a| !a.ended && a.run.job == *job);
        running
            .map(|attempt| {
                let (progress, lines) = attempt.notes.told();
                let (tick, token) = (attempt.run.tick, attempt.run.token);
                let (attempt, started) = (attempt.run.attempt, attempt.started);
                Running { tick, token, attempt, worker, started, progress, lines }
            })
            .collect()
    }

    /// Tells attempts to stop: those that were replaced, and all when the node shuts down.
    async fn keep_told(self: Arc<Self>) {
        let mut applied = self.state.applied();
        loop {
            tokio::select! {
                biased;
                () = self.cluster.closing() => break,
                changed = applied.changed() => if changed.is_err() { return },
            }
            let running: Vec<(Run, CancellationToken)> = {
                let attempts = self.lock();
                let running = attempts.values().filter(|attempt| !attempt.ended);
                running.map(|attempt| (attempt.run.clone(), attempt.cancel.clone())).collect()
            };
            for (run, cancel) in running {
                if self.gives_way(&run) {
                    let key = (run.job.clone(), run.tick);
                    let mut attempts = self.lock();
                    let attempt = attempts.get_mut(&key);
                    if let Some(attempt) = attempt.filter(|a| a.run.token == run.token) {
                        attempt.gives_way = true;
                    }
                    cancel.cancel();
                } else if self.is_over(&run) {
                    cancel.cancel();
                }
            }
            // Each look costs as much as is running, whatever the log is busy with.
            tokio::time::sleep(TELL_EVERY).await;
        }
        self.lock().values().for_each(|attempt| attempt.cancel.cancel());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(JobName, TickId), Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
