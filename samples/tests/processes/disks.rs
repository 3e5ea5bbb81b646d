//! Nodes with a data directory, killed with SIGKILL: one, and all at once.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use clustron_core::Timestamp;
use clustron_scheduler::{Firing, JobName};
use clustron_testkit::{Process, free_addrs};

use crate::trio::{PATIENCE, Trio, node_command};

/// The ticks of a job that have their outcome, as a linearizable read shows them: acknowledged.
async fn settled(trio: &Trio, job: &JobName) -> BTreeMap<Timestamp, Firing> {
    let history = trio.scheduler.history(job, PATIENCE).await.unwrap();
    let settled = history.into_iter().filter(|firing| firing.outcome.is_some());
    settled.map(|firing| (firing.scheduled, firing)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_three_killed_at_once_again_and_again_go_on_where_they_were() {
    let mut trio = Trio::start_on_disk(Duration::from_millis(100)).await;
    let pulse = JobName::new("pulse").unwrap();
    let (cluster, members) = (trio.watcher.cluster_id(), trio.watcher.status().voters);
    for round in 0..4 {
        trio.wait_for_ticks(Duration::from_secs(2)).await;
        let before = settled(&trio, &pulse).await;
        assert!(!before.is_empty(), "round {round}: nothing had run");
        let epoch = trio.watcher.epoch();
        trio.kill_and_restart_all();
        trio.wait_for(|status| status.leader.as_ref().is_some_and(|l| l.epoch > epoch)).await;
        trio.wait_until_whole().await;
        assert_eq!(trio.watcher.cluster_id(), cluster);
        assert_eq!(trio.watcher.status().voters, members, "each came back as itself");
        let after = settled(&trio, &pulse).await;
        let oldest = *after.keys().next().unwrap();
        for (scheduled, firing) in before.range(oldest..) {
            assert_eq!(after.get(scheduled), Some(firing), "round {round}: {scheduled}");
        }
    }
    trio.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_and_back_at_once_leaves_no_tick_without_an_outcome() {
    let mut trio = Trio::start_on_disk(Duration::from_millis(500)).await;
    for at in [0, 1, 2, 0, 1, 2] {
        trio.wait_for_ticks(Duration::from_secs(1)).await;
        trio.nodes[at].kill().unwrap();
        trio.restart(at);
        trio.wait_until_whole().await;
    }
    trio.judge().await;
    assert_eq!(trio.watcher.status().view.nodes().count(), 4, "nobody had to be replaced");
}

#[test]
fn a_data_directory_that_cannot_be_used_stops_the_start_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let addrs: Vec<String> = free_addrs(2).unwrap().iter().map(ToString::to_string).collect();
    let dir = folder.path().join("data");
    let node = |cluster: &str, name: &str, addr: &str| {
        let mut command = node_command(name, addr, &[]);
        command.args(["--cluster", cluster]).arg("--data-dir").arg(&dir);
        command.arg("--ledger").arg(folder.path().join("ledger"));
        command
    };
    let runs = Process::spawn(&mut node("orders", "a", &addrs[0]), "a").unwrap();
    let in_cluster = |line: &str| line.contains(" is in cluster ").then_some(());
    runs.wait_for_line(in_cluster, PATIENCE).unwrap();
    fails(node("orders", "a", &addrs[1]), &["is in use", "end that process"]);
    drop(runs);
    fails(node("billing", "a", &addrs[0]), &["belongs to cluster \"orders\"", "\"billing\""]);
    fails(node("orders", "b", &addrs[0]), &["belongs to node \"a\"", "\"b\""]);
    std::fs::write(dir.join("identity"), b"nothing that a node has written").unwrap();
    fails(node("orders", "a", &addrs[0]), &["identity is damaged", "Move the directory away"]);
}

fn fails(mut command: Command, parts: &[&str]) {
    let mut node = Process::spawn(&mut command, "node").unwrap();
    let status = node.wait(PATIENCE).unwrap();
    let text = node.lines().join("\n");
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}
