//! `cargo xtask sim hour`: an hour in which one node in ten is starved of CPU and one message in
//! twenty is lost, and in which no node may be taken out of the view.
//!
//! With a thousand nodes it takes longer than that, so it says now and then how far it is.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clustron_testkit::sim::{Failure, Tracing};
use clustron_testkit::swim::scenarios::{detector_of, starved_and_lossy};

use crate::{print, words};

const MINUTE: Duration = Duration::from_secs(60);

/// How often it says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(120);

pub(crate) fn run(words: Vec<String>) -> Result<ExitCode, String> {
    let numbers = words::numbers(words, &[("--nodes", 10), ("--seeds", 4), ("--minutes", 60)])?;
    let nodes = usize::try_from(numbers["--nodes"]).map_err(|error| error.to_string())?;
    let mut outcome = ExitCode::SUCCESS;
    for seed in 0..numbers["--seeds"] {
        let what = format!("{nodes} nodes, {:?}, seed {seed}", detector_of(seed));
        let mut swim = starved_and_lossy(seed, nodes, |o| o.tracing = Tracing::off());
        let mut said_at = Instant::now();
        let ran = (1..=numbers["--minutes"]).try_for_each(|minute| {
            swim.run_for(MINUTE)?;
            if said_at.elapsed() > SAY_EVERY {
                said_at = Instant::now();
                print(&format!("{what}: minute {minute} is over"));
            }
            Ok(())
        });
        match ran {
            Ok(()) => {
                let report = swim.report();
                let (time, events) = (report.virtual_time, report.events);
                print(&format!("{what}: nobody removed in {time:?}, {events} events"));
            }
            Err::<(), Failure>(failure) => {
                print(&format!("{what}: {failure}"));
                outcome = ExitCode::FAILURE;
            }
        }
    }
    Ok(outcome)
}
