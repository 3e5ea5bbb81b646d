//! A file seen through a window that moves forward, so that reading it frame by frame costs few
//! calls and little memory.

use std::io;

use crate::disk::{File, read_full};

/// How much is read at once, unless more is asked for.
const WINDOW_BYTES: usize = 256 << 10;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn File,
    file_bytes: u64,
    /// Where the window begins.
    start: u64,
    seen: Vec<u8>,
}

impl<'a> Window<'a> {
    /// # Errors
    /// The file does not tell its length.
    pub(crate) fn new(file: &'a dyn File) -> io::Result<Self> {
        Ok(Self { file, file_bytes: file.len()?, start: 0, seen: Vec::new() })
    }

    /// The length of the file when it was opened.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// These bytes of the file, fewer where it ends. Never allocates for more than the file has.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn fetch(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = bytes.min(left);
        let seen =
            offset >= self.start && offset - self.start + bytes as u64 <= self.seen.len() as u64;
        if !seen {
            self.seen.resize(bytes.max(WINDOW_BYTES).min(left), 0);
            let read = read_full(self.file, &mut self.seen, offset)?;
            self.seen.truncate(read);
            self.start = offset;
        }
        let from = ((offset - self.start) as usize).min(self.seen.len());
        Ok(&self.seen[from..(from + bytes).min(self.seen.len())])
    }
}
