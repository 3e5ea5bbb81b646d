//! A node with its settings in a file.

use std::fs;
use std::process::Command;

use clustron_testkit::{Process, free_addrs};

use crate::trio::PATIENCE;

#[test]
fn a_node_takes_its_settings_from_a_file_and_flags_win_and_new_tags_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger) = (folder.path().join("node.yaml"), folder.path().join("ledger"));
    let addr = free_addrs(1).unwrap()[0].to_string();
    let text = format!("name: from-file\nlisten: {addr}\ntags: {{zone: eu}}\n");
    fs::write(&file, &text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command.args(["node", "--end-with-stdin", "--name", "from-flag", "--config"]).arg(&file);
    command.arg("--ledger").arg(&ledger);
    let mut node = Process::spawn(&mut command, "node").unwrap();
    let joined = |line: &str| line.contains(" is in cluster ").then(|| line.to_owned());
    let line = node.wait_for_line(joined, PATIENCE).unwrap();
    assert!(line.starts_with("from-flag (") && line.contains(&format!(" at {addr}) ")), "{line}");

    fs::write(&file, text.replace("zone: eu", "zone: us")).unwrap();
    let changed = |line: &str| line.ends_with("has changed: member, zone=us").then_some(());
    node.wait_for_line(changed, PATIENCE).unwrap();
    assert!(node.terminate(PATIENCE).unwrap().success(), "{:?}", node.lines());
}

#[test]
fn a_file_that_is_wrong_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    fs::write(&file, "name = 'a'\nvoter_max = 3\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command.args(["node", "--end-with-stdin", "--ledger", "unused", "--config"]).arg(&file);
    let mut node = Process::spawn(&mut command, "node").unwrap();
    assert!(!node.wait(PATIENCE).unwrap().success());
    let text = node.lines().join("\n");
    assert!(
        text.contains("node.toml:2: voter_max is not a key: did you mean voters_max?"),
        "{text}"
    );
    assert!(!fs::exists("unused").unwrap(), "nothing has been opened");
}
