//! Nodes that cannot be part of the cluster are told why, and the cluster goes on.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use clustron_testkit::{Process, free_addrs};

use crate::trio::{PATIENCE, Trio, node_command};

/// Runs a command that must fail to start, and gives what it said.
fn failure(command: &mut Command) -> String {
    let mut process = Process::spawn(command, "stranger").unwrap();
    let status = process.wait(PATIENCE).unwrap();
    let text = process.lines().join("\n");
    assert!(!status.success(), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_told_why_and_the_cluster_goes_on() {
    let trio = Trio::start(Duration::ZERO).await;
    let before = trio.watcher.leader_history();
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");

    // Another cluster's node with our seeds.
    let free = free_addrs(1).unwrap()[0].to_string();
    let mut other = node_command("x", &free, &trio.addrs);
    let text = failure(other.args(["--cluster", "billing", "--ledger"]).arg(&ledger));
    assert!(text.contains("\"billing\"") && text.contains("\"scheduler-sample\""), "{text}");

    // A port that is taken.
    let mut taken = node_command("y", &trio.addrs[0], &[]);
    let text = failure(taken.arg("--ledger").arg(&ledger));
    assert!(text.contains(&trio.addrs[0]) && text.contains("in use"), "{text}");

    // A ledger that cannot be opened.
    let mut nowhere = node_command("z", "127.0.0.1:0", &[]);
    let text = failure(nowhere.args(["--ledger", "/nonexistent/ledger"]));
    assert!(text.contains("/nonexistent/ledger"), "{text}");

    // A name that is none.
    let mut unnamed = node_command("two words", "127.0.0.1:0", &[]);
    let text = failure(unnamed.arg("--ledger").arg(&ledger));
    assert!(text.contains("\"two words\"") && text.contains("use 1 to 64 bytes"), "{text}");

    // Garbage, silence, and a frame that is none. Each is one write: a node hangs up as soon as it
    // has seen what it is, and a second one would find the connection reset.
    let claim = [b"CLUSTRN\x07\xff\xff\xff\xff".as_slice(), &[7; 1024]].concat();
    for addr in &trio.addrs {
        TcpStream::connect(addr).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        drop(TcpStream::connect(addr).unwrap());
        TcpStream::connect(addr).unwrap().write_all(&claim).unwrap();
    }

    trio.wait_for_ticks(Duration::from_secs(1)).await;
    trio.wait_until_whole().await;
    assert_eq!(trio.watcher.leader_history(), before, "no election");
    trio.judge().await;
}
