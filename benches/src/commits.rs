//! How many commands a second three nodes commit, and how long each one takes: in memory, over TCP
//! on loopback, all nodes in this one process.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use clustron_benches::{Figures, Table};
use clustron_core::{
    Applied, Cluster, Config, Consistency, Installer, Module, Replicated, ReplicatedState,
};
use serde::{Deserialize, Serialize};

use crate::PATIENCE;

const NODES: usize = 3;

/// What is done.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many callers there are, each with one command at a time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    callers: u64,
    /// How large a command is.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(8..=100_000))]
    bytes: u64,
    /// How long a run takes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many runs there are of each row.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
}

/// Counts commands, and forgets what they say.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counter(u64);

impl ReplicatedState for Counter {
    type Command = Vec<u8>;
    type Reply = u64;

    fn apply(&mut self, _at: Applied, _command: Vec<u8>) -> u64 {
        self.0 += 1;
        self.0
    }
}

struct Counting;

impl Module for Counting {
    const NAME: &'static str = "counting";
    type Handle = Replicated<Counter>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Counter> {
        installer.replicate()
    }
}

type Nodes = Vec<(Cluster, Replicated<Counter>)>;

/// What one run gave.
struct Outcome {
    per_second: f64,
    latencies: Figures,
}

/// Measures and prints.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let nodes = start().await?;
    let leads = |(cluster, _): &&(Cluster, Replicated<Counter>)| cluster.status().leading.is_some();
    let leader = nodes.iter().find(leads).context("nobody leads")?.1.clone();
    let all: Vec<Replicated<Counter>> = nodes.iter().map(|(_, counter)| counter.clone()).collect();
    let mut table = Table::new(["", "per second, median", "min", "max", "p50 ms", "p99 ms"]);
    for (name, at) in [("commands at the leader", vec![leader.clone()]), ("at all", all.clone())] {
        let body = vec![7; usize::try_from(arguments.bytes)?];
        let propose = move |counter: Replicated<Counter>| {
            let body = body.clone();
            async move { counter.propose(&body, PATIENCE).await.is_ok() }
        };
        row(&mut table, name, arguments, &at, propose).await?;
    }
    for (name, at) in [("reads at the leader", vec![leader]), ("at all", all)] {
        let read = |counter: Replicated<Counter>| async move {
            counter.read(Consistency::Linearizable, PATIENCE, |state| state.0).await.is_ok()
        };
        row(&mut table, name, arguments, &at, read).await?;
    }
    println!(
        "{table}\n\n{} callers, commands of {} bytes, {} runs of {} s",
        arguments.callers, arguments.bytes, arguments.runs, arguments.seconds
    );
    Ok(true)
}

async fn row<F, Fut>(
    table: &mut Table,
    name: &str,
    arguments: &Arguments,
    at: &[Replicated<Counter>],
    call: F,
) -> anyhow::Result<()>
where
    F: Fn(Replicated<Counter>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = bool> + Send,
{
    let (mut rates, mut p50, mut p99) = (vec![], vec![], vec![]);
    for _ in 0..arguments.runs {
        let length = Duration::from_secs(arguments.seconds);
        let Outcome { per_second, latencies } =
            once(arguments.callers, length, at, call.clone()).await?;
        rates.push(per_second);
        p50.push(latencies.quantile(0.5));
        p99.push(latencies.quantile(0.99));
    }
    let (rates, p50, p99): (Figures, Figures, Figures) =
        (rates.into_iter().collect(), p50.into_iter().collect(), p99.into_iter().collect());
    let latency = [p50, p99].map(|figures| format!("{:.1}", figures.median()));
    table.row(name, rates.cells(0).into_iter().chain(latency));
    Ok(())
}

/// Has all callers call one after the other for a while, each at a node of `at` in turn.
async fn once<F, Fut>(
    callers: u64,
    length: Duration,
    at: &[Replicated<Counter>],
    call: F,
) -> anyhow::Result<Outcome>
where
    F: Fn(Replicated<Counter>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = bool> + Send,
{
    let (done, took) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<Duration>>>::default());
    let began = Instant::now();
    let calling = at.iter().cycle().zip(0..callers).map(|(counter, _)| {
        let (counter, call, done, took) =
            (counter.clone(), call.clone(), done.clone(), took.clone());
        tokio::spawn(async move {
            let mut mine = vec![];
            while began.elapsed() < length {
                let called = Instant::now();
                if call(counter.clone()).await {
                    mine.push(called.elapsed());
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
            took.lock().unwrap_or_else(PoisonError::into_inner).extend(mine);
        })
    });
    let calling: Vec<_> = calling.collect();
    for caller in calling {
        caller.await?;
    }
    let per_second = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let took = std::mem::take(&mut *took.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Outcome { per_second, latencies: Figures::ms(took) })
}

async fn start() -> anyhow::Result<Nodes> {
    let addresses = clustron_testkit::free_addrs(NODES)?;
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let starts = addresses.iter().map(|listen| {
        let config = Config { listen: listen.clone(), seeds: addresses.clone(), ..Config::local() };
        let mut node = Cluster::builder("bench").config(config);
        let counter = node.install(Counting);
        tokio::spawn(async move { node.start().await.map(|cluster| (cluster, counter)) })
    });
    let mut nodes = vec![];
    for start in starts.collect::<Vec<_>>() {
        nodes.push(start.await??);
    }
    for (cluster, _) in &nodes {
        cluster.wait_for_leader(PATIENCE).await.context("no leader came about")?;
    }
    Ok(nodes)
}
