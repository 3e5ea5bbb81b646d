//! What three nodes cost that have nothing to do, or next to nothing.

use std::time::{Duration, Instant};

use anyhow::Context;
use clustron_testkit::{cpu_time, resident_bytes};

use crate::nodes::{NODES, Nodes};
use crate::said::Sees;
use clustron_benches::{Figures, Table};

/// How long a fresh cluster is left alone before it is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// How long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long each row is measured.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// What the nodes used, in the order of the nodes.
struct Usage {
    /// Percent of one core.
    cpu: Vec<f64>,
    /// Resident, in MiB, at the end.
    memory: Vec<f64>,
    /// Which of them led.
    leader: usize,
}

/// Measures and prints.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let length = Duration::from_secs(arguments.seconds);
    let mut cpu = Table::new(["% of one core, per node", "median", "min", "max", "leader"]);
    let mut memory = Table::new(["resident MiB, per node", "median", "min", "max", "leader"]);
    for (name, jobs) in [("core alone", false), ("scheduler, one job a second", true)] {
        let Usage { cpu: used, memory: resident, leader } = measure(jobs, length).await?;
        for (table, values, decimals) in [(&mut cpu, used, 2), (&mut memory, resident, 1)] {
            let of_leader = format!("{:.decimals$}", values[leader]);
            let figures: Figures = values.into_iter().collect();
            table.row(name, figures.cells(decimals).into_iter().chain([of_leader]));
        }
    }
    println!("{cpu}\n\n{memory}\nover {length:?}, {NODES} nodes, after {SETTLE:?} of settling");
    Ok(true)
}

async fn measure(jobs: bool, length: Duration) -> anyhow::Result<Usage> {
    let nodes = Nodes::start(jobs)?;
    // A watcher would be a fourth node to care for, and change what is measured.
    let formed = |sees: &Sees| sees.voters == NODES && sees.has_leader();
    let seen = nodes.wait_until_all_see(formed)?;
    let leader = nodes.place_of(&seen[0].leader)?;
    tokio::time::sleep(SETTLE).await;
    let pids: Vec<u32> = nodes.processes().iter().map(clustron_testkit::Process::pid).collect();
    let times = || pids.iter().map(|pid| cpu_time(*pid)).collect::<Result<Vec<_>, _>>();
    let (began, before) = (Instant::now(), times()?);
    tokio::time::sleep(length).await;
    let (took, after) = (began.elapsed(), times()?);
    let percent = |(after, before): (Duration, Duration)| {
        (after.saturating_sub(before)).as_secs_f64() / took.as_secs_f64() * 100.0
    };
    let mib = |pid: &u32| Ok(resident_bytes(*pid)? as f64 / f64::from(1 << 20));
    let memory =
        pids.iter().map(mib).collect::<std::io::Result<_>>().context("a node has ended")?;
    Ok(Usage { cpu: after.into_iter().zip(before).map(percent).collect(), memory, leader })
}
