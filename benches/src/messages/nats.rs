//! Two clients of a NATS server, which is a third process between them.
//!
//! The clients speak the protocol by hand: it is text, and so little of it is needed that a library
//! would only raise the question how fast that is. Writes are gathered as NATS's own clients do.
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>

use std::process::Command;

use anyhow::{Context, bail, ensure};
use clustron_testkit::{Process, free_addrs};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::{Talk, answer};
use crate::PATIENCE;
use crate::process::Tied;

/// What a buffered writer or reader holds.
const BUFFER_BYTES: usize = 64 << 10;

/// The name and version of the server on the search path, if there is one.
pub(super) fn version() -> Option<String> {
    let output = Command::new("nats-server").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(format!("NATS {}", text.trim().rsplit_once('v')?.1))
}

/// A connection to the server.
struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: BufWriter<OwnedWriteHalf>,
    line: String,
    body: Vec<u8>,
}

/// What came; the body is in [`Client::body`].
struct Came {
    subject: String,
    reply_to: Option<String>,
}

impl Client {
    async fn connect(addr: &str, subjects: &[&str]) -> anyhow::Result<Self> {
        let until = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(addr).await {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > until => return Err(error.into()),
                Err(_) => tokio::time::sleep(super::ASK_EVERY).await,
            }
        };
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut client = Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            writer: BufWriter::with_capacity(BUFFER_BYTES, writer),
            line: String::new(),
            body: vec![],
        };
        client.writer.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n").await?;
        for (id, subject) in subjects.iter().enumerate() {
            client.writer.write_all(format!("SUB {subject} {id}\r\n").as_bytes()).await?;
        }
        // Its answer comes after the server has noted all of that.
        client.writer.write_all(b"PING\r\n").await?;
        client.writer.flush().await?;
        while client.line.trim_end() != "PONG" {
            client.read_line().await?;
        }
        Ok(client)
    }

    async fn read_line(&mut self) -> anyhow::Result<()> {
        self.line.clear();
        let bytes = self.reader.read_line(&mut self.line).await?;
        ensure!(bytes > 0, "the server has hung up");
        Ok(())
    }

    async fn publish(&mut self, subject: &str, reply_to: &str, body: &[u8]) -> anyhow::Result<()> {
        let space = if reply_to.is_empty() { "" } else { " " };
        let head = format!("PUB {subject}{space}{reply_to} {}\r\n", body.len());
        self.writer.write_all(head.as_bytes()).await?;
        self.writer.write_all(body).await?;
        Ok(self.writer.write_all(b"\r\n").await?)
    }

    async fn next(&mut self) -> anyhow::Result<Came> {
        loop {
            self.read_line().await?;
            let mut words = self.line.split_ascii_whitespace();
            match words.next() {
                Some("MSG") => {
                    let words: Vec<&str> = words.collect();
                    let [subject, _id, reply_to @ .., length] = words.as_slice() else {
                        bail!("not understood: {:?}", self.line);
                    };
                    let came = Came {
                        subject: (*subject).to_owned(),
                        reply_to: reply_to.first().map(|to| (*to).to_owned()),
                    };
                    let length: usize = length.parse()?;
                    self.body.resize(length + 2, 0);
                    self.reader.read_exact(&mut self.body).await?;
                    self.body.truncate(length);
                    return Ok(came);
                }
                Some("PING") => {
                    self.writer.write_all(b"PONG\r\n").await?;
                    self.writer.flush().await?;
                }
                Some("PONG" | "INFO" | "+OK") => {}
                _ => bail!("the server says {:?}", self.line),
            }
        }
    }
}

/// Answers and counts what comes by the server at this address.
pub(super) async fn answer(addr: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(addr, &["echo", "note", "count"]).await?;
    answer::say_ready(addr);
    let mut arrived = 0_u64;
    loop {
        let came = client.next().await?;
        let Some(reply_to) = came.reply_to else {
            arrived += 1;
            continue;
        };
        let body = match came.subject.as_str() {
            "count" => arrived.to_string().into_bytes(),
            _ => std::mem::take(&mut client.body),
        };
        client.publish(&reply_to, "", &body).await?;
        client.writer.flush().await?;
    }
}

/// See the module's documentation.
pub(super) struct Pair {
    client: Client,
    _answers: Process,
    _server: Process,
}

impl Pair {
    pub(super) async fn start(bytes: usize) -> anyhow::Result<Self> {
        ensure!(bytes <= 1 << 20, "a message of NATS has at most 1 MiB, not {bytes} bytes");
        let addr = free_addrs(1)?[0];
        let mut command = Tied::command("nats-server")?;
        command.args(["-a", "127.0.0.1", "-p", &addr.port().to_string()]);
        let server = Process::spawn(&mut command, "nats-server")?;
        let addr = addr.to_string();
        let client = Client::connect(&addr, &["reply"]).await?;
        let (answers, _) = answer::start("nats client", &["nats", &addr])?;
        Ok(Self { client, _answers: answers, _server: server })
    }

    async fn request(&mut self, subject: &str, body: &[u8]) -> anyhow::Result<()> {
        self.client.publish(subject, "reply", body).await?;
        self.client.writer.flush().await?;
        self.client.next().await?;
        Ok(())
    }
}

impl Talk for Pair {
    fn ask<'a>(&'a mut self, body: &'a [u8]) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            self.request("echo", body).await?;
            ensure!(self.client.body == body, "the reply is another");
            Ok(())
        }
        .boxed()
    }

    fn send<'a>(&'a mut self, body: &'a [u8], times: u64) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            for _ in 0..times {
                self.client.publish("note", "", body).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn arrived(&mut self) -> BoxFuture<'_, anyhow::Result<u64>> {
        async move {
            self.request("count", b"").await?;
            let text = std::str::from_utf8(&self.client.body)?;
            text.parse().context("no count came")
        }
        .boxed()
    }
}
