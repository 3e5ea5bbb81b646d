//! Streams over TCP.

use std::io;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};

use super::{Listener, Stream, Transport};

/// Plain TCP with Nagle's algorithm off. Addresses are `host:port`; port 0 listens on a free port.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpTransport;

impl Transport for TcpTransport {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            let listener = TcpListener::bind(addr).await?;
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
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        }
        .boxed()
    }
}

struct TcpAcceptor {
    listener: TcpListener,
    addr: String,
}

impl Listener for TcpAcceptor {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, String)>> {
        async move {
            let (stream, peer) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn Stream>, peer.to_string()))
        }
        .boxed()
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}
