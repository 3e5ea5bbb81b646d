//! How bytes get from one node to another.
//!
//! A [`Transport`] opens ordered, reliable byte streams and nothing more: framing, the handshake
//! and messaging are the same code over every transport. Implementations: [`TcpTransport`] and
//! [`MemoryTransport`]; `clustron-testkit` exports the conformance suite that both pass and that
//! an implementation of your own should pass too.

mod memory;
mod tcp;

use std::fmt;
use std::io;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub use memory::{MemoryNetwork, MemoryTransport};
pub use tcp::TcpTransport;

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
}

/// Accepts streams at one address until it is dropped.
pub trait Listener: Send + 'static {
    /// The next stream and, for messages to people, where it comes from. Cancel-safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, String)>>;

    /// The address in full, for example with the port that the system chose for port 0.
    fn local_addr(&self) -> String;
}
