//! What the log needs of a disk, and no more.
//!
//! Like one drawer with labelled folders: a folder can be put in, taken out, relabelled and written
//! in, and nothing is certain to survive the night before the drawer has been locked. A [`Disk`] is
//! one directory with flat names. Real ones are [`FileDisk`](crate::FileDisk)s; with the feature
//! `simulation` there is `SimDisk`, which forgets, tears and lies as the worst of them may.
//!
//! Two rules of POSIX systems stand behind all code of this crate. What was written may be lost, in
//! whole or in parts and in any order, until [`File::sync`] has returned. A name that was created,
//! renamed or removed may be as it was before until [`Disk::sync`] has returned.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

/// An exclusive lock, held until it is dropped.
pub type Lock = Box<dyn Debug + Send + Sync>;

/// One directory with flat names. Every call blocks.
pub trait Disk: Debug + Send + Sync + 'static {
    /// The names of all files, in any order, without the one that serves as a lock.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` without a file of this name; whatever the system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Creates an empty file. The name is durable after [`Disk::sync`].
    ///
    /// # Errors
    /// `AlreadyExists` with a file of this name; whatever the system says.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Gives a file another name and takes the place of what had that name, at once or not at all.
    /// Durable after [`Disk::sync`]. Open files stay open.
    ///
    /// # Errors
    /// `NotFound` without a file of this name; whatever the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync`].
    ///
    /// # Errors
    /// `NotFound` without a file of this name; whatever the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all changes of names durable.
    ///
    /// # Errors
    /// Whatever the system says. What was changed before is then unknown.
    fn sync(&self) -> io::Result<()>;

    /// Takes the directory for this opener alone.
    ///
    /// # Errors
    /// `WouldBlock` while another process, or another opener in this one, has it; the message names
    /// the holder where that is known.
    fn lock(&self) -> io::Result<Lock>;

    /// Where it is, for messages.
    fn path(&self) -> PathBuf;
}

/// An open file. Every call blocks.
#[expect(clippy::len_without_is_empty, reason = "asking may fail, and nobody asks for emptiness")]
pub trait File: Debug + Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn len(&self) -> io::Result<u64>;

    /// Reads at a position; how many bytes it were. 0 only at the end of the file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of the bytes at a position. Durable after [`File::sync`].
    ///
    /// # Errors
    /// `StorageFull` and whatever else the system says. Any part may have been written.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file this long. Durable after [`File::sync`].
    ///
    /// # Errors
    /// Whatever the system says.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Makes the content and its length durable.
    ///
    /// # Errors
    /// Whatever the system says. Never try again: the system may have forgotten what it could not
    /// write, and will then call the next attempt a success.
    fn sync(&mut self) -> io::Result<()>;
}

/// Refuses what is no flat name.
///
/// # Errors
/// `InvalidInput`, with the name.
pub(crate) fn check_name(name: &str) -> io::Result<()> {
    let flat = !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0']);
    if flat {
        return Ok(());
    }
    let message = format!("{name:?} is no plain file name: leave out directories");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Reads until the buffer is full or the file ends; how many bytes it were.
pub(crate) fn read_full(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
