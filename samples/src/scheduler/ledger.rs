//! A resource outside the cluster that refuses late work: a file shared by all nodes, one JSON line
//! per execution.
//!
//! The rule is the one of every fenced resource: it remembers the highest token that it has seen of
//! a job and refuses a lower one. An attempt that finds its tick done, because the node that did it
//! died before it could say so, has nothing left to do.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use clustron_core::{FencingToken, Timestamp};
use clustron_testkit::Entry;
use rustix::fs::{FlockOperation, flock};

/// Appends to the ledger under a lock that all processes share.
#[derive(Debug)]
pub struct LedgerWriter {
    path: PathBuf,
    open: Mutex<Open>,
    attempts: File,
}

/// Where a ledger's attempts are written: every one, whether the ledger then takes it or not. It
/// shows what the ledger by its nature cannot, work that was begun twice or without a claim.
pub fn attempts_path(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".attempts");
    name.into()
}

#[derive(Debug)]
struct Open {
    file: File,
    /// How much of the file is known here; other processes append to it too.
    read: u64,
    latest: BTreeMap<String, (FencingToken, Timestamp)>,
}

impl LedgerWriter {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot open the ledger {}", path.display()))?;
        let open = Open { file, read: 0, latest: BTreeMap::new() };
        let beside = attempts_path(path);
        let attempts = OpenOptions::new().create(true).append(true).open(&beside);
        let attempts = attempts.with_context(|| format!("cannot open {}", beside.display()))?;
        Ok(Self { path: path.to_owned(), open: Mutex::new(open), attempts })
    }

    /// Notes that an attempt begins.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&self, entry: &Entry) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        // One small write to a file opened for appending is whole, whoever else appends.
        Ok((&self.attempts).write_all(&line)?)
    }

    /// Appends one execution. Does nothing if the tick is there already.
    ///
    /// # Errors
    /// A newer token of the job has been seen: the attempt was replaced. Or the file fails.
    pub fn append(&self, entry: &Entry) -> anyhow::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = &mut *open;
        flock(&open.file, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        let result = open.append(entry);
        flock(&open.file, FlockOperation::Unlock).map_err(io::Error::from)?;
        result.map_err(|error| anyhow::anyhow!("the ledger {}: {error:#}", self.path.display()))
    }
}

impl Open {
    fn append(&mut self, entry: &Entry) -> anyhow::Result<()> {
        self.catch_up()?;
        if let Some((token, scheduled)) = self.latest.get(&entry.job) {
            if *scheduled == entry.scheduled && *token <= entry.token {
                return Ok(());
            }
            if *token >= entry.token {
                bail!("token {} comes after token {token}: refused", entry.token);
            }
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.note(entry.clone());
        self.read += line.len() as u64;
        Ok(())
    }

    /// Reads what the other processes have appended since.
    fn catch_up(&mut self) -> anyhow::Result<()> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            // A writer died half-way through its line. It holds no lock, so it is not writing now.
            self.file.set_len(self.read + whole as u64)?;
        }
        for line in text[..whole].lines() {
            self.note(serde_json::from_str(line).context("a line is no entry")?);
        }
        self.read += whole as u64;
        Ok(())
    }

    fn note(&mut self, entry: Entry) {
        self.latest.insert(entry.job, (entry.token, entry.scheduled));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clustron_core::Epoch;
    use clustron_testkit::Ledger;

    fn entry(tick: i64, token: u64) -> Entry {
        Entry {
            job: "pulse".to_owned(),
            scheduled: Timestamp::from_unix_ms(tick),
            token: FencingToken(token),
            node: "a".to_owned(),
            epoch: Epoch(1),
            attempt: 1,
            at: Timestamp::from_unix_ms(tick + 1),
        }
    }

    #[test]
    fn a_late_token_is_refused_and_a_done_tick_is_not_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let [one, other] = [(); 2].map(|()| LedgerWriter::open(&path).unwrap());
        one.append(&entry(1000, 7)).unwrap();
        other.append(&entry(1000, 9)).unwrap();
        other.append(&entry(2000, 12)).unwrap();
        let error = one.append(&entry(1500, 10)).unwrap_err();
        assert!(format!("{error:#}").contains("token 10 comes after token 12"), "{error:#}");
        let ticks: Vec<i64> =
            Ledger::read(&path).unwrap().entries().iter().map(|e| e.scheduled.unix_ms()).collect();
        assert_eq!(ticks, [1000, 2000]);
    }

    #[test]
    fn a_line_that_a_dying_writer_left_half_done_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, b"{\"job\":\"pul").unwrap();
        LedgerWriter::open(&path).unwrap().append(&entry(1000, 7)).unwrap();
        assert_eq!(Ledger::read(&path).unwrap().entries(), [entry(1000, 7)]);
    }
}
