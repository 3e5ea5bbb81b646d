//! The promises on real processes, real sockets and real files: C1, C2, C5, C6, S1 and S2.

#![expect(clippy::unwrap_used, reason = "tests")]

mod disks;
mod health;
mod next;
mod settings;
mod strangers;
mod trio;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use clustron_core::NodeState;
use clustron_samples::scheduler::attempts_path;
use clustron_scheduler::{JobName, Outcome};
use clustron_testkit::{Ledger, Process, free_addrs};
use trio::{PATIENCE, Trio, median, node_command, timed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_leaders_killed_in_a_row_leave_every_tick_with_one_claim_and_one_outcome() {
    let mut trio = Trio::start(Duration::ZERO).await;
    let mut failovers = Vec::new();
    for _ in 0..10 {
        let (leader, at) = trio.leader().await;
        trio.nodes[at].kill().unwrap();
        let (failover, _) = timed(trio.leader_after(&leader)).await;
        failovers.push(failover);
        let dead = leader.node;
        trio.wait_for(|status| !status.view.is_alive(dead)).await;
        trio.restart(at);
        trio.wait_until_whole().await;
    }
    trio.judge().await;
    let epochs: Vec<u64> = trio.watcher.leader_history().iter().map(|a| a.epoch.0).collect();
    assert!(epochs.is_sorted_by(|a, b| a < b), "one leader per epoch, rising: {epochs:?}");
    assert!(epochs.len() >= 11);
    println!("median time without a leader: {:?}, all: {failovers:?}", median(failovers.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_late_work_of_a_leader_that_was_stopped_is_refused_by_its_token() {
    let mut trio = Trio::start(Duration::from_millis(300)).await;
    let pulse = JobName::new("pulse").unwrap();
    let (leader, at) = trio.leader().await;

    // Stop the leader while it is in the middle of a run of its own.
    let mut changes = trio.scheduler.changes();
    let tick = loop {
        let open = trio.scheduler.stale_status(&pulse).unwrap().open;
        let Some(firing) = open.iter().find(|f| f.worker == Some(leader.node) && f.is_running())
        else {
            changes.changed().await.unwrap();
            continue;
        };
        trio.nodes[at].stop().unwrap();
        // Now that it stands still: has it begun, and not written yet?
        let begun = Ledger::read(attempts_path(&trio.ledger())).unwrap();
        let written = Ledger::read(trio.ledger()).unwrap();
        let has = |ledger: &Ledger| ledger.entries().iter().any(|e| Some(e.token) == firing.token);
        if has(&begun) && !has(&written) {
            break firing.scheduled;
        }
        trio.nodes[at].cont().unwrap();
        changes.changed().await.unwrap();
    };
    let next = trio.leader_after(&leader).await;
    assert_ne!(next.node, leader.node);
    let down = trio.wait_for(|status| !status.view.is_alive(leader.node)).await;
    assert_eq!(down.view.node(leader.node).unwrap().state, NodeState::Down);
    trio.wait_for_ticks(Duration::from_secs(10)).await;

    trio.nodes[at].cont().unwrap();
    // It comes back as itself, and the run that it was stopped in comes too late.
    trio.wait_for(|status| status.view.is_alive(leader.node)).await;
    let late = async {
        let mut changes = trio.scheduler.changes();
        loop {
            let history = trio.scheduler.stale_history(&pulse).unwrap();
            let firing = history.into_iter().find(|f| f.scheduled == tick);
            if let Some(firing) = firing.filter(|firing| !firing.late.is_empty()) {
                break firing;
            }
            changes.changed().await.unwrap();
        }
    };
    let late = tokio::time::timeout(PATIENCE, late).await.expect("the late result is recorded");
    assert_eq!(late.outcome, Some(Outcome::Ran), "the newer attempt's outcome stands");
    assert!(late.attempts >= 2);
    let (old, new) = (late.late[0].token, late.token.unwrap());
    assert!(old < new, "{old} is older than {new}");
    let refusal = format!("{:?}", late.late[0].result);
    assert!(refusal.contains("refused"), "the ledger refused the old token: {refusal}");
    let ledger = Ledger::read(trio.ledger()).unwrap();
    assert!(ledger.entries().iter().all(|entry| entry.token != old));
    trio.wait_until_whole().await;
    trio.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_stops_its_work_and_goes_on_when_it_is_back() {
    let mut trio = Trio::start(Duration::ZERO).await;
    trio.wait_for_ticks(Duration::from_secs(1)).await;
    let (_, leader) = trio.leader().await;
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    for at in &others {
        trio.nodes[*at].stop().unwrap();
    }
    trio.wait_for(|status| status.leader.is_none()).await;
    let before = trio.watcher.status().view;
    let mark = trio.nodes[leader].mark();
    let lines = Ledger::read(trio.ledger()).unwrap().entries().len();

    // Nothing is committed: a linearizable read fails, nobody is removed, nothing runs.
    let pulse = JobName::new("pulse").unwrap();
    let read = trio.scheduler.history(&pulse, Duration::from_secs(4)).await;
    assert!(read.is_err(), "a read was confirmed without a majority");
    assert_eq!(trio.watcher.status().view, before);
    let runs = trio.nodes[leader].wait_for_line_since(
        mark,
        |line| line.contains("pulse").then_some(()),
        Duration::from_secs(1),
    );
    assert!(runs.is_err(), "a job ran without a majority");
    assert_eq!(Ledger::read(trio.ledger()).unwrap().entries().len(), lines);

    for at in &others {
        trio.nodes[*at].cont().unwrap();
    }
    trio.wait_until_whole().await;
    trio.wait_for_ticks(Duration::from_secs(1)).await;
    trio.judge().await;
}

#[test]
fn ten_starts_of_three_nodes_at_the_same_instant_make_one_cluster_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for round in 0..10 {
        let addrs: Vec<String> = free_addrs(3).unwrap().iter().map(ToString::to_string).collect();
        let start = |(name, addr): (&str, &String)| {
            let mut command = node_command(name, addr, &addrs);
            command.arg("--ledger").arg(folder.path().join(format!("ledger-{round}")));
            Process::spawn(&mut command, name).unwrap()
        };
        let nodes: Vec<Process> = ["a", "b", "c"].into_iter().zip(&addrs).map(start).collect();
        let clusters: BTreeSet<String> = nodes.iter().map(cluster_id).collect();
        assert_eq!(clusters.len(), 1, "round {round}: {clusters:?}");
        let leaders: BTreeSet<String> = nodes.iter().map(first_leader).collect();
        assert_eq!(leaders.len(), 1, "round {round}: {leaders:?}");
        assert!(seen.is_disjoint(&clusters), "an id was minted twice");
        seen.extend(clusters);
    }
}

fn cluster_id(node: &Process) -> String {
    let id = |line: &str| line.split_once(" is in cluster ").map(|(_, id)| id.to_owned());
    node.wait_for_line(id, PATIENCE).unwrap()
}

fn first_leader(node: &Process) -> String {
    let leads = |line: &str| line.contains(" leads in epoch ").then(|| line.to_owned());
    node.wait_for_line(leads, PATIENCE).unwrap()
}

#[test]
fn the_demonstration_ends_with_a_clean_verdict() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command.args(["--seconds", "8", "--kill-after", "3"]);
    let mut demo = Process::spawn(&mut command, "demo").unwrap();
    let status = demo.wait(Duration::from_secs(90)).unwrap();
    let text = demo.lines().join("\n");
    assert!(status.success(), "{text}");
    assert!(text.contains("verdict: clean") && text.contains("(SIGKILL), the leader"), "{text}");
}
