//! A checked segment log with group commit, on a directory that can be simulated.
//!
//! What a service must not forget goes through here: records with dense indexes, durable when
//! [`Wal::append`] returns. A [`Journal`] lets many tasks share a log, so that one sync serves all
//! who wait. Small files are replaced as a whole ([`replace`], [`load`]), large ones block by block
//! ([`FileWriter`], [`FileReader`]).
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use clustron_wal::{FileDisk, Journal, JournalLimits, Options, Wal};
//! use std::{sync::Arc, thread};
//!
//! # let temporary = tempfile::tempdir()?;
//! # let path = temporary.path().join("orders");
//! let disk = Arc::new(FileDisk::open(&path)?);
//! let (wal, recovered) = Wal::open(disk.clone(), Options::new("orders", 0x5eed))?;
//! println!("{} records, {} bytes cut off", recovered.records, recovered.torn_bytes);
//!
//! // Many append, one commits: here on a thread of its own.
//! let (journal, committer) = Journal::new(wal, JournalLimits::default());
//! let committer = thread::spawn(|| committer.run());
//! let first = journal.append(vec!["a book".into(), "a lamp".into()])?;
//! let second = journal.append(vec!["a chair".into()])?;
//! assert_eq!((first.first(), second.first()), (0, 2));
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! first.await?;
//! second.await?; // durable now
//! # Ok::<(), clustron_wal::JournalError>(()) })?;
//!
//! // Without journals the committer ends and gives the log back.
//! drop(journal);
//! let wal = committer.join().expect("the committer does not panic")?;
//! let records: Result<Vec<_>, _> = wal.reader(1)?.collect();
//! assert_eq!(records?, [(1, "a lamp".into()), (2, "a chair".into())]);
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! * What was acknowledged is there after any crash, in order and without a gap; what was never
//!   appended is not; a commit is there whole or not at all.
//! * What was truncated, purged or reset stays away once the call has returned.
//! * Damage is told with file and place, and nothing is skipped or guessed. Only behind the last
//!   whole commit of the last segment, where a crash leaves its traces, is anything cut off, and
//!   [`Recovered`] says how much.
//! * A write or sync that failed ends the log until it is opened anew. Nothing is tried again.
//! * Whatever the files claim, memory stays bounded by [`Options::frame_bytes_max`] and by the
//!   length that the files really have.
//!
//! # What it does not
//!
//! * Damage to the very last commit cannot be told from a torn one. An owner that knows from
//!   elsewhere how far the log has to reach should compare.
//! * A file that somebody has removed at either end of the log is not missed.
//! * Checksums find accidents, not attackers.
//! * Disks are taken to write sectors of 512 bytes whole or not at all.
//!
//! # Testing with it
//!
//! With the feature `simulation` there is `SimDisk`, a disk in memory that forgets, tears, fills up
//! and lies from a seed. The crate's own tests cut the power between any two changes. To fuzz the
//! opening of arbitrary files, with a nightly toolchain and `cargo install cargo-fuzz`:
//!
//! ```console
//! $ cd clustron-wal
//! $ cargo +nightly fuzz run open -- -max_total_time=60
//! ```

mod atomic_file;
mod block_file;
mod committer;
mod disk;
mod error;
mod file_disk;
mod file_error;
mod format;
mod frame;
mod journal;
mod options;
mod positions;
mod queue;
mod reader;
mod recovery;
mod scan;
#[cfg(any(test, feature = "simulation"))]
mod seal;
mod segment;
#[cfg(any(test, feature = "simulation"))]
mod sim_disk;
#[cfg(test)]
mod tests;
mod wal;
mod window;

pub use atomic_file::{load, replace};
pub use block_file::{FileReader, FileWriter};
pub use committer::{Committed, Committer};
pub use disk::{Disk, File, Lock};
pub use error::{Outcome, WalError};
pub use file_disk::FileDisk;
pub use file_error::FileError;
pub use journal::{Commit, Journal, JournalError, JournalLimits};
pub use options::Options;
pub use reader::Reader;
pub use recovery::Recovered;
#[cfg(any(test, feature = "simulation"))]
pub use seal::seal;
#[cfg(any(test, feature = "simulation"))]
pub use sim_disk::SimDisk;
pub use wal::Wal;
