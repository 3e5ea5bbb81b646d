//! Makes durable what was drafted.

use std::sync::Arc;

use openraft::{AnyError, RaftSnapshotBuilder, StorageIOError};

use super::capture::Unwritten;
use crate::control::content::Content;
use crate::control::snapshot_file::Draft;
use crate::control::types::{Snapshot, SnapshotMeta, StorageError, TypeConfig};
use crate::data_dir::DataDir;
use crate::tasks::Tasks;

/// Hands over a snapshot that was taken when it was asked for, once it is where it has to be.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    drafted: Result<Option<Draft>, Unwritten>,
    tasks: Tasks,
    data: Option<Arc<DataDir>>,
}

impl Builder {
    pub(super) fn new(
        meta: SnapshotMeta,
        drafted: Result<Option<Draft>, Unwritten>,
        tasks: Tasks,
        data: Option<&Arc<DataDir>>,
    ) -> Self {
        Self { meta, drafted, tasks, data: data.cloned() }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    /// What is handed over is the description: whoever wants the content asks for it.
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let built = match std::mem::replace(&mut self.drafted, Ok(None)) {
            Ok(Some(draft)) => draft.publish().await.map_err(Unwritten::from),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        built.map_err(|error| {
            let text = match (&error, &self.data) {
                (Unwritten::Disk(error), Some(data)) => data.failed(error.clone()).to_string(),
                (error, _) => error.to_string(),
            };
            self.tasks.fail(&format!("no snapshot could be saved: {text}"));
            let meta = Some(self.meta.signature());
            StorageError::from(StorageIOError::write_snapshot(meta, AnyError::error(error)))
        })?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: Box::new(Content::Unwritten) })
    }
}
