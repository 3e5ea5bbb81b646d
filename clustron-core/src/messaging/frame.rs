//! Frames on a byte stream.
//!
//! ```text
//! u32 length | u32 crc32 of the payload | u32 crc32 of the eight bytes before | payload
//! ```
//!
//! All big-endian. TCP's own checksum has sixteen bits and is known to let damage through (Stone
//! and Partridge, "When the CRC and TCP checksum disagree", 2000). A length that is damaged would
//! otherwise be the worst: the reader would wait for bytes that never come. So the head has a
//! checksum of its own, and a damaged connection ends at once.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What stands before each payload.
pub(crate) const HEAD_BYTES: usize = 12;

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
    /// The bytes are not those that were sent, or were never a frame. Nothing after them can be
    /// trusted either.
    #[error("the checksum of a frame's {part} is {found:08x}, its content has {computed:08x}")]
    Damaged {
        /// "head" or "payload".
        part: &'static str,
        /// What the frame says.
        found: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The stream broke, or ended inside a frame.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What a stream brings next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Frame(Bytes),
    /// Bytes that do not make a frame yet.
    Part,
    /// An orderly end between frames.
    End,
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
            match self.come().await? {
                Came::Frame(frame) => return Ok(Some(frame)),
                Came::Part => {}
                Came::End => return Ok(None),
            }
        }
    }

    /// The next frame, or that a part of one has come. Cancel-safe.
    pub(crate) async fn come(&mut self) -> Result<Came, FrameError> {
        if let Some(frame) = self.take()? {
            return Ok(Came::Frame(frame));
        }
        self.buffer.reserve(READ_AHEAD_BYTES.min(self.missing()).max(HEAD_BYTES));
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            if self.buffer.is_empty() {
                return Ok(Came::End);
            }
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        Ok(self.take()?.map_or(Came::Part, Came::Frame))
    }

    /// Changes the limit, after the handshake has told who the peer is.
    pub(crate) fn set_frame_bytes_max(&mut self, max: usize) {
        self.frame_bytes_max = max;
    }

    fn take(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(head) = self.head()? else { return Ok(None) };
        if head.length > self.frame_bytes_max {
            return Err(FrameError::TooLarge { announced: head.length, max: self.frame_bytes_max });
        }
        if self.buffer.len() < HEAD_BYTES + head.length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let payload = self.buffer.split_to(head.length).freeze();
        check("payload", head.checksum, &payload)?;
        Ok(Some(payload))
    }

    /// The head of the frame at hand, once it is there.
    fn head(&self) -> Result<Option<Head>, FrameError> {
        let Some(mut bytes) = self.buffer.get(..HEAD_BYTES) else { return Ok(None) };
        let checked = &bytes[..8];
        let (length, checksum) = (bytes.get_u32() as usize, bytes.get_u32());
        check("head", bytes.get_u32(), checked)?;
        Ok(Some(Head { length, checksum }))
    }

    /// How many bytes the frame at hand still lacks, or a guess between frames.
    fn missing(&self) -> usize {
        match self.head() {
            Ok(Some(head)) => (HEAD_BYTES + head.length).saturating_sub(self.buffer.len()),
            Ok(None) | Err(_) => 4096,
        }
    }
}

struct Head {
    /// Of the payload, in bytes.
    length: usize,
    /// Of the payload.
    checksum: u32,
}

fn check(part: &'static str, found: u32, bytes: &[u8]) -> Result<(), FrameError> {
    let computed = crc32fast::hash(bytes);
    if found == computed { Ok(()) } else { Err(FrameError::Damaged { part, found, computed }) }
}

/// Appends one frame to `out`. The caller keeps to the limit.
pub(crate) fn put_frame(out: &mut BytesMut, payload: &[u8]) {
    debug_assert!(u32::try_from(payload.len()).is_ok(), "frames are limited far below 4 GiB");
    out.reserve(HEAD_BYTES + payload.len());
    let head = out.len();
    out.put_u32(payload.len() as u32);
    out.put_u32(crc32fast::hash(payload));
    let checksum = crc32fast::hash(&out[head..]);
    out.put_u32(checksum);
    out.put_slice(payload);
}

/// The same for a payload in two parts, so that a packet and its headers need not be joined first.
pub(crate) fn put_parts(out: &mut BytesMut, parts: [&[u8]; 2]) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    debug_assert!(u32::try_from(length).is_ok(), "packets are limited far below 4 GiB");
    out.reserve(HEAD_BYTES + length);
    let head = out.len();
    let mut checksum = crc32fast::Hasher::new();
    parts.iter().for_each(|part| checksum.update(part));
    out.put_u32(length as u32);
    out.put_u32(checksum.finalize());
    let checksum = crc32fast::hash(&out[head..]);
    out.put_u32(checksum);
    parts.iter().for_each(|part| out.put_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    /// The head of a frame that announces a length.
    fn claim(length: u32) -> BytesMut {
        let mut head = BytesMut::new();
        head.put_u32(length);
        head.put_u32(0);
        let checksum = crc32fast::hash(&head);
        head.put_u32(checksum);
        head
    }

    /// The wire format is frozen: a change here needs a new protocol version.
    #[test]
    fn the_bytes_of_a_frame_are_frozen() {
        let mut out = BytesMut::new();
        put_frame(&mut out, b"123456789");
        let golden = *b"\x00\x00\x00\x09\xcb\xf4\x39\x26\xa7\x3a\x07\x54123456789";
        assert_eq!(out[..], golden);
        for cut in 0..=9 {
            let (first, second) = b"123456789".split_at(cut);
            let mut parts = BytesMut::new();
            put_parts(&mut parts, [first, second]);
            assert_eq!(parts[..], golden, "a frame in two parts is the same frame");
        }
    }

    proptest! {
        #[test]
        fn any_damage_ends_the_stream_and_none_passes(
            payloads: [Vec<u8>; 3],
            at: usize,
            bit in 0u8..8,
        ) {
            let mut bytes = BytesMut::new();
            payloads.iter().for_each(|payload| put_frame(&mut bytes, payload));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let mut reader = FrameReader::new(&bytes[..], 1 << 20);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                for payload in &payloads {
                    match reader.next().await {
                        Ok(Some(frame)) => assert_eq!(frame, payload),
                        Ok(None) => panic!("the damage was taken for the end"),
                        Err(error) => {
                            assert!(matches!(error, FrameError::Damaged { .. }), "{error}");
                            return;
                        }
                    }
                }
                panic!("damage at byte {at} passed");
            });
        }
    }

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
        let claim = claim(u32::MAX);
        let mut reader = FrameReader::new(&claim[..], 8 << 20);
        let error = reader.next().await.unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { announced: 0xffff_ffff, .. }), "{error}");
        assert!(reader.buffer.capacity() <= READ_AHEAD_BYTES);
    }

    #[tokio::test]
    async fn a_large_claim_within_the_limit_allocates_only_what_arrives() {
        let (mut tx, rx) = tokio::io::duplex(64);
        tx.write_all(&claim(7 << 20)).await.unwrap();
        tx.write_all(&[1; 32]).await.unwrap();
        drop(tx);
        let mut reader = FrameReader::new(rx, 8 << 20);
        assert!(matches!(reader.next().await, Err(FrameError::Io(_))));
        assert!(reader.buffer.capacity() <= 3 * READ_AHEAD_BYTES, "{}", reader.buffer.capacity());
    }
}
