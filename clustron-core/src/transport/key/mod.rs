//! Streams on which both ends have proved that they hold the cluster's key.
//!
//! Each side asks the other for the password without saying it: the Noise protocol framework
//! (<https://noiseprotocol.org/noise.html>, revision 34), pattern `NNpsk0`, with X25519,
//! ChaCha20-Poly1305 and BLAKE2s. The key is mixed into fresh secrets of both sides, so what was
//! recorded stays secret when the key is found out later, and what follows is encrypted and
//! authenticated: nobody can take the connection over, change it, cut it short or play it again.

#[cfg(feature = "simulation")]
mod decoders;
mod handshake;
mod records;
mod stream;

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

#[cfg(feature = "simulation")]
pub(crate) use decoders::DECODERS;

use super::{Incoming, Listener, Stream, Transport};
use crate::security::{KeyRing, KeySource, Reload, SecurityError, Watched, fingerprint_of};

/// Any transport, on whose streams both ends prove with a [key](KeyRing) that they belong to the
/// same cluster before either says anything else. It has no cargo feature of its own: a key should
/// not be out of reach of a program that was built without thinking of it, and what it brings is a
/// dozen small crates of Rust. Clones are the same.
///
/// ```
/// use clustron_core::{ClusterKey, KeyRing, KeyTransport, MemoryNetwork, Transport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ring = KeyRing::new([ClusterKey::generate("first")?])?;
/// let network = MemoryNetwork::new();
/// let host = |name| KeyTransport::new(network.host(name), ring.clone());
/// let (a, b) = (host("a")?, host("b")?);
/// let mut listener = a.listen("a:1").await?;
/// let accepting = async { listener.accept().await?.open().await };
/// let (to_a, from_b) = tokio::join!(b.connect("a:1"), accepting);
/// # to_a?; from_b?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct KeyTransport {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn Transport>,
    source: KeySource,
    ring: Watched<KeyRing>,
}

impl fmt::Debug for KeyTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTransport")
            .field("inner", &self.shared.inner)
            .field("source", &self.shared.source)
            .finish_non_exhaustive()
    }
}

impl KeyTransport {
    /// Around `inner`, with these keys.
    ///
    /// # Errors
    /// The file cannot be read, or is no key ring.
    pub fn new(inner: impl Transport, source: impl Into<KeySource>) -> Result<Self, SecurityError> {
        let source = source.into();
        let contents = source.contents();
        let fingerprint = fingerprint_of(&contents);
        let ring = Watched::new(source.keys(contents)?, fingerprint);
        Ok(Self { shared: Arc::new(Shared { inner: Arc::new(inner), source, ring }) })
    }

    /// Looks at the file, and uses what it holds for new connections. Connections that are open go
    /// on. A node that was given its key with [`ClusterBuilder`](crate::ClusterBuilder) does this
    /// by itself every few seconds. Gives whether the file had changed.
    ///
    /// # Errors
    /// The file has changed and cannot be used; what was used before is used on. Told once for each
    /// change.
    pub fn reload(&self) -> Result<bool, SecurityError> {
        let contents = self.shared.source.contents();
        let fingerprint = fingerprint_of(&contents);
        self.shared.ring.look(fingerprint, || self.shared.source.keys(contents))
    }
}

impl KeyTransport {
    async fn secure(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let ring = self.shared.ring.current();
        let opened = handshake::initiate(stream, ring.calling()).await;
        Ok(Box::new(opened.map_err(super::greeting::broke)?))
    }
}

impl Reload for KeyTransport {
    fn reload(&self) -> Result<bool, SecurityError> {
        self.reload()
    }
}

impl Transport for KeyTransport {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            let inner = self.shared.inner.listen(addr).await?;
            Ok(Box::new(KeyListener { inner, shared: self.shared.clone() }) as Box<dyn Listener>)
        }
        .boxed()
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move { self.secure(self.shared.inner.connect(addr).await?).await }.boxed()
    }

    fn connect_patiently<'a>(
        &'a self,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move { self.secure(self.shared.inner.connect_patiently(addr).await?).await }.boxed()
    }
}

struct KeyListener {
    inner: Box<dyn Listener>,
    shared: Arc<Shared>,
}

impl Listener for KeyListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async move {
            let incoming = self.inner.accept().await?;
            let (shared, from) = (self.shared.clone(), incoming.from().to_owned());
            Ok(Incoming::new(from, async move {
                let stream = incoming.open().await?;
                let opened = handshake::accept(stream, &shared.ring.current()).await;
                Ok(Box::new(opened.map_err(super::greeting::broke)?) as Box<dyn Stream>)
            }))
        }
        .boxed()
    }

    fn local_addr(&self) -> String {
        self.inner.local_addr()
    }
}

#[cfg(test)]
mod tests;
