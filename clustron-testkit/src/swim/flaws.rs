//! Deliberate defects: what the simulation is there to find.

use clustron_core::membership::Bug;

use super::scenarios;
use crate::sim::Scenario;

/// A deliberate defect of all nodes of a simulated cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// In the membership machine.
    Machine(Bug),
    /// The node does not keep its incarnation on its disk, and starts again under its old identity
    /// with the first one.
    ForgottenIncarnation,
}

/// How a flaw was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catch {
    /// In which scenario.
    pub scenario: String,
    /// With which seed, from zero.
    pub seed: u64,
    /// Which predicate did not hold.
    pub predicate: String,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Flaw; 12] = [
        Flaw::Machine(Bug::ForgottenRefutation),
        Flaw::Machine(Bug::ReusedIncarnation),
        Flaw::Machine(Bug::LostTombstone),
        Flaw::Machine(Bug::RevivedByOldNews),
        Flaw::Machine(Bug::OldSuspicionCounts),
        Flaw::Machine(Bug::EndlessGossip),
        Flaw::Machine(Bug::GossipEndsHere),
        Flaw::Machine(Bug::DeafToComparison),
        Flaw::Machine(Bug::OldMetadataWins),
        Flaw::Machine(Bug::ClearedUnheard),
        Flaw::Machine(Bug::SilentGoodbye),
        Flaw::ForgottenIncarnation,
    ];

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Flaw::Machine(bug) => format!("{bug:?}"),
            Flaw::ForgottenIncarnation => format!("{self:?}"),
        }
    }

    /// The first seed below `seeds` with which some scenario finds it.
    pub fn hunt(self, seeds: u64) -> Option<Catch> {
        let scenarios = scenarios::all();
        let runs = (0..seeds).flat_map(|seed| scenarios.iter().map(move |s| (seed, s)));
        runs.into_iter().find_map(|(seed, scenario)| {
            let failure = scenario.run_flawed(seed, self).err()?;
            let scenario = scenario.name().to_owned();
            Some(Catch { scenario, seed, predicate: failure.predicate })
        })
    }
}
