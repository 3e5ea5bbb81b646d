//! A large file that is replaced as a whole, written and read in bounded memory.
//!
//! For snapshots: it goes out and comes in block by block, each with its checksum, and takes its
//! place only when all of it is durable, as in `atomic_file.rs`.
//!
//! ```text
//! header, 24 bytes
//!   0  magic            "CLWALBLK"
//!   8  format version   u32   1
//!  12  zero             u32
//!  16  block length     u32   1 MiB; every block but the last one has it
//!  20  header checksum  u32   of the 20 bytes before
//!
//! block
//!   0  length           u32   at most the block length, never 0
//!   4  checksum         u32   of its number (u64, from 0), its length and its bytes
//!   8  bytes
//!
//! end, 24 bytes, then nothing
//!   0  zero             u32
//!   4  checksum         u32   of the 16 bytes that follow
//!   8  how many blocks  u64
//!  16  content length   u64   of all blocks together
//! ```

use std::sync::Arc;

use bytes::Bytes;

use crate::atomic_file::{Draft, check_magic};
use crate::disk::{Disk, File, read_full};
use crate::file_error::FileError;
use crate::format::{u32_at, u64_at};
use crate::recovery::shown;

/// How much one block holds, and how much memory writing and reading need.
const BLOCK_BYTES: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"CLWALBLK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;
const CHECKSUM_AT: usize = HEADER_BYTES - 4;
const BLOCK_HEAD_BYTES: usize = 8;
const END_BYTES: usize = 24;

/// Writes a large file. Nobody sees it before [`FileWriter::finish`]; dropped earlier, the file
/// stays as it was, and what was written lies there until another one is begun.
#[derive(Debug)]
pub struct FileWriter {
    disk: Arc<dyn Disk>,
    draft: Draft,
    /// Where the next block goes.
    offset: u64,
    blocks: u64,
    content_bytes: u64,
    /// The head of a block, and what has come for it.
    block: Vec<u8>,
}

impl FileWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn create(disk: Arc<dyn Disk>, name: &str) -> Result<Self, FileError> {
        let mut draft = Draft::create(disk.as_ref(), name)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        draft.write_at(&header, 0)?;
        let block = vec![0; BLOCK_HEAD_BYTES];
        let offset = HEADER_BYTES as u64;
        Ok(Self { disk, draft, offset, blocks: 0, content_bytes: 0, block })
    }

    /// Adds to the content.
    ///
    /// # Errors
    /// [`FileError::Io`]. Give it up then.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        while !bytes.is_empty() {
            let room = BLOCK_HEAD_BYTES + BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if now.len() == room {
                self.put_block()?;
            }
        }
        Ok(())
    }

    /// Ends the file and puts it in its place. Durable on return. The length of its content.
    ///
    /// # Errors
    /// [`FileError::Io`], which says what is there then.
    pub fn finish(mut self) -> Result<u64, FileError> {
        if self.block.len() > BLOCK_HEAD_BYTES {
            self.put_block()?;
        }
        self.draft.write_at(&end(self.blocks, self.content_bytes), self.offset)?;
        self.draft.publish(self.disk.as_ref())?;
        Ok(self.content_bytes)
    }

    /// Gives the file up and removes what was written of it. The file stays as it was.
    ///
    /// # Errors
    /// [`FileError::Io`]: what was written lies there until another one is begun.
    pub fn discard(self) -> Result<(), FileError> {
        self.draft.discard(self.disk.as_ref())
    }

    fn put_block(&mut self) -> Result<(), FileError> {
        let length = self.block.len() - BLOCK_HEAD_BYTES;
        let checksum = block_checksum(self.blocks, &self.block[BLOCK_HEAD_BYTES..]);
        self.block[..4].copy_from_slice(&(length as u32).to_le_bytes());
        self.block[4..BLOCK_HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
        self.draft.write_at(&self.block, self.offset)?;
        self.offset += self.block.len() as u64;
        self.blocks += 1;
        self.content_bytes += length as u64;
        self.block.truncate(BLOCK_HEAD_BYTES);
        Ok(())
    }
}

/// Reads a large file block by block: an iterator that ends after the first error. Its file stays
/// readable while another takes its place.
#[derive(Debug)]
pub struct FileReader {
    name: String,
    file: Box<dyn File>,
    offset: u64,
    block: u64,
    blocks: u64,
    content_bytes: u64,
    /// How much of the content is still to come, in whole blocks.
    left: u64,
    /// How much of the next block is passed over.
    passed_over: usize,
}

impl FileReader {
    /// Opens a file that a [`FileWriter`] has written; `None` if there is none. Its beginning and
    /// end are checked, the blocks when they are read.
    ///
    /// # Errors
    /// `Corrupt`, `NewerVersion` or `Io`.
    pub fn open(disk: &dyn Disk, name: &str) -> Result<Option<Self>, FileError> {
        let file_name = shown(disk, name);
        let file = match disk.open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::io(&file_name, "opening it")(error)),
        };
        let bytes = file.len().map_err(FileError::io(&file_name, "asking for its length"))?;
        if bytes < (HEADER_BYTES + END_BYTES) as u64 {
            return Err(FileError::corrupt(&file_name, bytes, "it ends too early"));
        }
        let (mut header, mut tail) = ([0; HEADER_BYTES], [0; END_BYTES]);
        let tail_at = bytes - END_BYTES as u64;
        for (buffer, offset) in [(&mut header[..], 0), (&mut tail[..], tail_at)] {
            read_full(&*file, buffer, offset).map_err(FileError::io(&file_name, "reading"))?;
        }
        check_magic(&file_name, &header, MAGIC, CHECKSUM_AT, VERSION)?;
        if u32_at(&header, 16) != BLOCK_BYTES as u32 {
            let what = "its blocks have a length that no version writes";
            return Err(FileError::corrupt(&file_name, 16, what));
        }
        let (blocks, content_bytes) = (u64_at(&tail, 8), u64_at(&tail, 16));
        let expected = content_bytes.div_ceil(BLOCK_BYTES as u64);
        let between = expected.saturating_mul(BLOCK_HEAD_BYTES as u64);
        let file_bytes = (HEADER_BYTES + END_BYTES) as u64;
        let file_bytes = file_bytes.saturating_add(between).saturating_add(content_bytes);
        if tail != end(blocks, content_bytes) || blocks != expected || bytes != file_bytes {
            return Err(FileError::corrupt(&file_name, tail_at, "its end is not intact"));
        }
        Ok(Some(Self {
            name: file_name,
            file,
            offset: HEADER_BYTES as u64,
            block: 0,
            blocks,
            content_bytes,
            left: content_bytes,
            passed_over: 0,
        }))
    }

    /// How long the content is.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Has the next block begin at this place of the content; from its end on there are none. The
    /// block around the place is read and checked as a whole.
    pub fn go_to(&mut self, offset: u64) {
        let offset = offset.min(self.content_bytes);
        self.block = offset / BLOCK_BYTES as u64;
        let before = self.block * BLOCK_BYTES as u64;
        self.offset = HEADER_BYTES as u64 + before + self.block * BLOCK_HEAD_BYTES as u64;
        self.left = if offset == self.content_bytes { 0 } else { self.content_bytes - before };
        // Less than a block.
        self.passed_over = (offset - before) as usize;
    }

    fn read_block(&mut self) -> Result<Bytes, FileError> {
        // At most a block.
        let length = self.left.min(BLOCK_BYTES as u64) as usize;
        let mut bytes = vec![0; BLOCK_HEAD_BYTES + length];
        let read = read_full(&*self.file, &mut bytes, self.offset)
            .map_err(FileError::io(&self.name, "reading"))?;
        let intact = read == bytes.len()
            && u32_at(&bytes, 0) as usize == length
            && u32_at(&bytes, 4) == block_checksum(self.block, &bytes[BLOCK_HEAD_BYTES..]);
        if !intact {
            let what = format!("block {} of {} is not intact", self.block, self.blocks);
            return Err(FileError::corrupt(&self.name, self.offset, what));
        }
        self.block += 1;
        self.offset += bytes.len() as u64;
        self.left -= length as u64;
        let passed_over = std::mem::take(&mut self.passed_over);
        Ok(Bytes::from(bytes).slice(BLOCK_HEAD_BYTES + passed_over..))
    }
}

impl Iterator for FileReader {
    type Item = Result<Bytes, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let block = self.read_block();
        if block.is_err() {
            self.left = 0;
        }
        Some(block)
    }
}

fn block_checksum(number: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&(bytes.len() as u32).to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn end(blocks: u64, content_bytes: u64) -> [u8; END_BYTES] {
    let mut bytes = [0; END_BYTES];
    bytes[8..16].copy_from_slice(&blocks.to_le_bytes());
    bytes[16..].copy_from_slice(&content_bytes.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests;
