//! Three nodes, a killed leader, and the verdict.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use clustron_core::{Activation, Clock, Cluster, NodeId, SystemClock, Timestamp};
use clustron_scheduler::{Firing, JobName, SchedulerHandle};

use super::jobs;
use super::trio::{PATIENCE, Trio, Watcher};
use super::verdict::Verdict;

/// The most runs of one job that may end between two looks and still all be shown.
const NEWS_MAX: usize = 1000;

/// Runs the demonstration. Gives whether the promise held.
///
/// # Errors
/// It could not be run to its end.
pub async fn run(length: Duration, kill_after: Duration) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir().context("no folder for the ledger")?;
    let mut trio = Trio::start(&folder.path().join("ledger.jsonl"))?;
    let result = with_nodes(&mut trio, length, kill_after).await;
    if result.is_err() {
        trio.show_last_lines();
    }
    result
}

async fn with_nodes(
    trio: &mut Trio,
    length: Duration,
    kill_after: Duration,
) -> anyhow::Result<bool> {
    let Watcher { cluster, scheduler } = trio.watch().await?;
    let mut show = Show::new(&cluster, scheduler.clone())?;
    let leader = cluster.wait_for_leader(PATIENCE).await.context("no leader was elected")?;
    println!("{} leads in epoch {}", leader.name, leader.epoch);

    let began = Instant::now();
    let mut without_leader = Duration::ZERO;
    if kill_after < length {
        show.until(began + kill_after).await;
        let leader = cluster.leader().context("there is no leader to kill")?;
        let victim = trio.place_of(&leader)?;
        let killed_at = Instant::now();
        trio.nodes[victim].kill()?;
        println!("killed {} (SIGKILL), the leader of epoch {}", leader.name, leader.epoch);
        let next = show.until_leader_after(&leader).await?;
        without_leader = killed_at.elapsed();
        let ms = without_leader.as_millis();
        println!("{} leads in epoch {}, {ms} ms after the kill", next.name, next.epoch);
    }
    show.until(began + length).await;

    let judging = Verdict::of(&scheduler, &trio.ledger, SystemClock.now(), PATIENCE);
    let verdict = Verdict { without_leader, ..show.while_waiting(judging).await? };
    cluster.shutdown(PATIENCE).await?;
    trio.kill_all()?;
    println!("{verdict}");
    Ok(verdict.is_clean())
}

/// Prints every run once, in the order in which they were recorded.
struct Show<'a> {
    cluster: &'a Cluster,
    scheduler: SchedulerHandle,
    jobs: Vec<JobName>,
    shown: BTreeSet<(JobName, Timestamp)>,
}

impl<'a> Show<'a> {
    fn new(cluster: &'a Cluster, scheduler: SchedulerHandle) -> anyhow::Result<Self> {
        let jobs = jobs::specs()?.into_iter().map(|spec| spec.name).collect();
        Ok(Self { cluster, scheduler, jobs, shown: BTreeSet::new() })
    }

    async fn until(&mut self, end: Instant) {
        self.while_waiting(tokio::time::sleep_until(end.into())).await;
    }

    async fn until_leader_after(&mut self, before: &Activation) -> anyhow::Result<Activation> {
        let cluster = self.cluster;
        let next = cluster.wait_for(PATIENCE, |status| {
            status.leader.as_ref().is_some_and(|leader| leader.epoch > before.epoch)
        });
        let status = self.while_waiting(next).await;
        status.and_then(|status| status.leader).context("nobody took over")
    }

    async fn while_waiting<T>(&mut self, end: impl Future<Output = T>) -> T {
        let mut changes = self.scheduler.changes();
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                done = &mut end => {
                    self.print_new();
                    return done;
                }
                Ok(()) = changes.changed() => self.print_new(),
            }
        }
    }

    fn print_new(&mut self) {
        let mut new = Vec::new();
        for job in &self.jobs {
            let history = self.scheduler.stale_history(job).unwrap_or_default();
            let unseen = |f: &Firing| !self.shown.contains(&(job.clone(), f.scheduled));
            let unseen = history.into_iter().take(NEWS_MAX).filter(unseen);
            new.extend(unseen.map(|firing| (firing.scheduled, job.clone(), firing)));
        }
        new.sort_by_key(|(tick, ..)| *tick);
        let view = self.cluster.view();
        for (tick, job, firing) in new {
            let name =
                |id: NodeId| view.node(id).map_or(id.to_string(), |r| r.info.name.to_string());
            let node = firing.worker.map_or_else(|| "-".to_owned(), name);
            let ran_at = firing.started.unwrap_or(firing.claimed_at);
            println!("{}", jobs::line(job.as_str(), tick, &node, firing.epoch.0, ran_at));
            self.shown.insert((job, tick));
        }
    }
}
