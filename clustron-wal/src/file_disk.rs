//! A directory of the real file system.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, File, Lock, check_name};

/// The file whose lock stands for the directory's. It holds the process id of its last holder.
const LOCK: &str = "LOCK";

/// The most that is read of [`LOCK`].
const LOCK_BYTES_MAX: u64 = 32;

/// A directory of the real file system. Unix only.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use clustron_wal::{Disk, FileDisk};
///
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path().join("log");
/// let disk = FileDisk::open(&path)?;
/// let held = disk.lock()?;
/// assert_eq!(disk.lock().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
/// drop(held);
/// assert!(disk.lock().is_ok());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
}

impl FileDisk {
    /// Opens a directory, and creates it where there is none: the last part of the path only, so
    /// that a disk that is not mounted is an error rather than a new, empty directory below it.
    ///
    /// # Errors
    /// It cannot be created, or is no directory; whatever the system says.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        match fs::create_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let message = format!("cannot create the directory {}: {error}", path.display());
                return Err(io::Error::new(error.kind(), message));
            }
        }
        let path = fs::canonicalize(path)?;
        if !path.is_dir() {
            let message = format!("{} is no directory", path.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
        }
        // Also where it was there already: whoever created it may have died before this.
        if let Some(parent) = path.parent() {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(Self { path })
    }

    fn at(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name)?;
        Ok(self.path.join(name))
    }
}

impl Disk for FileDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // What is not UTF-8 is not ours.
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = fs::File::options().read(true).write(true).open(self.at(name)?)?;
        Ok(Box::new(OpenFile { file, was_resized: false }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let options = fs::File::options().read(true).write(true).create_new(true).to_owned();
        Ok(Box::new(OpenFile { file: options.open(self.at(name)?)?, was_resized: false }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from)?, self.at(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name)?)
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    fn lock(&self) -> io::Result<Lock> {
        let path = self.path.join(LOCK);
        let mut options = fs::File::options();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only to name the holder: who cannot read it is refused all the same.
                let _ = file.take(LOCK_BYTES_MAX).read_to_string(&mut holder);
                let path = self.path.display();
                let message = match holder.trim() {
                    "" => format!("{path} is in use: one opener at a time"),
                    id => format!("{path} is in use by process {id}: one opener at a time"),
                };
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Box::new(file))
    }

    fn path(&self) -> PathBuf {
        self.path.clone()
    }
}

#[derive(Debug)]
struct OpenFile {
    file: fs::File,
    /// Whether `truncate` was called since the last sync.
    was_resized: bool,
}

impl File for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.was_resized = true;
        self.file.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.was_resized {
            // fdatasync need only write what later reads of the data want; that a file became
            // shorter is left to the reading of each file system.
            self.file.sync_all()?;
            self.was_resized = false;
            Ok(())
        } else {
            self.file.sync_data()
        }
    }
}
