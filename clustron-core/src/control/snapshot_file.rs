//! The latest snapshot on disk. It takes the place of the one before as a whole, and only then may
//! the log give up the entries that it stands for.
//!
//! Bytes go in and come out block by block. One that is built is encoded into the file's draft
//! while the state stands still, and becomes durable afterwards, beside the log's other work; one
//! that arrives is collected in a file of its own, which is then renamed. Neither ever replaces a
//! newer one.
//!
//! ```text
//! u32 length | SnapshotMeta, encoded
//! the content: see `snapshot.rs`
//! ```

mod blocks;

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use clustron_wal::{FileError, FileWriter};
use tokio::sync::{OwnedMutexGuard, watch};

use super::snapshot;
use super::state::Agreed;
use super::types::{LogId, SnapshotMeta};
use crate::data_dir::{ARRIVING, DataDir, DataDirError, DiskBug, DiskError, SNAPSHOT, encoded};
use crate::identity::NodeId;

use blocks::open;
pub(super) use blocks::{Blocks, Stored};

/// See the module's documentation. Clones are the same file.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    data: Arc<DataDir>,
    /// In whose name it is written.
    node: NodeId,
    /// Up to where the one on disk reaches.
    saved: watch::Sender<Option<LogId>>,
    /// Held by who puts one in its place.
    placing: Arc<Mutex<()>>,
    /// Held by who builds one: there is one draft.
    drafting: Arc<tokio::sync::Mutex<()>>,
}

impl SnapshotFile {
    pub(crate) fn new(data: Arc<DataDir>) -> Self {
        let (node, saved) = (data.identity().node, watch::Sender::default());
        Self { data, node, saved, placing: Arc::default(), drafting: Arc::default() }
    }

    /// The directory that it is in.
    pub(crate) fn data(&self) -> &Arc<DataDir> {
        &self.data
    }

    /// Up to where the snapshot on disk reaches.
    pub(crate) fn saved(&self) -> watch::Receiver<Option<LogId>> {
        self.saved.subscribe()
    }

    /// Whether a deliberate defect is switched on.
    pub(super) fn has(&self, bug: DiskBug) -> bool {
        self.data.has(bug)
    }

    /// What the snapshot says cannot be.
    pub(crate) fn damaged(&self, what: &dyn Display) -> DataDirError {
        self.data.damaged(SNAPSHOT, what)
    }

    /// Reads the snapshot, if there is one, at the start of a node, and clears away what the one
    /// before it has left half done.
    pub(super) async fn load<T: Send + 'static>(
        &self,
        read: impl FnOnce(&SnapshotMeta, &mut dyn Read) -> Result<T, DataDirError> + Send + 'static,
    ) -> Result<Option<(SnapshotMeta, T)>, DataDirError> {
        let data = self.data.clone();
        let load = move || {
            clear_leftovers(&data).map_err(|error| data.failed(error))?;
            load(&data, read)
        };
        let loaded = self.data.call(load).await?;
        self.saved.send_replace(loaded.as_ref().and_then(|(meta, _)| meta.last_log_id));
        Ok(loaded)
    }

    /// The snapshot on disk, to be sent. It stays readable while another takes its place.
    pub(super) async fn stored(&self) -> Result<Option<(SnapshotMeta, Stored)>, DiskError> {
        let data = self.data.clone();
        self.data.call(move || blocks::stored(&data)).await
    }

    /// Writes the draft of a snapshot: `write` gets where it goes, and the content of the one on
    /// disk where it `wants` that. Nothing is durable yet. `None` where that on disk reaches as
    /// far.
    pub(super) async fn draft<E: From<DiskError> + Send + 'static>(
        &self,
        meta: SnapshotMeta,
        wants: bool,
        write: impl FnOnce(&mut dyn Write, Option<&mut dyn Read>) -> Result<(), E> + Send + 'static,
    ) -> Result<Option<Draft>, E> {
        if *self.saved.borrow() >= meta.last_log_id {
            return Ok(None);
        }
        let alone = self.drafting.clone().lock_owned().await;
        let file = self.clone();
        let draft = move || {
            let data = file.data.clone();
            let _as_node = data.as_node(file.node)?;
            let mut before = if wants { open(&file.data, SNAPSHOT)? } else { None };
            let out = begin(&file.data, SNAPSHOT, &meta)?;
            let last = meta.last_log_id;
            let mut draft = Draft { file, last, out, failed: None, _alone: alone };
            let written =
                write(&mut draft, before.as_mut().map(|(_, blocks)| blocks as &mut dyn Read));
            // What the encoder says of a disk that failed is not all that there is to say.
            let before_failed = before.and_then(|(_, mut blocks)| blocks.failed());
            match draft.failed.take().map(DiskError::from).or(before_failed) {
                Some(failed) => Err(failed.into()),
                None => written.map(|()| draft),
            }
        };
        self.data.call(draft).await.map(Some)
    }

    /// Collects a snapshot in the file for what arrives.
    pub(super) async fn bring<R: Read + Send + 'static>(
        &self,
        meta: SnapshotMeta,
        mut content: R,
    ) -> Result<(), DiskError> {
        let (data, node) = (self.data.clone(), self.node);
        let bring = move || {
            let _as_node = data.as_node(node)?;
            let mut out = begin(&data, ARRIVING, &meta)?;
            let mut block = vec![0; 64 << 10];
            loop {
                match content.read(&mut block).map_err(Arc::new)? {
                    0 => return out.finish().map(drop).map_err(DiskError::from),
                    read => out.write(&block[..read])?,
                }
            }
        };
        self.data.call(bring).await
    }

    /// Puts what has arrived in the snapshot's place. Durable on return.
    pub(super) async fn take_over(&self, last: Option<LogId>) -> Result<(), DiskError> {
        let this = self.clone();
        let take_over = move || {
            let _as_node = this.data.as_node(this.node)?;
            let _alone = this.placing.lock().unwrap_or_else(PoisonError::into_inner);
            if *this.saved.borrow() < last {
                let disk = this.data.disk();
                disk.rename(ARRIVING, SNAPSHOT).map_err(Arc::new)?;
                disk.sync().map_err(Arc::new)?;
                this.saved.send_replace(last);
            }
            Ok(())
        };
        self.data.call(take_over).await
    }

    /// Has the log give up what a snapshot stands for that is not on disk: a deliberate defect.
    pub(super) fn pretend(&self, last: Option<LogId>) {
        self.saved.send_if_modified(|saved| {
            let rises = *saved < last;
            *saved = last.max(*saved);
            rises
        });
    }
}

/// A snapshot that is being built.
#[derive(Debug)]
pub(super) struct Draft {
    file: SnapshotFile,
    last: Option<LogId>,
    out: FileWriter,
    failed: Option<FileError>,
    _alone: OwnedMutexGuard<()>,
}

impl Draft {
    /// Puts it in its place, unless one that arrived meanwhile reaches further. Durable on return.
    pub(super) async fn publish(self) -> Result<(), DiskError> {
        let data = self.file.data.clone();
        let publish = move || {
            let Self { file, last, out, .. } = self;
            let _as_node = file.data.as_node(file.node)?;
            let _alone = file.placing.lock().unwrap_or_else(PoisonError::into_inner);
            if *file.saved.borrow() >= last {
                return Ok(out.discard()?);
            }
            out.finish()?;
            file.saved.send_replace(last);
            Ok(())
        };
        data.call(publish).await
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            io::Error::other(text)
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins a file with a snapshot's description.
pub(super) fn begin(
    data: &DataDir,
    file: &str,
    meta: &SnapshotMeta,
) -> Result<FileWriter, DiskError> {
    let meta = encoded(meta)?;
    let mut writer = FileWriter::create(data.disk().clone(), file)?;
    writer.write(&(meta.len() as u32).to_le_bytes())?;
    writer.write(&meta)?;
    Ok(writer)
}

/// Reads what has arrived, from the beginning of its content.
pub(super) fn open_arrived(data: &DataDir) -> Result<Blocks, DiskError> {
    let arrived = open(data, ARRIVING)?.map(|(_, blocks)| blocks);
    arrived.ok_or_else(|| Arc::new(io::Error::from(io::ErrorKind::NotFound)).into())
}

/// Removes what has arrived, if anything has.
pub(super) fn remove_arrived(data: &DataDir) -> Result<(), DiskError> {
    match data.disk().remove(ARRIVING) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Arc::new(error).into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The core's part of the snapshot that a data directory holds, all of which was found intact.
pub(super) fn glance(data: &DataDir) -> Result<Option<(SnapshotMeta, Agreed)>, DataDirError> {
    load(data, |_, content| {
        snapshot::check_whole(content).map_err(|error| data.damaged(SNAPSHOT, &error))
    })
}

fn load<T>(
    data: &DataDir,
    read: impl FnOnce(&SnapshotMeta, &mut dyn Read) -> Result<T, DataDirError>,
) -> Result<Option<(SnapshotMeta, T)>, DataDirError> {
    let opened = open(data, SNAPSHOT).map_err(|error| data.failed(error))?;
    let Some((meta, mut content)) = opened else { return Ok(None) };
    let loaded = read(&meta, &mut content);
    match content.failed() {
        Some(error) => Err(data.failed(error)),
        None => loaded.map(|loaded| Some((meta, loaded))),
    }
}

fn clear_leftovers(data: &DataDir) -> Result<(), DiskError> {
    let (built, arriving) = (format!("{SNAPSHOT}.new"), format!("{ARRIVING}.new"));
    let leftovers = [ARRIVING, &arriving, &built];
    for file in data.disk().list().map_err(Arc::new)? {
        if leftovers.contains(&file.as_str()) {
            data.disk().remove(&file).map_err(Arc::new)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
