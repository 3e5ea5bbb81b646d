//! Three node processes on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clustron_testkit::{Process, free_addrs};

use crate::PATIENCE;
use crate::said::Sees;

/// The number of nodes in every measurement.
pub(crate) const NODES: usize = 3;

/// Three node processes. Dropping them kills them.
#[derive(Debug)]
pub(crate) struct Nodes {
    addrs: Vec<String>,
    flags: Vec<&'static str>,
    folder: Option<PathBuf>,
    processes: Vec<Process>,
    started: usize,
}

impl Nodes {
    /// Starts all three, as close together as this program can, on addresses that were free.
    pub(crate) fn start(jobs: bool) -> anyhow::Result<Self> {
        Self::start_with(if jobs { &["--jobs"] } else { &[] })
    }

    /// The same, of nodes that get these flags.
    pub(crate) fn start_with(flags: &[&'static str]) -> anyhow::Result<Self> {
        Self::start_in(None, flags)
    }

    /// The same, of nodes that keep their data on disk in this folder, if there is one.
    pub(crate) fn start_in(folder: Option<&Path>, flags: &[&'static str]) -> anyhow::Result<Self> {
        let addrs = free_addrs(NODES)?.iter().map(ToString::to_string).collect();
        let (flags, folder) = (flags.to_vec(), folder.map(Path::to_path_buf));
        let mut nodes = Self { addrs, flags, folder, processes: Vec::new(), started: 0 };
        for at in 0..NODES {
            let process = nodes.spawn(at)?;
            nodes.processes.push(process);
        }
        Ok(nodes)
    }

    /// Starts a process in the place of one that has ended: a new node at the old address.
    pub(crate) fn replace(&mut self, at: usize) -> anyhow::Result<()> {
        self.processes[at] = self.spawn(at)?;
        Ok(())
    }

    /// Kills all of them at once, as a crash does.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            process.kill()?;
        }
        Ok(())
    }

    /// Where the nodes are to be found.
    pub(crate) fn addrs(&self) -> &[String] {
        &self.addrs
    }

    /// The processes, always in the same places.
    pub(crate) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// One of the processes.
    pub(crate) fn process_mut(&mut self, at: usize) -> &mut Process {
        &mut self.processes[at]
    }

    /// The place of the node with this name.
    pub(crate) fn place_of(&self, name: &str) -> anyhow::Result<usize> {
        let found = self.processes.iter().position(|process| process.name() == name);
        found.with_context(|| format!("{name} is none of the three nodes"))
    }

    /// Where the node with this name keeps its data. `None` in memory.
    pub(crate) fn data_dir(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    /// Waits until every node says what is `wanted`. Gives what each said then, first time.
    pub(crate) fn wait_until_all_see(
        &self,
        wanted: impl Fn(&Sees) -> bool,
    ) -> anyhow::Result<Vec<Sees>> {
        let line = |line: &str| Sees::parse(line).filter(&wanted);
        let said = self.processes.iter().map(|node| Ok(node.wait_for_line(line, PATIENCE)?));
        said.collect()
    }

    /// How many lines of all nodes start with a word.
    pub(crate) fn count_said(&self, word: &str) -> usize {
        let said = |node: &Process| node.lines().iter().filter(|l| l.starts_with(word)).count();
        self.processes.iter().map(said).sum()
    }

    fn spawn(&mut self, at: usize) -> anyhow::Result<Process> {
        self.started += 1;
        let (name, addr) = (format!("node-{}", self.started), &self.addrs[at]);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["node", "--name", &name, "--listen", addr, "--seeds"]);
        command.arg(self.addrs.join(",")).args(&self.flags);
        if let Some(dir) = self.data_dir(&name) {
            command.arg("--data-dir").arg(dir);
        }
        Ok(Process::spawn(&mut command, name)?)
    }
}
