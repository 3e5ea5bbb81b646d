//! `cargo xtask sim hour`: an hour in which one node in ten is starved of CPU and one message in
//! twenty is lost, and in which no node may be taken out of the view.

use std::process::ExitCode;
use std::time::Duration;

use clustron_testkit::sim::Tracing;
use clustron_testkit::swim::scenarios::{detector_of, starved_and_lossy};

use crate::{print, words};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn run(words: Vec<String>) -> Result<ExitCode, String> {
    let numbers = words::numbers(words, &[("--nodes", 10), ("--seeds", 4)])?;
    let nodes = usize::try_from(numbers["--nodes"]).map_err(|error| error.to_string())?;
    let mut outcome = ExitCode::SUCCESS;
    for seed in 0..numbers["--seeds"] {
        let detector = detector_of(seed);
        let ran = starved_and_lossy(seed, nodes, HOUR, |o| o.tracing = Tracing::off());
        match ran {
            Ok(report) => print(&format!(
                "{nodes} nodes, {detector:?}, seed {seed}: nobody removed in {:?}, {} events",
                report.virtual_time, report.events
            )),
            Err(failure) => {
                print(&format!("{nodes} nodes, {detector:?}: {failure}"));
                outcome = ExitCode::FAILURE;
            }
        }
    }
    Ok(outcome)
}
