//! `cargo xtask sim flaws`: the table of flaws in the documentation of `clustron_testkit::swim`.

use std::process::ExitCode;

use clustron_testkit::swim::Flaw;

use crate::{print, words};

pub(crate) fn run(words: Vec<String>) -> Result<ExitCode, String> {
    let seeds = words::numbers(words, &[("--seeds", 300)])?["--seeds"];
    let mut outcome = ExitCode::SUCCESS;
    print("| flaw | seeds | found in | by |");
    print("| --- | --- | --- | --- |");
    for flaw in Flaw::ALL {
        match flaw.hunt(seeds) {
            Some(catch) => print(&format!(
                "| `{}` | {} | {} | {} |",
                flaw.name(),
                catch.seed + 1,
                catch.scenario,
                catch.predicate
            )),
            None => {
                print(&format!("| `{}` | not in {seeds} | | |", flaw.name()));
                outcome = ExitCode::FAILURE;
            }
        }
    }
    Ok(outcome)
}
