//! A small file that is replaced as a whole: afterwards it is the old one or the new one, whole.
//!
//! Like a notice in a frame: the new one is written at the desk and then exchanged, never corrected
//! on the wall. The bytes go to `NAME.new`, which is synced and renamed over `NAME`; then the
//! directory is synced. A `NAME.new` that a crash has left is ignored and written over.
//!
//! ```text
//!   0  magic            "CLWALONE"
//!   8  format version   u32   1
//!  12  zero             u32
//!  16  length           u64   of the content
//!  24  content checksum u32   CRC-32, as all checksums
//!  28  header checksum  u32   of the 28 bytes before
//!  32  content
//! ```
//!
//! Whoever owns the disk replaces a name from one place at a time.

use bytes::Bytes;

use crate::disk::{Disk, File, read_full};
use crate::file_error::{FileError, LAST_STEP};
use crate::format::{NEW, u32_at, u64_at};
use crate::recovery::shown;

const MAGIC: [u8; 8] = *b"CLWALONE";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
const CHECKSUM_AT: usize = HEADER_BYTES - 4;

/// Replaces a small file as a whole. Durable on return.
///
/// # Errors
/// [`FileError::Io`], which says what is there then.
pub fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    let mut draft = Draft::create(disk, name)?;
    let mut content = Vec::with_capacity(HEADER_BYTES + bytes.len());
    content.extend_from_slice(&MAGIC);
    content.extend_from_slice(&VERSION.to_le_bytes());
    content.extend_from_slice(&[0; 4]);
    content.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    content.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    content.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
    content.extend_from_slice(bytes);
    draft.write_at(&content, 0)?;
    draft.publish(disk)
}

/// Reads a small file that [`replace`] has written; `None` if there is none.
///
/// # Errors
/// `Corrupt`, `NewerVersion`, `TooLarge` for more than `bytes_max`, or `Io`.
pub fn load(disk: &dyn Disk, name: &str, bytes_max: usize) -> Result<Option<Bytes>, FileError> {
    let file_name = shown(disk, name);
    let file = match disk.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io(&file_name, "opening it")(error)),
    };
    let corrupt = |offset, what: String| Err(FileError::corrupt(&file_name, offset, what));
    let mut header = [0; HEADER_BYTES];
    let read = read_full(&*file, &mut header, 0).map_err(FileError::io(&file_name, "reading"))?;
    if read < HEADER_BYTES {
        return corrupt(read as u64, "it ends inside its header".to_owned());
    }
    check_magic(&file_name, &header, MAGIC, CHECKSUM_AT, VERSION)?;
    let length = u64_at(&header, 16);
    let found = file.len().map_err(FileError::io(&file_name, "asking for its length"))?;
    if length.checked_add(HEADER_BYTES as u64) != Some(found) {
        let what = format!("it has {found} bytes, its header speaks of {length} behind it");
        return corrupt(found.min(length.saturating_add(HEADER_BYTES as u64)), what);
    }
    if length > bytes_max as u64 {
        let max = bytes_max as u64;
        return Err(FileError::TooLarge { file: file_name, bytes: length, max });
    }
    // As long as the file is, and no longer than the caller takes.
    let mut bytes = vec![0; length as usize];
    let read = read_full(&*file, &mut bytes, HEADER_BYTES as u64)
        .map_err(FileError::io(&file_name, "reading"))?;
    if read < bytes.len() || crc32fast::hash(&bytes) != u32_at(&header, 24) {
        return corrupt(HEADER_BYTES as u64, "the checksum of its content is wrong".to_owned());
    }
    Ok(Some(bytes.into()))
}

/// Checks what all headers of whole files have in common: a magic of eight bytes, the version,
/// zeros and at `checksum_at` the checksum of all before it.
pub(crate) fn check_magic(
    file: &str,
    header: &[u8],
    magic: [u8; 8],
    checksum_at: usize,
    known: u32,
) -> Result<(), FileError> {
    let what = if header[..8] != magic {
        "it does not begin as such a file does"
    } else if u32_at(header, checksum_at) != crc32fast::hash(&header[..checksum_at]) {
        "the checksum of its header is wrong"
    } else if u32_at(header, 8) > known {
        let version = u32_at(header, 8);
        return Err(FileError::NewerVersion { file: file.to_owned(), version, known });
    } else if u32_at(header, 8) != known || u32_at(header, 12) != 0 {
        "its header has fields that no version writes"
    } else {
        return Ok(());
    };
    Err(FileError::corrupt(file, 0, what))
}

/// A file that nobody sees yet.
#[derive(Debug)]
pub(crate) struct Draft {
    name: String,
    /// For messages.
    file_name: String,
    file: Box<dyn File>,
}

impl Draft {
    /// In the place of one that was left behind.
    pub(crate) fn create(disk: &dyn Disk, name: &str) -> Result<Self, FileError> {
        let (file_name, unfinished) = (shown(disk, name), format!("{name}{NEW}"));
        match disk.remove(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::io(&file_name, "removing its leftover")(error));
            }
            Ok(()) | Err(_) => {}
        }
        let file = disk.create(&unfinished).map_err(FileError::io(&file_name, "creating it"))?;
        Ok(Self { name: name.to_owned(), file_name, file })
    }

    pub(crate) fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        self.file.write_at(bytes, offset).map_err(FileError::io(&self.file_name, "writing"))
    }

    /// Makes it durable and puts it in its place.
    pub(crate) fn publish(mut self, disk: &dyn Disk) -> Result<(), FileError> {
        let Self { name, file_name, file } = &mut self;
        file.sync().map_err(FileError::io(file_name, "syncing"))?;
        disk.rename(&format!("{name}{NEW}"), name).map_err(FileError::io(file_name, "renaming"))?;
        disk.sync().map_err(FileError::io(file_name, LAST_STEP))
    }

    /// Removes it.
    pub(crate) fn discard(self, disk: &dyn Disk) -> Result<(), FileError> {
        let unfinished = format!("{}{NEW}", self.name);
        disk.remove(&unfinished).map_err(FileError::io(&self.file_name, "removing its draft"))
    }
}

#[cfg(test)]
mod tests;
