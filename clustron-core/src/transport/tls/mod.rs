//! Streams on which both ends have shown a certificate: TLS 1.3, with rustls.
//!
//! Two officials show each other their cards, and each looks who issued the other's. The acceptor
//! sees the initiator's card last, so when it is content it says so with one byte; without it,
//! `connect` would succeed where nobody is let in, and the refusal come later as a stream that
//! breaks.
//!
//! Sessions are not resumed and nothing is sent early: each connection shows its certificates anew,
//! so what was renewed or taken away counts from the next connection on, and nothing can be played
//! again. Connections live long here, so there would be little to save.

mod explain;
mod load;
mod names;

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::ServerName;

use super::greeting::{Greeting, Notice, broke, denied, mismatch};
use super::peeked::Peeked;
use super::{Incoming, Listener, Stream, Transport};
use crate::security::{Reload, SecurityError, TlsConfig, Watched, fingerprint_of};
use load::Material;

/// What the acceptor says when it is content with the initiator's certificate.
const WELCOME: u8 = 1;

/// Names what is spoken inside, so that no other service with a certificate of the same authority
/// is taken for a node.
const ALPN: &[u8] = b"clustron";

/// Any transport, inside TLS 1.3 with certificates on both sides. Needs the cargo feature `tls`.
/// Clones are the same.
#[derive(Clone)]
pub struct TlsTransport {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn Transport>,
    config: TlsConfig,
    material: Watched<Material>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport")
            .field("inner", &self.shared.inner)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl TlsTransport {
    /// Around `inner`, with these certificates.
    ///
    /// # Errors
    /// A file cannot be read or does not hold what it should; the key is not the certificate's; the
    /// certificate has expired, is not yet valid, was not issued by the authority, may not be used
    /// for both sides, or does not have the name that all should have.
    pub fn new(inner: impl Transport, config: TlsConfig) -> Result<Self, SecurityError> {
        let contents = load::contents(&config);
        let fingerprint = fingerprint_of(&contents);
        let material = Watched::new(load::material(&config, contents)?, fingerprint);
        Ok(Self { shared: Arc::new(Shared { inner: Arc::new(inner), config, material }) })
    }

    /// Looks at the files, and uses what they hold for new connections. Connections that are open
    /// go on. A node that was given its certificates with [`ClusterBuilder`](crate::ClusterBuilder)
    /// does this by itself every few seconds. Gives whether the files had changed.
    ///
    /// # Errors
    /// The files have changed and cannot be used; what was used before is used on. Told once for
    /// each change, so also when one of two files that belong together was seen before the other.
    pub fn reload(&self) -> Result<bool, SecurityError> {
        let contents = load::contents(&self.shared.config);
        let fingerprint = fingerprint_of(&contents);
        self.shared.material.look(fingerprint, || load::material(&self.shared.config, contents))
    }
}

impl Reload for TlsTransport {
    fn reload(&self) -> Result<bool, SecurityError> {
        self.reload()
    }
}

impl Transport for TlsTransport {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            let inner = self.shared.inner.listen(addr).await?;
            Ok(Box::new(TlsListener { inner, shared: self.shared.clone() }) as Box<dyn Listener>)
        }
        .boxed()
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move {
            let name = names::expected(&self.shared.config, addr)?;
            let stream = self.shared.inner.connect(addr).await?;
            initiate(&self.shared, stream, name).await.map_err(broke)
        }
        .boxed()
    }

    fn connect_patiently<'a>(
        &'a self,
        addr: &'a str,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move {
            let name = names::expected(&self.shared.config, addr)?;
            let stream = self.shared.inner.connect_patiently(addr).await?;
            initiate(&self.shared, stream, name).await.map_err(broke)
        }
        .boxed()
    }
}

struct TlsListener {
    inner: Box<dyn Listener>,
    shared: Arc<Shared>,
}

impl Listener for TlsListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async move {
            let incoming = self.inner.accept().await?;
            let (shared, from) = (self.shared.clone(), incoming.from().to_owned());
            Ok(Incoming::new(from, async move {
                let stream = incoming.open().await?;
                accept(&shared, stream).await.map_err(broke)
            }))
        }
        .boxed()
    }

    fn local_addr(&self) -> String {
        self.inner.local_addr()
    }
}

async fn initiate(
    shared: &Shared,
    stream: Box<dyn Stream>,
    name: ServerName<'static>,
) -> io::Result<Box<dyn Stream>> {
    let material = shared.material.current();
    let connecting = material.connector.connect(name, Peeked::new(stream)).into_fallible();
    let mut stream = match connecting.await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            let greeting = Greeting::of(stream.seen());
            let other = mismatch(greeting, Notice::Tls);
            return Err(other.unwrap_or_else(|| explain::failure(error, &shared.config)));
        }
    };
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(denied(
            "the peer has a certificate of the cluster's authority and is no node: look who listens \
             there",
        ));
    }
    match stream.read_u8().await {
        Ok(WELCOME) => Ok(Box::new(stream)),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the peer does not begin as a node does",
        )),
        Err(error) => Err(explain::failure(error, &shared.config)),
    }
}

async fn accept(shared: &Shared, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
    let mut stream = Peeked::new(stream);
    match Greeting::of(&stream.peek().await?) {
        Greeting::Tls => {}
        other => {
            return match mismatch(other, Notice::Tls) {
                Some(error) => {
                    Notice::Tls.tell(&mut stream).await;
                    Err(error)
                }
                None => {
                    Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin as TLS does"))
                }
            };
        }
    }
    let material = shared.material.current();
    let accepted = material.acceptor.accept(stream).into_fallible().await;
    let mut stream = accepted.map_err(|(error, _)| explain::failure(error, &shared.config))?;
    stream.write_u8(WELCOME).await?;
    stream.flush().await?;
    Ok(Box::new(stream))
}

#[cfg(test)]
mod tests;
