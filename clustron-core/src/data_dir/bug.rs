//! Deliberate defects of what a node keeps, to show that the simulator sees them. See
//! `clustron-testkit`.

use super::Calls;

/// A deliberate defect of how a node keeps its state. Only with the feature `simulation`, and only
/// on a simulated disk, can one be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "only simulations name one")
)]
pub enum DiskBug {
    /// Votes are kept in memory only.
    VoteNotPersisted,
    /// Everything is acknowledged without a sync.
    #[cfg_attr(not(feature = "simulation"), expect(dead_code, reason = "only its disk has it"))]
    AcknowledgedBeforeSync,
    /// Starts again under the same identity with an empty log and without a vote.
    IdentityOutlivesLog,
    /// Begins as a new node at each start, though the cluster has become real.
    ClusterForgotten,
    /// Starts again under the number and the incarnation of the start before.
    StartNotCounted,
    /// Takes the last whole entry for torn whenever it starts.
    LastEntryLost,
    /// Entries that were truncated stay on disk, in the place of those that came after them.
    TruncatedEntriesReturn,
    /// Keeps snapshots in memory only, and gives up the entries that they stand for.
    SnapshotNotWritten,
    /// Does not note up to where it has given up entries.
    PurgeNotNoted,
    /// The index of a snapshot is that of its making, and its content that of the one before.
    SnapshotAheadOfState,
    /// Takes the index of a snapshot, and nothing of the modules' states, when it starts.
    StateNotRestored,
    /// Applies leader work of any epoch.
    StaleEpochAccepted,
}

impl Calls {
    /// Whether a defect is switched on.
    #[cfg(feature = "simulation")]
    pub(super) fn has(&self, bug: DiskBug) -> bool {
        match self {
            Self::Pool => false,
            Self::InPlace { bug: on, .. } => *on == Some(bug),
        }
    }

    #[cfg(not(feature = "simulation"))]
    #[expect(clippy::unused_self, reason = "a simulated node looks at itself")]
    pub(super) fn has(&self, _bug: DiskBug) -> bool {
        false
    }
}

impl super::DataDir {
    /// Whether a deliberate defect is switched on.
    pub(crate) fn has(&self, bug: DiskBug) -> bool {
        self.calls.has(bug)
    }
}
