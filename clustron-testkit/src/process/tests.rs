use std::fs;
use std::os::unix::process::ExitStatusExt;

use super::*;

/// Far longer than any of these tests needs; only a failing one waits for it.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);

/// Says `ready`, then does nothing for ever.
const IDLE: &str = "echo ready; exec tail -f /dev/null";

/// Says `ready`, then runs until SIGTERM and ends with status 7. It has no children, which a
/// signal to it alone would leave behind.
const GRACEFUL: &str = "trap 'echo bye; exit 7' TERM; echo ready; while :; do :; done";

fn shell(script: &str) -> Process {
    Process::spawn(Command::new("sh").args(["-c", script]), "node").unwrap()
}

fn wait_until_ready(process: &Process) {
    process.wait_for_line(|line| (line == "ready").then_some(()), LONG).unwrap();
}

/// The state letter in `/proc`, or `None` when the process is gone.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[test]
fn a_missing_program_is_named() {
    let error = Process::spawn(&mut Command::new("no-such-program"), "node-a").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("cannot start node-a (no-such-program)"), "{error}");
}

#[test]
fn lines_of_both_outputs_are_found_also_after_the_end() {
    let mut process = shell("echo port 7101; echo failed >&2; exit 3");
    assert_eq!(process.wait(LONG).unwrap().code(), Some(3));
    let port = process.wait_for_line(|line| line.strip_prefix("port ")?.parse::<u16>().ok(), LONG);
    assert_eq!(port.unwrap(), 7101);
    process.wait_for_line(|line| (line == "failed").then_some(()), LONG).unwrap();
    assert_eq!(process.lines().len(), 2);
}

#[test]
fn a_mark_separates_what_was_said_before_from_what_comes_after() {
    let process = shell("echo leader 1; echo leader 2; exec tail -f /dev/null");
    let leader = |line: &str| line.strip_prefix("leader ")?.parse::<u64>().ok();
    process.wait_for_line(|line| leader(line).filter(|term| *term == 2), LONG).unwrap();
    assert_eq!(process.wait_for_line(leader, LONG).unwrap(), 1);
    let error = process.wait_for_line_since(process.mark(), leader, SHORT).unwrap_err();
    assert!(matches!(error, WaitError::Timeout { .. }), "{error}");
}

#[test]
fn an_error_shows_the_last_50_lines() {
    let process = shell("seq 1 80");
    let error = process.wait_for_line(|_| None::<()>, LONG).unwrap_err();
    assert!(matches!(error, WaitError::Closed { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("node closed its output"), "{text}");
    assert!(text.contains("\n    31\n") && text.ends_with("\n    80"), "{text}");
    assert!(!text.contains("\n    30\n"), "{text}");
}

#[test]
fn kill_reaps_and_may_be_repeated() {
    let mut process = shell(IDLE);
    wait_until_ready(&process);
    assert!(process.is_running());
    assert_eq!(process.kill().unwrap().signal(), Some(9));
    assert!(!process.is_running());
    assert_eq!(process.kill().unwrap().signal(), Some(9));
    process.stop().unwrap();
    process.cont().unwrap();
    assert_eq!(process.terminate(SHORT).unwrap().signal(), Some(9));
}

#[test]
fn terminate_gives_the_status_and_the_last_words() {
    let mut process = shell(GRACEFUL);
    wait_until_ready(&process);
    assert_eq!(process.terminate(LONG).unwrap().code(), Some(7));
    assert_eq!(process.lines(), ["ready", "bye"]);
}

#[test]
fn terminate_gives_up_on_a_process_that_does_not_listen() {
    let mut process = shell("trap '' TERM; echo ready; exec tail -f /dev/null");
    wait_until_ready(&process);
    let error = process.terminate(SHORT).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().ends_with("    ready"), "{error}");
    assert!(process.is_running());
}

#[test]
fn a_frozen_process_does_nothing_until_it_is_thawed() {
    let mut process = shell(GRACEFUL);
    wait_until_ready(&process);
    process.stop().unwrap();
    process.stop().unwrap();
    assert_eq!(state(process.pid()), Some('T'));
    assert!(process.is_running());
    assert_eq!(process.terminate(SHORT).unwrap_err().kind(), io::ErrorKind::TimedOut);
    process.cont().unwrap();
    assert_eq!(process.wait(LONG).unwrap().code(), Some(7));
}

#[test]
fn dropping_reaps_a_frozen_process() {
    let mut process = shell(IDLE);
    wait_until_ready(&process);
    process.stop().unwrap();
    let pid = process.pid();
    drop(process);
    assert_eq!(state(pid), None);
}
