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

mod churn;
mod disks;
mod letters;
mod successions;
mod tally;

pub use tally::{Tally, TallyModule};

use clustron_core::simulation::NodeBug;

use super::failure::Failure;
use super::nemesis::{FaultKind, Nemesis};
use super::predicates::NoHealthyNodeIsRemoved;
use super::sim_cluster::SimCluster;
use tally::{Load, TallyBuilder};

/// A named run.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What to call it on a command line.
    pub name: &'static str,
    /// What happens in it, in a sentence.
    pub about: &'static str,
    /// Whether the hosts have disks.
    pub on_disk: bool,
    run: fn(u64, Option<NodeBug>) -> Run,
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
        (self.run)(seed, None)
    }

    /// Runs it with a seed and a deliberate defect. That of a disk shows only where the hosts have
    /// [disks](Self::on_disk).
    ///
    /// # Panics
    /// When called from within a runtime.
    pub fn run_flawed(&self, seed: u64, bug: NodeBug) -> Run {
        (self.run)(seed, Some(bug))
    }
}

/// All scenarios.
pub fn all() -> [Scenario; 12] {
    [
        Scenario {
            name: "tally-3",
            about: "clients count on three nodes under every fault; nothing acknowledged is lost",
            on_disk: false,
            run: |seed, bug| tally::run(seed, in_memory(seed, bug, 3), Load::default()),
        },
        Scenario {
            name: "tally-5",
            about: "clients count on five nodes under every fault; nothing acknowledged is lost",
            on_disk: false,
            run: |seed, bug| tally::run(seed, in_memory(seed, bug, 5), Load::default()),
        },
        Scenario {
            name: "crowds",
            about: "many clients count in step on three nodes, so that commands go in common requests",
            on_disk: false,
            run: |seed, bug| {
                let load = Load { clients: 40, in_step: true, ..Load::default() };
                tally::run(seed, in_memory(seed, bug, 3), load)
            },
        },
        Scenario {
            name: "partial-partitions",
            about: "five nodes of which some hear some: bridges, deaf, mute and one-way links",
            on_disk: false,
            run: |seed, bug| {
                let partial = Nemesis::only([
                    FaultKind::Bridge,
                    FaultKind::OneWay,
                    FaultKind::DeafOrMute,
                    FaultKind::Pair,
                ]);
                tally::run(seed, in_memory(seed, bug, 5).nemesis(partial), Load::default())
            },
        },
        Scenario {
            name: "churn",
            about: "two of five nodes are lost for good at once, and others come in their places",
            on_disk: false,
            run: churn::run,
        },
        Scenario {
            name: "successions",
            about: "three nodes are replaced one by one, each as soon as somebody says that it may",
            on_disk: false,
            run: successions::run,
        },
        Scenario {
            name: "healthy-stay-3",
            about: "three nodes under every fault; nobody who is well is put out",
            on_disk: false,
            run: |seed, bug| healthy_stay(seed, bug, 3),
        },
        Scenario {
            name: "healthy-stay",
            about: "five nodes under every fault; nobody who is well is put out",
            on_disk: false,
            run: |seed, bug| healthy_stay(seed, bug, 5),
        },
        Scenario {
            name: "letters",
            about: "three nodes write to each other through layers over a wire that loses, doubles and \
                    delays; each letter arrives once and in order, or is reported",
            on_disk: false,
            run: letters::run,
        },
        Scenario {
            name: "disks-3",
            about: "three nodes with disks under every fault, also of disks and of all power",
            on_disk: true,
            run: |seed, bug| disks::chaos(seed, bug, 3),
        },
        Scenario {
            name: "disks-5",
            about: "five nodes with disks under every fault, also of disks and of all power",
            on_disk: true,
            run: |seed, bug| disks::chaos(seed, bug, 5),
        },
        Scenario {
            name: "power",
            about: "the power of all fails at once, again and again, while clients count",
            on_disk: true,
            run: disks::power,
        },
    ]
}

fn in_memory(seed: u64, bug: Option<NodeBug>, nodes: usize) -> TallyBuilder {
    SimCluster::builder(seed).nodes(nodes).bug(bug)
}

fn healthy_stay(seed: u64, bug: Option<NodeBug>, nodes: usize) -> Run {
    let builder = in_memory(seed, bug, nodes).predicate(NoHealthyNodeIsRemoved::default());
    tally::run(seed, builder, Load::default())
}
