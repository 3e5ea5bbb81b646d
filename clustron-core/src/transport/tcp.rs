//! Streams over TCP.

use std::io;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::{Incoming, Listener, Stream, Transport};

/// Connections that may wait to be accepted, as far as the system allows.
const BACKLOG: u32 = 1024;

/// How long sent bytes may stay unacknowledged before the stream breaks. On Linux it breaks, too,
/// when for so long the other end says that it has no room, as one does that does not read.
const UNANSWERED_MAX: Duration = Duration::from_secs(10);

/// How long a stream is idle before it is probed.
const PROBE_AFTER: Duration = Duration::from_secs(5);

/// How often it is probed then, and how often in vain before it breaks.
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBES: u32 = 3;

/// Plain TCP with Nagle's algorithm off. Addresses are `host:port`; port 0 listens on a free port.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpTransport;

impl Transport for TcpTransport {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            let listener = bind(addr).await?;
            let addr = listener.local_addr()?.to_string();
            Ok(Box::new(TcpAcceptor { listener, addr }) as Box<dyn Listener>)
        }
        .boxed()
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        connect(addr, Some(UNANSWERED_MAX)).boxed()
    }

    fn connect_patiently<'a>(
        &'a self,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        connect(addr, None).boxed()
    }
}

async fn connect(addr: &str, unanswered_max: Option<Duration>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(addr).await?;
    // On one machine a connect to a free port in the ephemeral range can meet itself (TCP
    // simultaneous open). Nobody listens there.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    prepare(&stream, unanswered_max)?;
    Ok(Box::new(stream))
}

/// Like [`TcpListener::bind`], with room for more than 128 peers that come at the same time. A
/// connection for which there is no room looks open to the other side and is not.
async fn bind(addr: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for addr in lookup_host(addr).await? {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A node that starts again must not wait for the old one's connections to be forgotten.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        match socket.bind(addr).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Sends small messages at once, and finds out by itself when the other end is out of reach: the
/// system would go on trying for a quarter of an hour. Without a limit only while nothing is under
/// way.
fn prepare(stream: &TcpStream, unanswered_max: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&keepalive.with_retries(PROBES))?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(unanswered_max)?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = unanswered_max;
    Ok(())
}

struct TcpAcceptor {
    listener: TcpListener,
    addr: String,
}

impl Listener for TcpAcceptor {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async move {
            let (stream, peer) = self.listener.accept().await?;
            prepare(&stream, Some(UNANSWERED_MAX))?;
            Ok(Incoming::opened(peer.to_string(), stream))
        }
        .boxed()
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_os = "android"))]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    /// How long the user timeout is here, and how much longer the reader stands still.
    const SHORT: Duration = Duration::from_millis(300);

    /// Writes to a reader that stands still until the writer waits, and for long after; then it
    /// reads all there is. Gives how much was written, and read.
    async fn past_a_reader_that_stands_still(unanswered_max: Option<Duration>) -> (u64, u64) {
        let mut listener = TcpTransport.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let (stream, incoming) = tokio::join!(connect(&addr, unanswered_max), listener.accept());
        let (mut stream, mut reader) = (stream.unwrap(), incoming.unwrap().open().await.unwrap());
        let (portion, mut written) = (vec![7; 64 << 10], 0);
        while let Ok(Ok(more)) = timeout(SHORT, stream.write(&portion)).await {
            written += more as u64;
        }
        let stalled = Instant::now();
        // Room comes only when it is read, so this is over when the stream breaks, or the time.
        if let Ok(Ok(more)) = timeout(6 * SHORT, stream.write(&portion)).await {
            written += more as u64;
        }
        assert!(stalled.elapsed() < 10 * SHORT);
        let _ = stream.shutdown().await;
        drop(stream);
        let (mut read, mut room) = (0, vec![0; 64 << 10]);
        while let Ok(more @ 1..) = reader.read(&mut room).await {
            read += more as u64;
        }
        (written, read)
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_breaks_a_stream_unless_that_is_patient() {
        let (written, read) = past_a_reader_that_stands_still(None).await;
        assert_eq!(written, read, "nothing is lost");
        let (written, read) = past_a_reader_that_stands_still(Some(SHORT)).await;
        assert!(read < written, "then `connect_patiently` would not be needed");
    }
}
