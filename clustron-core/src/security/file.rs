//! Small files with secrets: read with a bound, and noticed when what they hold has changed.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use zeroize::Zeroizing;

use super::SecurityError;

/// What a file holds, wiped from memory after use, or why it cannot be read.
pub(crate) type Content = Result<Zeroizing<Vec<u8>>, SecurityError>;

/// The largest file that is read. A chain of certificates has some thousands of bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file that should hold `what`.
pub(crate) fn read(what: &'static str, path: &Path) -> Content {
    let unreadable =
        |reason: String| SecurityError::Unreadable { what, path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut bytes = Zeroizing::new(vec![]);
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// A number that differs, but for one case in 2^64, where contents do.
pub(crate) fn fingerprint_of(contents: &[Content]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for content in contents {
        match content {
            Ok(bytes) => bytes.as_slice().hash(&mut hasher),
            Err(error) => error.to_string().hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// What was made of some files, and is made anew when they hold something else.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    current: RwLock<Arc<T>>,
    /// Of what was last looked at, good or bad: a bad file is told once.
    fingerprint: Mutex<u64>,
}

impl<T> Watched<T> {
    pub(crate) fn new(current: T, fingerprint: u64) -> Self {
        Self { current: RwLock::new(Arc::new(current)), fingerprint: Mutex::new(fingerprint) }
    }

    /// What new connections use.
    pub(crate) fn current(&self) -> Arc<T> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what the files hold now, unless they hold what was last looked at. Whether anything
    /// new was taken; after an error the old remains.
    pub(crate) fn look(
        &self,
        fingerprint: u64,
        make: impl FnOnce() -> Result<T, SecurityError>,
    ) -> Result<bool, SecurityError> {
        let mut known = self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == fingerprint {
            return Ok(false);
        }
        *known = fingerprint;
        let made = Arc::new(make()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_and_a_bad_one_is_told_once() {
        let watched = Watched::new("old", 1);
        assert_eq!(watched.look(1, || unreachable!("nothing changed")), Ok(false));
        assert_eq!(watched.look(2, || Err(SecurityError::NoTls)), Err(SecurityError::NoTls));
        assert_eq!(*watched.current(), "old");
        assert_eq!(watched.look(2, || unreachable!("told already")), Ok(false));
        assert_eq!(watched.look(3, || Ok("new")), Ok(true));
        assert_eq!(*watched.current(), "new");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("keys");
        let error = read("the key ring", &missing).unwrap_err().to_string();
        assert!(error.contains("the key ring") && error.contains("keys"), "{error}");
        std::fs::write(&missing, vec![b'#'; (1 << 20) + 1]).unwrap();
        let error = read("the key ring", &missing).unwrap_err().to_string();
        assert!(error.contains("1048576"), "{error}");
    }
}
