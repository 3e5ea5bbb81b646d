//! Puts a snapshot together as it goes out.

use std::io::{self, Write};

use super::{END, MAGIC, MISSED, NAME_BYTES_MAX, PIECE_BYTES, STATE};

/// Writes a snapshot section by section. It is none before [`SnapshotWriter::finish`].
pub(crate) struct SnapshotWriter<'a> {
    out: Summed<'a>,
    /// What has come for the next piece.
    piece: Vec<u8>,
}

impl<'a> SnapshotWriter<'a> {
    /// Begins with the core's state.
    pub(crate) fn begin<E: From<io::Error>>(
        out: &'a mut dyn Write,
        agreed: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<Self, E> {
        let out = Summed { out, sum: crc32fast::Hasher::new() };
        let mut this = Self { out, piece: Vec::with_capacity(PIECE_BYTES) };
        this.out.put(&MAGIC)?;
        this.state(agreed)?;
        Ok(this)
    }

    /// Adds a module's state, which `write` gives.
    pub(crate) fn module<E: From<io::Error>>(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        self.head(STATE, name)?;
        self.state(write)
    }

    /// Notes that a module's state was missed.
    pub(crate) fn missed(&mut self, name: &str) -> io::Result<()> {
        self.head(MISSED, name)
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.put(&[END])?;
        let sum = self.out.sum.finalize();
        self.out.out.write_all(&sum.to_le_bytes())
    }

    fn head(&mut self, mark: u8, name: &str) -> io::Result<()> {
        if name.len() > NAME_BYTES_MAX {
            let bytes = name.len();
            let error = format!("a module's name has {bytes} bytes, the most is {NAME_BYTES_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        self.out.put(&[mark])?;
        self.out.put(&(name.len() as u32).to_le_bytes())?;
        self.out.put(name.as_bytes())
    }

    fn state<E: From<io::Error>>(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        self.piece.clear();
        let mut pieces = StateWriter { out: &mut self.out, piece: &mut self.piece };
        write(&mut pieces)?;
        pieces.flush()?;
        Ok(self.out.put(&0u32.to_le_bytes())?)
    }
}

/// Cuts a state into pieces.
struct StateWriter<'w, 'a> {
    out: &'w mut Summed<'a>,
    piece: &'w mut Vec<u8>,
}

impl Write for StateWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            self.out.put(&(self.piece.len() as u32).to_le_bytes())?;
            self.out.put(self.piece)?;
            self.piece.clear();
        }
        Ok(())
    }
}

/// Adds up what goes out.
struct Summed<'a> {
    out: &'a mut dyn Write,
    sum: crc32fast::Hasher,
}

impl Summed<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }
}
