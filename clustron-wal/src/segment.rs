//! One segment as the log knows it, and how a new one comes to be.

use std::io;

use crate::disk::{Disk, File};
use crate::format::{NEW, Previous, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name};
use crate::frame::Place;
use crate::positions::Positions;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    /// Up to where it is written.
    pub(crate) bytes: u64,
    /// Of its last header, which the next one has to name.
    pub(crate) checksum: u32,
    pub(crate) positions: Positions,
}

impl Segment {
    /// Creates a segment and makes it durable before anybody can find it: a file under a segment's
    /// own name always has its whole header, so a bad one is damage and never an unfinished start.
    ///
    /// # Errors
    /// The disk did not do it. Whether the segment is there is unknown then.
    pub(crate) fn create(
        disk: &dyn Disk,
        prefix: &str,
        header: SegmentHeader,
    ) -> io::Result<(Self, Box<dyn File>)> {
        let name = segment_name(prefix, header.first);
        let unfinished = format!("{name}{NEW}");
        let mut file = disk.create(&unfinished)?;
        let bytes = header.encode();
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(&unfinished, &name)?;
        disk.sync()?;
        let segment = Self {
            name,
            header,
            bytes: SEGMENT_HEADER_BYTES as u64,
            checksum: header.checksum(),
            positions: Positions::new(header.first),
        };
        Ok((segment, file))
    }

    /// The index that the next record will have.
    pub(crate) fn next(&self) -> u64 {
        self.positions.next()
    }

    /// Where a frame at this position of it lies.
    pub(crate) fn place(&self, offset: u64) -> Place {
        let SegmentHeader { salt, generation, first, .. } = self.header;
        Place { salt, generation, segment: first, offset }
    }

    /// The header of the segment that follows this one.
    pub(crate) fn successor(&self) -> SegmentHeader {
        let previous = Previous { bytes: self.bytes, checksum: self.checksum };
        SegmentHeader { first: self.next(), previous: Some(previous), ..self.header }
    }
}
