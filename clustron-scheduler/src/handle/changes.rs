//! Changing jobs while the cluster runs, from any node.

use std::time::Duration;

use clustron_core::{ClusterHandle, NodeId, Outcome, Timestamp};
use tokio::time::Instant;

use super::SchedulerHandle;
use crate::ask::{Answer, Ask, ChangeError, Expected, Refused};
use crate::firing::{WHY_BYTES_MAX, bounded};
use crate::job::{JobName, JobSpec};
use crate::tick::TickId;

/// The pause before a question is asked again, the first and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(320));

/// What became of a job that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// The job's generation, the token of its last change.
    pub generation: u64,
    /// False if it was there just so before.
    pub changed: bool,
}

impl SchedulerHandle {
    /// Creates a job or replaces it, at once for the whole cluster. Ticks that are due by the job
    /// as it was are taken first; its history and what runs go on. Asking again for what is there
    /// changes nothing, so where the outcome is unknown it is asked again until the deadline.
    ///
    /// ```
    /// # use clustron_core::Cluster;
    /// # use clustron_scheduler::{Expected, JobName, JobSpec, Retries, Schedule, Scheduler};
    /// # use std::time::Duration;
    /// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
    /// struct Invoice { customer: u64 }
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut builder = Cluster::builder("shop");
    /// let scheduler = builder.install(Scheduler::new().handler("invoice", |job| async move {
    ///     let invoice: Invoice = job.payload().map_err(|error| error.to_string())?;
    ///     println!("an invoice for {}", invoice.customer);
    ///     Ok::<(), String>(())
    /// })?);
    /// let cluster = builder.start().await?;
    ///
    /// let name = JobName::new("invoice/7")?;
    /// let monthly = Schedule::cron("0 6 1 * *")?.zone("Europe/Berlin")?;
    /// let spec = JobSpec::new(name.clone(), monthly)
    ///     .handled_by(JobName::new("invoice")?)
    ///     .payload(&Invoice { customer: 7 })?
    ///     .retries(Retries::new(5, Duration::from_secs(1), Duration::from_secs(60)));
    /// let soon = Duration::from_secs(5);
    /// scheduler.put(&spec, Expected::Nothing, soon).await?;
    /// let tick = scheduler.trigger(&name, soon).await?;
    /// # let mut changes = scheduler.changes();
    /// # while scheduler.stale_history(&name)?.iter().all(|firing| firing.id() != tick) {
    /// #     changes.changed().await?;
    /// # }
    /// # cluster.shutdown(soon).await?; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn put(
        &self,
        spec: &JobSpec,
        expected: Expected,
        deadline: Duration,
    ) -> Result<Put, ChangeError> {
        if let Err(error) = spec.check() {
            let why = crate::message::Rejection::InvalidSpec { reason: error.to_string() };
            return Err(refused(&spec.name, Refused::Rejected(why)));
        }
        let ask = Ask::Put { spec: spec.clone(), expected };
        match self.ask(ask, Again::Always, deadline).await? {
            Answer::Done { generation, changed } => Ok(Put { generation, changed }),
            other => Err(odd(&spec.name, &other)),
        }
    }

    /// Deletes a job with its history. Its ticks that are due are taken first; what runs is told to
    /// stop, and what becomes of it is not recorded any more.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn delete(&self, job: &JobName, deadline: Duration) -> Result<(), ChangeError> {
        self.ask(Ask::Delete { job: job.clone() }, Again::Always, deadline).await.map(drop)
    }

    /// Stops taking a job's ticks, with a note for people, of which 256 bytes are kept. What runs
    /// goes on; what waits waits on.
    /// Ticks until the job is resumed are recorded as missed then, in one record. It can still be
    /// triggered.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn pause(
        &self,
        job: &JobName,
        note: &str,
        deadline: Duration,
    ) -> Result<(), ChangeError> {
        let note = bounded(note.to_owned(), WHY_BYTES_MAX);
        let ask = Ask::Pause { job: job.clone(), note };
        self.ask(ask, Again::Always, deadline).await.map(drop)
    }

    /// Takes a job's ticks again, from now on.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn resume(&self, job: &JobName, deadline: Duration) -> Result<(), ChangeError> {
        self.ask(Ask::Resume { job: job.clone() }, Again::Always, deadline).await.map(drop)
    }

    /// Runs a job once, now, whatever its schedule says: beside what runs if its overlap rule
    /// allows, else after it. No rule skips it.
    ///
    /// # Errors
    /// See [`ChangeError`]; where the outcome is [`Outcome::Unknown`] it may yet run.
    pub async fn trigger(&self, job: &JobName, deadline: Duration) -> Result<TickId, ChangeError> {
        let ticks = self.ticks(Ask::Trigger { job: job.clone() }, deadline).await?;
        ticks.first().copied().ok_or_else(|| odd(job, &Answer::Asked { ticks }))
    }

    /// Runs a job once for each instant that its schedule names from one to another, both included:
    /// at most [`BACKFILL_MAX`](crate::BACKFILL_MAX). As with [`trigger`](Self::trigger) they wait
    /// for each other unless the job's ticks may overlap. Exclusions, but not jitter, count.
    ///
    /// # Errors
    /// See [`ChangeError`]; where the outcome is [`Outcome::Unknown`] some or all may yet run.
    pub async fn backfill(
        &self,
        job: &JobName,
        from: Timestamp,
        to: Timestamp,
        deadline: Duration,
    ) -> Result<Vec<TickId>, ChangeError> {
        self.ticks(Ask::Backfill { job: job.clone(), from, to }, deadline).await
    }

    async fn ticks(&self, ask: Ask, deadline: Duration) -> Result<Vec<TickId>, ChangeError> {
        let job = ask.job().clone();
        match self.ask(ask, Again::WhileNotApplied, deadline).await? {
            Answer::Asked { ticks } => Ok(ticks),
            other => Err(odd(&job, &other)),
        }
    }

    /// Asks whoever leads, until it is done.
    async fn ask(&self, ask: Ask, again: Again, deadline: Duration) -> Result<Answer, ChangeError> {
        let job = ask.job().clone();
        let until = Instant::now() + deadline.min(Duration::from_secs(365 * 86_400));
        let mut pause = AGAIN.0;
        // Whether some try may have been taken, or may yet be.
        let mut in_doubt = None;
        let mut last = "the node is not running".to_owned();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(cluster) = self.cluster.get().filter(|_| !left.is_zero()) else { break };
            let answer = match cluster.leader() {
                Some(leader) => answer(&cluster, leader.node, &ask, left).await,
                None => Err((Outcome::NotApplied, "there is no leader".to_owned())),
            };
            match answer {
                Ok(Answer::Refused(Refused::UnknownJob))
                    if in_doubt.is_some() && matches!(ask, Ask::Delete { .. }) =>
                {
                    return Ok(Answer::Done { generation: 0, changed: true });
                }
                Ok(Answer::Refused(why)) if in_doubt.is_none() => return Err(refused(&job, why)),
                // Another try may have been taken before, and somebody's change come after it.
                Ok(Answer::Refused(why)) => {
                    return Err(ChangeError::Unknown { job, reason: why.to_string() });
                }
                Ok(Answer::NotNow) => last = "the leader has changed or is busy".to_owned(),
                Ok(Answer::Unknown) => {
                    last = "the log did not confirm it".to_owned();
                    in_doubt = Some(last.clone());
                }
                Ok(answer) => return Ok(answer),
                Err((Outcome::NotApplied, reason)) => last = reason,
                Err((Outcome::Unknown, reason)) => {
                    last = reason;
                    in_doubt = Some(last.clone());
                }
            }
            if in_doubt.is_some() && again == Again::WhileNotApplied {
                break;
            }
            tokio::time::sleep_until(until.min(Instant::now() + pause)).await;
            pause = (2 * pause).min(AGAIN.1);
        }
        Err(match in_doubt {
            Some(_) => ChangeError::Unknown { job, reason: last },
            None => ChangeError::NotApplied { job, reason: last },
        })
    }
}

/// When a question is asked again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Twice is as good as once.
    Always,
    /// Twice would be two.
    WhileNotApplied,
}

async fn answer(
    cluster: &ClusterHandle,
    leader: NodeId,
    ask: &Ask,
    left: Duration,
) -> Result<Answer, (Outcome, String)> {
    let answered = cluster.request(leader, ask, left).await;
    answered.map_err(|error| (error.outcome(), error.to_string()))
}

fn refused(job: &JobName, why: Refused) -> ChangeError {
    ChangeError::Refused { job: job.clone(), why }
}

/// The leader answered another question than was asked.
fn odd(job: &JobName, answer: &Answer) -> ChangeError {
    ChangeError::Unknown { job: job.clone(), reason: format!("the leader answered {answer:?}") }
}
