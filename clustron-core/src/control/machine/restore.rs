//! Takes a snapshot in: all of it is decoded and found right before any of it is put in place.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::absent::{Absent, AbsentModules, Keep};
use super::{Ended, Modules};
use crate::codec::CodecError;
use crate::control::content::PiecesWriter;
use crate::control::replicated::{AnyReplicated, Put};
use crate::control::snapshot::{Section, SnapshotError, SnapshotReader};
use crate::control::state::Agreed;
use crate::control::types::SnapshotMeta;
use crate::data_dir::{DataDir, DataDirError, DiskError, SNAPSHOT};

/// What a snapshot holds, ready to be put in place.
pub(super) struct States {
    pub(super) agreed: Agreed,
    pub(super) restored: Vec<Put>,
    pub(super) absent: AbsentModules,
}

/// See the module's documentation.
pub(super) struct Restore {
    pub(super) modules: Arc<Modules>,
    pub(super) keep: Keep,
}

impl Restore {
    /// Reads a snapshot without changing anything, in bounded memory beside the states.
    pub(super) fn read(
        &self,
        meta: &SnapshotMeta,
        input: &mut dyn Read,
    ) -> Result<States, Unusable> {
        let (mut reader, agreed) = SnapshotReader::begin(input)?;
        let index = agreed.index_of(meta.last_log_id.map_or(0, |id| id.index));
        let (mut restored, mut absent) = (vec![], AbsentModules::new());
        let mut named = BTreeSet::new();
        while let Some(section) = reader.next_section()? {
            match section {
                Section::State(name) => match self.modules.get_key_value(name.as_str()) {
                    Some((name, module)) => {
                        named.insert(*name);
                        restored.push(decode(name, module.as_ref(), index, &mut reader)?);
                    }
                    None => {
                        let kept = self.keep(&mut reader)?;
                        absent.insert(name, kept);
                    }
                },
                // To go on with an old state at the new index would be to diverge unseen.
                Section::Missed(name) if self.modules.contains_key(name.as_str()) => {
                    return Err(Unusable::MissingModule(name));
                }
                Section::Missed(name) => drop(absent.insert(name, Absent::Missed)),
            }
        }
        // Without a word of it there has been no command for it: the service has it since lately.
        let new = self.modules.iter().filter(|(name, _)| !named.contains(*name));
        restored.extend(new.map(|(_, module)| module.beginning(index)));
        Ok(States { agreed, restored, absent })
    }

    /// Keeps the state that comes next, of a module that does not run here.
    fn keep(&self, state: &mut SnapshotReader<'_>) -> Result<Absent, Unusable> {
        match self.keep {
            Keep::Nowhere => Ok(Absent::Missed),
            Keep::InFile => Ok(Absent::InFile),
            Keep::InMemory => {
                let mut kept = PiecesWriter::default();
                io::copy(state, &mut kept).map_err(SnapshotError::Read)?;
                Ok(Absent::InMemory(Arc::new(kept.finish())))
            }
        }
    }
}

fn decode(
    name: &str,
    module: &dyn AnyReplicated,
    index: u64,
    state: &mut SnapshotReader<'_>,
) -> Result<Put, Unusable> {
    let decode = AssertUnwindSafe(|| module.restore(index, state));
    let decoded = catch_unwind(decode).map_err(|panic| {
        let text = crate::tasks::panic_text(panic.as_ref());
        Unusable::Panicked { module: name.to_owned(), text }
    })?;
    decoded.map_err(|error| Unusable::State { module: name.to_owned(), error })
}

/// Why a snapshot cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(
        "the snapshot lacks the state of module {0:?}, which runs here: who made it did not run it"
    )]
    MissingModule(String),
    #[error("module {module:?} panicked while its state was decoded: {text}")]
    Panicked { module: String, text: String },
    #[error("the state of module {module:?}: {error}")]
    State { module: String, error: CodecError },
    #[error(transparent)]
    Damaged(#[from] SnapshotError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl Unusable {
    /// As a reason not to start.
    pub(super) fn at_start(self, data: &DataDir) -> DataDirError {
        match self {
            Self::MissingModule(module) => data.missed(&module),
            Self::Disk(error) => data.failed(error),
            other => data.damaged(SNAPSHOT, &other),
        }
    }
}
