//! Addresses in a file that somebody else writes.

mod list;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::{Discovery, DiscoveryError, FIND_DEADLINE, Found, LOOK_AGAIN_MIN};

/// The largest file that is read, in bytes: all addresses that there may be, with as many comments.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How long a read waits for the one before it.
const TURN_DEADLINE: Duration = FIND_DEADLINE.checked_div(2).expect("two is not zero");

/// The addresses in a file, one a line; empty lines and what follows a `#` are comments.
///
/// The file is read again every second, by its path and as a whole. So it does not matter how it
/// changes: written in place, replaced by a rename, or through a symbolic link that is set to
/// another directory, as Kubernetes does with a ConfigMap. While it is missing, is empty or has a
/// line that is no address, the node goes on with what it read last, and says what is wrong and in
/// which line.
///
/// ```
/// use clustron_core::{Cluster, FileSeeds};
///
/// let node = Cluster::builder("shop").discovery(FileSeeds::new("/etc/shop/seeds")).expect(3);
/// ```
#[derive(Debug, Clone)]
pub struct FileSeeds {
    path: PathBuf,
    /// For one read at a time.
    turn: Arc<Semaphore>,
}

impl PartialEq for FileSeeds {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for FileSeeds {}

impl FileSeeds {
    /// The file at this path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Discovery for FileSeeds {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>> {
        let (path, name) = (self.path.clone(), self.name());
        async move {
            // A file may lie on a disk that hangs; the node's other tasks must not. The read goes
            // on when nobody waits for it any more, and there are only so many threads: one at a
            // time.
            let turn = tokio::time::timeout(TURN_DEADLINE, self.turn.clone().acquire_owned()).await;
            let Ok(Ok(turn)) = turn else {
                let reason = "a read that began before has not ended yet";
                let remedy = "see whether the disk or share that it lies on hangs";
                return Err(DiscoveryError::new(&name, reason, remedy));
            };
            let reading = tokio::task::spawn_blocking(move || {
                let read = read(&path);
                drop(turn);
                read
            });
            let reading = reading.await;
            let reading = reading.unwrap_or_else(|error| Err(io::Error::other(error)));
            let bytes = reading.map_err(|error| {
                let remedy = "write one host:port a line into a file that this process may read";
                DiscoveryError::new(&name, error.to_string(), remedy)
            })?;
            let addresses = list::parse(&name, &bytes)?;
            Ok(Found::new(addresses).again_in(LOOK_AGAIN_MIN))
        }
        .boxed()
    }
}

#[cfg(feature = "simulation")]
/// What a file of addresses with these bytes says.
pub(crate) fn seeds_of(bytes: &[u8]) -> Result<Vec<String>, DiscoveryError> {
    list::parse("a file", bytes)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for somebody who writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = vec![];
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let error = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
