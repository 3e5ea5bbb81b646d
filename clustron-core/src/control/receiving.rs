//! Collects the pieces of a snapshot that a leader sends.
//!
//! Like a loading ramp with room for one lorry: what comes is put where it belongs at once, in the
//! data directory or in memory, and the next one waits outside until the goods are in the house.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clustron_wal::FileWriter;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::content::{Arrival, Arrived, Content, PiecesWriter};
use super::rpc::SnapshotChunk;
use super::snapshot::{SUM_BYTES, SnapshotError};
use super::snapshot_file::{begin, remove_arrived};
use super::types::SnapshotMeta;
use crate::data_dir::{ARRIVING, DataDir, DiskError};
use crate::identity::NodeId;

/// The largest snapshot that is received, in bytes.
const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;

/// See the module's documentation.
pub(super) struct Receiving {
    /// Where what arrives goes, if not into memory.
    data: Option<Arc<DataDir>>,
    /// In whose name it is received.
    node: Option<NodeId>,
    assembly: Mutex<Option<Assembly>>,
    /// Held by the snapshot that arrives or is being taken over.
    place: Arc<Mutex<()>>,
    /// Pieces that were received.
    pieces: AtomicU64,
}

/// What is to be done after a piece has come.
#[derive(Debug)]
pub(super) enum Step {
    /// The sender goes on from this place.
    Continue { offset: u64 },
    /// All of it is there and as it was sent.
    Whole(Content),
}

/// Why a piece was not taken. It can be sent again, from the beginning, but for the last reason.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error("a snapshot of {bytes} bytes is larger than the {SNAPSHOT_BYTES_MAX} taken")]
    TooLarge { bytes: u64 },
    #[error("another snapshot is being taken over")]
    Busy,
    #[error("the snapshot has more bytes than the {bytes} that were announced")]
    TooLong { bytes: u64 },
    #[error(transparent)]
    Damaged(#[from] SnapshotError),
    /// The disk has failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Receiving {
    pub(super) fn new(data: Option<Arc<DataDir>>) -> Self {
        let pieces = AtomicU64::new(0);
        let node = data.as_ref().map(|data| data.identity().node);
        Self { data, node, assembly: Mutex::default(), place: Arc::default(), pieces }
    }

    /// How many pieces were received.
    pub(super) fn pieces(&self) -> u64 {
        self.pieces.load(Ordering::Relaxed)
    }

    /// Takes the next piece. One that does not follow what is there is left out, and one of another
    /// snapshot begins that anew. A call that is dropped forgets what was there.
    pub(super) async fn take(&self, from: NodeId, chunk: SnapshotChunk) -> Result<Step, NotTaken> {
        let SnapshotChunk { meta, offset, total, data, .. } = chunk;
        if total > SNAPSHOT_BYTES_MAX {
            return Err(NotTaken::TooLarge { bytes: total });
        }
        let mut slot = self.assembly.lock().await;
        let known = slot.take().filter(|known| known.is(from, &meta, total));
        let mut assembly = match known {
            Some(assembly) => assembly,
            None => self.begin(from, meta, total).await?,
        };
        if assembly.received == offset {
            assembly = self.on_disk(move || assembly.add(&data)).await?;
            self.pieces.fetch_add(1, Ordering::Relaxed);
        }
        if assembly.received < total {
            let offset = assembly.received;
            *slot = Some(assembly);
            return Ok(Step::Continue { offset });
        }
        Ok(Step::Whole(self.on_disk(move || assembly.finish()).await?))
    }

    /// Forgets what has arrived so far of a snapshot that reaches no further than this: its sender
    /// has gone, and the log has got here without it.
    pub(super) async fn give_up_until(&self, applied: u64) -> Result<(), NotTaken> {
        let mut slot = self.assembly.lock().await;
        let reached =
            |known: &mut Assembly| known.meta.last_log_id.is_none_or(|last| last.index <= applied);
        match slot.take_if(reached).map(|assembly| assembly.into) {
            Some(Sink::File(file, _)) => {
                Ok(self.on_disk(move || file.discard()).await.map_err(DiskError::from)?)
            }
            Some(Sink::Memory(_)) | None => Ok(()),
        }
    }

    /// Clears away what has arrived and was not taken over after all.
    pub(super) async fn clear(&self) -> Result<(), NotTaken> {
        let Some(data) = self.data.clone() else { return Ok(()) };
        // Whoever has the place now begins with an empty file.
        let Ok(_place) = self.place.try_lock() else { return Ok(()) };
        Ok(self.on_disk(move || remove_arrived(&data)).await?)
    }

    async fn begin(
        &self,
        from: NodeId,
        meta: SnapshotMeta,
        total: u64,
    ) -> Result<Assembly, NotTaken> {
        let place = self.place.clone().try_lock_owned().map_err(|_| NotTaken::Busy)?;
        let data = self.data.clone().zip(self.node);
        let begin = move || {
            let into = match data {
                Some((data, node)) => {
                    let as_node = data.as_node(node)?;
                    let file = begin(&data, ARRIVING, &meta)?;
                    drop(as_node);
                    Sink::File(file, data)
                }
                None => Sink::Memory(PiecesWriter::default()),
            };
            let sum = Sum { before: total.saturating_sub(SUM_BYTES as u64), ..Sum::default() };
            Ok::<_, DiskError>(Assembly { from, meta, total, received: 0, sum, into, place })
        };
        Ok(self.on_disk(begin).await?)
    }

    /// Does something that may block, beside the runtime where there is a disk.
    async fn on_disk<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> T {
        match &self.data {
            Some(data) => data.call(call).await,
            None => call(),
        }
    }
}

/// A snapshot of which some pieces have arrived.
struct Assembly {
    from: NodeId,
    meta: SnapshotMeta,
    total: u64,
    received: u64,
    sum: Sum,
    into: Sink,
    place: OwnedMutexGuard<()>,
}

enum Sink {
    Memory(PiecesWriter),
    File(FileWriter, Arc<DataDir>),
}

impl Assembly {
    fn is(&self, from: NodeId, meta: &SnapshotMeta, total: u64) -> bool {
        (self.from, self.total) == (from, total) && self.meta == *meta
    }

    fn add(mut self, data: &[u8]) -> Result<Self, NotTaken> {
        if data.len() as u64 > self.total - self.received {
            return Err(NotTaken::TooLong { bytes: self.total });
        }
        self.received += data.len() as u64;
        self.sum.add(data);
        match &mut self.into {
            // Memory does not fail: it grows with what has come.
            Sink::Memory(pieces) => pieces.write_all(data).map_err(SnapshotError::Read)?,
            Sink::File(file, _) => file.write(data).map_err(DiskError::from)?,
        }
        Ok(self)
    }

    /// Checks that it is what was sent, before Raft sees it: one that cannot be read is the end to
    /// Raft, and one to be fetched again to us.
    fn finish(self) -> Result<Content, NotTaken> {
        self.sum.check()?;
        let at = match self.into {
            Sink::Memory(pieces) => Arrival::Memory(pieces.finish()),
            Sink::File(file, data) => {
                file.finish().map_err(DiskError::from)?;
                Arrival::File(data)
            }
        };
        Ok(Content::Arrived(Arrived { at, _place: Some(self.place) }))
    }
}

/// The checksum of what arrives, and that which stands at its end.
#[derive(Default)]
struct Sum {
    computed: crc32fast::Hasher,
    /// How many bytes are still to come before the checksum.
    before: u64,
    found: Vec<u8>,
}

impl Sum {
    fn add(&mut self, data: &[u8]) {
        let content = usize::try_from(self.before).unwrap_or(usize::MAX).min(data.len());
        let (content, end) = data.split_at(content);
        self.computed.update(content);
        self.before -= content.len() as u64;
        self.found.extend_from_slice(end);
    }

    fn check(&self) -> Result<(), SnapshotError> {
        let Ok(found) = <[u8; SUM_BYTES]>::try_from(&self.found[..]) else {
            return Err(SnapshotError::CutShort("its checksum"));
        };
        let (found, computed) = (u32::from_le_bytes(found), self.computed.clone().finalize());
        if found == computed { Ok(()) } else { Err(SnapshotError::Checksum { found, computed }) }
    }
}

#[cfg(test)]
mod tests;
