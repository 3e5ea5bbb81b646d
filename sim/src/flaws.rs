//! `cargo xtask sim flaws`: the tables of flaws in the documentation of `clustron_testkit::swim`
//! and of `clustron_testkit::cluster`.

use std::process::ExitCode;

use clustron_testkit::{cluster, swim};

use crate::{print, words};

/// How many seeds are tried where nobody says it.
const SEEDS: u64 = 300;

/// A flaw that was found: with which seed, in which scenario, by which predicate.
type Catch = (u64, String, String);

/// Those of the membership machine.
pub(crate) fn run(words: Vec<String>) -> Result<ExitCode, String> {
    let flaws = swim::Flaw::ALL.into_iter();
    tell(words, flaws, swim::Flaw::name, |flaw, seeds| {
        flaw.hunt(seeds).map(|catch| (catch.seed, catch.scenario, catch.predicate))
    })
}

/// Those of whole nodes.
pub(crate) fn of_nodes(words: Vec<String>) -> Result<ExitCode, String> {
    let flaws = cluster::Flaw::ALL.into_iter();
    tell(words, flaws, cluster::Flaw::name, |flaw, seeds| {
        let catch = flaw.hunt(seeds)?;
        Some((catch.seed, catch.scenario.to_owned(), catch.predicate))
    })
}

fn tell<F: Copy>(
    words: Vec<String>,
    flaws: impl Iterator<Item = F>,
    name: impl Fn(F) -> String,
    hunt: impl Fn(F, u64) -> Option<Catch>,
) -> Result<ExitCode, String> {
    let seeds = words::numbers(words, &[("--seeds", SEEDS)])?["--seeds"];
    let mut outcome = ExitCode::SUCCESS;
    print("| flaw | seeds | found in | by |");
    print("| --- | --- | --- | --- |");
    for flaw in flaws {
        let name = name(flaw);
        match hunt(flaw, seeds) {
            Some((seed, scenario, predicate)) => {
                print(&format!("| `{name}` | {} | {scenario} | {predicate} |", seed + 1));
            }
            None => {
                print(&format!("| `{name}` | not in {seeds} | | |"));
                outcome = ExitCode::FAILURE;
            }
        }
    }
    Ok(outcome)
}
