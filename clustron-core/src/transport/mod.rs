//! How bytes get from one node to another.
//!
//! A [`Transport`] opens ordered, reliable byte streams and nothing more: framing, the handshake
//! and messaging are the same code over every transport. Implementations: [`TcpTransport`] and
//! [`MemoryTransport`], and around any of them [`KeyTransport`] or, with the feature `tls`,
//! `TlsTransport`, in which only those are heard who belong to the cluster. `clustron-testkit`
//! exports the conformance suite that all pass and that an implementation of your own should pass
//! too.

pub(crate) mod greeting;
mod incoming;
pub(crate) mod key;
mod memory;
mod peeked;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub use incoming::Incoming;
pub use key::KeyTransport;
pub use memory::{MemoryNetwork, MemoryTransport};
pub use tcp::TcpTransport;
#[cfg(feature = "tls")]
pub use tls::TlsTransport;

/// An ordered, reliable, bidirectional byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Opens byte streams between nodes. Addresses are text that only the transport understands.
///
/// # What an implementation promises
///
/// * Bytes arrive in order, once, unchanged, or the stream ends.
/// * `connect` to an address where nobody listens fails with [`io::ErrorKind::ConnectionRefused`]
///   at once, *only* if the transport knows that nobody listens there: failure detection takes it
///   as evidence that the process is gone.
/// * Where a transport wants to know who is at the other end and does not learn it, `connect` and
///   [`Incoming::open`] fail with [`io::ErrorKind::PermissionDenied`], and the error says what to
///   do. That is no evidence about the process.
/// * `accept` takes what has arrived and never waits for what somebody has yet to say.
/// * `listen` on an address in use fails with [`io::ErrorKind::AddrInUse`].
/// * When one end is dropped, the other end reads end-of-file or an error; so does the initiator of
///   a stream that was never accepted when the listener is dropped.
/// * After `shutdown` the other end reads all that was written before, and then end-of-file.
/// * An address can be listened at again as soon as its listener is dropped.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Starts to listen.
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;

    /// Opens a stream. The caller sets the deadline by dropping the future.
    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;

    /// The same for a stream whose other end may leave what is sent unread for as long as it likes,
    /// and that must not break for that. The caller finds out by itself when nobody is there any
    /// more, so the transport need not. By default this is [`connect`](Self::connect); a transport
    /// that ends a stream on which nothing is taken, or that is around another one, has its own.
    fn connect_patiently<'a>(
        &'a self,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        self.connect(addr)
    }
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.as_ref().listen(addr)
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        self.as_ref().connect(addr)
    }

    fn connect_patiently<'a>(
        &'a self,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        self.as_ref().connect_patiently(addr)
    }
}

/// Accepts streams at one address until it is dropped.
pub trait Listener: Send + 'static {
    /// The next stream, which is yet to be opened. Cancel-safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>>;

    /// The address in full, for example with the port that the system chose for port 0.
    fn local_addr(&self) -> String;
}
