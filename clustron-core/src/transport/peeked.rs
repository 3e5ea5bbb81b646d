//! A stream whose first bytes are remembered, so that whoever expected something else there can say
//! what it was.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::Stream;

/// How many are remembered: what Clustron's own openings have.
pub(super) const FIRST_BYTES: usize = 8;

/// See the module's documentation.
pub(super) struct Peeked {
    inner: Box<dyn Stream>,
    first: [u8; FIRST_BYTES],
    /// How many of them have come.
    seen: usize,
    /// How many of them the reader has had.
    given: usize,
}

impl Peeked {
    pub(super) fn new(inner: Box<dyn Stream>) -> Self {
        Self { inner, first: [0; FIRST_BYTES], seen: 0, given: 0 }
    }

    /// The first bytes, as far as any have come.
    #[cfg(any(test, feature = "tls"))]
    pub(super) fn seen(&self) -> &[u8] {
        &self.first[..self.seen]
    }

    /// Waits for all of the first bytes. They are read again afterwards. Call it before any read.
    ///
    /// # Errors
    /// The stream breaks, or ends before.
    pub(super) async fn peek(&mut self) -> io::Result<[u8; FIRST_BYTES]> {
        while self.seen < FIRST_BYTES {
            let read = self.inner.read(&mut self.first[self.seen..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.seen += read;
        }
        Ok(self.first)
    }
}

impl AsyncRead for Peeked {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.given == this.seen && this.seen < FIRST_BYTES {
            let mut first = ReadBuf::new(&mut this.first[this.seen..]);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut first))?;
            this.seen += first.filled().len();
            if this.given == this.seen {
                return Poll::Ready(Ok(()));
            }
        }
        if this.given == this.seen {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        let given = buf.remaining().min(this.seen - this.given);
        buf.put_slice(&this.first[this.given..this.given + given]);
        this.given += given;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peeked {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn what_was_peeked_at_is_read_again_and_nothing_is_lost() {
        for (peeks, portion) in [(true, 3), (false, 3), (true, 100), (false, 100)] {
            let (near, mut far) = tokio::io::duplex(5);
            let mut stream = Peeked::new(Box::new(near));
            let writing = async {
                far.write_all(b"first and then some").await.unwrap();
                drop(far);
            };
            let reading = async {
                if peeks {
                    assert_eq!(&stream.peek().await.unwrap(), b"first an");
                }
                let (mut heard, mut buffer) = (vec![], vec![0; portion]);
                loop {
                    let read = stream.read(&mut buffer).await.unwrap();
                    heard.extend_from_slice(&buffer[..read]);
                    if read == 0 {
                        return heard;
                    }
                }
            };
            assert_eq!(tokio::join!(reading, writing).0, b"first and then some");
            assert_eq!(stream.seen(), b"first an");
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_too_early_is_an_error() {
        let (near, mut far) = tokio::io::duplex(50);
        far.write_all(b"short").await.unwrap();
        drop(far);
        let mut stream = Peeked::new(Box::new(near));
        assert_eq!(stream.peek().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(stream.seen(), b"short");
    }
}
