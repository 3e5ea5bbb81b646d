//! As much of HTTP/1.1 as it takes to ask a server on loopback for a small answer, often.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The longest answer, and the longest line of its header, that is read.
const BYTES_MAX: usize = 64 << 10;

/// The most lines of a header.
const HEADER_LINES_MAX: usize = 100;

/// A connection that is kept open between requests and opened anew after a failure.
pub(super) struct Http {
    addr: String,
    stream: Option<BufReader<TcpStream>>,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Bytes(usize),
    Chunks,
}

impl Http {
    /// Connects at the first request.
    pub(super) fn new(addr: String) -> Self {
        Self { addr, stream: None }
    }

    /// Gives the body of a successful answer.
    pub(super) async fn get(&mut self, path: &str, deadline: Duration) -> Result<Vec<u8>, Error> {
        self.request("GET", path, "", deadline).await
    }

    /// Sends JSON and gives the body of a successful answer.
    pub(super) async fn post(
        &mut self,
        path: &str,
        json: &str,
        deadline: Duration,
    ) -> Result<Vec<u8>, Error> {
        self.request("POST", path, json, deadline).await
    }

    async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        deadline: Duration,
    ) -> Result<Vec<u8>, Error> {
        // Taken out, and put back only after a whole answer: what is left of a torn one, or of one
        // that came too late, must not be taken for the next.
        let open = self.stream.take();
        let exchange = async {
            let mut stream = match open {
                Some(stream) => stream,
                None => BufReader::new(TcpStream::connect(&self.addr).await?),
            };
            let (host, length) = (&self.addr, body.len());
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await?;
            let body = answer(&mut stream).await?;
            Ok::<_, Error>((stream, body))
        };
        let done = tokio::time::timeout(deadline, exchange).await;
        let (stream, body) = done.unwrap_or_else(|_late| Err(ErrorKind::TimedOut.into()))?;
        self.stream = Some(stream);
        Ok(body)
    }
}

async fn answer(stream: &mut BufReader<TcpStream>) -> Result<Vec<u8>, Error> {
    let status = line(stream).await?;
    let mut body = Body::Bytes(0);
    let mut lines = 0;
    loop {
        let line = line(stream).await?;
        if line.is_empty() {
            break;
        }
        lines += 1;
        if lines > HEADER_LINES_MAX {
            return Err(invalid("a header without end"));
        }
        body = body_by_header(&line).unwrap_or(body);
    }
    let mut bytes = Vec::new();
    match body {
        Body::Bytes(length) => read(stream, length, &mut bytes).await?,
        Body::Chunks => loop {
            let length = line(stream).await?;
            let length = usize::from_str_radix(length.split(';').next().unwrap_or(""), 16);
            let length = length.map_err(|_| invalid("a chunk without a length"))?;
            read(stream, length, &mut bytes).await?;
            line(stream).await?;
            if length == 0 {
                break;
            }
        },
    }
    match status.split(' ').nth(1) {
        Some("200") => Ok(bytes),
        _ => Err(invalid(&status)),
    }
}

/// What a line of the header says about the body.
fn body_by_header(line: &str) -> Option<Body> {
    let (name, value) = line.split_once(':')?;
    match name.to_ascii_lowercase().as_str() {
        "content-length" => value.trim().parse().ok().map(Body::Bytes),
        "transfer-encoding" => Some(Body::Chunks),
        _ => None,
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Result<String, Error> {
    let mut line = String::new();
    stream.take(BYTES_MAX as u64).read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

async fn read(
    stream: &mut BufReader<TcpStream>,
    length: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    let begin = bytes.len();
    if length > BYTES_MAX - begin {
        return Err(invalid("an answer that is too long"));
    }
    bytes.resize(begin + length, 0);
    stream.read_exact(&mut bytes[begin..]).await?;
    Ok(())
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Serves these answers on one connection after another, one request each, and `get`s them.
    async fn ask(answers: &[&'static str]) -> Vec<Result<String, ErrorKind>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut http = Http::new(listener.local_addr().unwrap().to_string());
        let mut got = Vec::new();
        let mut peer: Option<TcpStream> = None;
        for answer in answers {
            let serve = async {
                let mut stream = match peer.take() {
                    Some(stream) => stream,
                    None => listener.accept().await.unwrap().0,
                };
                let mut request = [0; 256];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
                // An answer that is no HTTP closes the connection.
                answer.starts_with("HTTP/1.1 200").then_some(stream)
            };
            let (kept, body) = tokio::join!(serve, http.get("/", SOON));
            peer = kept;
            got.push(body.map(|b| String::from_utf8(b).unwrap()).map_err(|error| error.kind()));
        }
        got
    }

    #[tokio::test]
    async fn bodies_with_a_length_and_in_chunks_are_read_on_one_connection() {
        let got = ask(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        ]);
        assert_eq!(got.await, [Ok("{}".to_owned()), Ok("abc".to_owned()), Ok("x".to_owned())]);
    }

    #[tokio::test]
    async fn a_bad_answer_is_an_error_and_the_next_request_starts_over() {
        let got = ask(&[
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ]);
        assert_eq!(got.await, [Err(ErrorKind::InvalidData), Ok("x".to_owned())]);
    }
}
