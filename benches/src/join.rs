//! How much memory a node takes that joins a cluster with a large state, and how long it takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clustron_benches::Table;
use clustron_core::{Cluster, ClusterStatus, NodeId, Role};
use clustron_testkit::{Process, count_peak_anew, free_addrs, peak_resident_bytes, resident_bytes};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::node::CLUSTER;
use crate::registers::{Fill, Holds};

const MIB: u64 = 1 << 20;

/// How large a value is. Many to a piece, so that a state is made of many values.
const VALUE_BYTES: u64 = 16 << 10;

/// How many values are put at the same time.
const AT_ONCE: u32 = 64;

/// How often the nodes take a snapshot, and how many small entries come last: so the large ones
/// have left the log, and what joins gets them by a snapshot.
const SNAPSHOT_ENTRIES: u64 = 200;
const SMALL_ENTRIES: u64 = 3 * SNAPSHOT_ENTRIES;

/// How long filling, and then joining, may take.
const FILLING_MAX: Duration = Duration::from_secs(300);
const JOINING_MAX: Duration = Duration::from_secs(120);

/// How long everything is left alone before and after it is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// How often a node is asked whether it has all of the state.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How large, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How large the state is, in MiB; each in a cluster of its own.
    #[arg(long, value_delimiter = ',', default_value = "64,256",
          value_parser = clap::value_parser!(u64).range(1..=2048))]
    mib: Vec<u64>,
    /// A folder on the disk for data directories.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What a node took.
struct Taken {
    /// Resident before, in bytes. Zero for a process that was only started.
    before: u64,
    peak: u64,
    after: u64,
    time: Option<Duration>,
}

/// Measures and prints.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let header = ["MiB resident", "before", "peak", "after", "above the larger", "ms"];
    let mut table = Table::new(header);
    for mib in &arguments.mib {
        for on_disk in [false, true] {
            let folder = match (on_disk, &arguments.dir) {
                (false, _) => None,
                (true, Some(dir)) => Some(tempfile::tempdir_in(dir)?),
                (true, None) => Some(tempfile::tempdir()?),
            };
            let place = if on_disk { "on disk" } else { "in memory" };
            let group = Group::start(*mib, folder.as_ref().map(TempDir::path)).await?;
            let (joiner, leader) = group.join().await?;
            table.row(&format!("{mib} MiB {place}: joins"), joiner.cells());
            table.row("  the leader meanwhile", leader.cells());
            if on_disk {
                table.row("  starts again", group.start_again().await?.cells());
            }
        }
    }
    println!("{table}");
    Ok(true)
}

impl Taken {
    fn cells(&self) -> Vec<String> {
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / MIB as f64);
        let above = self.peak.saturating_sub(self.before.max(self.after));
        let time = self.time.map_or(String::new(), |time| time.as_millis().to_string());
        let before = if self.before == 0 { String::new() } else { mib(self.before) };
        vec![before, mib(self.peak), mib(self.after), mib(above), time]
    }
}

/// A cluster of one node with a large state, and an observer in this process that knows it.
struct Group {
    observer: Cluster,
    leader: Process,
    addrs: Vec<String>,
    folder: Option<PathBuf>,
    keys: u64,
}

impl Group {
    async fn start(mib: u64, folder: Option<&Path>) -> anyhow::Result<Self> {
        let addrs: Vec<String> = free_addrs(2)?.iter().map(ToString::to_string).collect();
        let leader = spawn("leader", &addrs[0], &addrs[..1], folder)?;
        let builder =
            Cluster::builder(CLUSTER).name("observer").roles([Role::Observer]).seeds(&addrs[..1]);
        let started = tokio::time::timeout(PATIENCE, builder.start()).await;
        let observer = started.context("the observer found no cluster")??;
        let (keys, folder) = (mib * MIB / VALUE_BYTES, folder.map(Path::to_path_buf));
        let group = Self { observer, leader, addrs, folder, keys };
        let (value_bytes, at_once) = (VALUE_BYTES as u32, AT_ONCE);
        group.fill(Fill { first_key: 0, keys, value_bytes, at_once }).await?;
        let small = Fill { first_key: keys, keys: SMALL_ENTRIES, value_bytes: 0, at_once: 1 };
        group.fill(small).await?;
        tokio::time::sleep(SETTLE).await;
        Ok(group)
    }

    async fn fill(&self, fill: Fill) -> anyhow::Result<()> {
        let leader = self.id_of("leader").await?;
        let filled = self.observer.request(leader, &fill, FILLING_MAX).await?;
        filled.map_err(|error| anyhow!("the state could not be filled: {error}"))
    }

    /// What it takes to join, and what that costs the leader.
    async fn join(&self) -> anyhow::Result<(Taken, Taken)> {
        let pid = self.leader.pid();
        count_peak_anew(pid)?;
        let before = resident_bytes(pid)?;
        let joiner = self.take().await?;
        let (peak, after) = (peak_resident_bytes(pid)?, resident_bytes(pid)?);
        Ok((joiner, Taken { before, peak, after, time: None }))
    }

    /// What it takes the node that has joined to start again, with what it has on disk.
    async fn start_again(&self) -> anyhow::Result<Taken> {
        self.take().await
    }

    /// Starts a node, waits until it has all of the state, and kills it.
    async fn take(&self) -> anyhow::Result<Taken> {
        let began = Instant::now();
        let mut node = spawn("joiner", &self.addrs[1], &self.addrs, self.folder.as_deref())?;
        let id = self.id_of("joiner").await?;
        let all = self.keys + SMALL_ENTRIES;
        while self.observer.request(id, &Holds, PATIENCE).await.unwrap_or(0) < all {
            anyhow::ensure!(began.elapsed() < JOINING_MAX, "the node did not get all of the state");
            tokio::time::sleep(ASK_EVERY).await;
        }
        let time = Some(began.elapsed());
        tokio::time::sleep(SETTLE).await;
        let (peak, after) = (peak_resident_bytes(node.pid())?, resident_bytes(node.pid())?);
        node.kill()?;
        let gone = |status: &ClusterStatus| named(status, "joiner").is_none();
        let waited = self.observer.wait_for(PATIENCE, gone).await;
        waited.context("the node that was killed stays in the view")?;
        Ok(Taken { before: 0, peak, after, time })
    }

    async fn id_of(&self, name: &str) -> anyhow::Result<NodeId> {
        let there = |status: &ClusterStatus| named(status, name).is_some();
        let status = self.observer.wait_for(JOINING_MAX, there).await;
        let id = status.and_then(|status| named(&status, name));
        id.with_context(|| format!("{name} is not seen"))
    }
}

fn named(status: &ClusterStatus, name: &str) -> Option<NodeId> {
    status.view.alive().find(|node| node.name.as_str() == name).map(|node| node.id)
}

fn spawn(
    name: &str,
    addr: &str,
    seeds: &[String],
    folder: Option<&Path>,
) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["node", "--registers", "--name", name, "--listen", addr, "--seeds"]);
    command.arg(seeds.join(","));
    command.args(["--snapshot-entries", &SNAPSHOT_ENTRIES.to_string()]);
    if let Some(folder) = folder {
        command.arg("--data-dir").arg(folder.join(name));
    }
    Ok(Process::spawn(&mut command, name)?)
}
