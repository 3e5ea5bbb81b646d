//! What the scheduler carries: how many jobs in how much memory, how many claims, and how late.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use clustron_benches::{Figures, Table};
use clustron_core::{
    Clock, Cluster, ClusterBuilder, ClusterHandle, Message, Request, Role, SystemClock, Timestamp,
};
use clustron_scheduler::{
    Expected, JobName, JobSpec, Misfire, Overlap, Schedule, Scheduler, SchedulerHandle,
};
use clustron_testkit::{Process, cpu_time, free_addrs, resident_bytes};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::PATIENCE;
use crate::node::CLUSTER;

const MIB: u64 = 1 << 20;

/// How many jobs are put at the same time.
const AT_ONCE: usize = 512;

/// How long everything is left alone before memory is looked at.
const SETTLE: Duration = Duration::from_secs(5);

/// How long a node may take to start with all jobs.
const STARTING_MAX: Duration = Duration::from_secs(120);

/// The jobs of the measurement of lags: each is due every second, at a moment of its own.
const FIRINGS: u32 = 1_000;

/// The jobs of the measurement of claims, each due every 10 ms: 40,000 times a second in all.
const CLAIMERS: u32 = 400;

/// How large, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many idle jobs.
    #[arg(long, default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    jobs: u32,
    /// How long lags and claims are measured, each.
    #[arg(long, value_name = "SECONDS", default_value_t = 15,
          value_parser = clap::value_parser!(u64).range(3..=300))]
    seconds: u64,
}

/// Asks a node how many jobs it has.
#[derive(Debug, Serialize, Deserialize)]
struct Jobs;

impl Message for Jobs {
    const KIND: &'static str = "bench.jobs";
}

impl Request for Jobs {
    type Reply = u64;
}

/// The scheduler of a measured node: code that does nothing, for jobs that are put.
pub(crate) fn install(builder: &mut ClusterBuilder) -> anyhow::Result<SchedulerHandle> {
    let scheduler = Scheduler::new().handler("work", |_| async { Ok::<(), String>(()) })?;
    Ok(builder.install(scheduler))
}

/// Answers [`Jobs`].
pub(crate) fn serve(cluster: &ClusterHandle, scheduler: SchedulerHandle) {
    cluster.on_request(move |_, Jobs| std::future::ready(scheduler.stale_jobs().len() as u64));
}

/// Measures and prints.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let length = Duration::from_secs(arguments.seconds);
    let mut lags = Table::new(["lag, ms", "median", "p99", "max", "% of a core, leader"]);
    let mut claims = Table::new(["a second", "claims", "runs"]);

    // In memory, with nothing else to do.
    let trio = Trio::start(None).await?;
    lags.row("1,000 firings a second", trio.lags(length).await?);
    claims.row("short runs", trio.claims(length, Overlap::Allow { max: 1_000 }).await?);
    drop(trio);
    let trio = Trio::start(None).await?;
    let idle = arguments.jobs;
    let (put, took) = trio.put_idle(idle).await?;
    lags.row(&format!("the same, beside {idle} idle jobs"), trio.lags(length).await?);
    drop(trio);

    // On disk, for the start.
    let trio = Trio::start(Some(folder.path())).await?;
    trio.put_idle(idle).await?;
    tokio::time::sleep(SETTLE).await;
    let (leader, others) = trio.resident()?;
    let mut trio = trio;
    let start = trio.start_again(folder.path(), u64::from(idle)).await?;
    println!("{lags}\n\n{claims}\n");
    println!("{idle} jobs put in {took:.1?} ({put:.0} a second)");
    let mib = |bytes: u64| bytes / MIB;
    let others: Vec<u64> = others.into_iter().map(mib).collect();
    println!("resident with them: leader {} MiB, others {others:?} MiB", mib(leader));
    println!("a killed node has them all again from its snapshot after {start:.1?}");
    Ok(true)
}

/// Three nodes, and this process as a client that puts jobs and reads what became of them.
struct Trio {
    nodes: Vec<Process>,
    addrs: Vec<String>,
    cluster: Cluster,
    scheduler: SchedulerHandle,
}

impl Trio {
    async fn start(folder: Option<&Path>) -> anyhow::Result<Self> {
        let addrs: Vec<String> = free_addrs(3)?.iter().map(ToString::to_string).collect();
        let nodes = (0..3).map(|at| spawn(at, &addrs, folder)).collect::<anyhow::Result<_>>()?;
        let mut builder =
            Cluster::builder(CLUSTER).name("client").roles([Role::Client]).seeds(&addrs);
        let scheduler = builder.install(Scheduler::new());
        let started = tokio::time::timeout(PATIENCE, builder.start()).await;
        let cluster = started.context("no cluster came about")??;
        cluster.wait_for_leader(PATIENCE).await.context("there is no leader")?;
        Ok(Self { nodes, addrs, cluster, scheduler })
    }

    /// Puts jobs that are not due for months. Gives how many a second, and how long it took.
    async fn put_idle(&self, count: u32) -> anyhow::Result<(f64, Duration)> {
        // Two lines, so that some are not due whenever this runs.
        let month = (SystemClock.now().unix_ms() / (30 * 86_400_000) + 6) % 12 + 1;
        let line = format!("~ ~ ~ {month} *");
        let spec = |n| job(&format!("idle/{n}"), Schedule::cron(&line)?);
        let began = Instant::now();
        self.put((0..count).map(spec)).await?;
        let took = began.elapsed();
        Ok((f64::from(count) / took.as_secs_f64(), took))
    }

    async fn put(
        &self,
        specs: impl Iterator<Item = anyhow::Result<JobSpec>>,
    ) -> anyhow::Result<()> {
        let puts = futures::stream::iter(specs).map(|spec| async move {
            let put = self.scheduler.put(&spec?, Expected::Nothing, PATIENCE).await;
            put.map(drop).map_err(anyhow::Error::from)
        });
        let mut puts = puts.buffer_unordered(AT_ONCE);
        while let Some(put) = puts.next().await {
            put?;
        }
        Ok(())
    }

    /// How late attempts begin that are due a thousand times a second, and what the leader uses.
    async fn lags(&self, length: Duration) -> anyhow::Result<Vec<String>> {
        let kept = u32::try_from(length.as_secs())? + 10;
        let names: Vec<String> = (0..FIRINGS).map(|n| format!("due/{n}")).collect();
        let specs = names.iter().zip(0u64..).map(|(name, n)| {
            let (second, phase) = (Duration::from_secs(1), Duration::from_millis(n % 1_000));
            Ok(job(name, Schedule::every_with_phase(second, phase)?)?.history(kept))
        });
        self.put(specs).await?;
        // Until all of them are there and run.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (from, leader) = (SystemClock.now(), self.leader()?);
        let before = cpu_time(leader.pid())?;
        tokio::time::sleep(length).await;
        let used = cpu_time(leader.pid())?.saturating_sub(before);
        let until = SystemClock.now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let lags = self.lags_between(&names, from, until).await?;
        let wanted = u64::from(FIRINGS) * length.as_secs() * 9 / 10;
        anyhow::ensure!(lags.len() as u64 >= wanted, "only {} of the ticks have run", lags.len());
        self.delete(&names).await?;
        let busy = 100.0 * used.as_secs_f64() / length.as_secs_f64();
        let cells = [lags.median(), lags.quantile(0.99), lags.max(), busy];
        Ok(cells.map(|cell| format!("{cell:.1}")).into())
    }

    async fn lags_between(
        &self,
        names: &[String],
        from: Timestamp,
        until: Timestamp,
    ) -> anyhow::Result<Figures> {
        let mut lags = vec![];
        self.cluster.barrier(PATIENCE).await?;
        for name in names {
            let history = self.scheduler.stale_history(&JobName::new(name.as_str())?)?;
            let in_time = history.iter().filter(|f| from <= f.scheduled && f.scheduled <= until);
            let lag = |started: Timestamp, due| started.saturating_since(due);
            lags.extend(in_time.filter_map(|f| Some(lag(f.started?, f.scheduled))));
        }
        Ok(Figures::ms(lags))
    }

    /// How many ticks are claimed, and run, in a second, where more are due.
    async fn claims(&self, length: Duration, overlap: Overlap) -> anyhow::Result<Vec<String>> {
        let names: Vec<String> = (0..CLAIMERS).map(|n| format!("often/{n}")).collect();
        let specs = names.iter().zip(0u64..).map(|(name, n)| {
            let (often, phase) = (Duration::from_millis(10), Duration::from_millis(n % 10));
            let all = Misfire::All { max: 10_000, max_age_ms: 3_600_000 };
            let schedule = Schedule::every_with_phase(often, phase)?;
            Ok(job(name, schedule)?.overlap(overlap).misfire(all).history(1))
        });
        self.put(specs).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (before, began) = (self.counted(&names).await?, Instant::now());
        tokio::time::sleep(length).await;
        let (after, took) = (self.counted(&names).await?, began.elapsed());
        self.delete(&names).await?;
        let rates = [after.0 - before.0, after.1 - before.1];
        Ok(rates.map(|count| format!("{:.0}", count as f64 / took.as_secs_f64())).into())
    }

    /// How many ticks were claimed, and have run.
    async fn counted(&self, names: &[String]) -> anyhow::Result<(u64, u64)> {
        self.cluster.barrier(PATIENCE).await?;
        let (mut claimed, mut ran) = (0, 0);
        for name in names {
            let counters = self.scheduler.stale_status(&JobName::new(name.as_str())?)?.counters;
            claimed += counters.claimed - counters.missed;
            ran += counters.ran;
        }
        Ok((claimed, ran))
    }

    async fn delete(&self, names: &[String]) -> anyhow::Result<()> {
        for name in names {
            self.scheduler.delete(&JobName::new(name.as_str())?, PATIENCE).await?;
        }
        Ok(())
    }

    fn leader(&self) -> anyhow::Result<&Process> {
        let leader = self.cluster.leader().context("there is no leader")?;
        let node = self.nodes.iter().find(|node| node.name() == leader.name.as_str());
        node.context("the leader is none of the three")
    }

    /// The leader's memory, and the others'.
    fn resident(&self) -> anyhow::Result<(u64, Vec<u64>)> {
        let leader = self.leader()?.pid();
        let others = self.nodes.iter().map(Process::pid).filter(|pid| *pid != leader);
        Ok((resident_bytes(leader)?, others.map(resident_bytes).collect::<Result<_, _>>()?))
    }

    /// Kills a node that does not lead, and starts it again with what it has on disk. Gives how
    /// long it takes until it has all jobs.
    async fn start_again(&mut self, folder: &Path, jobs: u64) -> anyhow::Result<Duration> {
        let leader = self.leader()?.pid();
        let at = self.nodes.iter().position(|node| node.pid() != leader).context("nobody else")?;
        let name = self.nodes[at].name().to_owned();
        self.nodes[at].kill()?;
        let there = |view: &clustron_core::View| {
            view.alive().find(|node| node.name.as_str() == name).map(|node| node.id)
        };
        let gone = self.cluster.wait_for(PATIENCE, |status| there(&status.view).is_none());
        gone.await.context("the node that was killed stays in the view")?;
        let began = Instant::now();
        self.nodes[at] = spawn(at, &self.addrs, Some(folder))?;
        let back = self.cluster.wait_for(STARTING_MAX, |status| there(&status.view).is_some());
        let id = back.await.and_then(|status| there(&status.view)).context("it did not return")?;
        while self.cluster.request(id, &Jobs, PATIENCE).await.unwrap_or(0) < jobs {
            anyhow::ensure!(began.elapsed() < STARTING_MAX, "the node did not get all jobs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(began.elapsed())
    }
}

fn job(name: &str, schedule: Schedule) -> anyhow::Result<JobSpec> {
    Ok(JobSpec::new(JobName::new(name)?, schedule).handled_by(JobName::new("work")?))
}

fn spawn(at: usize, addrs: &[String], folder: Option<&Path>) -> anyhow::Result<Process> {
    let name = ["a", "b", "c"][at];
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["node", "--work", "--name", name, "--listen", &addrs[at]]);
    command.args(["--seeds", &addrs.join(",")]);
    if let Some(folder) = folder {
        command.arg("--data-dir").arg(folder.join(name));
    }
    Ok(Process::spawn(&mut command, name)?)
}
