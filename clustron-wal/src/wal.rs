//! The log itself: records with dense indexes in segments, durable when a call returns.
//!
//! Like a ship's log in numbered volumes. Entries are only added at the end, wrong ones at the end
//! are struck out by a line that says so, and full volumes at the beginning are thrown away when
//! nobody needs them any more. Should a page fail to take the ink, the pen is put down for good.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, File, Lock};
use crate::error::WalError;
use crate::format::SegmentHeader;
use crate::frame::{body_bytes, encode_records, encode_truncate, frame_bytes};
use crate::options::Options;
use crate::positions::Position;
use crate::reader::Reader;
use crate::recovery::{Recovered, recover, shown};
use crate::segment::Segment;

/// A segment log. Every call blocks; `Journal` lets many tasks share one.
///
/// One position for each commit (24 bytes) stays in memory; records do not.
#[derive(Debug)]
pub struct Wal {
    disk: Arc<dyn Disk>,
    options: Options,
    /// The oldest first; the last one is written to. None before the first record of a new log.
    segments: Vec<Segment>,
    /// The last segment's file.
    active: Option<Box<dyn File>>,
    /// Why nothing is done any more.
    ended: Option<WalError>,
    /// The frame that is being written, kept for its memory.
    frame: Vec<u8>,
    /// Held, not used.
    _lock: Option<Lock>,
}

impl Wal {
    /// Opens a log, or begins one where there is none. What a crash has left unfinished is put in
    /// order: see [`Recovered`]. All that it holds then is durable.
    ///
    /// # Errors
    /// `InvalidOptions`; `Locked`; `Corrupt`, `NewerVersion`, `OverLimit` or `Io`, and nothing was
    /// changed; `Failed` or `Full` if it could not be put in order.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Recovered), WalError> {
        options.check()?;
        let lock = if options.lock {
            Some(disk.lock().map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => WalError::Locked { source: Arc::new(error) },
                _ => WalError::io(shown(&*disk, ""), error),
            })?)
        } else {
            None
        };
        let recovery = recover(&*disk, &options)?;
        let (segments, active) = (recovery.segments, recovery.active);
        let wal =
            Self { disk, options, segments, active, ended: None, frame: Vec::new(), _lock: lock };
        Ok((wal, recovery.recovered))
    }

    /// Appends records as one commit, which a crash leaves whole or not at all. Durable on return.
    /// Nothing happens without records.
    ///
    /// `first` has to be [`Wal::next_index`]; a log that is new takes any.
    ///
    /// # Errors
    /// `NotNext`, `OutOfIndexes`, `RecordTooLarge` or `GroupTooLarge`, and nothing was written;
    /// `Full` or `Failed`, and the log has to be opened again.
    pub fn append(&mut self, first: u64, records: &[Bytes]) -> Result<(), WalError> {
        self.check()?;
        let bytes = self.check_group(first, records)?;
        if records.is_empty() {
            return Ok(());
        }
        match self.segments.last() {
            None => self.begin(first, 1)?,
            Some(last) if last.next() != last.header.first => {
                if last.bytes + bytes > self.options.segment_bytes {
                    let successor = last.successor();
                    self.add_segment(successor)?;
                }
            }
            // A segment without records has to take the first ones, however large.
            Some(_) => {}
        }
        self.write(|segment, frame| {
            let place = segment.place(segment.bytes);
            let checksum = encode_records(frame, place, segment.checksum, first, records);
            // Both have been checked against limits of 30 bits.
            let (count, bytes) = (records.len() as u32, frame.len() as u32);
            segment.positions.push(Position { first, count, bytes, offset: segment.bytes });
            checksum
        })
    }

    /// Removes all records from this index on; those before it stay. Durable on return. A crash
    /// before that may leave any of those that were to go, without a gap. Nothing happens if there
    /// is no such record.
    ///
    /// # Errors
    /// `Purged` if the log begins behind `from`, and nothing was changed; `Full` or `Failed`, and
    /// the log has to be opened again.
    pub fn truncate(&mut self, from: u64) -> Result<(), WalError> {
        self.check()?;
        if from >= self.next_index() {
            return Ok(());
        }
        let first = self.first_index();
        if from < first {
            return Err(WalError::Purged { index: from, first });
        }
        if from == first {
            return self.reset(from);
        }
        // From the end, one by one and each for good before the next: there is never a gap.
        while let Some(last) = self.segments.pop_if(|last| last.header.first >= from) {
            self.active = None;
            self.remove(&last.name)?;
            self.sync_directory()?;
        }
        if self.active.is_none()
            && let Some(last) = self.segments.last()
        {
            let opened = self.disk.open(&last.name);
            let name = last.name.clone();
            self.active = Some(self.done(&name, opened)?);
        }
        if from == self.next_index() {
            return Ok(());
        }
        self.write(|segment, frame| {
            segment.positions.truncate(from);
            encode_truncate(frame, segment.place(segment.bytes), segment.checksum, from)
        })
    }

    /// Gives back segments whose records all have this index or a lower one, the oldest first. The
    /// segment that is written to stays. A crash may leave some of them, without a gap. So
    /// afterwards
    /// [`Wal::first_index`] is at most `upto + 1`, and often lower.
    ///
    /// # Errors
    /// `Full` or `Failed`, and the log has to be opened again.
    pub fn purge(&mut self, upto: u64) -> Result<(), WalError> {
        self.check()?;
        while self.segments.len() > 1 && self.segments[0].next().saturating_sub(1) <= upto {
            let oldest = self.segments.remove(0);
            self.remove(&oldest.name)?;
            self.sync_directory()?;
        }
        Ok(())
    }

    /// Drops all records; the next one will have this index. For a log that goes on behind a
    /// snapshot, before or behind what it holds. Durable on return; a crash leaves the log as it
    /// was or as it shall be.
    ///
    /// # Errors
    /// `Full` or `Failed`, and the log has to be opened again.
    pub fn reset(&mut self, next: u64) -> Result<(), WalError> {
        self.check()?;
        let old: Vec<Segment> = std::mem::take(&mut self.segments);
        let generation = old.last().map_or(1, |last| last.header.generation + 1);
        let salt = old.last().map_or(self.options.salt, |last| last.header.salt);
        self.add_segment(SegmentHeader { salt, generation, first: next, previous: None })?;
        // The new generation counts from here on, so what follows may be lost in a crash.
        let kept = self.segments[0].name.clone();
        for segment in old.iter().filter(|segment| segment.name != kept) {
            self.remove(&segment.name)?;
        }
        // Not for the records: but a later purge must not become durable before this, where a file
        // system keeps no order. A base that is gone while older segments are there is damage.
        self.sync_directory()
    }

    /// The index of the first record that is there, or of the one to come. 0 for a log that is new.
    pub fn first_index(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.header.first)
    }

    /// The index that the next record has to have. 0 for a log that is new and takes any.
    pub fn next_index(&self) -> u64 {
        self.segments.last().map_or(0, Segment::next)
    }

    /// Whether the log is new: it never had a record, and its first may have any index.
    pub fn is_new(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many bytes its files have together.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// How the log is kept.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Reads all records from this index on, one after the other. Needs memory for one commit, or
    /// for 256 KiB if that is more.
    ///
    /// # Errors
    /// `Purged` if the log begins behind `from`; `Full` or `Failed` if the log has ended. Reading
    /// goes on to give `Corrupt` or `Io`, and then ends.
    pub fn reader(&self, from: u64) -> Result<Reader<'_>, WalError> {
        self.read_ahead(from..u64::MAX, u64::MAX)
    }

    /// Reads records by their indexes: those of the range that are there, but no more than fit into
    /// `bytes_max`. The first one is given whatever its size. Each record shares the memory of the
    /// commit with which it was written.
    ///
    /// # Errors
    /// `Purged` if the log begins behind the range's start; `Corrupt` or `Io`; `Full` or `Failed`
    /// if the log has ended.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<(u64, Bytes)>, WalError> {
        let mut records = Vec::new();
        let mut left = bytes_max;
        for record in self.read_ahead(range, bytes_max as u64)? {
            let (index, record) = record?;
            match left.checked_sub(record.len()) {
                Some(rest) => left = rest,
                None if records.is_empty() => left = 0,
                None => break,
            }
            records.push((index, record));
        }
        Ok(records)
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether these records could be appended; the size of their frame.
    pub(crate) fn check_group(&self, first: u64, records: &[Bytes]) -> Result<u64, WalError> {
        let next = self.next_index();
        if first != next && !self.is_new() {
            return Err(WalError::NotNext { given: first, next });
        }
        let count = records.len() as u64;
        if first.checked_add(count).is_none() {
            return Err(WalError::OutOfIndexes { first, count });
        }
        self.options.check_records(first, records)
    }

    fn read_ahead(&self, range: Range<u64>, bytes: u64) -> Result<Reader<'_>, WalError> {
        self.check()?;
        let first = self.first_index();
        if range.start < first && !range.is_empty() {
            return Err(WalError::Purged { index: range.start, first });
        }
        Ok(Reader::new(self, range.start..range.end.min(self.next_index()), bytes))
    }

    fn begin(&mut self, first: u64, generation: u64) -> Result<(), WalError> {
        let salt = self.options.salt;
        self.add_segment(SegmentHeader { salt, generation, first, previous: None })
    }

    fn add_segment(&mut self, header: SegmentHeader) -> Result<(), WalError> {
        let created = Segment::create(&*self.disk, &self.options.prefix, header);
        let (segment, file) = self.done("", created)?;
        self.segments.push(segment);
        self.active = Some(file);
        Ok(())
    }

    /// Puts one frame behind the last one, durably. `encode` writes it, notes in the segment what
    /// it does, and gives the checksum of its header.
    fn write(
        &mut self,
        encode: impl FnOnce(&mut Segment, &mut Vec<u8>) -> u32,
    ) -> Result<(), WalError> {
        let (Some(segment), Some(file)) = (self.segments.last_mut(), self.active.as_mut()) else {
            return Ok(());
        };
        segment.checksum = encode(segment, &mut self.frame);
        let written = file.write_at(&self.frame, segment.bytes).and_then(|()| file.sync());
        segment.bytes += self.frame.len() as u64;
        let name = segment.name.clone();
        self.done(&name, written)
    }

    fn remove(&mut self, name: &str) -> Result<(), WalError> {
        let removed = self.disk.remove(name);
        self.done(name, removed)
    }

    fn sync_directory(&mut self) -> Result<(), WalError> {
        let synced = self.disk.sync();
        self.done("", synced)
    }

    fn check(&self) -> Result<(), WalError> {
        self.ended.clone().map_or(Ok(()), Err)
    }

    /// Ends the log for good if a change has failed.
    fn done<T>(&mut self, name: &str, result: io::Result<T>) -> Result<T, WalError> {
        result.map_err(|error| {
            let error = WalError::fatal(shown(&*self.disk, name), error);
            tracing::error!(%error, "the log has ended");
            self.ended.get_or_insert(error).clone()
        })
    }
}

impl Options {
    /// Whether records keep to the limits; the size of their frame.
    pub(crate) fn check_records(&self, first: u64, records: &[Bytes]) -> Result<u64, WalError> {
        let too_large = |record: &&Bytes| record.len() > self.record_bytes_max;
        if let Some((at, record)) = records.iter().enumerate().find(|(_, r)| too_large(r)) {
            return Err(WalError::RecordTooLarge {
                index: first + at as u64,
                bytes: record.len(),
                max: self.record_bytes_max,
            });
        }
        let (bytes, max) = (frame_bytes(body_bytes(records)), self.frame_bytes_max as u64);
        if bytes > max {
            return Err(WalError::GroupTooLarge { bytes, max });
        }
        Ok(bytes)
    }
}
