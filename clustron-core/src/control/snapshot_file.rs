//! The latest snapshot on disk. It takes the place of the one before as a whole, and only then may
//! the log give up the entries that it stands for.

use std::fmt::Display;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use clustron_wal::{FileError, FileReader, FileWriter};
use openraft::{AnyError, StorageIOError};

use super::types::{Snapshot, SnapshotMeta, StorageError};
use crate::codec;
use crate::data_dir::{DataDir, DataDirError, DiskError, SNAPSHOT, encoded};

/// The largest description of a snapshot, in bytes: a handful of numbers and the group's nodes.
const META_BYTES_MAX: usize = 16 << 20;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    data: Arc<DataDir>,
}

impl SnapshotFile {
    pub(crate) fn new(data: Arc<DataDir>) -> Self {
        Self { data }
    }

    /// What the snapshot says cannot be.
    pub(crate) fn damaged(&self, what: &dyn Display) -> DataDirError {
        self.data.damaged(SNAPSHOT, what)
    }

    pub(crate) async fn load(&self) -> Result<Option<Snapshot>, DataDirError> {
        let data = self.data.clone();
        self.data.call(move || load(&data)).await
    }

    /// Durable on return.
    pub(crate) async fn save(&self, snapshot: &Snapshot) -> Result<(), StorageError> {
        let (data, signature) = (self.data.clone(), snapshot.meta.signature());
        let snapshot = snapshot.clone();
        let saved = self.data.call(move || save(&data, &snapshot)).await;
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
