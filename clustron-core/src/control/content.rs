//! The bytes of a snapshot, wherever they are: what openraft hands from here to there without
//! looking at it.
//!
//! Like goods in transport: they lie in a warehouse, on a lorry or are still to be made, and the
//! papers are the same. Nowhere does one stretch of memory hold all of them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::OwnedMutexGuard;

use super::snapshot_file::{Blocks, Stored, open_arrived};
use crate::data_dir::{DataDir, DiskError};

/// How much of a snapshot is in one place, and travels in one message.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nowhere: the state itself stands for its log, and is encoded when somebody needs it.
    Unwritten,
    /// Encoded in memory, for all who are sent it at the same time.
    Encoded(Arc<Pieces>),
    /// The snapshot of a data directory.
    Stored(Stored),
    /// Just received, in memory or in a file.
    Arrived(Arrived),
}

/// A snapshot that a leader has sent, whole.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(super) at: Arrival,
    /// While this one is here, no other one arrives.
    pub(super) _place: Option<OwnedMutexGuard<()>>,
}

/// Where a snapshot has arrived.
#[derive(Debug)]
pub(super) enum Arrival {
    Memory(Pieces),
    /// In the data directory, in the file for what arrives.
    File(Arc<DataDir>),
}

impl Content {
    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Encoded(pieces) => pieces.length(),
            Self::Stored(stored) => stored.length(),
            Self::Arrived(Arrived { at: Arrival::Memory(pieces), .. }) => pieces.length(),
            Self::Unwritten | Self::Arrived(_) => 0,
        }
    }

    /// Its bytes from this place on, at most a piece of them.
    pub(super) async fn piece_at(&self, offset: u64) -> Result<Bytes, DiskError> {
        match self {
            Self::Encoded(pieces) => Ok(pieces.at(offset)),
            Self::Stored(stored) => stored.piece_at(offset).await,
            // Nobody sends on what has just arrived.
            Self::Unwritten | Self::Arrived(_) => Ok(Bytes::new()),
        }
    }

    /// Whether it lies in this directory's file for what arrives.
    pub(super) fn is_in_file(&self) -> bool {
        matches!(self, Self::Arrived(Arrived { at: Arrival::File(_), .. }))
    }

    /// Reads it from its beginning. Blocks. What is in memory for this reader alone is given back
    /// piece by piece.
    pub(super) fn reader(&mut self) -> Result<ContentReader, DiskError> {
        Ok(match self {
            Self::Unwritten => ContentReader::Pieces(Pieces::default()),
            Self::Encoded(pieces) => {
                let pieces = std::mem::take(pieces);
                ContentReader::Pieces(Arc::unwrap_or_clone(pieces))
            }
            Self::Stored(stored) => ContentReader::Blocks(stored.blocks()),
            Self::Arrived(arrived) => match &mut arrived.at {
                Arrival::Memory(pieces) => ContentReader::Pieces(std::mem::take(pieces)),
                Arrival::File(data) => ContentReader::Blocks(open_arrived(data)?),
            },
        })
    }
}

/// Reads a snapshot's bytes.
pub(super) enum ContentReader {
    Pieces(Pieces),
    Blocks(Blocks),
}

impl ContentReader {
    /// Why the file could not be read, if that is what went wrong.
    pub(super) fn failed(&mut self) -> Option<DiskError> {
        match self {
            Self::Pieces(_) => None,
            Self::Blocks(blocks) => blocks.failed(),
        }
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Pieces(pieces) => pieces.read(buffer),
            Self::Blocks(blocks) => blocks.read(buffer),
        }
    }
}

/// Bytes in memory, in pieces that are given back one by one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: u64,
}

impl Pieces {
    pub(super) fn length(&self) -> u64 {
        self.bytes
    }

    /// The rest of the piece around this place.
    fn at(&self, offset: u64) -> Bytes {
        let mut before = 0;
        for piece in &self.pieces {
            let within = usize::try_from(offset - before).unwrap_or(usize::MAX);
            if within < piece.len() {
                return piece.slice(within..);
            }
            before += piece.len() as u64;
        }
        Bytes::new()
    }
}

/// Takes the bytes out.
impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else { return Ok(0) };
        let taken = buffer.len().min(piece.len());
        piece.copy_to_slice(&mut buffer[..taken]);
        self.bytes -= taken as u64;
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(taken)
    }
}

/// Puts bytes into pieces, all but the last as large as a piece may be: many small writes take no
/// more memory than their bytes.
#[derive(Debug, Default)]
pub(super) struct PiecesWriter {
    whole: Pieces,
    last: BytesMut,
}

impl PiecesWriter {
    pub(super) fn finish(mut self) -> Pieces {
        self.put_last();
        self.whole
    }

    fn put_last(&mut self) {
        if !self.last.is_empty() {
            self.whole.bytes += self.last.len() as u64;
            self.whole.pieces.push_back(std::mem::take(&mut self.last).freeze());
        }
    }
}

impl Write for PiecesWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.len() == PIECE_BYTES {
            self.put_last();
        }
        // The memory of a piece grows with what comes: a great many may be small.
        let taken = bytes.len().min(PIECE_BYTES - self.last.len());
        self.last.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: usize) -> (Vec<u8>, Pieces) {
        let content: Vec<u8> = (0..bytes).map(|at| (at / 3 + at / PIECE_BYTES) as u8).collect();
        let mut writer = PiecesWriter::default();
        content.chunks(99_983).for_each(|part| writer.write_all(part).unwrap());
        (content, writer.finish())
    }

    #[test]
    fn bytes_in_pieces_are_found_at_every_place() {
        let (content, pieces) = pieces(2 * PIECE_BYTES + 5);
        assert_eq!(pieces.length(), content.len() as u64);
        for place in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 4] {
            let piece = pieces.at(place as u64);
            assert!(!piece.is_empty() && piece[..] == content[place..place + piece.len()]);
        }
        assert!(pieces.at(content.len() as u64).is_empty());
    }

    #[test]
    fn a_reader_of_its_own_gives_each_piece_back_when_it_has_read_it() {
        let (content, whole) = pieces(3 * PIECE_BYTES);
        let (mut shared, mut read) = (Arc::new(whole), vec![0; PIECE_BYTES + 1]);
        let kept = shared.clone();
        // Shared, it stays whole for the others.
        let content_of = |pieces| Content::Encoded(pieces).reader().unwrap();
        content_of(shared).read_exact(&mut read).unwrap();
        assert_eq!(kept.length(), content.len() as u64);
        shared = kept;
        let ContentReader::Pieces(mut alone) = content_of(shared) else { panic!("in memory") };
        alone.read_exact(&mut read).unwrap();
        assert!(read == content[..PIECE_BYTES + 1]);
        assert_eq!((alone.pieces.len(), alone.length()), (2, 2 * PIECE_BYTES as u64 - 1));
    }
}
