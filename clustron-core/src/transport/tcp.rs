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

/// How long sent bytes may stay unacknowledged before the stream breaks.
const UNANSWERED_MAX: Duration = Duration::from_secs(10);

/// How often an idle stream is probed once it has been idle for a while.
const PROBE_EVERY: Duration = Duration::from_secs(2);

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
        async move {
            let stream = TcpStream::connect(addr).await?;
            // On one machine a connect to a free port in the ephemeral range can meet itself
            // (TCP simultaneous open). Nobody listens there.
            if stream.local_addr()? == stream.peer_addr()? {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            prepare(&stream)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        }
        .boxed()
    }
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
/// system would go on trying for a quarter of an hour.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(UNANSWERED_MAX / 2).with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNANSWERED_MAX))?;
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
            prepare(&stream)?;
            Ok(Incoming::opened(peer.to_string(), stream))
        }
        .boxed()
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}
