//! Why a file that is replaced as a whole could not be read or written.

use std::io;
use std::sync::Arc;

use crate::error::Outcome;

/// Why a file that is replaced as a whole could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// What is on the disk is not what was written. Nothing was changed. Trying again does not
    /// help: take the data from another replica or a backup, and look after the disk.
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
    /// The file is larger than the caller takes. Nothing was read.
    #[error("{file} holds {bytes} bytes, at most {max} were expected")]
    TooLarge {
        /// The file.
        file: String,
        /// How much it holds.
        bytes: u64,
        /// The caller's limit.
        max: u64,
    },
    /// The disk did not do what was asked. Reading changed nothing. A write that failed has left
    /// the old content in its place, unless `step` says that only the directory's sync failed: then
    /// it is the old or the new, whole. Writing again is safe, since it begins with a new file, but
    /// the disk deserves a look.
    #[error("{file}: {step} failed: {source}")]
    Io {
        /// The file.
        file: String,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

/// The last step of a replacement, after which it counts.
pub(crate) const LAST_STEP: &str = "syncing the directory";

impl FileError {
    /// Whether what was asked for certainly did not happen.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Io { step, .. } if *step == LAST_STEP => Outcome::Unknown,
            _ => Outcome::NotApplied,
        }
    }

    /// Whether the disk was full: there must be room before it can be written again.
    pub fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }

    pub(crate) fn io(file: &str, step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { file: file.to_owned(), step, source: Arc::new(error) }
    }

    pub(crate) fn corrupt(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, what: what.into() }
    }
}
