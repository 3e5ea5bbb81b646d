//! Why an operation of the log failed, and what is on the disk then.

use std::io;
use std::sync::Arc;

/// What is known of an operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It certainly changed nothing.
    NotApplied,
    /// It may have had its effect. Only opening the log anew tells.
    Unknown,
}

/// Why an operation of the log failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// An option cannot be used. Nothing was touched; correct it.
    #[error("the log's option {what}")]
    InvalidOptions {
        /// The option, its value and what is allowed.
        what: String,
    },
    /// Another process, or another opener in this one, has the disk. Nothing was touched. Trying
    /// again is safe and of use when the other has ended.
    #[error("the log cannot be opened: {source}")]
    Locked {
        /// Names the directory and, where it is known, the holder.
        source: Arc<io::Error>,
    },
    /// A file could not be read, or at opening the disk did not do what was asked. No record was
    /// changed. Trying again is safe once the disk is repaired.
    #[error("{file} cannot be used: {source}")]
    Io {
        /// The file, or the directory.
        file: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// What is on the disk is not what was written. Nothing was changed, and nothing is skipped or
    /// guessed. Trying again does not help: somebody must take the data from another replica or a
    /// backup, and look after the disk.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Corrupt {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A later version of this crate has written the file. Nothing was changed. Run that version.
    #[error(
        "{file} has the format version {version}, and this program knows {known}: use a newer one"
    )]
    NewerVersion {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
        /// The latest that is known here.
        known: u32,
    },
    /// The log holds a commit that is larger than [`Options::frame_bytes_max`] allows to read.
    /// Nothing was changed. Raise the option.
    ///
    /// [`Options::frame_bytes_max`]: crate::Options::frame_bytes_max
    #[error(
        "{file} has a commit of {bytes} bytes at byte {offset}: raise frame_bytes_max from {max}"
    )]
    OverLimit {
        /// The file.
        file: String,
        /// Where the commit begins.
        offset: u64,
        /// How long it is.
        bytes: u64,
        /// The option's value.
        max: u64,
    },
    /// Records were to be appended that do not come next. Nothing was written; a bug of the caller.
    #[error("records from {given} on were appended, but the next index is {next}")]
    NotNext {
        /// The first index that was given.
        given: u64,
        /// The index that comes next.
        next: u64,
    },
    /// The indexes have come to their end. Nothing was written.
    #[error("{count} records from {first} on are more than there are indexes")]
    OutOfIndexes {
        /// The first index.
        first: u64,
        /// How many records were to follow.
        count: u64,
    },
    /// A record is larger than [`Options::record_bytes_max`](crate::Options::record_bytes_max).
    /// Nothing was written.
    #[error("record {index} has {bytes} bytes, at most {max} are allowed: make it smaller")]
    RecordTooLarge {
        /// The index that it would have had.
        index: u64,
        /// Its size.
        bytes: usize,
        /// The option's value.
        max: usize,
    },
    /// The records are together larger than a commit may be, see
    /// [`Options::frame_bytes_max`](crate::Options::frame_bytes_max). Nothing was written. Append
    /// them in several calls.
    #[error("the records need a commit of {bytes} bytes, at most {max} are allowed: append fewer")]
    GroupTooLarge {
        /// The size of the commit that they need.
        bytes: u64,
        /// The option's value.
        max: u64,
    },
    /// The index lies before the first record: it has been given back. Nothing was changed.
    #[error("index {index} has been purged: the log begins at {first}")]
    Purged {
        /// The index.
        index: u64,
        /// Where the log begins.
        first: u64,
    },
    /// The disk is full. What was appended before is durable; of this call nothing is promised. The
    /// log does nothing more until it has been opened again, for which there must be room first.
    #[error("{file} cannot grow, the disk is full: make room and open the log again")]
    Full {
        /// The file.
        file: String,
    },
    /// A write or a sync failed, at this call or an earlier one. What was appended before that is
    /// durable; of the call that failed nothing is promised. It is never tried again: after a
    /// failed sync the system may have dropped what it could not write, and call the next sync a
    /// success (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
    /// End the process or open the log anew, and look after the disk.
    #[error("{file} failed and is not written any more: {first_cause}")]
    Failed {
        /// The file, or the directory.
        file: String,
        /// What the system said first.
        #[source]
        first_cause: Arc<io::Error>,
    },
}

impl WalError {
    /// Whether what was asked for certainly did not happen.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Full { .. } | Self::Failed { .. } => Outcome::Unknown,
            _ => Outcome::NotApplied,
        }
    }

    /// Something that only reads, or that can be done again, did not work.
    pub(crate) fn io(file: impl Into<String>, error: io::Error) -> Self {
        Self::Io { file: file.into(), source: Arc::new(error) }
    }

    /// A change did not work.
    pub(crate) fn fatal(file: impl Into<String>, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { file: file.into() }
            }
            _ => Self::Failed { file: file.into(), first_cause: Arc::new(error) },
        }
    }

    pub(crate) fn corrupt(file: impl Into<String>, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.into(), offset, what: what.into() }
    }
}
