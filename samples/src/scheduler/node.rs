//! One node, run by hand or by the demonstration.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clustron_config::{Loader, Settings};
use clustron_core::{ClusterBuilder, ClusterEvent, NodeInfo};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::ledger::LedgerWriter;
use super::{health_page, jobs};

/// What the cluster is called unless somebody calls it otherwise.
const CLUSTER: &str = "scheduler-sample";

/// How long an orderly end may take.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);

/// What one node needs to know.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A file with settings: TOML, JSON, YAML, XML or an appsettings.json. Over it come variables
    /// of the environment such as CLUSTRON__VOTERS_MAX, and over those the flags. New roles and
    /// tags are taken from it while the node runs.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The cluster's name, the same on all nodes, where the settings do not give one [default:
    /// scheduler-sample].
    #[arg(long)]
    cluster: Option<String>,

    /// The node's name.
    #[arg(long, required_unless_present = "config")]
    name: Option<String>,

    /// Where to listen, such as 127.0.0.1:7001.
    #[arg(long, value_name = "ADDR", required_unless_present = "config")]
    listen: Option<String>,

    /// Where the nodes are to be found, separated by commas. All nodes may be given the same list.
    #[arg(long, value_name = "ADDR,ADDR,ADDR", value_delimiter = ',')]
    seeds: Vec<String>,

    /// How many nodes found the cluster [default: as many as there are seeds].
    #[arg(long, value_name = "N")]
    expect: Option<usize>,

    /// The file to which every execution appends a line; the same on all nodes, since it refuses
    /// what comes late.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,

    /// The directory in which the node keeps who it is and what the cluster agreed on; the same one
    /// at its next start. Without it the node is a new one each time.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Where to answer GET of /livez, /readyz, /startedz and /metrics, such as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDR")]
    health: Option<String>,

    /// How long each run works before it writes its line.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    work: u64,

    /// End when standard input does, so that no node outlives the program that started it.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

impl Arguments {
    /// What the file says, and the environment with it; the defaults without one.
    fn settings(&self) -> anyhow::Result<Settings> {
        let mut loader = Loader::new().cluster(self.cluster.as_deref().unwrap_or(CLUSTER));
        if let Some(file) = &self.config {
            loader = loader.file(file).env();
        }
        Ok(loader.load()?)
    }

    /// The node with these settings, and the flags over them.
    fn builder(&self, settings: &Settings) -> ClusterBuilder {
        let mut builder = settings.builder();
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        if let Some(listen) = &self.listen {
            builder = builder.listen(listen);
        }
        if let Some(expect) = self.expect {
            builder = builder.expect(expect);
        }
        if let Some(dir) = &self.data_dir {
            builder = builder.data_dir(dir);
        }
        if !self.seeds.is_empty() {
            builder = builder.seeds(&self.seeds);
        }
        builder
    }
}

/// Runs the node until it is told to end.
///
/// # Errors
/// It did not start, or not end in order; the error says why.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let work = Duration::from_millis(arguments.work);
    let settings = arguments.settings()?;
    let scheduler = jobs::scheduler(LedgerWriter::open(&arguments.ledger)?, work)?;
    let mut builder = arguments.builder(&settings);
    builder.install(scheduler);
    let _page = match &arguments.health {
        // Before the node starts, which may take long and is what a probe asks about.
        Some(addr) => {
            let listener = TcpListener::bind(addr).await;
            let listener = listener.with_context(|| format!("no health page at {addr}"))?;
            Some(AbortOnDrop(tokio::spawn(health_page::serve(listener, builder.late()))))
        }
        None => None,
    };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let ended = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stdin_ends(), if arguments.end_with_stdin => {}
        }
    };
    tokio::pin!(ended);
    let cluster = tokio::select! {
        started = builder.start() => started.context("the node did not start")?,
        () = &mut ended => return Ok(()),
    };
    // Follows the file until the node ends.
    let _follower = arguments.config.is_some().then(|| settings.follow(&cluster));
    let id = cluster.cluster_id().map_or_else(String::new, |id| id.to_string());
    println!("{} is in cluster {id}", cluster.node());
    let mut events = cluster.events();
    if let Some(leader) = cluster.leader() {
        show(&ClusterEvent::LeaderElected(leader));
    }
    loop {
        tokio::select! {
            () = &mut ended => break,
            event = events.next() => match event {
                Some(event) => show(&event),
                None => break,
            },
        }
    }
    cluster.shutdown(SHUTDOWN_DEADLINE).await.context("the node did not end in order")
}

/// A task that ends with this.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn show(event: &ClusterEvent) {
    match event {
        ClusterEvent::NodeJoined(node) => println!("{node} joined"),
        ClusterEvent::NodeDown { node, reason } => println!("{node} is down: {reason}"),
        ClusterEvent::NodeLeft(node) => println!("{node} left"),
        ClusterEvent::NodeChanged { node, .. } => {
            println!("{node} has changed: {}", described(node));
        }
        ClusterEvent::LeaderElected(leader) => {
            println!("{} leads in epoch {} since {}", leader.name, leader.epoch, leader.at);
        }
        ClusterEvent::LeaderLost(epoch) => println!("no leader; the last epoch was {epoch}"),
        _ => {}
    }
}

/// The node's roles and tags on one line.
fn described(node: &NodeInfo) -> String {
    let roles = node.roles.iter().map(ToString::to_string);
    let tags = node.tags.iter().map(|(tag, value)| format!("{tag}={value}"));
    roles.chain(tags).collect::<Vec<_>>().join(", ")
}

async fn stdin_ends() {
    let (mut stdin, mut buffer) = (tokio::io::stdin(), [0; 64]);
    while matches!(stdin.read(&mut buffer).await, Ok(n) if n > 0) {}
}
