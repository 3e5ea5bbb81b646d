//! Reads a snapshot's file, from front to back or from any place on.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use clustron_wal::{FileError, FileReader};

use crate::codec;
use crate::control::types::SnapshotMeta;
use crate::data_dir::{DataDir, DiskError, SNAPSHOT};

/// The largest description of a snapshot, in bytes: a handful of numbers and the group's nodes.
const META_BYTES_MAX: u64 = 16 << 20;

type Shared = Arc<Mutex<FileReader>>;

/// The bytes of a file, one block of them in memory.
#[derive(Debug)]
pub(in crate::control) struct Blocks {
    reader: Shared,
    /// Where the next block begins.
    next: u64,
    block: Bytes,
    failed: Option<FileError>,
}

impl Blocks {
    fn from(reader: Shared, place: u64) -> Self {
        Self { reader, next: place, block: Bytes::new(), failed: None }
    }

    /// Why the file could not be read, if it could not.
    pub(in crate::control) fn failed(&mut self) -> Option<DiskError> {
        self.failed.take().map(DiskError::from)
    }

    /// How far it has been read.
    fn place(&self) -> u64 {
        self.next - self.block.len() as u64
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            self.block = block_at(&self.reader, self.next).map_err(|error| {
                let text = error.to_string();
                self.failed = Some(error);
                io::Error::other(text)
            })?;
            self.next += self.block.len() as u64;
        }
        let taken = buffer.len().min(self.block.len());
        self.block.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}

/// The rest of the block around this place; nothing at the end.
fn block_at(reader: &Shared, place: u64) -> Result<Bytes, FileError> {
    let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    reader.go_to(place);
    reader.next().unwrap_or(Ok(Bytes::new()))
}

/// Opens a snapshot's file: its description, and then its content. `None` if there is none.
pub(super) fn open(
    data: &DataDir,
    file: &str,
) -> Result<Option<(SnapshotMeta, Blocks)>, DiskError> {
    let Some(reader) = FileReader::open(data.disk().as_ref(), file)? else { return Ok(None) };
    let content_bytes = reader.content_bytes();
    let mut blocks = Blocks::from(Arc::new(Mutex::new(reader)), 0);
    let meta = read_meta(&mut blocks, content_bytes);
    if let Some(error) = blocks.failed() {
        return Err(error);
    }
    // The blocks are intact, so that whoever wrote them wrote something else.
    let damaged = |what: String| DiskError::Content { file: file.to_owned(), what };
    let meta = meta.map_err(|_| damaged("it is cut short in its description".to_owned()))?;
    let meta = codec::decode(&meta).map_err(|error| damaged(error.to_string()))?;
    Ok(Some((meta, blocks)))
}

fn read_meta(blocks: &mut Blocks, content_bytes: u64) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    blocks.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if u64::from(length) > META_BYTES_MAX.min(content_bytes) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut meta = vec![0; length as usize];
    blocks.read_exact(&mut meta)?;
    Ok(meta)
}

/// The snapshot of a data directory, held open: it stays as it is.
#[derive(Debug)]
pub(crate) struct Stored {
    data: Arc<DataDir>,
    reader: Shared,
    /// Where the content begins.
    begin: u64,
    bytes: u64,
}

/// Opens the snapshot to be sent.
pub(super) fn stored(data: &Arc<DataDir>) -> Result<Option<(SnapshotMeta, Stored)>, DiskError> {
    let Some((meta, blocks)) = open(data, SNAPSHOT)? else { return Ok(None) };
    let (begin, reader) = (blocks.place(), blocks.reader);
    let all = reader.lock().unwrap_or_else(PoisonError::into_inner).content_bytes();
    let (data, bytes) = (data.clone(), all - begin);
    Ok(Some((meta, Stored { data, reader, begin, bytes })))
}

impl Stored {
    pub(in crate::control) fn length(&self) -> u64 {
        self.bytes
    }

    /// The content from this place on, at most a block of it.
    pub(in crate::control) async fn piece_at(&self, offset: u64) -> Result<Bytes, DiskError> {
        let (reader, place) = (self.reader.clone(), self.begin.saturating_add(offset));
        Ok(self.data.call(move || block_at(&reader, place)).await?)
    }

    /// Reads it from its beginning.
    pub(in crate::control) fn blocks(&self) -> Blocks {
        Blocks::from(self.reader.clone(), self.begin)
    }
}
