//! The latest snapshot on disk. It takes the place of the one before as a whole, and only then may
//! the log give up the entries that it stands for.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use clustron_wal::{FileError, FileReader, FileWriter};
use openraft::{AnyError, StorageIOError};
use tokio::sync::watch;

use super::types::{LogId, Snapshot, SnapshotMeta, StorageError};
use crate::codec;
use crate::data_dir::{DataDir, DataDirError, DiskBug, DiskError, SNAPSHOT, encoded};

/// The largest description of a snapshot, in bytes: a handful of numbers and the group's nodes.
const META_BYTES_MAX: usize = 16 << 20;

/// See the module's documentation. Clones are the same file.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    data: Arc<DataDir>,
    /// Up to where the one on disk reaches.
    saved: watch::Sender<Option<LogId>>,
    /// Held by who writes: one is built beside the log's other work, and another may arrive.
    writing: Arc<Mutex<()>>,
}

impl SnapshotFile {
    pub(crate) fn new(data: Arc<DataDir>) -> Self {
        Self { data, saved: watch::Sender::default(), writing: Arc::default() }
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

    pub(crate) async fn load(&self) -> Result<Option<Snapshot>, DataDirError> {
        let data = self.data.clone();
        let loaded = self.data.call(move || load(&data)).await?;
        self.saved.send_replace(loaded.as_ref().and_then(|snapshot| snapshot.meta.last_log_id));
        Ok(loaded)
    }

    /// Durable on return. One that reaches no further than that on disk is left out.
    pub(crate) async fn save(&self, snapshot: &Snapshot) -> Result<(), StorageError> {
        if self.has(DiskBug::SnapshotNotWritten) {
            return Ok(());
        }
        let (data, signature) = (self.data.clone(), snapshot.meta.signature());
        let (snapshot, this) = (snapshot.clone(), self.clone());
        let save = move || {
            let _alone = this.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let last = snapshot.meta.last_log_id;
            if *this.saved.borrow() < last {
                save(&data, &snapshot)?;
                this.saved.send_replace(last);
            }
            Ok::<_, DiskError>(())
        };
        let saved = self.data.call(save).await;
        saved.map_err(|error| {
            StorageIOError::write_snapshot(Some(signature), AnyError::error(error)).into()
        })
    }
}

fn save(data: &DataDir, snapshot: &Snapshot) -> Result<(), DiskError> {
    let meta = encoded(&snapshot.meta)?;
    let mut head = BytesMut::with_capacity(4 + meta.len());
    head.put_u32_le(meta.len() as u32);
    head.put_slice(&meta);
    let mut writer = FileWriter::create(data.disk().as_ref(), SNAPSHOT)?;
    writer.write(&head)?;
    writer.write(&snapshot.snapshot)?;
    writer.finish()?;
    Ok(())
}

/// The snapshot that a data directory holds.
pub(super) fn load(data: &DataDir) -> Result<Option<Snapshot>, DataDirError> {
    let failed = |error: FileError| data.failed(error);
    let Some(reader) = FileReader::open(data.disk().as_ref(), SNAPSHOT).map_err(failed)? else {
        return Ok(None);
    };
    let mut content = BytesMut::new();
    for block in reader {
        content.extend_from_slice(&block.map_err(failed)?);
    }
    let mut content = content.freeze();
    let meta = take_meta(&mut content);
    let meta = meta.ok_or_else(|| data.damaged(SNAPSHOT, &"it is cut short in its description"))?;
    let meta: SnapshotMeta =
        codec::decode(&meta).map_err(|error| data.damaged(SNAPSHOT, &error))?;
    Ok(Some(Snapshot { meta, snapshot: Box::new(content) }))
}

fn take_meta(content: &mut Bytes) -> Option<Bytes> {
    let length = content.try_get_u32_le().ok()? as usize;
    (length <= META_BYTES_MAX && length <= content.len()).then(|| content.split_to(length))
}

#[cfg(test)]
mod tests;
