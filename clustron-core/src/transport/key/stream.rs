//! A stream of records as a stream of bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::records::{HEAD_BYTES, RECORD_BYTES_MAX, RECORD_PAYLOAD_MAX, Records, record_bytes};
use crate::transport::peeked::Peeked;

/// See the module's documentation.
pub(super) struct KeyStream {
    inner: Peeked,
    records: Records,
    /// Sealed, and how much of it is written.
    outgoing: Vec<u8>,
    written: usize,
    /// Whether the end has been sealed.
    finished: bool,
    /// The record that is being read, with its head.
    arriving: Box<[u8]>,
    arrived: usize,
    /// What was in the last record, from where on it is unread.
    payload: Box<[u8]>,
    unread: std::ops::Range<usize>,
    /// Whether the other side has said that this was all.
    ended: bool,
}

impl KeyStream {
    pub(super) fn new(inner: Peeked, records: Records) -> Self {
        Self {
            inner,
            records,
            outgoing: Vec::with_capacity(HEAD_BYTES + RECORD_BYTES_MAX),
            written: 0,
            finished: false,
            arriving: vec![0; HEAD_BYTES + RECORD_BYTES_MAX].into(),
            arrived: 0,
            payload: vec![0; RECORD_PAYLOAD_MAX].into(),
            unread: 0..0,
            ended: false,
        }
    }

    /// Shows the other side that the handshake was not a recorded one: the first record.
    pub(super) async fn confirm(&mut self) -> io::Result<()> {
        self.records.seal(&[], &mut self.outgoing)?;
        self.flush().await
    }

    /// Waits for the other side's first record.
    pub(super) async fn confirmed(&mut self) -> io::Result<()> {
        match std::future::poll_fn(|cx| self.poll_record(cx)).await? {
            Some(0) => Ok(()),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the first record should be empty and is not",
            )),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads one record into `payload`. Gives what it carried, or `None` where the stream below
    /// ends between two records.
    fn poll_record(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        loop {
            let wanted = match self.arriving.first_chunk() {
                Some(head) if self.arrived >= HEAD_BYTES => HEAD_BYTES + record_bytes(*head)?,
                _ => HEAD_BYTES,
            };
            if self.arrived == wanted && wanted > HEAD_BYTES {
                self.arrived = 0;
                let record = &self.arriving[HEAD_BYTES..wanted];
                return Poll::Ready(self.records.open(record, &mut self.payload).map(Some));
            }
            let mut room = ReadBuf::new(&mut self.arriving[self.arrived..wanted]);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut room))?;
            match room.filled().len() {
                0 if self.arrived == 0 => return Poll::Ready(Ok(None)),
                0 => return Poll::Ready(Err(cut_short())),
                read => self.arrived += read,
            }
        }
    }

    /// Writes what is sealed.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.outgoing.len() {
            let rest = &self.outgoing[self.written..];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.outgoing.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

fn cut_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the connection was cut short: the peer did not say that this was all",
    )
}

impl AsyncRead for KeyStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.unread.is_empty() && !this.ended {
            match ready!(this.poll_record(cx))? {
                Some(0) => this.ended = true,
                Some(payload) => this.unread = 0..payload,
                None => return Poll::Ready(Err(cut_short())),
            }
        }
        let given = buf.remaining().min(this.unread.len());
        buf.put_slice(&this.payload[this.unread.start..this.unread.start + given]);
        this.unread.start += given;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for KeyStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if buf.is_empty() {
            // It would be the end.
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_drain(cx))?;
        let taken = this.records.seal(buf, &mut this.outgoing)?;
        // As much as goes at once; what does not is taken all the same, and goes with the next
        // call.
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.finished {
            this.records.seal(&[], &mut this.outgoing)?;
            this.finished = true;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
