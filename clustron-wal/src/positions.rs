//! Where the records of one segment lie: a table of contents with one line for each frame.

/// One frame with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The index of its first record.
    pub(crate) first: u64,
    /// How many of its records still count: a truncation may have removed the rest.
    pub(crate) count: u32,
    /// Its length with header and padding.
    pub(crate) bytes: u32,
    /// Where it begins in the file.
    pub(crate) offset: u64,
}

impl Position {
    /// The index behind its last record that counts.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Positions {
    first: u64,
    frames: Vec<Position>,
}

impl Positions {
    /// Of a segment without records, whose first will have this index.
    pub(crate) fn new(first: u64) -> Self {
        Self { first, frames: Vec::new() }
    }

    /// Takes in a frame, which begins at [`Positions::next`].
    pub(crate) fn push(&mut self, frame: Position) {
        debug_assert_eq!(frame.first, self.next(), "records are dense");
        self.frames.push(frame);
    }

    /// Removes all records from this index on, which is not before the first.
    pub(crate) fn truncate(&mut self, from: u64) {
        debug_assert!(from >= self.first, "what comes before is another segment's");
        self.frames.truncate(self.frames.partition_point(|frame| frame.first < from));
        if let Some(last) = self.frames.last_mut() {
            // The difference is smaller than `count` wherever it is taken.
            last.count = last.count.min(u32::try_from(from - last.first).unwrap_or(u32::MAX));
        }
    }

    /// The index that the next record will have.
    pub(crate) fn next(&self) -> u64 {
        self.frames.last().map_or(self.first, Position::end)
    }

    /// The index of the first record.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The frames from the one on that holds this record, or the next one that is there.
    pub(crate) fn from(&self, index: u64) -> &[Position] {
        &self.frames[self.frames.partition_point(|frame| frame.end() <= index)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Positions {
        let mut positions = Positions::new(10);
        for (first, count) in [(10, 2), (12, 1), (13, 5)] {
            positions.push(Position { first, count, bytes: 64, offset: first * 100 });
        }
        positions
    }

    fn firsts(frames: &[Position]) -> Vec<(u64, u32)> {
        frames.iter().map(|frame| (frame.first, frame.count)).collect()
    }

    #[test]
    fn a_record_is_found_in_its_frame() {
        assert_eq!(firsts(three().from(10)), [(10, 2), (12, 1), (13, 5)]);
        assert_eq!(firsts(three().from(11)), [(10, 2), (12, 1), (13, 5)]);
        assert_eq!(firsts(three().from(12)), [(12, 1), (13, 5)]);
        assert_eq!(firsts(three().from(17)), [(13, 5)]);
        assert_eq!(firsts(three().from(18)), []);
    }

    #[test]
    fn a_truncation_shortens_the_frame_that_it_cuts_through() {
        let truncated = |from| {
            let mut positions = three();
            positions.truncate(from);
            (positions.next(), firsts(positions.from(0)))
        };
        assert_eq!(truncated(18), (18, vec![(10, 2), (12, 1), (13, 5)]));
        assert_eq!(truncated(15), (15, vec![(10, 2), (12, 1), (13, 2)]));
        assert_eq!(truncated(13), (13, vec![(10, 2), (12, 1)]));
        assert_eq!(truncated(11), (11, vec![(10, 1)]));
        assert_eq!(truncated(10), (10, vec![]));
    }
}
