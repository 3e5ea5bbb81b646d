//! How long a cluster is without a leader after `kill -9` of the one it had, beside etcd.

use std::time::{Duration, Instant};

use anyhow::Context;
use clustron_core::{Activation, Cluster};

use crate::PATIENCE;
use crate::etcd;
use crate::nodes::Nodes;
use crate::said::{Leading, unix_us};
use crate::watcher::{settled, watch};
use clustron_benches::{Figures, Table};

/// Between a healthy cluster and the next kill, so that kills fall into no rhythm of the start.
const PAUSE: Duration = Duration::from_millis(500);

/// How many kills.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often the leader is killed, of each system.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    kills: u32,
    /// Leave etcd out.
    #[arg(long)]
    no_etcd: bool,
    /// Show the last lines of the survivors when no leader was active for longer than this; with
    /// RUST_LOG=info, or finer, they tell why.
    #[arg(long, value_name = "MS", default_value_t = 600)]
    explain_over: u64,
}

/// How many lines of a survivor explain a slow takeover.
const LINES_SHOWN: usize = 40;

/// One kill of ours.
struct Round {
    /// From the kill until the next leader had applied its own activation.
    active: Duration,
    /// From the kill until a node that does not vote knew the next leader.
    watched: Duration,
}

/// All kills of ours.
struct Ours {
    rounds: Vec<Round>,
    /// How many epochs began after the first; one for each kill is right.
    activations: usize,
}

/// Measures and prints.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let Ours { rounds, activations } = ours(arguments).await?;
    let active = Figures::ms(rounds.iter().map(|round| round.active));
    let watched = Figures::ms(rounds.iter().map(|round| round.watched));
    let mut table = Table::new(["kill -9 to next leader, ms", "median", "min", "max", "kills"]);
    let mut row = |name: &str, figures: &Figures| {
        table.row(name, figures.cells(0).into_iter().chain([figures.len().to_string()]));
    };
    row("Clustron, leader active", &active);
    row("Clustron, seen by a non-voter", &watched);
    let mut peer = None;
    let version = etcd::version();
    match &version {
        Some(version) if !arguments.no_etcd => {
            let times = Figures::ms(etcds(arguments.kills).await?);
            row(version, &times);
            peer = Some(times);
        }
        _ => {}
    }
    println!("\n{table}");
    match peer {
        Some(peer) => println!("Clustron / etcd: {:.2}", active.median() / peer.median()),
        None if arguments.no_etcd => println!("etcd was left out"),
        None => println!("etcd is not installed: apt-get install etcd-server, and run again"),
    }
    println!("leaders activated: {activations}, one for each of {} kills is right", rounds.len());
    Ok(true)
}

async fn ours(arguments: &Arguments) -> anyhow::Result<Ours> {
    let mut nodes = Nodes::start(false)?;
    let watcher = watch(&nodes).await?;
    let mut rounds = Vec::new();
    let first = settled(&watcher, &nodes).await?.epoch;
    for kill in 1..=arguments.kills {
        tokio::time::sleep(PAUSE).await;
        let leader = settled(&watcher, &nodes).await?;
        let (next, round) = kill_leader(&mut nodes, &watcher, &leader).await?;
        let [active, watched] = [round.active, round.watched].map(|time| time.as_millis());
        println!(
            "kill {kill}: {} (epoch {}) -> {} (epoch {}): active {active} ms, seen {watched} ms",
            leader.name, leader.epoch, next.name, next.epoch
        );
        if active > u128::from(arguments.explain_over) {
            explain(&nodes);
        }
        rounds.push(round);
        settled(&watcher, &nodes).await?;
    }
    let history = watcher.leader_history();
    let activations = history.iter().filter(|activation| activation.epoch > first).count();
    Ok(Ours { rounds, activations })
}

fn explain(nodes: &Nodes) {
    for node in nodes.processes() {
        println!("{node} said last:");
        let lines = node.lines();
        lines.iter().rev().take(LINES_SHOWN).rev().for_each(|line| println!("    {line}"));
    }
}

/// Kills the leader, times the next one, and starts a new node in the dead one's place.
async fn kill_leader(
    nodes: &mut Nodes,
    watcher: &Cluster,
    leader: &Activation,
) -> anyhow::Result<(Activation, Round)> {
    let place = nodes.place_of(leader.name.as_str())?;
    let (killed_at, killed) = (unix_us(), Instant::now());
    nodes.process_mut(place).kill()?;
    let next = watcher.wait_for(PATIENCE, |status| {
        status.leader.as_ref().is_some_and(|next| next.epoch > leader.epoch)
    });
    let next = next.await.and_then(|status| status.leader).context("nobody took over")?;
    let watched = killed.elapsed();
    // The first that led after the kill counts, even if the watcher saw only a later one.
    let after = |line: &str| Leading::parse(line).filter(|said| said.epoch > leader.epoch.0);
    let itself = &nodes.processes()[nodes.place_of(next.name.as_str())?];
    let mut first = itself.wait_for_line(after, PATIENCE)?.at_us;
    for node in nodes.processes() {
        let said = node.lines().iter().filter_map(|line| after(line)).map(|said| said.at_us).min();
        first = first.min(said.unwrap_or(first));
    }
    nodes.replace(place)?;
    let active = Duration::from_micros(first.saturating_sub(killed_at));
    Ok((next, Round { active, watched }))
}

async fn etcds(kills: u32) -> anyhow::Result<Vec<Duration>> {
    let mut group = etcd::Group::start()?;
    let mut times = Vec::new();
    for kill in 1..=kills {
        let leader = group.wait_until_healthy(PATIENCE).await?;
        tokio::time::sleep(PAUSE).await;
        let time = group.kill_leader(leader, PATIENCE).await?;
        println!("kill {kill} of an etcd leader: {} ms", time.as_millis());
        times.push(time);
    }
    Ok(times)
}
