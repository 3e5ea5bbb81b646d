//! Whether a cluster without faults stays as it is: every change would be a false alarm.

use std::time::{Duration, Instant};

use anyhow::Context;
use clustron_core::{Cluster, ClusterEvent};
use clustron_testkit::{Process, cpu_time};

use crate::nodes::Nodes;
use crate::process::start_spinning;
use crate::said::{LOST, SUSPECTS};
use crate::watcher::{settled, watch};
use clustron_benches::Table;

/// How long, and how loud.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long the cluster is watched.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    minutes: u64,
    /// Keep every core busy meanwhile, with processes of the lowest priority.
    #[arg(long)]
    load: bool,
}

/// What the watcher was told.
#[derive(Debug, Default)]
struct Alarms {
    suspected: usize,
    down: usize,
    lost: usize,
    missed: u64,
}

impl Alarms {
    fn note(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::NodeSuspected { .. } => self.suspected += 1,
            ClusterEvent::NodeDown { .. } => self.down += 1,
            ClusterEvent::LeaderLost(_) => self.lost += 1,
            ClusterEvent::Lagged(missed) => self.missed += missed,
            _ => return,
        }
        println!("{event:?}");
    }
}

/// Watches and prints. Gives whether nobody was elected and nobody put out.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let length = Duration::from_secs(60 * arguments.minutes);
    let nodes = Nodes::start(false)?;
    let watcher = watch(&nodes).await?;
    settled(&watcher, &nodes).await?;
    let cores = std::thread::available_parallelism()?.get();
    let spinning = if arguments.load { 0..cores } else { 0..0 };
    let load: Vec<Process> = spinning.map(start_spinning).collect::<Result<_, _>>()?;

    let before = watcher.leader_history();
    let (suspects, losses) = (nodes.count_said(SUSPECTS), nodes.count_said(LOST));
    let began = Instant::now();
    let alarms = listen(&watcher, began + length).await?;
    let after = watcher.leader_history();
    let known = before.last().map(|activation| activation.epoch);
    let elections = after.iter().filter(|next| Some(next.epoch) > known).count();

    let mut table = Table::new([format!("{} minutes, {cores} cores", arguments.minutes)]);
    let mut row = |name: &str, figure: String| table.row(name, [figure]);
    row("cores that the load used", format!("{:.2}", cores_used(&load, began.elapsed())?));
    row("elections", elections.to_string());
    row("nodes put out", alarms.down.to_string());
    row("leader not heard, by the watcher", alarms.lost.to_string());
    row("leader not heard, by the nodes", (nodes.count_said(LOST) - losses).to_string());
    row("suspicions, by the watcher", alarms.suspected.to_string());
    row("suspicions, by the nodes", (nodes.count_said(SUSPECTS) - suspects).to_string());
    println!("{table}");
    let held = elections == 0 && alarms.down == 0 && alarms.missed == 0;
    println!("{}", if held { "quiet" } else { "NOT QUIET" });
    Ok(held)
}

async fn listen(watcher: &Cluster, until: Instant) -> anyhow::Result<Alarms> {
    let (mut events, mut alarms) = (watcher.events(), Alarms::default());
    // What happens while the load begins counts too.
    while let Ok(event) = tokio::time::timeout_at(until.into(), events.next()).await {
        alarms.note(event.context("the watcher has ended")?);
    }
    Ok(alarms)
}

fn cores_used(load: &[Process], took: Duration) -> anyhow::Result<f64> {
    let mut used = Duration::ZERO;
    for process in load {
        used += cpu_time(process.pid()).context("the load has ended")?;
    }
    Ok(used.as_secs_f64() / took.as_secs_f64())
}
