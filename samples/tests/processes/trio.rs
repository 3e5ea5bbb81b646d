//! Three node processes and a node in the test that watches them.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clustron_core::{
    Activation, Clock, Cluster, ClusterStatus, NodeInfo, Role, SystemClock, Timestamp,
};
use clustron_samples::scheduler::Verdict;
use clustron_scheduler::{JobName, Scheduler, SchedulerHandle};
use clustron_testkit::{Process, free_addrs};
use tempfile::TempDir;

/// How long anything that should happen soon may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// See the module's documentation.
pub(crate) struct Trio {
    pub(crate) nodes: Vec<Process>,
    pub(crate) addrs: Vec<String>,
    pub(crate) watcher: Cluster,
    pub(crate) scheduler: SchedulerHandle,
    folder: TempDir,
    work: Duration,
    /// Whether the nodes keep their state on disk.
    durable: bool,
}

/// The command that runs one node of the sample.
pub(crate) fn node_command(name: &str, listen: &str, seeds: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command.args(["node", "--end-with-stdin", "--name", name, "--listen", listen]);
    if !seeds.is_empty() {
        command.args(["--seeds", &seeds.join(",")]);
    }
    command
}

impl Trio {
    /// Starts the nodes, whose runs work that long, and waits until all vote and one leads.
    pub(crate) async fn start(work: Duration) -> Self {
        Self::start_with(work, false).await
    }

    /// The same, of nodes that each have a data directory.
    pub(crate) async fn start_on_disk(work: Duration) -> Self {
        Self::start_with(work, true).await
    }

    async fn start_with(work: Duration, durable: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let addrs: Vec<String> = free_addrs(3).unwrap().iter().map(ToString::to_string).collect();
        let mut builder = Cluster::builder("scheduler-sample")
            .name("watcher")
            .roles([Role::Client])
            .seeds(addrs.iter());
        let scheduler = builder.install(Scheduler::new());
        let spawn =
            |(at, name): (usize, &str)| spawn(name, &addrs[at], &addrs, &folder, work, durable);
        let nodes = ["a", "b", "c"].into_iter().enumerate().map(spawn).collect();
        let started = tokio::time::timeout(PATIENCE, builder.start()).await;
        let watcher = started.expect("a cluster comes about").unwrap();
        let trio = Self { nodes, addrs, watcher, scheduler, folder, work, durable };
        trio.wait_until_whole().await;
        trio
    }

    /// Starts a node anew in the place of one that was killed.
    pub(crate) fn restart(&mut self, at: usize) {
        let name = self.nodes[at].name().to_owned();
        let (addr, folder) = (&self.addrs[at], &self.folder);
        self.nodes[at] = spawn(&name, addr, &self.addrs, folder, self.work, self.durable);
    }

    /// Kills all three at once, as when the power fails, and starts them again.
    pub(crate) fn kill_and_restart_all(&mut self) {
        // Nobody sees another one die.
        self.nodes.iter_mut().for_each(|node| node.stop().unwrap());
        for node in &mut self.nodes {
            node.kill().unwrap();
        }
        (0..3).for_each(|at| self.restart(at));
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.jsonl")
    }

    /// Waits until the three processes that run are the three voters and one leads.
    pub(crate) async fn wait_until_whole(&self) -> ClusterStatus {
        let whole = |status: &ClusterStatus| {
            let members: Vec<&NodeInfo> = status.view.alive().filter(|node| node.votes()).collect();
            status.leader.is_some()
                && members.len() == 3
                && status.voters.len() == 3
                && members.iter().all(|node| status.voters.contains(&node.id))
                && status.suspected.is_empty()
        };
        self.wait_for(whole).await
    }

    pub(crate) async fn wait_for(
        &self,
        wanted: impl FnMut(&ClusterStatus) -> bool,
    ) -> ClusterStatus {
        match self.watcher.wait_for(PATIENCE, wanted).await {
            Some(status) => status,
            None => {
                panic!("not within {PATIENCE:?}; {:#?}\n{}", self.watcher.status(), self.story())
            }
        }
    }

    /// The leader and which of the processes it is.
    pub(crate) async fn leader(&self) -> (Activation, usize) {
        let status = self.wait_for(|status| status.leader.is_some()).await;
        let leader = status.leader.unwrap();
        let at = self.nodes.iter().position(|node| node.name() == leader.name.as_str());
        (leader, at.expect("the leader is one of the three"))
    }

    /// Waits for the leader of a later epoch.
    pub(crate) async fn leader_after(&self, before: &Activation) -> Activation {
        let later = |status: &ClusterStatus| {
            status.leader.as_ref().is_some_and(|leader| leader.epoch > before.epoch)
        };
        self.wait_for(later).await.leader.unwrap()
    }

    /// Waits until every tick up to now plus `ahead` was claimed: the ticks are the clock here.
    pub(crate) async fn wait_for_ticks(&self, ahead: Duration) {
        let job = JobName::new("pulse").unwrap();
        let until = SystemClock.now().saturating_add(ahead);
        let claimed = |scheduler: &SchedulerHandle| {
            scheduler.stale_status(&job).is_ok_and(|status| status.cursor >= until)
        };
        let mut changes = self.scheduler.changes();
        let waiting = async {
            while !claimed(&self.scheduler) {
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(ahead + PATIENCE, waiting).await;
        waited.expect("the jobs go on");
    }

    /// Judges all that is due by now and panics with the faults if there are any.
    pub(crate) async fn judge(&self) -> Verdict {
        let until: Timestamp = SystemClock.now();
        let verdict = Verdict::of(&self.scheduler, &self.ledger(), until, PATIENCE).await.unwrap();
        assert!(verdict.is_clean(), "{verdict}\n{}", self.story());
        verdict
    }

    /// What the nodes said, for a failed test.
    fn story(&self) -> String {
        let mut story = String::new();
        for node in &self.nodes {
            let lines = node.lines();
            let last = lines.len().saturating_sub(40);
            story +=
                &format!("node {} said last:\n  {}\n", node.name(), lines[last..].join("\n  "));
        }
        story
    }
}

fn spawn(
    name: &str,
    addr: &str,
    addrs: &[String],
    folder: &TempDir,
    work: Duration,
    durable: bool,
) -> Process {
    let mut command = node_command(name, addr, addrs);
    if durable {
        command.arg("--data-dir").arg(folder.path().join(name));
    }
    command.args(["--work", &work.as_millis().to_string()]);
    command.arg("--ledger").arg(folder.path().join("ledger.jsonl"));
    command.env("RUST_LOG", "clustron_core=info,clustron_scheduler=info,warn,openraft=error");
    Process::spawn(&mut command, name).unwrap()
}

/// The median of some durations.
pub(crate) fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

/// How long until `future` is ready.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let value = future.await;
    (began.elapsed(), value)
}
