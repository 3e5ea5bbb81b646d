//! Three processes of ours, whose callers run inside them.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use clustron_core::{Cluster, ClusterStatus, Role};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::Plan;
use super::disk;
use super::outcome::{Entries, OnDisk, Outcome, Place, Storage};
use crate::PATIENCE;
use crate::callers::{Answered, shares};
use crate::node::CLUSTER;
use crate::nodes::{NODES, Nodes};
use crate::registers::{Called, Calls, Entered};
use crate::said::Sees;

/// What the names of the log's segments end with.
const SEGMENT: &str = ".wal";

/// The processes, and an observer in this one by which they are told to call. It follows no log.
pub(super) struct Group {
    observer: Cluster,
    nodes: Nodes,
    /// The name of the leader.
    leader: String,
    /// Deleted after the nodes have ended: fields are dropped in this order.
    _folder: Option<TempDir>,
}

impl Group {
    /// Starts them and waits until all vote under one leader.
    pub(super) async fn start(plan: &Plan, storage: Storage) -> anyhow::Result<Self> {
        let folder = match storage {
            Storage::Memory => None,
            Storage::Disk => Some(tempfile::tempdir_in(plan.folder(storage))?),
        };
        let nodes = Nodes::start_in(folder.as_ref().map(TempDir::path), &["--registers"])?;
        let formed = |sees: &Sees| sees.voters == NODES && sees.has_leader();
        let seen = block_in_place(|| nodes.wait_until_all_see(formed))?;
        let builder = Cluster::builder(CLUSTER)
            .name("observer")
            .roles([Role::Observer])
            .seeds(nodes.addrs().iter());
        let started = tokio::time::timeout(PATIENCE, builder.start()).await;
        let observer = started.context("the observer found no cluster")??;
        let leader = seen[0].leader.clone();
        Ok(Self { observer, nodes, leader, _folder: folder })
    }

    /// Measures once.
    pub(super) async fn measure(&self, plan: &Plan, place: Place) -> anyhow::Result<Outcome> {
        let mut answered = Answered::default();
        // Only the leader makes entries. If another led meanwhile, the sum is still right.
        let mut entered = Entered::default();
        for called in self.call(plan, place).await? {
            answered.add(&called.answered);
            entered.entries += called.entered.entries;
            entered.commands += called.entered.commands;
        }
        ensure!(entered.entries > 0, "the leader's metrics show no entry");
        let on_disk = match self.nodes.data_dir(&self.leader) {
            None => None,
            Some(dir) => {
                let entry_bytes = entry_bytes(&dir, answered.index_max)?;
                let bytes = entry_bytes.round() as usize;
                let bare = block_in_place(|| disk::bare(&plan.dir, bytes))?;
                Some(OnDisk { entry_bytes, bare })
            }
        };
        let entries = Entries {
            per_second: entered.entries as f64 / plan.span.length.as_secs_f64(),
            commands: entered.commands as f64 / entered.entries as f64,
            disk: on_disk,
        };
        Ok(Outcome::new(&answered.latencies, plan.span.length, Some(entries)))
    }

    /// Has the callers call, and waits for all of them.
    async fn call(&self, plan: &Plan, place: Place) -> anyhow::Result<Vec<Called>> {
        let names: Vec<&str> = match place {
            Place::Leader => vec![&self.leader],
            Place::All => self.nodes.processes().iter().map(|node| node.name()).collect(),
        };
        let mut first_key = 0;
        let nodes = u32::try_from(names.len())?;
        let asking = names.into_iter().zip(shares(plan.callers, nodes)).map(|(name, callers)| {
            let calls =
                Calls { first_key, callers, value_bytes: plan.value_bytes, span: plan.span };
            first_key += u64::from(callers);
            async move {
                let seen = |status: &ClusterStatus| {
                    status.view.alive().any(|node| node.name.as_str() == name)
                };
                let status = self.observer.wait_for(PATIENCE, seen).await;
                let view = status.with_context(|| format!("{name} is not seen"))?.view;
                let node = view.alive().find(|node| node.name.as_str() == name);
                let node = node.context("a node was seen that is not there")?.id;
                let wait = plan.span.warm_up + plan.span.length + PATIENCE;
                let report = self.observer.request(node, &calls, wait).await?;
                report.map_err(|error| anyhow!("a call at {name} failed: {error}"))
            }
        });
        futures::future::try_join_all(asking).await
    }
}

/// How long an entry is on disk, the mean: all of the log that is there, by the entries in it.
fn entry_bytes(dir: &Path, index_last: u64) -> anyhow::Result<f64> {
    let (mut bytes, mut first) = (0, u64::MAX);
    for file in std::fs::read_dir(dir)? {
        let file = file?;
        let name = file.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(SEGMENT)) else {
            continue;
        };
        // `log-FIRST.wal`, after the index of its first record.
        let index = name.rsplit('-').next().and_then(|index| index.parse().ok());
        // One that is not there any more was not needed any more, and is not counted.
        if let (Some(index), Ok(metadata)) = (index, file.metadata()) {
            bytes += metadata.len();
            first = first.min(index);
        }
    }
    ensure!(first <= index_last, "no log is in {}", dir.display());
    Ok(bytes as f64 / (index_last - first + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_an_entry_is_told_by_the_segments() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes| {
            std::fs::write(folder.path().join(name), vec![0; bytes]).unwrap();
        };
        file("log-00000000000000000010.wal", 700);
        file("log-00000000000000000015.wal", 300);
        file("vote", 5000);
        assert_eq!(entry_bytes(folder.path(), 19).unwrap(), 100.0);
        assert!(entry_bytes(folder.path(), 9).is_err());
    }
}
