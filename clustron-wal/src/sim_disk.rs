//! A disk in memory that does the worst that a real one may do.
//!
//! Think of a desk whose owner forgets everything that was not copied into the ledger, and of the
//! rest remembers any scraps. All from a seed, so the same calls have the same end.
//!
//! * What is written is volatile until [`File::sync`]. In a crash each piece of 512 bytes that was
//!   not synced survives or not, whatever was written before or after it; so do lengths.
//! * Names that are created, renamed or removed are volatile until [`Disk::sync`]. A crash keeps
//!   the first so many of these changes. Content that was synced goes with a name that was not.
//! * A sync can fail as on Linux: what could not be written looks as if it were, until the machine
//!   crashes, and all later syncs succeed.
//! * A disk can be full, read-only, damaged, old, empty, or a liar.
//!
//! Sectors of 512 bytes are old or new and never in between, as file systems and databases assume.

mod content;
mod state;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::{Disk, File, Lock, check_name};
use state::State;

/// See the module's documentation. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// The only life of the machine in which this handle is of use, if it is bound to one.
    life: Option<u64>,
}

impl SimDisk {
    /// An empty disk. What a crash leaves follows from the seed.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))), life: None }
    }

    /// The same disk for one process: after the next [`SimDisk::crash`] or [`SimDisk::kill`] every
    /// use of this handle as a [`Disk`] fails. Without it, what is left of a process that was ended
    /// could still create, rename and remove files of the next one.
    #[must_use]
    pub fn boot(&self) -> Self {
        let life = Some(self.state().life());
        Self { state: self.state.clone(), life }
    }

    /// The power fails and comes back: what was not synced survives in pieces or not at all. Files
    /// that are open are of no use any more, the lock is free, and a cut by
    /// [`SimDisk::crash_after`] is over.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// The process dies and the machine goes on: nothing is lost, but nothing has become durable
    /// either. Files that are open are of no use any more and the lock is free.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// Cuts the power later: the `n`-th change from now on fails and does nothing, and so do all
    /// that follow, until [`SimDisk::crash`] or [`SimDisk::kill`]. 1 is the next one. Changes are
    /// creating, renaming, removing, writing, truncating and both kinds of sync.
    pub fn crash_after(&self, n: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.operations + n.max(1));
    }

    /// How many changes were asked for so far, failed ones too.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How many syncs of files and of the directory have succeeded so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// The next sync of a file fails as it does on Linux: what it should have made durable still
    /// reads as if it were there, later syncs succeed without it, and a crash brings the old bytes
    /// back. Nothing fails for that any more after [`SimDisk::crash`] or [`SimDisk::kill`].
    pub fn fail_next_sync(&self) {
        self.state().fail_next_sync = true;
    }

    /// Room for so many bytes more in all files together. A write that does not fit does what fits
    /// and fails. `u64::MAX` gives all the room back.
    pub fn set_full_after(&self, bytes: u64) {
        self.state().set_full_after(bytes);
    }

    /// Whether changes are refused.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// Whether syncs of files say that they worked and do nothing.
    pub fn lose_syncs(&self, lose: bool) {
        self.state().lose_syncs = lose;
    }

    /// Whether syncs of the directory say that they worked and do nothing.
    pub fn lose_directory_syncs(&self, lose: bool) {
        self.state().lose_directory_syncs = lose;
    }

    /// Turns over one bit (0 to 7) of a byte, durably.
    ///
    /// # Panics
    /// There is no such file, byte or bit: a test that damages nothing proves nothing.
    pub fn flip_bit(&self, name: &str, byte: u64, bit: u8) {
        self.state().visible(name).flip_bit(byte, bit);
    }

    /// Cuts a file off, durably.
    ///
    /// # Panics
    /// There is no such file, or it is not longer than that.
    pub fn truncate_file(&self, name: &str, bytes: u64) {
        self.state().visible(name).cut_off(bytes);
    }

    /// What a file holds, with what is not yet durable; `None` without it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.state().content(name)
    }

    /// Puts a file there, durably, in the place of what has the name.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.state().put(name, bytes);
    }

    /// A disk of its own with the same content: yesterday's, once this one has gone on.
    pub fn copy(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().copy())), life: None }
    }

    /// Removes everything, durably. Files that are open are of no use any more.
    pub fn wipe(&self) {
        self.state().wipe();
    }

    /// Says how long a change takes. The disk itself never waits: who drives the simulation does.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// How long a change takes, as [`SimDisk::set_latency`] said; zero at first.
    pub fn latency(&self) -> Duration {
        self.state().latency
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a call that a process makes.
    fn of_process(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        state.check_life(self.life)?;
        Ok(state)
    }

    fn handle(&self, (life, inode): (u64, u64)) -> Box<dyn File> {
        Box::new(OpenFile { disk: self.clone(), life, inode })
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.of_process()?.names())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        check_name(name)?;
        let opened = self.of_process()?.open(name)?;
        Ok(self.handle(opened))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        check_name(name)?;
        let created = self.of_process()?.create(name)?;
        Ok(self.handle(created))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.of_process()?.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.of_process()?.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.of_process()?.sync_directory()
    }

    fn lock(&self) -> io::Result<Lock> {
        let life = self.of_process()?.lock()?;
        Ok(Box::new(Held { disk: self.clone(), life }))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("simulated")
    }
}

#[derive(Debug)]
struct OpenFile {
    disk: SimDisk,
    /// In which life of the process it was opened.
    life: u64,
    inode: u64,
}

impl File for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().file(self.life, self.inode)?.read().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let bytes = state.file(self.life, self.inode)?.read();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.state().write(self.life, self.inode, bytes, offset)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.disk.state().truncate(self.life, self.inode, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.state().sync_file(self.life, self.inode)
    }
}

#[derive(Debug)]
struct Held {
    disk: SimDisk,
    life: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.state().unlock(self.life);
    }
}

#[cfg(test)]
mod tests;
