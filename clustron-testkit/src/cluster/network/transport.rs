//! A process's way into the network.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use clustron_core::{Incoming, Listener, Stream, Transport};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connection::{Connection, Found};
use super::{Backlog, SimNetwork};

/// Streams that wait to be accepted, like a listen backlog. Whoever comes when it is full is not
/// heard, and tries again.
const BACKLOG: usize = 1024;

/// The most that one write takes.
const PIECE_BYTES: usize = 64 << 10;

/// When an unanswered attempt to connect is repeated for the first time; then after twice as long.
const KNOCK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The transport of one process on one host of a [`SimNetwork`]. Clones are the same process.
#[derive(Debug, Clone)]
pub struct SimTransport {
    network: SimNetwork,
    host: String,
    process: u64,
}

impl SimTransport {
    pub(super) fn new(network: SimNetwork, host: String, process: u64) -> Self {
        Self { network, host, process }
    }

    pub(super) fn process(&self) -> u64 {
        self.process
    }

    fn check_alive(&self) -> io::Result<()> {
        match self.network.lock().dead.contains(&self.process) {
            true => Err(io::Error::new(ErrorKind::NotConnected, "the process was killed")),
            false => Ok(()),
        }
    }

    /// How long a first piece to the other host takes, unless it does not get there.
    fn knock(&self, to: &str) -> Option<Duration> {
        let mut shared = self.network.lock();
        if shared.is_blocked(&self.host, to) || shared.is_blocked(to, &self.host) {
            return None;
        }
        let link = shared.link(&self.host, to);
        if link.loses() { None } else { Some(link.latency()) }
    }

    /// What happens when the first piece arrives: a stream, or nobody listens. `None`: nobody
    /// answers.
    fn arrive(&self, addr: &str, to: &str) -> Option<Result<SimStream, io::Error>> {
        let mut shared = self.network.lock();
        if shared.is_blocked(&self.host, to) || shared.is_blocked(to, &self.host) {
            return None;
        }
        let number = shared.number();
        let Some(backlog) = shared.listeners.get_mut(addr) else {
            return Some(Err(ErrorKind::ConnectionRefused.into()));
        };
        if backlog.queue.len() >= BACKLOG {
            return None;
        }
        backlog.queue.push_back((number, format!("{}:{number}", self.host)));
        let process = backlog.process;
        if let Some(waker) = backlog.waker.take() {
            waker.wake();
        }
        let hosts = [self.host.clone(), to.to_owned()];
        shared.connections.insert(number, Connection::new(hosts, [self.process, process]));
        Some(Ok(SimStream::new(self.network.clone(), number, 0)))
    }
}

impl Transport for SimTransport {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            self.check_alive()?;
            let mut shared = self.network.lock();
            let number = shared.number();
            let addr = match addr.strip_suffix(":0") {
                Some(host) => format!("{host}:{number}"),
                None => addr.to_owned(),
            };
            if shared.listeners.contains_key(&addr) {
                return Err(ErrorKind::AddrInUse.into());
            }
            let (queue, process) = (VecDeque::new(), self.process);
            shared.listeners.insert(addr.clone(), Backlog { number, process, queue, waker: None });
            drop(shared);
            Ok(Box::new(SimListener { network: self.network.clone(), number, addr }) as _)
        }
        .boxed()
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move {
            let to = host_of(addr);
            let mut wait = KNOCK_AGAIN_AFTER;
            loop {
                self.check_alive()?;
                if let Some(latency) = self.knock(to) {
                    tokio::time::sleep(latency).await;
                    if let Some(answer) = self.arrive(addr, to) {
                        let back = self.network.lock().link(to, &self.host).latency();
                        tokio::time::sleep(back).await;
                        while !self.network.is_open(to, &self.host) {
                            tokio::time::sleep(wait).await;
                        }
                        return Ok(Box::new(answer?) as Box<dyn Stream>);
                    }
                }
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
        .boxed()
    }
}

pub(super) fn host_of(addr: &str) -> &str {
    addr.split(':').next().unwrap_or(addr)
}

struct SimListener {
    network: SimNetwork,
    number: u64,
    addr: String,
}

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        futures::future::poll_fn(|cx| {
            let mut shared = self.network.lock();
            let listening = shared.listeners.get_mut(&self.addr);
            let Some(backlog) = listening.filter(|backlog| backlog.number == self.number) else {
                // The process was killed. It must not go on asking.
                return Poll::Pending;
            };
            let Some((number, from)) = backlog.queue.pop_front() else {
                backlog.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            drop(shared);
            let stream = SimStream::new(self.network.clone(), number, 1);
            Poll::Ready(Ok(Incoming::opened(from, stream)))
        })
        .boxed()
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut shared = self.network.lock();
        if shared.listeners.get(&self.addr).is_some_and(|b| b.number == self.number) {
            shared.stop_listening(&self.addr, Instant::now());
        }
    }
}

/// One end of a connection.
struct SimStream {
    network: SimNetwork,
    number: u64,
    end: usize,
    /// Until the next piece arrives.
    sleep: Pin<Box<Sleep>>,
}

impl SimStream {
    fn new(network: SimNetwork, number: u64, end: usize) -> Self {
        Self { network, number, end, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }
}

/// The connection was removed while an end of it was there: cannot be.
fn lost() -> io::Error {
    io::Error::other("the simulated connection is lost")
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let now = Instant::now();
            let found = {
                let mut shared = this.network.lock();
                let connection = shared.connections.get_mut(&this.number).ok_or_else(lost)?;
                connection.read(this.end, now, buf, cx.waker())?
            };
            match found {
                Found::Something => return Poll::Ready(Ok(())),
                Found::NothingUntil(None) => return Poll::Pending,
                Found::NothingUntil(Some(at)) => {
                    this.sleep.as_mut().reset(at);
                    ready!(this.sleep.as_mut().poll(cx));
                }
            }
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (now, end) = (Instant::now(), self.end);
        let mut shared = self.network.lock();
        let connection = shared.connections.get_mut(&self.number).ok_or_else(lost)?;
        let free = connection.writable(end, now, cx.waker())?;
        if free == 0 {
            return Poll::Pending;
        }
        let (from, to) = (connection.hosts[end].clone(), connection.hosts[1 - end].clone());
        let taken = buf.len().min(free).min(PIECE_BYTES);
        let mut piece = buf[..taken].to_vec();
        let arrives = shared.link(&from, &to).send(now, &mut piece);
        let connection = shared.connections.get_mut(&self.number).ok_or_else(lost)?;
        connection.write(end, arrives, piece);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.lock().hang_up(self.number, self.end, Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.network.lock().release(self.number, self.end, Instant::now());
    }
}
