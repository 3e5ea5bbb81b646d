//! Deliberate defects of whole nodes: what the simulation with disks is there to find.

use clustron_core::simulation::DiskBug;

use super::scenarios;

/// A deliberate defect of all nodes of a simulated cluster with disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw(DiskBug);

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
    pub const ALL: [Flaw; 11] = [
        Flaw(DiskBug::VoteNotPersisted),
        Flaw(DiskBug::AcknowledgedBeforeSync),
        Flaw(DiskBug::IdentityOutlivesLog),
        Flaw(DiskBug::StartNotCounted),
        Flaw(DiskBug::LastEntryLost),
        Flaw(DiskBug::TruncatedEntriesReturn),
        Flaw(DiskBug::SnapshotNotWritten),
        Flaw(DiskBug::PurgeNotNoted),
        Flaw(DiskBug::SnapshotAheadOfState),
        Flaw(DiskBug::StateNotRestored),
        Flaw(DiskBug::StaleEpochAccepted),
    ];

    /// Its name.
    pub fn name(self) -> String {
        format!("{:?}", self.0)
    }

    /// The first seed below `seeds` with which some scenario finds it.
    ///
    /// # Panics
    /// When called from within a runtime.
    pub fn hunt(self, seeds: u64) -> Option<Catch> {
        let scenarios = scenarios::all();
        let on_disk = scenarios.iter().filter(|scenario| scenario.on_disk);
        let runs = (0..seeds).flat_map(|seed| on_disk.clone().map(move |s| (seed, s)));
        runs.into_iter().find_map(|(seed, scenario)| {
            let failure = scenario.run_flawed(seed, self.0).outcome.err()?;
            Some(Catch { scenario: scenario.name, seed, predicate: failure.predicate })
        })
    }
}
