//! The suite catches what it is there to catch.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use clustron_core::{Incoming, MemoryNetwork, MemoryTransport};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// One bit in a hundred thousand bytes.
    FlipsBits,
    /// A stream that has begun to be accepted is lost with the future.
    LosesAccepted,
    HidesRefusals,
    SharesAddresses,
    TellsTheAddressAsGiven,
}

#[derive(Debug, Clone)]
struct Faulty {
    inner: MemoryTransport,
    fault: Fault,
}

impl Transport for Faulty {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            let inner = match self.inner.listen(addr).await {
                Err(_) if self.fault == Fault::SharesAddresses => self.inner.listen("a:0").await?,
                other => other?,
            };
            let listener = FaultyListener { inner, given: addr.to_owned(), fault: self.fault };
            Ok(Box::new(listener) as Box<dyn Listener>)
        }
        .boxed()
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move {
            match self.inner.connect(addr).await {
                Err(_) if self.fault == Fault::HidesRefusals => Err(io::ErrorKind::TimedOut.into()),
                Ok(inner) if self.fault == Fault::FlipsBits => {
                    Ok(Box::new(FlipsBits { inner, read: 0 }) as Box<dyn Stream>)
                }
                other => other,
            }
        }
        .boxed()
    }
}

struct FaultyListener {
    inner: Box<dyn Listener>,
    given: String,
    fault: Fault,
}

impl Listener for FaultyListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async move {
            let accepted = self.inner.accept().await;
            if self.fault == Fault::LosesAccepted {
                tokio::task::yield_now().await;
            }
            accepted
        }
        .boxed()
    }

    fn local_addr(&self) -> String {
        match self.fault {
            Fault::TellsTheAddressAsGiven => self.given.clone(),
            _ => self.inner.local_addr(),
        }
    }
}

struct FlipsBits {
    inner: Box<dyn Stream>,
    read: usize,
}

impl AsyncRead for FlipsBits {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        for byte in &mut buf.filled_mut()[before..] {
            self.read += 1;
            *byte ^= u8::from(self.read.is_multiple_of(100_000));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FlipsBits {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

async fn judge(fault: Fault) -> Result<(), BrokenPromise> {
    transport_conformance(|| {
        let network = MemoryNetwork::new();
        let host = |name| Faulty { inner: network.host(name), fault };
        TransportFixture::new(host("a"), host("b"), "a:0")
    })
    .await
}

#[tokio::test]
async fn each_fault_is_caught_by_the_promise_that_it_breaks() {
    for (fault, promise, detail) in [
        (Fault::FlipsBits, "unchanged", "byte 99999 is"),
        (Fault::LosesAccepted, "cancel-safe", "unexpected end of file"),
        (Fault::HidesRefusals, "ConnectionRefused", "TimedOut instead of ConnectionRefused"),
        (Fault::SharesAddresses, "AddrInUse", "two listeners share a:1"),
        (Fault::TellsTheAddressAsGiven, "in full", "a:0"),
    ] {
        let broken = judge(fault).await.unwrap_err();
        assert!(broken.promise.contains(promise), "{fault:?}: {broken}");
        assert!(broken.detail.contains(detail), "{fault:?}: {broken}");
    }
}

#[tokio::test]
async fn without_a_fault_the_suite_passes() {
    judge(Fault::None).await.unwrap();
}
