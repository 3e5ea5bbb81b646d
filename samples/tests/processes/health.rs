//! What an orchestrator sees of a node: over HTTP, from before it starts until it is terminated.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clustron_testkit::{Process, free_addrs};

use crate::trio::{PATIENCE, node_command};

/// Asks one path, and gives the status with the body.
fn get(addr: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Asks again and again until the answer has this status.
fn until(addr: &str, path: &str, wanted: u16) -> String {
    let began = Instant::now();
    loop {
        let answer = get(addr, path);
        match answer {
            Some((status, body)) if status == wanted => return body,
            answer => assert!(began.elapsed() < PATIENCE, "{path}: {answer:?}, not {wanted}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_node_answers_probes_before_it_starts_and_is_not_ready_without_its_majority() {
    let addrs: Vec<String> = free_addrs(4).unwrap().iter().map(ToString::to_string).collect();
    let (seeds, pages) = addrs.split_at(2);
    let folder = tempfile::tempdir().unwrap();
    let start = |at: usize| {
        let mut command = node_command(&format!("n{at}"), &seeds[at], seeds);
        command.args(["--health", &pages[at]]).arg("--ledger").arg(folder.path().join("ledger"));
        Process::spawn(&mut command, format!("n{at}")).unwrap()
    };
    let mut first = start(0);
    let page = &pages[0];
    let body = until(page, "/livez", 200);
    assert!(body.starts_with("live, not ready, not started\n"), "{body}");
    for path in ["/startedz", "/readyz", "/metrics"] {
        let (status, body) = get(page, path).unwrap();
        assert!(status == 503 && !body.is_empty(), "{path}: {status} {body}");
    }

    let mut second = start(1);
    until(page, "/startedz", 200);
    until(page, "/readyz", 200);
    let (status, body) = get(page, "/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("clustron_core_requests_sent_total ") && body.ends_with("# EOF\n"));
    assert_eq!(get(page, "/other").unwrap().0, 404);

    // Of two voters neither does without the other.
    second.kill().unwrap();
    let body = until(page, "/readyz", 503);
    assert!(body.contains("not ready: "), "{body}");
    assert_eq!(get(page, "/livez").unwrap().0, 200);
    assert_eq!(get(page, "/startedz").unwrap().0, 200);
    first.terminate(PATIENCE + Duration::from_secs(5)).unwrap();
    assert!(get(page, "/livez").is_none(), "nobody is there any more");
}
