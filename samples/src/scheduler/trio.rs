//! Three nodes as processes on loopback, and a fourth that only looks on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use clustron_core::{Activation, Cluster, Role};
use clustron_scheduler::{Scheduler, SchedulerHandle};
use clustron_testkit::{Process, free_addrs};

/// How long anything that should happen soon may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const NAMES: [&str; 3] = ["a", "b", "c"];

pub(crate) struct Trio {
    pub(crate) nodes: Vec<Process>,
    seeds: Vec<String>,
    pub(crate) ledger: PathBuf,
}

/// What its own copy of the log says, any node's does.
pub(crate) struct Watcher {
    pub(crate) cluster: Cluster,
    pub(crate) scheduler: SchedulerHandle,
}

impl Trio {
    /// Starts the three processes, whose ledger will be there.
    pub(crate) fn start(ledger: &Path) -> anyhow::Result<Self> {
        let seeds = free_addrs(3)?.iter().map(ToString::to_string).collect();
        let mut trio = Self { nodes: vec![], seeds, ledger: ledger.to_owned() };
        for (at, name) in NAMES.into_iter().enumerate() {
            let node = trio.process(at)?;
            println!("node {name} is process {} at {}", node.pid(), trio.seeds[at]);
            trio.nodes.push(node);
        }
        Ok(trio)
    }

    /// Starts another process in the place of one that has ended.
    pub(crate) fn restart(&mut self, at: usize) -> anyhow::Result<()> {
        self.nodes[at] = self.process(at)?;
        Ok(())
    }

    /// Which of the processes leads.
    pub(crate) fn place_of(&self, leader: &Activation) -> anyhow::Result<usize> {
        let place = self.nodes.iter().position(|node| node.name() == leader.name.as_str());
        place.context("the leader is none of the three")
    }

    /// Joins as one that runs nothing.
    pub(crate) async fn watch(&self) -> anyhow::Result<Watcher> {
        let mut builder = Cluster::builder("scheduler-sample")
            .name("watcher")
            .roles([Role::Client])
            .seeds(self.seeds.iter());
        let scheduler = builder.install(Scheduler::new());
        let started = tokio::time::timeout(PATIENCE, builder.start()).await;
        let cluster = started.context("no cluster came about")??;
        Ok(Watcher { cluster, scheduler })
    }

    /// Shows what each process said last.
    pub(crate) fn show_last_lines(&self) {
        for node in &self.nodes {
            let lines = node.lines();
            println!("node {} said last:", node.name());
            lines.iter().rev().take(10).rev().for_each(|line| println!("    {line}"));
        }
    }

    pub(crate) fn kill_all(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            if node.is_running() {
                node.kill()?;
            }
        }
        Ok(())
    }

    fn process(&self, at: usize) -> anyhow::Result<Process> {
        let name = NAMES[at];
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["node", "--end-with-stdin", "--name", name, "--listen", &self.seeds[at]])
            .args(["--seeds", &self.seeds.join(","), "--ledger"])
            .arg(&self.ledger);
        Process::spawn(&mut command, name).with_context(|| format!("cannot start node {name}"))
    }
}

impl Watcher {
    /// Waits for the leader after another one.
    pub(crate) async fn leader_after(&self, before: &Activation) -> anyhow::Result<Activation> {
        let next = self.cluster.wait_for(PATIENCE, |status| {
            status.leader.as_ref().is_some_and(|leader| leader.epoch > before.epoch)
        });
        next.await.and_then(|status| status.leader).context("nobody took over")
    }

    /// Waits until three members vote and nobody else is there.
    pub(crate) async fn whole(&self) -> anyhow::Result<()> {
        let whole = self.cluster.wait_for(PATIENCE, |status| {
            let members = status.view.alive().filter(|node| node.roles.contains(&Role::Member));
            let votes = members.filter(|node| status.voters.contains(&node.id)).count();
            status.leader.is_some() && votes == 3 && status.voters.len() == 3
        });
        whole.await.map(drop).context("the cluster was not whole again in time")
    }
}
