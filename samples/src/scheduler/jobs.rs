//! The jobs of the sample: each writes one line per execution to the ledger.

use std::sync::Arc;
use std::time::Duration;

use clustron_core::Timestamp;
use clustron_scheduler::{DefineError, JobContext, JobName, JobSpec, Overlap, Schedule, Scheduler};
use clustron_testkit::Entry;

use super::ledger::LedgerWriter;

/// The jobs and when they are due.
pub(crate) fn specs() -> Result<Vec<JobSpec>, DefineError> {
    let pulse = JobSpec::new(JobName::new("pulse")?, Schedule::every(Duration::from_millis(500))?);
    let report = JobSpec::new(JobName::new("report")?, Schedule::cron("*/3 * * * * *")?);
    // A tick that falls due while a dead worker's run is still open waits its turn and then runs.
    let policies = |spec: JobSpec| spec.overlap(Overlap::BufferAll { max: 1000 }).history(10_000);
    Ok([pulse, report].map(policies).into())
}

/// The scheduler with these jobs, each of which works that long before it writes.
pub(crate) fn scheduler(ledger: LedgerWriter, work: Duration) -> Result<Scheduler, DefineError> {
    let ledger = Arc::new(ledger);
    let mut scheduler = Scheduler::new();
    for spec in specs()? {
        let ledger = ledger.clone();
        scheduler = scheduler.job(spec, move |job| execute(job, work, ledger.clone()))?;
    }
    Ok(scheduler)
}

async fn execute(job: JobContext, work: Duration, ledger: Arc<LedgerWriter>) -> anyhow::Result<()> {
    let at = job.cluster().clock().now();
    let entry = Entry {
        job: job.job().to_string(),
        scheduled: job.scheduled(),
        token: job.token(),
        node: job.node().name.to_string(),
        epoch: job.epoch(),
        attempt: job.attempt(),
        at,
    };
    ledger.begin(&entry)?;
    tokio::time::sleep(work).await;
    println!("{}", line(&entry.job, entry.scheduled, &entry.node, entry.epoch.0, at));
    tokio::task::spawn_blocking(move || ledger.append(&entry)).await?
}

/// One run as people see it.
pub(crate) fn line(
    job: &str,
    tick: Timestamp,
    node: &str,
    epoch: u64,
    ran_at: Timestamp,
) -> String {
    let lag = ran_at.saturating_since(tick).as_millis();
    format!("{tick}  {job:<7} node {node}  epoch {epoch:<4} lag {lag:>4} ms")
}
