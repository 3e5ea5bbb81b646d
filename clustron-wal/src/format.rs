//! The bytes of a segment.
//!
//! A log is a row of files, its *segments*, named `PREFIX-FIRST.wal` after the index of their first
//! record in twenty digits. Each begins with a header and then holds *frames*, one for each commit:
//! one write and one sync. So a crash leaves at most the very last frame incomplete. All numbers
//! are little-endian, all checksums CRC-32 (IEEE).
//!
//! ```text
//! segment header, 64 bytes
//!   0  magic                "CLWALSEG"
//!   8  format version       u32   1
//!  12  flags                u32   bit 0: base, nothing before it belongs to the log
//!  16  salt                 u64   the log's own; the same in all its segments
//!  24  generation           u64   rises when the log starts anew behind a gap
//!  32  first index          u64   as in the file's name
//!  40  previous length      u64   of the segment before, in bytes; 0 in a base
//!  48  previous checksum    u32   of the last header in the segment before; 0 in a base
//!  52  zero                 8 bytes
//!  60  header checksum      u32   of the 60 bytes before
//!
//! frame, padded with zeros to a multiple of 8 bytes
//!   0  marker               "FRAM"
//!   4  kind                 u8    1: records; 2: truncate
//!   5  zero                 3 bytes
//!   8  index                u64   records: of the first one; truncate: from where all are removed
//!  16  count                u32   how many records; 0 in a truncate
//!  20  body length          u32   without padding
//!  24  previous checksum    u32   of the header before: the frame's, or the segment's
//!  28  body checksum        u32   of body and padding
//!  32  header checksum      u32   of salt, generation, first index of the segment, position in the
//!                                 file (4 x u64), and of the 32 bytes before
//!  36  body                       records: for each u32 length, bytes; truncate: nothing
//! ```
//!
//! The checksum of a header says where it belongs. A frame that lies at another position, in
//! another file or in another log is none, nor is a copy of one inside a record. Each header names
//! the one before it, so the headers are a chain: a piece cannot be missing, doubled or from
//! another time without a break. The first 64 bytes keep their checksum's place in every version to
//! come, so that a newer version can be told from damage.

/// The version that this code writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"CLWALSEG";
const FLAG_BASE: u32 = 1;
const CHECKSUM_AT: usize = SEGMENT_HEADER_BYTES - 4;
const EXTENSION: &str = ".wal";

/// What a file is called until it is whole.
pub(crate) const NEW: &str = ".new";

/// How many digits an index has in a name, so that names sort as numbers do.
const DIGITS: usize = 20;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) salt: u64,
    pub(crate) generation: u64,
    pub(crate) first: u64,
    /// `None` in a base.
    pub(crate) previous: Option<Previous>,
}

/// How the segment before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) bytes: u64,
    pub(crate) checksum: u32,
}

/// Why bytes are no segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// What is wrong.
    Damaged(&'static str),
    /// Its version.
    NewerVersion(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let flags = if self.previous.is_none() { FLAG_BASE } else { 0 };
        let previous = self.previous.unwrap_or(Previous { bytes: 0, checksum: 0 });
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.generation.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&previous.bytes.to_le_bytes());
        bytes[48..52].copy_from_slice(&previous.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The checksum of the header, with which the chain of frames begins.
    pub(crate) fn checksum(&self) -> u32 {
        u32_at(&self.encode(), CHECKSUM_AT)
    }

    /// Reads a header.
    ///
    /// # Errors
    /// The bytes are damaged, or of a newer version.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER_BYTES) else {
            return Err(BadHeader::Damaged("it ends inside its header"));
        };
        if bytes[..8] != MAGIC {
            return Err(BadHeader::Damaged("it does not begin as a segment does"));
        }
        if u32_at(bytes, CHECKSUM_AT) != crc32fast::hash(&bytes[..CHECKSUM_AT]) {
            return Err(BadHeader::Damaged("the checksum of its header is wrong"));
        }
        let (version, flags) = (u32_at(bytes, 8), u32_at(bytes, 12));
        if version > VERSION {
            return Err(BadHeader::NewerVersion(version));
        }
        if version != VERSION || flags > FLAG_BASE || bytes[52..CHECKSUM_AT] != [0; 8] {
            return Err(BadHeader::Damaged("its header has fields that no version writes"));
        }
        let previous = Previous { bytes: u64_at(bytes, 40), checksum: u32_at(bytes, 48) };
        Ok(Self {
            salt: u64_at(bytes, 16),
            generation: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
            previous: (flags & FLAG_BASE == 0).then_some(previous),
        })
    }
}

/// The name of the segment whose first record has this index.
pub(crate) fn segment_name(prefix: &str, first: u64) -> String {
    format!("{prefix}-{first:0DIGITS$}{EXTENSION}")
}

/// The first index that a name tells, if it is a segment's of this log.
pub(crate) fn first_of_name(prefix: &str, name: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_prefix('-')?.strip_suffix(EXTENSION)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// The caller has made sure that the bytes are there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The caller has made sure that the bytes are there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests;
