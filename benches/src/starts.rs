//! How long three processes that start at the same time need to become one cluster with a leader.

use std::time::Duration;

use anyhow::Context;

use crate::nodes::{NODES, Nodes};
use crate::said::{Sees, unix_us};
use clustron_benches::{Figures, Table};

/// How many starts.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often three nodes are started.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Measures and prints. Gives whether every start made one cluster.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let (mut times, mut split) = (Vec::new(), 0);
    for round in 1..=arguments.rounds {
        let (time, clusters) = start()?;
        println!("start {round}: {} ms, {clusters} cluster(s)", time.as_millis());
        times.push(time);
        split += usize::from(clusters != 1);
    }
    let figures = Figures::ms(times);
    let mut table = Table::new(["start to a common leader, ms", "median", "min", "max", "starts"]);
    let count = figures.len().to_string();
    table.row("three processes", figures.cells(0).into_iter().chain([count]));
    println!("\n{table}\nstarts that made more than one cluster: {split}");
    Ok(split == 0)
}

/// Starts three nodes, and gives the time until all saw the same leader and the number of clusters
/// that they are in.
fn start() -> anyhow::Result<(Duration, usize)> {
    let began = unix_us();
    let mut nodes = Nodes::start(false)?;
    let formed = |sees: &Sees| sees.voters == NODES && sees.has_leader();
    let first = nodes.wait_until_all_see(formed)?;
    let latest = first.iter().max_by_key(|sees| sees.epoch).context("there are no nodes")?;
    // If the first leader did not last, the others of its cluster come to see the latest one too.
    let common = |sees: &Sees| {
        formed(sees) && (sees.cluster != latest.cluster || sees.leader == latest.leader)
    };
    let seen = nodes.wait_until_all_see(common)?;
    nodes.kill()?;
    let at_us = seen.iter().map(|sees| sees.at_us).max().unwrap_or(began);
    let mut clusters: Vec<&str> = seen.iter().map(|sees| sees.cluster.as_str()).collect();
    clusters.sort_unstable();
    clusters.dedup();
    Ok((Duration::from_micros(at_us.saturating_sub(began)), clusters.len()))
}
