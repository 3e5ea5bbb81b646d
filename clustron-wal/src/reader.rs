//! Reading records back, in order and in bounded memory.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::disk::{File, read_full};
use crate::error::WalError;
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader, Kind, RecordRanges};
use crate::positions::Position;
use crate::recovery::shown;
use crate::segment::Segment;
use crate::wal::Wal;

/// How much is read at once, unless one commit is larger.
const AHEAD_BYTES: u64 = 256 << 10;

/// Gives records with their indexes, in order. Ends after the first error. Each record shares the
/// memory of the commit with which it was written, or of those that were read with it.
pub struct Reader<'a> {
    wal: &'a Wal,
    /// What is still to be given.
    range: Range<u64>,
    /// The most to read at once.
    ahead_bytes: u64,
    /// The file of the segment that begins at this index.
    file: Option<(u64, Box<dyn File>)>,
    /// Bodies that were read and not yet given.
    bodies: VecDeque<Body>,
}

/// The records of one frame.
#[derive(Debug)]
struct Body {
    /// From the next record on.
    bytes: Bytes,
    /// The index of the next record.
    next: u64,
    /// The index behind the last one that counts.
    end: u64,
}

impl<'a> Reader<'a> {
    /// The range lies within what the log holds.
    pub(crate) fn new(wal: &'a Wal, range: Range<u64>, bytes: u64) -> Self {
        let ahead_bytes = bytes.min(AHEAD_BYTES);
        Self { wal, range, ahead_bytes, file: None, bodies: VecDeque::new() }
    }

    /// The next record of what was read, if it has one that is asked for.
    fn take(&mut self) -> Option<(u64, Bytes)> {
        while let Some(body) = self.bodies.front_mut() {
            // A whole body has been checked, so the range is there until all have been given.
            let range = RecordRanges::new(&body.bytes).next().filter(|_| body.next < body.end);
            let Some(range) = range else {
                self.bodies.pop_front();
                continue;
            };
            let record = body.bytes.slice(range.clone());
            body.bytes = body.bytes.slice(range.end..);
            let index = body.next;
            body.next += 1;
            if index >= self.range.start {
                self.range.start = index + 1;
                return Some((index, record));
            }
        }
        None
    }

    /// Reads the frame of the next record, and those behind it that are asked for and fit.
    fn load(&mut self) -> Result<(), WalError> {
        let segments = self.wal.segments();
        let next = self.range.start;
        let at = segments.partition_point(|segment| segment.next() <= next);
        let segment = &segments[at];
        let frames = segment.positions.from(next);
        let (count, bytes) = together(frames, self.range.end, self.ahead_bytes);
        let frames = &frames[..count];
        let start = frames[0].offset;

        let name = shown(self.wal.disk(), &segment.name);
        let failed = |error| WalError::io(&name, error);
        let mut read = vec![0; bytes];
        let file = match &self.file {
            Some((first, file)) if *first == segment.header.first => file,
            _ => {
                let file = self.wal.disk().open(&segment.name).map_err(failed)?;
                &self.file.insert((segment.header.first, file)).1
            }
        };
        let filled = read_full(&**file, &mut read, start).map_err(failed)?;
        if filled < bytes {
            let what = format!("the file ends here, {bytes} bytes from {start} on were written");
            return Err(WalError::corrupt(name, start + filled as u64, what));
        }
        let read = Bytes::from(read);
        for frame in frames {
            let from = (frame.offset - start) as usize;
            let bytes = read.slice(from..from + frame.bytes as usize);
            let body = body(segment, frame, &bytes);
            self.bodies
                .push_back(body.map_err(|what| WalError::corrupt(&name, frame.offset, what))?);
        }
        Ok(())
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<(u64, Bytes), WalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.range.is_empty() {
            return None;
        }
        if let Some(record) = self.take() {
            return Some(Ok(record));
        }
        if let Err(error) = self.load() {
            self.range.end = self.range.start;
            return Some(Err(error));
        }
        self.take().map(Ok)
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("range", &self.range).finish_non_exhaustive()
    }
}

/// How many frames, at least one, lie side by side, begin before `end` and fit; their bytes.
fn together(frames: &[Position], end: u64, bytes_max: u64) -> (usize, usize) {
    let mut bytes = u64::from(frames[0].bytes);
    let mut count = 1;
    for frame in &frames[1..] {
        let is_next = frame.offset == frames[0].offset + bytes;
        if !is_next || frame.first >= end || bytes + u64::from(frame.bytes) > bytes_max {
            break;
        }
        bytes += u64::from(frame.bytes);
        count += 1;
    }
    (count, bytes as usize)
}

/// The records of a frame, which has to be as it was when the log was opened or written.
fn body(segment: &Segment, frame: &Position, bytes: &Bytes) -> Result<Body, &'static str> {
    let header = FrameHeader::decode(bytes, segment.place(frame.offset))
        .ok_or("there is no intact frame header any more")?;
    if header.kind != Some(Kind::Records)
        || header.index != frame.first
        || header.frame_bytes() != u64::from(frame.bytes)
    {
        return Err("there is another frame now");
    }
    if !header.fits(bytes) {
        return Err("the checksum of the frame's body is wrong");
    }
    let body = FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.body_bytes as usize;
    let bytes = bytes.slice(body);
    if !RecordRanges::new(&bytes).are(header.count) {
        return Err("the lengths of the frame's records do not add up");
    }
    Ok(Body { bytes, next: frame.first, end: frame.end() })
}
