//! Deliberate defects of whole nodes: what the simulation is there to find.

use clustron_core::simulation::{ClusterBug, DiskBug, NodeBug};

use super::scenarios;

/// A deliberate defect of all nodes of a simulated cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    bug: NodeBug,
    /// The scenario that finds it soonest.
    shows_in: &'static str,
}

/// How a flaw was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catch {
    /// In which scenario.
    pub scenario: &'static str,
    /// With which seed.
    pub seed: u64,
    /// Which predicate did not hold.
    pub predicate: String,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Flaw; 15] = [
        Flaw::of_disk(DiskBug::VoteNotPersisted, "power"),
        Flaw::of_disk(DiskBug::AcknowledgedBeforeSync, "power"),
        Flaw::of_disk(DiskBug::IdentityOutlivesLog, "power"),
        Flaw::of_disk(DiskBug::ClusterForgotten, "power"),
        Flaw::of_disk(DiskBug::StartNotCounted, "disks-3"),
        Flaw::of_disk(DiskBug::LastEntryLost, "power"),
        Flaw::of_disk(DiskBug::TruncatedEntriesReturn, "disks-3"),
        Flaw::of_disk(DiskBug::SnapshotNotWritten, "power"),
        Flaw::of_disk(DiskBug::PurgeNotNoted, "disks-5"),
        Flaw::of_disk(DiskBug::SnapshotAheadOfState, "power"),
        Flaw::of_disk(DiskBug::StateNotRestored, "power"),
        Flaw::of_disk(DiskBug::StaleEpochAccepted, "power"),
        Flaw::of_cluster(ClusterBug::FoundedApart, "tally-3"),
        Flaw::of_cluster(ClusterBug::VotersChangedTogether, "churn"),
        Flaw::of_cluster(ClusterBug::HandedOnAgain, "crowds"),
    ];

    const fn of_disk(bug: DiskBug, shows_in: &'static str) -> Self {
        Self { bug: NodeBug::Disk(bug), shows_in }
    }

    const fn of_cluster(bug: ClusterBug, shows_in: &'static str) -> Self {
        Self { bug: NodeBug::Cluster(bug), shows_in }
    }

    /// Its name.
    pub fn name(self) -> String {
        match self.bug {
            NodeBug::Disk(bug) => format!("{bug:?}"),
            NodeBug::Cluster(bug) => format!("{bug:?}"),
        }
    }

    /// The first seed below `seeds` with which it is found, in the scenario that is best at it.
    ///
    /// # Panics
    /// When called from within a runtime.
    pub fn hunt(self, seeds: u64) -> Option<Catch> {
        let scenarios = scenarios::all();
        let scenario = scenarios.iter().find(|scenario| scenario.name == self.shows_in)?;
        (0..seeds).find_map(|seed| {
            let failure = scenario.run_flawed(seed, self.bug).outcome.err()?;
            Some(Catch { scenario: scenario.name, seed, predicate: failure.predicate })
        })
    }
}
