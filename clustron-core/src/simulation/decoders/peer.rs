//! A peer that says what it was given, whatever it hears.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The other end of a stream. It never waits, so that whoever reads it ends at once.
#[derive(Debug)]
pub(crate) struct ScriptedPeer {
    said: Vec<u8>,
    heard: usize,
    /// How many bytes arrive at a time.
    step: usize,
}

thread_local! {
    /// With a clock, though no time passes: what speaks to a peer has deadlines.
    static RUNTIME: io::Result<tokio::runtime::Runtime> =
        tokio::runtime::Builder::new_current_thread().enable_time().build();
}

impl ScriptedPeer {
    /// The first byte says in which steps the rest arrives.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let (step, said) = bytes.split_first().map_or((0, bytes), |(step, rest)| (*step, rest));
        // Mostly small ones, and now and then all at once.
        let step = if step >= 0xf0 { usize::MAX } else { usize::from(step) + 1 };
        Self { said: said.to_vec(), heard: 0, step }
    }

    /// Runs what speaks to it, to its end.
    ///
    /// # Panics
    /// When there is no room for a runtime.
    pub(crate) fn run<T>(self, speak: impl AsyncFnOnce(Self) -> T) -> T {
        RUNTIME.with(|runtime| match runtime {
            Ok(runtime) => runtime.block_on(speak(self)),
            Err(error) => panic!("no runtime: {error}"),
        })
    }
}

impl AsyncRead for ScriptedPeer {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &this.said[this.heard..];
        let taken = rest.len().min(buf.remaining()).min(this.step);
        buf.put_slice(&rest[..taken]);
        this.heard += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ScriptedPeer {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
