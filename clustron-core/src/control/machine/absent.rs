//! Modules whose commands are in the log, and that do not run at this node.
//!
//! Like the mail of a neighbour who is away: it is kept unopened for as long as nothing has to be
//! answered. Once a command had to be applied that nobody here understands, the state that was kept
//! is an old one, and all that is left to say is that it was missed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::content::Pieces;

/// What this node has of the state of each such module.
pub(super) type AbsentModules = BTreeMap<String, Absent>;

#[derive(Debug, Clone)]
pub(super) enum Absent {
    /// The state as it still is, in the snapshot on disk.
    InFile,
    /// The state as it still is, in memory.
    InMemory(Arc<Pieces>),
    /// Nothing: the state has changed, or it was never kept.
    Missed,
}

/// Where a node keeps the states of modules that do not run there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nowhere: it never votes, so that nobody will ask it for them.
    Nowhere,
    /// In its snapshot on disk, where they are.
    InFile,
    InMemory,
}
