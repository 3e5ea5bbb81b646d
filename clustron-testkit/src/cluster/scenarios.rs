//! Runs that a seed decides and that must keep every promise: those of the project's own tests, and
//! of whoever wants to run a few thousand seeds more.
//!
//! ```
//! use clustron_testkit::cluster::scenarios;
//!
//! let listed = scenarios::all().into_iter().find(|scenario| scenario.name == "tally-3");
//! let run = listed.expect("it is listed").run(7);
//! assert!(run.outcome.is_ok(), "{}", run.trace);
//! ```

mod tally;

pub use tally::{Tally, TallyModule};

use super::failure::Failure;
use super::nemesis::{FaultKind, Nemesis};
use super::predicates::NoHealthyNodeIsRemoved;
use super::sim_cluster::SimCluster;

/// A named run.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What to call it on a command line.
    pub name: &'static str,
    /// What happens in it, in a sentence.
    pub about: &'static str,
    run: fn(u64) -> Run,
}

/// How a run went.
#[derive(Debug, Clone)]
pub struct Run {
    /// Everything that was seen, a line each.
    pub trace: String,
    /// What was done, for people; or the promise that was broken.
    pub outcome: Result<String, Failure>,
}

impl Scenario {
    /// Runs it with a seed.
    ///
    /// # Panics
    /// When called from within a runtime.
    pub fn run(&self, seed: u64) -> Run {
        (self.run)(seed)
    }
}

/// All scenarios.
pub fn all() -> [Scenario; 5] {
    [
        Scenario {
            name: "tally-3",
            about: "clients count on three nodes under every fault; nothing acknowledged is lost",
            run: |seed| tally::run(seed, SimCluster::builder(seed).nodes(3)),
        },
        Scenario {
            name: "tally-5",
            about: "clients count on five nodes under every fault; nothing acknowledged is lost",
            run: |seed| tally::run(seed, SimCluster::builder(seed).nodes(5)),
        },
        Scenario {
            name: "partial-partitions",
            about: "five nodes of which some hear some: bridges, deaf, mute and one-way links",
            run: |seed| {
                let partial = Nemesis::only([
                    FaultKind::Bridge,
                    FaultKind::OneWay,
                    FaultKind::DeafOrMute,
                    FaultKind::Pair,
                ]);
                tally::run(seed, SimCluster::builder(seed).nodes(5).nemesis(partial))
            },
        },
        Scenario {
            name: "healthy-stay-3",
            about: "three nodes under every fault; nobody who is well is put out",
            run: |seed| {
                let builder = SimCluster::builder(seed).nodes(3);
                tally::run(seed, builder.predicate(NoHealthyNodeIsRemoved::default()))
            },
        },
        Scenario {
            name: "healthy-stay",
            about: "five nodes under every fault; nobody who is well is put out",
            run: |seed| {
                let builder = SimCluster::builder(seed).nodes(5);
                tally::run(seed, builder.predicate(NoHealthyNodeIsRemoved::default()))
            },
        },
    ]
}
