//! Takes a snapshot apart as it comes in.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};

use super::{
    AGREED_BYTES_MAX, END, MAGIC, MISSED, NAME_BYTES_MAX, PIECE_BYTES, STATE, SUM_BYTES,
    SnapshotError,
};
use crate::codec;
use crate::control::state::Agreed;

/// What a snapshot says of a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// Its state follows: read it from the reader, as far as it is wanted.
    State(String),
    /// Its state was missed.
    Missed(String),
}

/// Reads a snapshot section by section. Nothing of it may take effect before
/// [`SnapshotReader::next_section`] has said that it has ended, and so that its checksum is right.
pub(crate) struct SnapshotReader<'a> {
    input: &'a mut dyn Read,
    sum: crc32fast::Hasher,
    /// The piece that is being read, and how far it has been.
    piece: Vec<u8>,
    read: usize,
    in_state: bool,
    names: BTreeSet<String>,
}

impl<'a> SnapshotReader<'a> {
    /// Reads the core's state.
    pub(crate) fn begin(input: &'a mut dyn Read) -> Result<(Self, Agreed), SnapshotError> {
        let (sum, piece) = (crc32fast::Hasher::new(), Vec::new());
        let names = BTreeSet::new();
        let mut this = Self { input, sum, piece, read: 0, in_state: true, names };
        let mut magic = [0; MAGIC.len()];
        this.fetch(&mut magic, "its beginning")?;
        if magic != MAGIC {
            return Err(SnapshotError::Magic);
        }
        let agreed = codec::decode_up_to::<Agreed, AGREED_BYTES_MAX>(&mut this)?;
        Ok((this, agreed))
    }

    /// The next section; what was not read of the one before is passed over. `None` at the end, if
    /// the checksum is right.
    pub(crate) fn next_section(&mut self) -> Result<Option<Section>, SnapshotError> {
        while self.in_state {
            self.next_piece().map_err(|error| failed(error, "a state"))?;
        }
        let mut mark = [0];
        self.fetch(&mut mark, "a section")?;
        match mark[0] {
            END => self.check_end().map(|()| None),
            STATE => {
                self.in_state = true;
                self.name().map(|name| Some(Section::State(name)))
            }
            MISSED => self.name().map(|name| Some(Section::Missed(name))),
            other => Err(SnapshotError::Layout(format!("a section of kind {other}"))),
        }
    }

    fn name(&mut self) -> Result<String, SnapshotError> {
        let length = self.length("a name's length")?;
        if length > NAME_BYTES_MAX {
            return Err(SnapshotError::Layout(format!("a module's name of {length} bytes")));
        }
        let mut name = vec![0; length];
        self.fetch(&mut name, "a module's name")?;
        let name = String::from_utf8(name)
            .map_err(|_| SnapshotError::Layout("a module's name that is no text".to_owned()))?;
        if !self.names.insert(name.clone()) {
            return Err(SnapshotError::Layout(format!("module {name:?} twice")));
        }
        Ok(name)
    }

    fn check_end(&mut self) -> Result<(), SnapshotError> {
        let computed = self.sum.clone().finalize();
        let mut found = [0; SUM_BYTES];
        self.fetch(&mut found, "its checksum")?;
        let found = u32::from_le_bytes(found);
        if found != computed {
            return Err(SnapshotError::Checksum { found, computed });
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(SnapshotError::Layout("bytes behind its end".to_owned())),
            Err(error) => Err(SnapshotError::Read(error)),
        }
    }

    /// Reads the next piece of a state, or its end.
    fn next_piece(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > PIECE_BYTES {
            let what = format!("a piece of {length} bytes, the most is {PIECE_BYTES}");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        self.in_state = length > 0;
        let mut piece = std::mem::take(&mut self.piece);
        self.read = 0;
        piece.resize(length, 0);
        self.fill(&mut piece)?;
        self.piece = piece;
        Ok(())
    }

    fn length(&mut self, what: &'static str) -> Result<usize, SnapshotError> {
        let mut length = [0; 4];
        self.fetch(&mut length, what)?;
        Ok(u32::from_le_bytes(length) as usize)
    }

    fn fetch(&mut self, buffer: &mut [u8], what: &'static str) -> Result<(), SnapshotError> {
        self.fill(buffer).map_err(|error| failed(error, what))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(buffer)?;
        self.sum.update(buffer);
        Ok(())
    }
}

/// Reads the state of the section that came last, to its end.
impl Read for SnapshotReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            if !self.in_state {
                return Ok(0);
            }
            self.next_piece()?;
        }
        let taken = buffer.len().min(self.piece.len() - self.read);
        buffer[..taken].copy_from_slice(&self.piece[self.read..self.read + taken]);
        self.read += taken;
        Ok(taken)
    }
}

/// Reads all of a snapshot and keeps the core's state.
pub(crate) fn check_whole(input: &mut dyn Read) -> Result<Agreed, SnapshotError> {
    let (mut reader, agreed) = SnapshotReader::begin(input)?;
    while reader.next_section()?.is_some() {}
    Ok(agreed)
}

fn failed(error: io::Error, what: &'static str) -> SnapshotError {
    match error.kind() {
        ErrorKind::UnexpectedEof => SnapshotError::CutShort(what),
        ErrorKind::InvalidData => SnapshotError::Layout(error.to_string()),
        _ => SnapshotError::Read(error),
    }
}
