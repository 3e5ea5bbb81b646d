//! What the disk can do by itself: how often a second something is written and synced, by one, by
//! three that know nothing of each other, and by three of whom one goes first.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// How long each of the three is measured.
const LENGTH: Duration = Duration::from_millis(500);

/// How many write at the same time where three logs share one disk.
const WRITERS: usize = 3;

/// How many entries are under way where one writes first: as many as a leader of ours has.
const IN_FLIGHT: usize = 2;

/// How far a slow follower may stay behind a fast one.
const BEHIND_MAX: usize = 1024;

/// How often a second a writer has its bytes on disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syncs {
    /// When it has the disk to itself.
    pub(super) alone: f64,
    /// When there are three of them, as with three logs on one disk: the mean of the three.
    pub(super) of_three: f64,
    /// When one writes first and then two others, of whom one is enough, with two entries under
    /// way: what a leader does that hands an entry on when it has it on disk.
    pub(super) in_turn: f64,
}

/// Appends so many bytes at a time, and syncs each (fdatasync) before the next.
pub(super) fn bare(dir: &Path, bytes: usize) -> anyhow::Result<Syncs> {
    let folder = tempfile::tempdir_in(dir)?;
    let log = |name: &str| Log::create(&folder.path().join(name), bytes);
    let alone = one(log("alone")?)?;
    let logs = ["a", "b", "c"].map(log).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let of_three = scope(|threads| {
        let writing: Vec<_> = logs.into_iter().map(|log| threads.spawn(|| one(log))).collect();
        writing.into_iter().map(joined).sum::<anyhow::Result<f64>>()
    })?;
    let of_three = of_three / WRITERS as f64;
    Ok(Syncs { alone, of_three, in_turn: in_turn(log("leader")?, [log("d")?, log("e")?])? })
}

/// A file that grows by the same bytes each time.
struct Log {
    file: File,
    block: Vec<u8>,
}

impl Log {
    fn create(path: &Path, bytes: usize) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        Ok(Self { file, block: vec![7; bytes] })
    }

    fn append(&mut self) -> anyhow::Result<()> {
        self.file.write_all(&self.block)?;
        Ok(self.file.sync_data()?)
    }
}

fn one(mut log: Log) -> anyhow::Result<f64> {
    let (began, mut syncs) = (Instant::now(), 0);
    while began.elapsed() < LENGTH {
        log.append()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / began.elapsed().as_secs_f64())
}

/// Gives how many entries a second both the leader and the first of its followers have on disk.
fn in_turn(leader: Log, followers: [Log; 2]) -> anyhow::Result<f64> {
    let (room, rooms) = sync_channel(BEHIND_MAX);
    (0..IN_FLIGHT).try_for_each(|_| room.send(()))?;
    let (began, committed) = (Instant::now(), AtomicU64::new(0));
    scope(|threads| {
        let (mut entries, mut writing) = (vec![], vec![]);
        for log in followers {
            let (entry, handed_on) = sync_channel(BEHIND_MAX);
            entries.push(entry);
            let (room, committed) = (room.clone(), &committed);
            writing.push(threads.spawn(move || follow(log, &handed_on, committed, &room)));
        }
        // Theirs are left: when both have failed, there is no room any more.
        drop(room);
        writing.push(threads.spawn(move || lead(leader, &rooms, &entries, began)));
        writing.into_iter().try_for_each(joined)
    })?;
    Ok(committed.into_inner() as f64 / began.elapsed().as_secs_f64())
}

fn lead(
    mut log: Log,
    rooms: &Receiver<()>,
    followers: &[SyncSender<u64>],
    began: Instant,
) -> anyhow::Result<()> {
    let mut entry = 0;
    while rooms.recv().is_ok() && began.elapsed() < LENGTH {
        log.append()?;
        entry += 1;
        for follower in followers {
            follower.send(entry).context("a follower has ended")?;
        }
    }
    Ok(())
}

fn follow(
    mut log: Log,
    entries: &Receiver<u64>,
    committed: &AtomicU64,
    room: &SyncSender<()>,
) -> anyhow::Result<()> {
    while let Ok(entry) = entries.recv() {
        log.append()?;
        // With the leader, the first of the two is a majority.
        if committed.fetch_max(entry, Ordering::Relaxed) < entry {
            // The leader has ended when nobody takes it.
            let _ = room.send(());
        }
    }
    Ok(())
}

fn joined<T>(writer: ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    writer.join().ok().context("a writer panicked")?
}

/// Refuses a folder whose files are in memory: there a sync does nothing.
pub(super) fn ensure_real(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    let is_memory = is_memory(dir).with_context(|| format!("--dir {shown} cannot be used"))?;
    ensure!(!is_memory, "--dir {shown} is a tmpfs, where a sync does nothing; name one on a disk");
    Ok(())
}

/// Whether files in a folder are in memory.
pub(super) fn is_memory(dir: &Path) -> anyhow::Result<bool> {
    // TMPFS_MAGIC and RAMFS_MAGIC of linux/magic.h; its type differs between machines.
    let kind = rustix::fs::statfs(dir)?.f_type as u32;
    Ok([0x0102_1994, 0x8584_58f6].contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_disk_is_measured_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let Syncs { alone, of_three, in_turn } = bare(folder.path(), 1000).unwrap();
        assert!(alone > 0.0 && of_three > 0.0 && in_turn > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_in_memory_are_no_disk() {
        // Every Linux has one of these, and neither is a disk or a tmpfs.
        assert!(!is_memory("/proc".as_ref()).unwrap());
        assert!(ensure_real("/no/such/folder".as_ref()).is_err());
        if is_memory("/dev/shm".as_ref()).unwrap_or(false) {
            let error = ensure_real("/dev/shm".as_ref()).unwrap_err().to_string();
            assert!(error.contains("/dev/shm is a tmpfs"), "{error}");
        }
    }
}
