//! One frame: a commit as it lies in a segment. `format.rs` has its layout.

use std::ops::Range;

use bytes::Bytes;

use crate::format::{u32_at, u64_at};

pub(crate) const FRAME_HEADER_BYTES: usize = 36;

/// Frames begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;

/// What each record costs besides its bytes: its length.
pub(crate) const RECORD_HEAD_BYTES: usize = 4;

const MARKER: [u8; 4] = *b"FRAM";
const RECORDS: u8 = 1;
const TRUNCATE: u8 = 2;
const BODY_CHECKSUM_AT: usize = 28;
const CHECKSUM_AT: usize = FRAME_HEADER_BYTES - 4;

/// Where a frame lies. It goes into the header's checksum, so a frame counts nowhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) salt: u64,
    pub(crate) generation: u64,
    /// The first index of its segment.
    pub(crate) segment: u64,
    /// Its position in the file.
    pub(crate) offset: u64,
}

/// What a frame does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It brings records.
    Records,
    /// It removes all records from an index on.
    Truncate,
}

/// A header that is intact. What it says need not make sense yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// `None` for one that no version writes.
    pub(crate) kind: Option<Kind>,
    pub(crate) index: u64,
    pub(crate) count: u32,
    pub(crate) body_bytes: u32,
    pub(crate) previous: u32,
    pub(crate) body_checksum: u32,
    /// Its own, which the next header names.
    pub(crate) checksum: u32,
}

impl FrameHeader {
    /// The header at a place, or `None` if what is there is none.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES)?;
        // Before the checksum, because the search for frames comes by here at every position.
        if bytes[..4] != MARKER {
            return None;
        }
        let checksum = u32_at(bytes, CHECKSUM_AT);
        if checksum != place.checksum(&bytes[..CHECKSUM_AT]) {
            return None;
        }
        let kind = match bytes[4..8] {
            [RECORDS, 0, 0, 0] => Some(Kind::Records),
            [TRUNCATE, 0, 0, 0] => Some(Kind::Truncate),
            _ => None,
        };
        Some(Self {
            kind,
            index: u64_at(bytes, 8),
            count: u32_at(bytes, 16),
            body_bytes: u32_at(bytes, 20),
            previous: u32_at(bytes, 24),
            body_checksum: u32_at(bytes, BODY_CHECKSUM_AT),
            checksum,
        })
    }

    /// How many bytes the frame takes, with its padding.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(u64::from(self.body_bytes))
    }

    /// Whether a whole frame with this header has the body that it was written with.
    pub(crate) fn fits(&self, frame: &[u8]) -> bool {
        crc32fast::hash(&frame[FRAME_HEADER_BYTES..]) == self.body_checksum
    }
}

impl Place {
    fn checksum(&self, header: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for number in [self.salt, self.generation, self.segment, self.offset] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(header);
        hasher.finalize()
    }
}

/// How many bytes a frame with such a body takes, with its padding.
pub(crate) fn frame_bytes(body_bytes: u64) -> u64 {
    (FRAME_HEADER_BYTES as u64 + body_bytes).next_multiple_of(ALIGNMENT)
}

/// How long the body of a frame with these records is.
pub(crate) fn body_bytes(records: &[Bytes]) -> u64 {
    records.iter().map(|record| (RECORD_HEAD_BYTES + record.len()) as u64).sum()
}

/// Puts a frame with records into `out`, which is emptied before; its header's checksum. The caller
/// keeps to the limits, which are far below 4 GiB.
pub(crate) fn encode_records(
    out: &mut Vec<u8>,
    place: Place,
    previous: u32,
    first: u64,
    records: &[Bytes],
) -> u32 {
    begin(out, RECORDS, first, records.len() as u32, body_bytes(records) as u32, previous);
    for record in records {
        out.extend_from_slice(&(record.len() as u32).to_le_bytes());
        out.extend_from_slice(record);
    }
    finish(out, place)
}

/// Puts a frame into `out`, which is emptied before, that removes all records from an index on; its
/// header's checksum.
pub(crate) fn encode_truncate(out: &mut Vec<u8>, place: Place, previous: u32, from: u64) -> u32 {
    begin(out, TRUNCATE, from, 0, 0, previous);
    finish(out, place)
}

fn begin(out: &mut Vec<u8>, kind: u8, index: u64, count: u32, body_bytes: u32, previous: u32) {
    out.clear();
    out.reserve(frame_bytes(u64::from(body_bytes)) as usize);
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&body_bytes.to_le_bytes());
    out.extend_from_slice(&previous.to_le_bytes());
    // The place of both checksums.
    out.extend_from_slice(&[0; 8]);
}

fn finish(out: &mut Vec<u8>, place: Place) -> u32 {
    out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
    seal(out, place)
}

/// Puts both checksums into a frame that is whole otherwise; its header's checksum.
fn seal(frame: &mut [u8], place: Place) -> u32 {
    let body = crc32fast::hash(&frame[FRAME_HEADER_BYTES..]);
    frame[BODY_CHECKSUM_AT..CHECKSUM_AT].copy_from_slice(&body.to_le_bytes());
    let checksum = place.checksum(&frame[..CHECKSUM_AT]);
    frame[CHECKSUM_AT..FRAME_HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// Makes marker, zeros and checksums of a frame right; its header's checksum.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn reseal(frame: &mut [u8], place: Place, previous: u32) -> u32 {
    frame[..4].copy_from_slice(&MARKER);
    frame[5..8].fill(0);
    frame[24..BODY_CHECKSUM_AT].copy_from_slice(&previous.to_le_bytes());
    seal(frame, place)
}

/// Where the records of a body lie in it. Ends early where the body is not as it should be.
#[derive(Debug)]
pub(crate) struct RecordRanges<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> RecordRanges<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// Whether the body holds exactly so many records and nothing else.
    pub(crate) fn are(mut self, count: u32) -> bool {
        self.by_ref().count() == count as usize && self.at == self.body.len()
    }
}

impl Iterator for RecordRanges<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at + RECORD_HEAD_BYTES;
        let length = u32_at(self.body.get(self.at..start)?, 0) as usize;
        let end = start.checked_add(length).filter(|end| *end <= self.body.len())?;
        self.at = end;
        Some(start..end)
    }
}
