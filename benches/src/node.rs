//! One node of a measured cluster, in a process of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clustron_core::{Cluster, ClusterEvent, ClusterStatus, Config, Message};
use clustron_scheduler::Scheduler;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use crate::counter::CounterModule;
use crate::registers::{self, RegistersModule};
use crate::said::{LOST, Leading, SUSPECTS, Sees, unix_us};
use crate::scheduler;

/// The name of every measured cluster.
pub(crate) const CLUSTER: &str = "clustron-bench";

/// How long a node may take to leave.
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);

/// What one node needs to know.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The node's name.
    #[arg(long)]
    pub(crate) name: String,
    /// Where to listen.
    #[arg(long)]
    pub(crate) listen: String,
    /// Where the nodes are to be found.
    #[arg(long, value_delimiter = ',')]
    pub(crate) seeds: Vec<String>,
    /// Install the scheduler with one job that is due every second.
    #[arg(long)]
    pub(crate) jobs: bool,
    /// Replicate a counter, for callers.
    #[arg(long)]
    pub(crate) counter: bool,
    /// Replicate registers, and have callers change them when asked to.
    #[arg(long)]
    pub(crate) registers: bool,
    /// Install the scheduler with code for jobs that are put.
    #[arg(long)]
    pub(crate) work: bool,
    /// Take a snapshot after so many entries of the log.
    #[arg(long)]
    pub(crate) snapshot_entries: Option<u64>,
    /// Keep identity and log in this directory. In memory without one.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Asks a node to leave in order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Leave;

impl Message for Leave {
    const KIND: &'static str = "bench.leave";
}

/// Runs the node until standard input ends, when it ends as in a crash, or until it is asked to
/// leave.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let mut config = Config::default();
    config.snapshot_entries = arguments.snapshot_entries.unwrap_or(config.snapshot_entries);
    let mut builder = Cluster::builder(CLUSTER)
        .config(config)
        .name(arguments.name)
        .listen(arguments.listen)
        .seeds(arguments.seeds);
    if arguments.jobs {
        let work = |_job| async { Ok::<(), String>(()) };
        builder.install(Scheduler::new().every("second", Duration::from_secs(1), work)?);
    }
    let scheduler = if arguments.work { Some(scheduler::install(&mut builder)?) } else { None };
    if arguments.counter {
        builder.install(CounterModule);
    }
    let registers = arguments.registers.then(|| builder.install(RegistersModule));
    if let Some(dir) = arguments.data_dir {
        builder = builder.data_dir(dir);
    }
    let ended = stdin_ends();
    tokio::pin!(ended);
    let cluster = tokio::select! {
        started = builder.start() => started.context("the node did not start")?,
        () = &mut ended => return Ok(true),
    };
    let (mut status, mut events) = (cluster.watch(), cluster.events());
    let asked = Arc::new(Notify::new());
    let ask = asked.clone();
    cluster.on_message(move |_, Leave| {
        ask.notify_one();
        std::future::ready(())
    });
    if let Some(scheduler) = scheduler {
        scheduler::serve(&cluster, scheduler);
    }
    if let Some(registers) = registers {
        registers::serve(&cluster, registers);
    }
    let mut teller = Teller::default();
    loop {
        teller.tell(&status.borrow_and_update());
        tokio::select! {
            biased;
            () = &mut ended => return Ok(true),
            () = asked.notified() => break,
            changed = status.changed() => changed.context("the node has ended")?,
            event = events.next() => match event.context("the node has ended")? {
                ClusterEvent::NodeSuspected { node, reason } => {
                    println!("{SUSPECTS}{node} {reason}");
                }
                ClusterEvent::LeaderLost(epoch) => println!("{LOST}{epoch}"),
                _ => {}
            },
        }
    }
    cluster.shutdown(LEAVE_DEADLINE).await?;
    Ok(true)
}

/// Prints what is new.
#[derive(Default)]
struct Teller {
    leading: Option<u64>,
    seen: Option<Sees>,
}

impl Teller {
    fn tell(&mut self, status: &ClusterStatus) {
        let leading = status.leading.map(|epoch| epoch.0);
        if self.leading != leading {
            self.leading = leading;
            if let Some(epoch) = leading {
                println!("{}", Leading { epoch, at_us: unix_us() });
            }
        }
        let leader = status.leader.as_ref().map(|leader| (&leader.name, leader.epoch.0));
        let sees = Sees::now(status.cluster, leader, status.voters.len());
        if self.seen.as_ref().is_none_or(|seen| !seen.is_as(&sees)) {
            println!("{sees}");
            self.seen = Some(sees);
        }
    }
}

pub(crate) async fn stdin_ends() {
    let (mut stdin, mut buffer) = (tokio::io::stdin(), [0; 64]);
    while matches!(stdin.read(&mut buffer).await, Ok(n) if n > 0) {}
}
