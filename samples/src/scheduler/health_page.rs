//! A node's health and metrics for an orchestrator and a scraper, over HTTP.
//!
//! Of HTTP/1.1 it knows as much as a probe needs: one GET on a connection, and its answer. What a
//! stranger can make it hold is bounded in connections, bytes and time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clustron_core::{LateCluster, Question};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections that are answered at the same time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 16;

/// The most bytes of a request that are read.
const REQUEST_BYTES_MAX: usize = 4096;

/// How long a connection may take from its beginning to its end.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long to wait when no connection can be taken, as when there are too many files open.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

/// Answers `/livez`, `/readyz`, `/startedz` and `/metrics` until it is dropped.
pub(super) async fn serve(listener: TcpListener, node: LateCluster) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let node = node.clone();
                tokio::spawn(async move {
                    // Who asks and does not wait has no answer to be sorry for.
                    let _ = tokio::time::timeout(DEADLINE, talk(stream, &node)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection for the health page");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn talk(mut stream: TcpStream, node: &LateCluster) -> io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 512];
    let whole = loop {
        let read = stream.read(&mut piece).await?;
        request.extend_from_slice(&piece[..read]);
        if request.windows(4).any(|end| end == b"\r\n\r\n") {
            break true;
        }
        if read == 0 || request.len() >= REQUEST_BYTES_MAX {
            break false;
        }
    };
    let path = if whole { path_of(&request) } else { None };
    let Answer { status, kind, body } = answer(path, node);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// Where a GET goes, without what stands behind a question mark.
fn path_of(request: &[u8]) -> Option<&str> {
    let line = request.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let known = method == "GET" && version.starts_with("HTTP/1.") && words.next().is_none();
    known.then(|| target.split('?').next().unwrap_or(target))
}

fn answer(path: Option<&str>, node: &LateCluster) -> Answer {
    let question = match path {
        Some("/livez") => Question::Live,
        Some("/readyz") => Question::Ready,
        Some("/startedz") => Question::Started,
        Some("/metrics") => return metrics(node),
        Some(_) => {
            let body = "there are /livez, /readyz, /startedz and /metrics\n".to_owned();
            return Answer { status: "404 Not Found", kind: TEXT, body };
        }
        None => {
            let body = "send a GET of HTTP/1.1 with a short head\n".to_owned();
            return Answer { status: "400 Bad Request", kind: TEXT, body };
        }
    };
    let health = node.health();
    let status = if health.answers(question) { "200 OK" } else { "503 Service Unavailable" };
    Answer { status, kind: TEXT, body: format!("{health}\n") }
}

fn metrics(node: &LateCluster) -> Answer {
    match node.get() {
        Some(node) => Answer { status: "200 OK", kind: OPEN_METRICS, body: node.metrics_text() },
        None => {
            let body = "the node has not started\n".to_owned();
            Answer { status: "503 Service Unavailable", kind: TEXT, body }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_of_http_has_a_path() {
        for (request, path) in [
            ("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", Some("/livez")),
            ("GET /readyz?verbose HTTP/1.0\r\n\r\n", Some("/readyz")),
            ("POST /livez HTTP/1.1\r\n\r\n", None),
            ("GET /livez\r\n\r\n", None),
            ("GET /a b HTTP/1.1\r\n\r\n", None),
            ("GET /livez SMTP\r\n\r\n", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(path_of(request.as_bytes()), path, "{request:?}");
        }
        assert_eq!(path_of(b"GET /\xff HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn a_node_that_has_not_started_is_live_and_neither_ready_nor_started() {
        let node = LateCluster::default();
        let status = |path| answer(Some(path), &node).status;
        assert_eq!(status("/livez"), "200 OK");
        for path in ["/readyz", "/startedz", "/metrics"] {
            assert_eq!(status(path), "503 Service Unavailable", "{path}");
        }
        assert_eq!(status("/"), "404 Not Found");
        assert_eq!(answer(None, &node).status, "400 Bad Request");
    }
}
