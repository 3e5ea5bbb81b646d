//! How many commands three processes acknowledge in a second, in memory and on disk, beside etcd.

mod disk;
mod machine;
mod ours;
mod outcome;
mod report;
mod theirs;

use std::path::PathBuf;
use std::time::Duration;

use crate::callers::Span;
use crate::etcd;

use self::outcome::{Case, Outcomes, Place, Storage, System};

/// How long callers call before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// Where data are kept in memory: there only to measure etcd without a disk.
const MEMORY: &str = "/dev/shm";

/// What is done.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many callers there are, each with one command at a time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(3..=10_000))]
    callers: u32,
    /// How many bytes each puts under its key.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    bytes: u32,
    /// How long each row is measured in a round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// How many rounds; each measures every row once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Leave etcd out.
    #[arg(long)]
    no_etcd: bool,
    /// A folder on the disk that is measured; the system's for temporary files if it is not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What every run of every system has in common.
struct Plan {
    callers: u32,
    value_bytes: u32,
    span: Span,
    /// On the disk.
    dir: PathBuf,
}

impl Plan {
    /// The folder in which a system keeps its data.
    fn folder(&self, storage: Storage) -> PathBuf {
        match storage {
            Storage::Memory => MEMORY.into(),
            Storage::Disk => self.dir.clone(),
        }
    }
}

/// Measures and prints. Gives whether ours was as fast as it must be.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let length = Duration::from_secs(arguments.seconds);
    let plan = Plan {
        callers: arguments.callers,
        value_bytes: arguments.bytes,
        span: Span { warm_up: WARM_UP, length },
        dir: arguments.dir.clone().unwrap_or_else(std::env::temp_dir),
    };
    disk::ensure_real(&plan.dir)?;
    let peer = etcd::version().filter(|_| !arguments.no_etcd);
    let mut outcomes = Outcomes::default();
    for round in 1..=arguments.rounds {
        for storage in [Storage::Memory, Storage::Disk] {
            for system in [System::Clustron, System::Etcd] {
                if system == System::Etcd && !etcd_runs(peer.is_some(), storage) {
                    continue;
                }
                measure(&plan, system, storage, &mut outcomes).await?;
            }
        }
        println!("round {round} of {} is done", arguments.rounds);
    }
    report::print(&plan, arguments.rounds, peer.as_deref(), &outcomes);
    if peer.is_none() && !arguments.no_etcd {
        println!("etcd is not installed: apt-get install etcd-server, and run again");
    }
    Ok(report::judge(&outcomes))
}

fn etcd_runs(is_there: bool, storage: Storage) -> bool {
    is_there && (storage == Storage::Disk || disk::is_memory(MEMORY.as_ref()).unwrap_or(false))
}

/// Starts three processes of a system, measures them with the callers at one and at all, and ends
/// them: nothing idles beside what is measured, and every run starts with the same little data.
async fn measure(
    plan: &Plan,
    system: System,
    storage: Storage,
    outcomes: &mut Outcomes,
) -> anyhow::Result<()> {
    outcomes.busy_before.push(machine::cores_busy().await?);
    match system {
        System::Clustron => {
            let cluster = ours::Group::start(plan, storage).await?;
            for place in Place::BOTH {
                let outcome = cluster.measure(plan, place).await?;
                outcomes.push(Case { system, storage, place }, outcome);
            }
        }
        System::Etcd => {
            let mut group = theirs::Group::start(plan, storage).await?;
            for place in Place::BOTH {
                let outcome = group.measure(plan, place).await?;
                outcomes.push(Case { system, storage, place }, outcome);
            }
        }
    }
    Ok(())
}
