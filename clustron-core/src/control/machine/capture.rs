//! What goes into a snapshot: the agreed state, and the modules' as they stand while nothing is
//! applied.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::absent::{Absent, AbsentModules};
use super::{Ended, Modules};
use crate::codec::{self, CodecError};
use crate::control::snapshot::{Section, SnapshotError, SnapshotReader, SnapshotWriter};
use crate::control::state::Agreed;
use crate::data_dir::DiskError;

/// See the module's documentation.
pub(super) struct Capture {
    pub(super) modules: Arc<Modules>,
    pub(super) agreed: Agreed,
    pub(super) absent: AbsentModules,
}

impl Capture {
    /// Whether it takes something over from the snapshot on disk.
    pub(super) fn wants_before(&self) -> bool {
        self.absent.values().any(|absent| matches!(absent, Absent::InFile))
    }

    /// Encodes all of it, into bounded memory. `before` is the snapshot on disk.
    pub(super) fn write(
        &self,
        out: &mut dyn Write,
        before: Option<&mut dyn Read>,
    ) -> Result<(), Unwritten> {
        let agreed = |out: &mut dyn Write| Ok(codec::encode_into(&self.agreed, out)?);
        let mut writer = SnapshotWriter::begin::<Unwritten>(out, agreed)?;
        for (name, module) in self.modules.iter() {
            writer.module::<Unwritten>(name, |out| {
                let encode = AssertUnwindSafe(|| module.snapshot(out));
                Ok(catch_unwind(encode).map_err(|panic| {
                    let text = crate::tasks::panic_text(panic.as_ref());
                    Unwritten::Panicked { module: (*name).to_owned(), text }
                })??)
            })?;
        }
        for (name, absent) in &self.absent {
            match absent {
                Absent::Missed => writer.missed(name)?,
                Absent::InMemory(state) => {
                    let mut state = state.as_ref().clone();
                    writer.module::<io::Error>(name, |out| io::copy(&mut state, out).map(drop))?;
                }
                Absent::InFile => {}
            }
        }
        if self.wants_before() {
            self.take_over(before.ok_or(Unwritten::NothingBefore)?, &mut writer)?;
        }
        Ok(writer.finish()?)
    }

    /// Copies what is kept in the snapshot on disk.
    fn take_over(
        &self,
        before: &mut dyn Read,
        writer: &mut SnapshotWriter<'_>,
    ) -> Result<(), Unwritten> {
        let (mut before, _agreed) = SnapshotReader::begin(before)?;
        while let Some(section) = before.next_section()? {
            if let Section::State(name) = section
                && matches!(self.absent.get(&name), Some(Absent::InFile))
            {
                writer.module::<io::Error>(&name, |out| io::copy(&mut before, out).map(drop))?;
            }
        }
        Ok(())
    }
}

/// Why a snapshot was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    #[error("module {module:?} panicked while its state was encoded: {text}")]
    Panicked { module: String, text: String },
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the one before it cannot be used: {0}")]
    Before(#[from] SnapshotError),
    #[error("the one before it is gone")]
    NothingBefore,
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Ended(#[from] Ended),
}
