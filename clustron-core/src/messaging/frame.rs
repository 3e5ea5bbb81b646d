//! Frames on a byte stream: a 4-byte big-endian length, then that many bytes.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most that is allocated ahead of the bytes that have arrived.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The peer announced more than we take. The stream is of no use any more.
    #[error("a frame of {announced} bytes was announced, the limit is {max}")]
    TooLarge {
        /// What the length prefix said.
        announced: usize,
        /// The limit in force.
        max: usize,
    },
    /// The stream broke, or ended inside a frame.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Cuts a stream into frames. Memory grows with the bytes that arrive, never with a length that is
/// merely claimed.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, frame_bytes_max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), frame_bytes_max }
    }

    /// The next frame, or `None` at an orderly end between frames. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ_AHEAD_BYTES.min(self.missing()).max(4));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Changes the limit, after the handshake has told who the peer is.
    pub(crate) fn set_frame_bytes_max(&mut self, max: usize) {
        self.frame_bytes_max = max;
    }

    fn take(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.announced() else { return Ok(None) };
        if length > self.frame_bytes_max {
            return Err(FrameError::TooLarge { announced: length, max: self.frame_bytes_max });
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    fn announced(&self) -> Option<usize> {
        let prefix = self.buffer.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*prefix) as usize)
    }

    /// How many bytes the frame at hand still lacks, or a guess between frames.
    fn missing(&self) -> usize {
        self.announced().map_or(4096, |length| (4 + length).saturating_sub(self.buffer.len()))
    }
}

/// Appends one frame to `out`. The caller keeps to the limit.
pub(crate) fn put_frame(out: &mut BytesMut, payload: &[u8]) {
    debug_assert!(u32::try_from(payload.len()).is_ok(), "frames are limited far below 4 GiB");
    out.reserve(4 + payload.len());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn frames_survive_any_splitting_of_the_stream() {
        let mut bytes = BytesMut::new();
        let frames: Vec<Vec<u8>> = (0..50u8).map(|i| vec![i; i as usize * 97]).collect();
        for frame in &frames {
            put_frame(&mut bytes, frame);
        }
        for step in [1, 2, 3, 5, 7, 1000] {
            let (mut tx, rx) = tokio::io::duplex(64);
            let sent = bytes.clone();
            tokio::spawn(async move {
                for part in sent.chunks(step) {
                    tx.write_all(part).await.unwrap();
                }
            });
            let mut reader = FrameReader::new(rx, 1 << 20);
            for frame in &frames {
                assert_eq!(reader.next().await.unwrap().unwrap(), frame);
            }
            assert!(reader.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn a_four_gibibyte_claim_is_refused_before_anything_is_allocated() {
        let mut reader = FrameReader::new(&[0xff, 0xff, 0xff, 0xff, 1, 2][..], 8 << 20);
        let error = reader.next().await.unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { announced: 0xffff_ffff, .. }), "{error}");
        assert!(reader.buffer.capacity() <= READ_AHEAD_BYTES);
    }

    #[tokio::test]
    async fn a_large_claim_within_the_limit_allocates_only_what_arrives() {
        let (mut tx, rx) = tokio::io::duplex(64);
        tx.write_all(&(7u32 << 20).to_be_bytes()).await.unwrap();
        tx.write_all(&[1; 32]).await.unwrap();
        drop(tx);
        let mut reader = FrameReader::new(rx, 8 << 20);
        assert!(matches!(reader.next().await, Err(FrameError::Io(_))));
        assert!(reader.buffer.capacity() <= 3 * READ_AHEAD_BYTES, "{}", reader.buffer.capacity());
    }
}
