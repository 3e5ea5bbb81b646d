//! Streams inside one process, for tests and simulation, with links that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use super::{Incoming, Listener, Stream, Transport};

/// Bytes in flight in one direction of a stream before a writer waits, like a socket buffer.
const STREAM_BUFFER_BYTES: usize = 256 << 10;

/// Streams that wait to be accepted, like a listen backlog.
const BACKLOG: usize = 128;

/// A network inside one process. Hosts are names; an address is `host:port` and the port counts
/// only as text. Clones are the same network.
///
/// ```
/// use clustron_core::{MemoryNetwork, Transport};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let network = MemoryNetwork::new();
/// let mut listener = network.host("a").listen("a:1").await?;
/// let _to_a = network.host("b").connect("a:1").await?;
/// let incoming = listener.accept().await?;
/// assert!(incoming.from().starts_with("b:"));
/// let _from_b = incoming.open().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    listeners: BTreeMap<String, mpsc::Sender<(Box<MemoryStream>, String)>>,
    /// Directed pairs of hosts between which nothing flows.
    cut: BTreeSet<(String, String)>,
    /// Pairs of hosts, in both orders, between which everything is refused.
    refused: BTreeSet<(String, String)>,
    /// Readers and connectors that wait for a link to heal.
    waiting: Vec<Waker>,
    port_next: u32,
}

impl MemoryNetwork {
    /// An empty network.
    pub fn new() -> Self {
        Self::default()
    }

    /// The transport of one host.
    pub fn host(&self, name: &str) -> MemoryTransport {
        MemoryTransport { network: self.clone(), host: name.to_owned() }
    }

    /// Cuts both directions between two hosts: nothing arrives, nothing is refused, as when a cable
    /// is pulled. What is under way arrives after [`heal`](Self::heal).
    pub fn cut(&self, a: &str, b: &str) {
        let mut shared = self.lock();
        shared.cut.insert((a.to_owned(), b.to_owned()));
        shared.cut.insert((b.to_owned(), a.to_owned()));
    }

    /// Cuts the direction from one host to another.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.lock().cut.insert((from.to_owned(), to.to_owned()));
    }

    /// Refuses what goes between two hosts, as a middlebox does that has lost its table: streams
    /// break when they are next used, new ones are refused.
    pub fn refuse(&self, a: &str, b: &str) {
        let mut shared = self.lock();
        shared.refused.insert((a.to_owned(), b.to_owned()));
        shared.refused.insert((b.to_owned(), a.to_owned()));
    }

    /// Mends both directions between two hosts.
    pub fn heal(&self, a: &str, b: &str) {
        let mut shared = self.lock();
        shared.cut.remove(&(a.to_owned(), b.to_owned()));
        shared.cut.remove(&(b.to_owned(), a.to_owned()));
        shared.refused.remove(&(a.to_owned(), b.to_owned()));
        shared.refused.remove(&(b.to_owned(), a.to_owned()));
        for waker in shared.waiting.drain(..) {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails while everything between two hosts is refused.
    fn check_refused(&self, from: &str, to: &str, kind: io::ErrorKind) -> io::Result<()> {
        let shared = self.lock();
        let refused = !shared.refused.is_empty()
            && shared.refused.contains(&(from.to_owned(), to.to_owned()));
        if refused { Err(kind.into()) } else { Ok(()) }
    }

    /// Ready when bytes may flow from one host to another.
    fn poll_open(&self, from: &str, to: &str, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.lock();
        // Without a cut, which is nearly always, this must not allocate.
        if shared.cut.is_empty() || !shared.cut.contains(&(from.to_owned(), to.to_owned())) {
            return Poll::Ready(());
        }
        shared.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

/// One host's way into a [`MemoryNetwork`].
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    network: MemoryNetwork,
    host: String,
}

impl Transport for MemoryTransport {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            let mut shared = self.network.lock();
            let addr = match addr.strip_suffix(":0") {
                Some(host) => {
                    shared.port_next += 1;
                    format!("{host}:{}", shared.port_next)
                }
                None => addr.to_owned(),
            };
            if shared.listeners.get(&addr).is_some_and(|tx| !tx.is_closed()) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let (tx, rx) = mpsc::channel(BACKLOG);
            shared.listeners.insert(addr.clone(), tx);
            Ok(Box::new(MemoryListener { rx, addr }) as Box<dyn Listener>)
        }
        .boxed()
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move {
            let to = addr.split(':').next().unwrap_or(addr).to_owned();
            for (a, b) in [(&self.host, &to), (&to, &self.host)] {
                std::future::poll_fn(|cx| self.network.poll_open(a, b, cx)).await;
            }
            self.network.check_refused(&self.host, &to, io::ErrorKind::ConnectionRefused)?;
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let (tx, port) = {
                let mut shared = self.network.lock();
                shared.port_next += 1;
                (shared.listeners.get(addr).cloned().ok_or_else(refused)?, shared.port_next)
            };
            let (near, far) = tokio::io::duplex(STREAM_BUFFER_BYTES);
            let stream = |pipe, from: &str, to: &str| MemoryStream {
                network: self.network.clone(),
                pipe,
                from: from.to_owned(),
                to: to.to_owned(),
            };
            let theirs = Box::new(stream(far, &self.host, &to));
            tx.send((theirs, format!("{}:{port}", self.host))).await.map_err(|_| refused())?;
            Ok(Box::new(stream(near, &to, &self.host)) as Box<dyn Stream>)
        }
        .boxed()
    }
}

struct MemoryListener {
    rx: mpsc::Receiver<(Box<MemoryStream>, String)>,
    addr: String,
}

impl Listener for MemoryListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async move {
            let (stream, peer) = self.rx.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok(Incoming::opened(peer, stream))
        }
        .boxed()
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}

/// One end of a stream: what it reads flows `from` the other host `to` this one.
#[derive(Debug)]
struct MemoryStream {
    network: MemoryNetwork,
    pipe: DuplexStream,
    from: String,
    to: String,
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.network.check_refused(&self.from, &self.to, io::ErrorKind::ConnectionReset)?;
        // A cut link delays even the end of the stream: nobody tells the far side.
        std::task::ready!(self.network.poll_open(&self.from, &self.to, cx));
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.network.check_refused(&self.to, &self.from, io::ErrorKind::ConnectionReset)?;
        Pin::new(&mut self.pipe).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}
