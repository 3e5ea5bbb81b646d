//! The whole state of a simulated disk, and what each call does to it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::content::Content;

#[derive(Debug)]
pub(super) struct State {
    rng: StdRng,
    inodes: BTreeMap<u64, Content>,
    next_inode: u64,
    /// What everybody sees.
    names: BTreeMap<String, u64>,
    /// What is certain.
    durable_names: BTreeMap<String, u64>,
    /// What lies between the two, in order.
    pending: Vec<NameChange>,
    /// Rises with each crash: what was opened in an earlier life is of no use.
    life: u64,
    locked: bool,
    /// The most bytes that all files may have together.
    bytes_max: u64,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    /// The first operation that fails because the power is cut.
    pub(super) cut_at: Option<u64>,
    pub(super) fail_next_sync: bool,
    pub(super) read_only: bool,
    pub(super) lose_syncs: bool,
    pub(super) lose_directory_syncs: bool,
    pub(super) latency: Duration,
}

#[derive(Debug, Clone)]
enum NameChange {
    Put { name: String, inode: u64 },
    Rename { from: String, to: String },
    Remove { name: String },
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Put { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Remove { name } => {
                names.remove(name);
            }
        }
    }
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            inodes: BTreeMap::new(),
            next_inode: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            life: 0,
            locked: false,
            bytes_max: u64::MAX,
            operations: 0,
            syncs: 0,
            cut_at: None,
            fail_next_sync: false,
            read_only: false,
            lose_syncs: false,
            lose_directory_syncs: false,
            latency: Duration::ZERO,
        }
    }

    pub(super) fn crash(&mut self) {
        let kept = self.rng.random_range(0..=self.pending.len());
        for change in self.pending.drain(..).take(kept) {
            change.apply(&mut self.durable_names);
        }
        self.names.clone_from(&self.durable_names);
        let names = &self.names;
        self.inodes.retain(|inode, _| names.values().any(|named| named == inode));
        for content in self.inodes.values_mut() {
            content.crash(&mut self.rng);
        }
        self.kill();
    }

    pub(super) fn kill(&mut self) {
        self.life += 1;
        self.locked = false;
        self.cut_at = None;
        self.fail_next_sync = false;
    }

    pub(super) fn life(&self) -> u64 {
        self.life
    }

    /// Refuses a process of an earlier life.
    pub(super) fn check_life(&self, life: Option<u64>) -> io::Result<()> {
        match life {
            Some(life) if life != self.life => Err(gone()),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn copy(&self) -> Self {
        Self {
            inodes: self.inodes.clone(),
            next_inode: self.next_inode,
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            pending: self.pending.clone(),
            ..Self::new(self.rng.clone().random())
        }
    }

    pub(super) fn wipe(&mut self) {
        self.inodes.clear();
        self.names.clear();
        self.durable_names.clear();
        self.pending.clear();
        self.kill();
    }

    pub(super) fn set_full_after(&mut self, bytes: u64) {
        self.bytes_max = self.used().saturating_add(bytes);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn content(&self, name: &str) -> Option<Vec<u8>> {
        Some(self.inodes[self.names.get(name)?].read().to_vec())
    }

    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) {
        let inode = self.mint(Content::of(bytes));
        self.names.insert(name.to_owned(), inode);
        self.durable_names.insert(name.to_owned(), inode);
    }

    /// The content of a file that must be there.
    pub(super) fn visible(&mut self, name: &str) -> &mut Content {
        let inode = self.names.get(name);
        let content = inode.and_then(|inode| self.inodes.get_mut(inode));
        content.unwrap_or_else(|| panic!("there is no file {name:?}"))
    }

    pub(super) fn open(&mut self, name: &str) -> io::Result<(u64, u64)> {
        Ok((self.life, self.find(name)?))
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<(u64, u64)> {
        self.operate()?;
        if self.names.contains_key(name) {
            return Err(error(io::ErrorKind::AlreadyExists, format!("{name} exists already")));
        }
        let inode = self.mint(Content::default());
        self.change(NameChange::Put { name: name.to_owned(), inode });
        Ok((self.life, inode))
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.operate()?;
        self.find(from)?;
        self.change(NameChange::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.operate()?;
        self.find(name)?;
        self.change(NameChange::Remove { name: name.to_owned() });
        Ok(())
    }

    pub(super) fn sync_directory(&mut self) -> io::Result<()> {
        self.operate()?;
        self.syncs += 1;
        if !self.lose_directory_syncs {
            for change in self.pending.drain(..) {
                change.apply(&mut self.durable_names);
            }
        }
        Ok(())
    }

    pub(super) fn lock(&mut self) -> io::Result<u64> {
        if self.locked {
            let message = "the disk is in use: one opener at a time".to_owned();
            return Err(error(io::ErrorKind::WouldBlock, message));
        }
        self.locked = true;
        Ok(self.life)
    }

    /// The lock of an earlier life is nobody's.
    pub(super) fn unlock(&mut self, life: u64) {
        if life == self.life {
            self.locked = false;
        }
    }

    pub(super) fn file(&mut self, life: u64, inode: u64) -> io::Result<&mut Content> {
        let content = if life == self.life { self.inodes.get_mut(&inode) } else { None };
        content.ok_or_else(gone)
    }

    pub(super) fn write(
        &mut self,
        life: u64,
        inode: u64,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        self.file(life, inode)?;
        self.operate()?;
        let room = self.bytes_max.saturating_sub(self.used());
        let content = self.file(life, inode)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        // What overwrites needs no room, and a hole that is left needs as much as if it were none.
        let reach = content.read().len() as u64 + room;
        let fits = usize::try_from(reach.saturating_sub(offset as u64)).unwrap_or(usize::MAX);
        let fits = fits.min(bytes.len());
        if fits > 0 {
            content.write(&bytes[..fits], offset);
        }
        if fits < bytes.len() {
            return Err(error(io::ErrorKind::StorageFull, "no space left".to_owned()));
        }
        Ok(())
    }

    pub(super) fn truncate(&mut self, life: u64, inode: u64, len: u64) -> io::Result<()> {
        self.file(life, inode)?;
        self.operate()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.file(life, inode)?.truncate(len);
        Ok(())
    }

    pub(super) fn sync_file(&mut self, life: u64, inode: u64) -> io::Result<()> {
        self.file(life, inode)?;
        self.operate()?;
        let (fails, lost) = (std::mem::take(&mut self.fail_next_sync), self.lose_syncs);
        let content = self.file(life, inode)?;
        if fails {
            content.give_up();
            return Err(error(io::ErrorKind::Other, "the device did not write".to_owned()));
        }
        if !lost {
            content.sync();
        }
        self.syncs += 1;
        Ok(())
    }

    /// Before every change.
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.cut_at.is_some_and(|cut| self.operations >= cut) {
            return Err(error(io::ErrorKind::Other, "the power is cut".to_owned()));
        }
        if self.read_only {
            let message = "the file system is read-only".to_owned();
            return Err(error(io::ErrorKind::ReadOnlyFilesystem, message));
        }
        Ok(())
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn mint(&mut self, content: Content) -> u64 {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, content);
        inode
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| error(io::ErrorKind::NotFound, format!("there is no {name}")))
    }

    /// How many bytes all files have that somebody can open.
    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].read().len() as u64).sum()
    }
}

fn gone() -> io::Error {
    error(io::ErrorKind::Other, "the process is gone".to_owned())
}

fn error(kind: io::ErrorKind, message: String) -> io::Error {
    io::Error::new(kind, message)
}
