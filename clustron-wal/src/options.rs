//! How a log is kept.

use crate::error::WalError;
use crate::format::SEGMENT_HEADER_BYTES;
use crate::frame::{RECORD_HEAD_BYTES, frame_bytes};

/// The largest frame that can be allowed: lengths have 32 bits.
const FRAME_BYTES_LIMIT: usize = 1 << 30;

/// How a log is kept. Checked when it is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the names of its files begin with: letters, digits, `-` and `_`. Several logs may share
    /// a disk under different prefixes; see `lock`.
    pub prefix: String,
    /// A segment that has so many bytes is followed by another. 64 MiB by default. Space comes back
    /// in whole segments, so smaller ones free it sooner and cost more files. A commit is never
    /// split, so a segment may be longer by one frame.
    pub segment_bytes: u64,
    /// The largest record that may be appended. 4 MiB by default. Must leave room in a frame.
    pub record_bytes_max: usize,
    /// The largest commit with all that belongs to it, and so the most memory that reading needs at
    /// once. 16 MiB by default, at most 1 GiB. A log that holds a larger one cannot be opened:
    /// raise it freely, lower it only for a new log.
    pub frame_bytes_max: usize,
    /// A number that tells this log from all others, for a log that is new: random, or an identity
    /// that nobody else has. A log that exists keeps its own.
    pub salt: u64,
    /// Whether opening takes the disk's lock, as by default. `false` where the owner of the disk
    /// has taken it already, for instance because several logs are on it.
    pub lock: bool,
}

impl Options {
    /// The defaults, with what has none.
    pub fn new(prefix: impl Into<String>, salt: u64) -> Self {
        Self {
            prefix: prefix.into(),
            segment_bytes: 64 << 20,
            record_bytes_max: 4 << 20,
            frame_bytes_max: 16 << 20,
            salt,
            lock: true,
        }
    }

    pub(crate) fn check(&self) -> Result<(), WalError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.prefix.is_empty() || !self.prefix.chars().all(plain) {
            return invalid(format!(
                "prefix is {:?}: give letters, digits, - and _, at least one",
                self.prefix
            ));
        }
        if self.segment_bytes <= SEGMENT_HEADER_BYTES as u64 {
            return invalid(format!(
                "segment_bytes is {}: give more than {SEGMENT_HEADER_BYTES}",
                self.segment_bytes
            ));
        }
        if self.frame_bytes_max > FRAME_BYTES_LIMIT {
            return invalid(format!(
                "frame_bytes_max is {}: give at most {FRAME_BYTES_LIMIT}",
                self.frame_bytes_max
            ));
        }
        // Whatever is beyond the limit is too much, and this much cannot overflow.
        let record = self.record_bytes_max.min(2 * FRAME_BYTES_LIMIT) + RECORD_HEAD_BYTES;
        let needed = frame_bytes(record as u64);
        if needed > self.frame_bytes_max as u64 {
            return invalid(format!(
                "record_bytes_max is {}, which takes a frame of {needed} bytes, but \
                 frame_bytes_max is {}: raise the one or lower the other",
                self.record_bytes_max, self.frame_bytes_max
            ));
        }
        Ok(())
    }
}

fn invalid(what: String) -> Result<(), WalError> {
    Err(WalError::InvalidOptions { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_bad_value_is_named() {
        let good = Options::new("raft", 1);
        good.check().unwrap();
        let bad = [
            (Options { prefix: String::new(), ..good.clone() }, "prefix is \"\""),
            (Options { prefix: "a/b".to_owned(), ..good.clone() }, "prefix is \"a/b\""),
            (Options { segment_bytes: 64, ..good.clone() }, "segment_bytes is 64"),
            (Options { frame_bytes_max: usize::MAX, ..good.clone() }, "frame_bytes_max is"),
            (Options { record_bytes_max: 16 << 20, ..good.clone() }, "record_bytes_max is"),
        ];
        for (options, start) in bad {
            let Err(WalError::InvalidOptions { what }) = options.check() else {
                panic!("{options:?} passed");
            };
            assert!(what.starts_with(start), "{what}");
        }
        Options { record_bytes_max: (16 << 20) - 40, ..good }.check().unwrap();
    }
}
