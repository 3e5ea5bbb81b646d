//! The module as it is configured: which jobs there are and what they run.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;

use clustron_core::{Applied, Installer, Module, ReplicatedState};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::context::JobContext;
use crate::error::DefineError;
use crate::handle::SchedulerHandle;
use crate::job::{JobError, JobName, JobSpec};
use crate::leader::Leader;
use crate::message::{Command, Reply};
use crate::metrics::SchedulerMetrics;
use crate::schedule::Schedule;
use crate::state::SchedulerState;
use crate::worker::Worker;
use crate::workers::RUNNING_MAX_DEFAULT;

/// What a job runs. An error's text is recorded.
pub(crate) type Handler =
    Arc<dyn Fn(JobContext) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the code defines.
#[derive(Default)]
pub(crate) struct Jobs {
    /// The jobs, by name.
    pub(crate) specs: BTreeMap<JobName, JobSpec>,
    pub(crate) handlers: BTreeMap<JobName, Handler>,
}

impl ReplicatedState for SchedulerState {
    type Command = Command;
    type Reply = Reply;

    fn apply(&mut self, at: Applied, command: Command) -> Reply {
        SchedulerState::apply(self, at.token().0, at.epoch, command)
    }
}

/// The scheduler with its jobs, to be installed in a node. Every member installs the same jobs.
///
/// ```
/// use clustron_core::Cluster;
/// use clustron_scheduler::Scheduler;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut builder = Cluster::builder("shop");
/// let scheduler = builder.install(
///     Scheduler::new()
///         .cron("close-day", "5 0 * * *", |job| async move {
///             println!("closing the day of {}", job.scheduled());
///             Ok::<(), std::io::Error>(())
///         })?
///         .every("heartbeat", Duration::from_secs(10), |_| async { Ok::<(), String>(()) })?,
/// );
/// # drop((builder, scheduler)); Ok(()) }
/// ```
#[derive(Default)]
pub struct Scheduler {
    jobs: Jobs,
    running_max: Option<NonZeroU32>,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("jobs", &self.jobs.specs.values().collect::<Vec<_>>())
            .field("handlers", &self.jobs.handlers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A scheduler without jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job that is due by a cron line in UTC, with the default policies. For another time
    /// zone, and all else that a [`Schedule`] can say, there is [`Scheduler::job`].
    ///
    /// # Errors
    /// The name or the line cannot be used; the error says which part.
    pub fn cron<F, Fut, E>(self, name: &str, line: &str, run: F) -> Result<Self, DefineError>
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.job(JobSpec::new(JobName::new(name)?, Schedule::cron(line)?), run)
    }

    /// Adds a job that is due at every multiple of an interval since the Unix epoch, with the
    /// default policies.
    ///
    /// # Errors
    /// The name or the interval cannot be used.
    pub fn every<F, Fut, E>(
        self,
        name: &str,
        interval: std::time::Duration,
        run: F,
    ) -> Result<Self, DefineError>
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.job(JobSpec::new(JobName::new(name)?, Schedule::every(interval)?), run)
    }

    /// Adds a job with policies of its own. The last definition of a name counts.
    ///
    /// An attempt may run more than once: a node may fail after it did the work and before that
    /// was recorded. Pass [`JobContext::token`] to what the job changes, and let that refuse a
    /// token below the highest it has seen.
    ///
    /// # Errors
    /// A number of the job is out of range. Or the job is [ephemeral](JobSpec::ephemeral) and is to
    /// run [so many times](Schedule::times): forgotten and still in the code, it would begin again.
    pub fn job<F, Fut, E>(mut self, spec: JobSpec, run: F) -> Result<Self, DefineError>
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        spec.check()?;
        if let Some(times) = spec.schedule.times_max().filter(|_| spec.is_ephemeral()) {
            return Err(JobError::EphemeralInCode { job: spec.name, times }.into());
        }
        self.jobs.handlers.insert(spec.handler().clone(), handler(run));
        self.jobs.specs.insert(spec.name.clone(), spec);
        Ok(self)
    }

    /// Adds code without a job of its own, for jobs that are
    /// [put](crate::SchedulerHandle::put) while the cluster runs, and name it as their
    /// [handler](JobSpec::handled_by). Ticks of jobs whose handler no member has wait for one.
    ///
    /// # Errors
    /// The name cannot be used.
    pub fn handler<F, Fut, E>(mut self, name: &str, run: F) -> Result<Self, DefineError>
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.jobs.handlers.insert(JobName::new(name)?, handler(run));
        Ok(self)
    }

    /// How many attempts this node runs at once; more are given to other nodes or wait. Default:
    /// [`RUNNING_MAX_DEFAULT`].
    #[must_use]
    pub fn running_max(mut self, attempts: NonZeroU32) -> Self {
        self.running_max = Some(attempts);
        self
    }
}

fn handler<F, Fut, E>(run: F) -> Handler
where
    F: Fn(JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display,
{
    Arc::new(move |context| {
        run(context).map(|result| result.map_err(|error| error.to_string())).boxed()
    })
}

impl Module for Scheduler {
    const NAME: &'static str = "scheduler";
    type Handle = SchedulerHandle;

    fn install(self, installer: &mut Installer<'_>) -> SchedulerHandle {
        let state = installer.replicate::<SchedulerState>();
        let metrics = Arc::<SchedulerMetrics>::default();
        let shown = metrics.clone();
        installer.metrics(move |registry| shown.register(registry));
        let handle = SchedulerHandle::new(state.clone(), installer.cluster(), metrics.clone());
        let jobs = Arc::new(self.jobs);
        let running_max = self.running_max.unwrap_or(RUNNING_MAX_DEFAULT);
        installer.service("scheduler", move |cluster| async move {
            Worker::start(&cluster, jobs.clone(), state.clone(), running_max, metrics.clone());
            Leader::start(&cluster, jobs, state, running_max, metrics);
        });
        handle
    }
}
