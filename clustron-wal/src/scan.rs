//! Reads a segment from end to end, as an auditor reads a ledger: every line must follow from the
//! one before. Only at the very end of the very last one may a line be unfinished.

use std::io;

use crate::error::WalError;
use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::frame::{ALIGNMENT, FRAME_HEADER_BYTES, FrameHeader, Kind, Place, RecordRanges};
use crate::positions::{Position, Positions};
use crate::window::Window;

/// How many bytes the search for a frame looks at in one go.
const STRIDE_BYTES: usize = 64 << 10;

/// A segment that was read.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) positions: Positions,
    /// Where the last whole frame ends.
    pub(crate) bytes: u64,
    /// The checksum of the last header, which the next one has to name.
    pub(crate) checksum: u32,
    /// Where the last whole frame begins, if there is one.
    pub(crate) last_frame: Option<u64>,
    /// What lies behind the last whole frame. Not 0 only in the last segment.
    pub(crate) torn_bytes: u64,
}

/// A segment to be read.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    /// For messages.
    pub(crate) file: &'a str,
    pub(crate) window: Window<'a>,
    pub(crate) header: SegmentHeader,
    /// Whether it is the last, whose end may be torn.
    pub(crate) is_last: bool,
    pub(crate) frame_bytes_max: u64,
}

impl Scanner<'_> {
    /// Reads it all.
    ///
    /// # Errors
    /// `Corrupt`, `OverLimit` or `Io`.
    pub(crate) fn scan(mut self) -> Result<Scan, WalError> {
        let mut scan = Scan {
            positions: Positions::new(self.header.first),
            bytes: SEGMENT_HEADER_BYTES as u64,
            checksum: self.header.checksum(),
            last_frame: None,
            torn_bytes: 0,
        };
        while scan.bytes < self.window.file_bytes() {
            match self.frame(&scan)? {
                Ok(header) => self.take_in(header, &mut scan)?,
                Err(what) => {
                    self.only_at_the_end(scan.bytes, what)?;
                    scan.torn_bytes = self.window.file_bytes() - scan.bytes;
                    break;
                }
            }
        }
        Ok(scan)
    }

    /// The frame behind those that were read, or why there is no whole one.
    fn frame(&mut self, scan: &Scan) -> Result<Result<FrameHeader, &'static str>, WalError> {
        let offset = scan.bytes;
        let place = self.place(offset);
        let left = self.window.file_bytes() - offset;
        let bytes = self.fetch(offset, FRAME_HEADER_BYTES)?;
        let Some(header) = FrameHeader::decode(bytes, place) else {
            return Ok(Err("there is no intact frame header"));
        };
        // Before the length is compared with the file's: an honest header that asks for too much
        // must not pass for a torn end.
        let (bytes, max) = (header.frame_bytes(), self.frame_bytes_max);
        if bytes > max {
            return Err(WalError::OverLimit { file: self.file.to_owned(), offset, bytes, max });
        }
        if bytes > left {
            return Ok(Err("the frame is cut off"));
        }
        // At most `frame_bytes_max`.
        let frame = self.fetch(offset, bytes as usize)?;
        Ok(if header.fits(frame) {
            Ok(header)
        } else {
            Err("the checksum of the frame's body is wrong")
        })
    }

    /// An intact frame. Whatever does not fit now was written so, or belongs elsewhere.
    fn take_in(&mut self, header: FrameHeader, scan: &mut Scan) -> Result<(), WalError> {
        let offset = scan.bytes;
        let next = scan.positions.next();
        if header.previous != scan.checksum {
            let what = "the frame does not follow the one before it";
            return Err(self.corrupt(offset, what));
        }
        match header.kind {
            Some(Kind::Records) => {
                let end = header.index.checked_add(u64::from(header.count));
                if header.index != next || header.count == 0 || end.is_none() {
                    let (count, index) = (header.count, header.index);
                    let what =
                        format!("{count} records from {index} on stand where {next} comes next");
                    return Err(self.corrupt(offset, what));
                }
                let body = offset + FRAME_HEADER_BYTES as u64;
                let body = self.fetch(body, header.body_bytes as usize)?;
                if !RecordRanges::new(body).are(header.count) {
                    let what = "the lengths of the frame's records do not add up";
                    return Err(self.corrupt(offset, what));
                }
                scan.positions.push(Position {
                    first: header.index,
                    count: header.count,
                    // At most `frame_bytes_max`, which has 30 bits.
                    bytes: header.frame_bytes() as u32,
                    offset,
                });
            }
            Some(Kind::Truncate) => {
                let from = header.index;
                // Never to the segment's first record: the log then starts anew instead.
                if from <= scan.positions.first() || from >= next || header.body_bytes != 0 {
                    let what = format!("the log is cut at {from} where {next} comes next");
                    return Err(self.corrupt(offset, what));
                }
                scan.positions.truncate(from);
            }
            None => return Err(self.corrupt(offset, "the frame is of a kind that nobody writes")),
        }
        scan.last_frame = Some(offset);
        scan.bytes += header.frame_bytes();
        scan.checksum = header.checksum;
        Ok(())
    }

    /// What is not whole may only be the unfinished end of the log. Every frame was durable before
    /// the next one was begun, so a whole one further on means damage.
    fn only_at_the_end(&mut self, offset: u64, what: &str) -> Result<(), WalError> {
        if !self.is_last {
            return Err(self.corrupt(offset, format!("{what}, and another segment follows")));
        }
        if let Some(further) = self.find_frame(offset + ALIGNMENT)? {
            let what = format!("{what}, but an intact frame follows at byte {further}");
            return Err(self.corrupt(offset, what));
        }
        Ok(())
    }

    /// The first position from `start` on where an intact frame header stands.
    fn find_frame(&mut self, start: u64) -> Result<Option<u64>, WalError> {
        let mut stride = start;
        while stride < self.window.file_bytes() {
            let place = self.place(stride);
            // Longer than the stride by what a header needs that begins at its end.
            let bytes = self.fetch(stride, STRIDE_BYTES + FRAME_HEADER_BYTES)?;
            for at in (0..STRIDE_BYTES.min(bytes.len())).step_by(ALIGNMENT as usize) {
                let offset = stride + at as u64;
                if FrameHeader::decode(&bytes[at..], Place { offset, ..place }).is_some() {
                    return Ok(Some(offset));
                }
            }
            stride += STRIDE_BYTES as u64;
        }
        Ok(None)
    }

    fn place(&self, offset: u64) -> Place {
        let SegmentHeader { salt, generation, first, .. } = self.header;
        Place { salt, generation, segment: first, offset }
    }

    fn fetch(&mut self, offset: u64, bytes: usize) -> Result<&[u8], WalError> {
        let fetched = self.window.fetch(offset, bytes);
        fetched.map_err(|error: io::Error| WalError::io(self.file, error))
    }

    fn corrupt(&self, offset: u64, what: impl Into<String>) -> WalError {
        WalError::corrupt(self.file, offset, what)
    }
}
