//! The level of whole nodes: `clustron_testkit::cluster` under the same runner.

use clustron_testkit::cluster::scenarios;
use clustron_testkit::sim::{Failure, Report, Runner, Scenario, Tracing};

/// The scenarios of whole nodes.
pub(crate) fn runner(print: impl Fn(&str) + Send + Sync + 'static) -> Runner {
    let runner = Runner::new("cargo xtask sim --level nodes", print);
    scenarios::all().into_iter().map(Nodes).fold(runner, Runner::with)
}

struct Nodes(scenarios::Scenario);

impl Scenario for Nodes {
    fn name(&self) -> &str {
        self.0.name
    }

    fn about(&self) -> &str {
        self.0.about
    }

    fn run(&self, seed: u64, tracing: Tracing) -> Result<Report, Failure> {
        let run = self.0.run(seed);
        let events = run.trace.lines().count() as u64;
        let fingerprint = tracing.tell(run.trace.lines());
        match run.outcome {
            Ok(_) => Ok(Report { events, fingerprint, ..Report::default() }),
            Err(failure) => Err(Failure {
                seed,
                at: failure.at,
                predicate: failure.predicate,
                what: failure.detail,
                tail: failure.trace,
                repeat: None,
            }),
        }
    }
}
