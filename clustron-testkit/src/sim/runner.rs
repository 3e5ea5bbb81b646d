//! Runs scenarios over seeds: one with its whole story, or as many as there is time for, on all
//! cores. It is the one part of the simulator that knows real time and threads.

mod arguments;
mod campaign;

use std::process::ExitCode;
use std::sync::Arc;

use super::{Failure, Scenario, Tracing};
use arguments::{Arguments, Seeds};
use campaign::Campaign;

/// A command that runs [`Scenario`]s.
///
/// ```
/// use clustron_testkit::sim::{Failure, Report, Runner, Scenario, SimulationBuilder, Tracing};
/// # use clustron_testkit::sim::{Input, Node, Outbox};
/// use std::time::Duration;
/// # struct Echo;
/// # impl Node for Echo {
/// #     type Message = ();
/// #     type Disk = ();
/// #     fn handle(&mut self, _: Duration, _: Input<()>, _: &mut Outbox<'_, Self>) {}
/// # }
///
/// struct Quiet;
///
/// impl Scenario for Quiet {
///     fn name(&self) -> &str { "quiet" }
///     fn about(&self) -> &str { "Five nodes do nothing." }
///     fn run(&self, seed: u64, tracing: Tracing) -> Result<Report, Failure> {
///         let builder = SimulationBuilder::new(seed).nodes(5).tracing(tracing);
///         let mut sim = builder.build(|_index, _seed, _disk| Echo);
///         sim.chaos(Duration::from_secs(10))?;
///         sim.heal();
///         sim.run_for(Duration::from_secs(1))?;
///         Ok(sim.report())
///     }
/// }
///
/// // In `main`: the arguments of the program, and its exit code.
/// let runner = Runner::new("cargo run -p my-sim --", |line| println!("{line}")).with(Quiet);
/// let outcome = runner.run(["--seeds", "0..20"].map(String::from));
/// assert_eq!(outcome.failed, 0);
/// ```
pub struct Runner {
    command: String,
    print: Arc<dyn Fn(&str) + Send + Sync>,
    scenarios: Vec<Box<dyn Scenario>>,
}

/// How a [`Runner`] has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// How many runs found nothing.
    pub held: u64,
    /// How many runs found something.
    pub failed: u64,
    /// Whether the arguments were wrong, so that nothing ran.
    pub misused: bool,
}

impl Outcome {
    fn plus(self, other: Outcome) -> Outcome {
        Outcome {
            held: self.held + other.held,
            failed: self.failed + other.failed,
            misused: self.misused || other.misused,
        }
    }
}

impl From<Outcome> for ExitCode {
    /// 0 if all runs held, 1 if one did not, 2 if the arguments were wrong.
    fn from(outcome: Outcome) -> ExitCode {
        match outcome {
            Outcome { misused: true, .. } => ExitCode::from(2),
            Outcome { failed: 0, .. } => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

impl Runner {
    /// `command` is what people type to start this program, for the lines that say how to repeat a
    /// run. `print` takes each line of output; several threads call it.
    pub fn new(command: impl Into<String>, print: impl Fn(&str) + Send + Sync + 'static) -> Runner {
        Runner { command: command.into(), print: Arc::new(print), scenarios: Vec::new() }
    }

    /// Adds a scenario.
    pub fn with(mut self, scenario: impl Scenario + 'static) -> Runner {
        self.scenarios.push(Box::new(scenario));
        self
    }

    /// Does what the arguments, without the program's name, say:
    ///
    /// * `list`: names the scenarios;
    /// * `--seed N [--scenario NAME]`: one run, with every line of its trace;
    /// * `--seeds A..B [--scenario NAME] [--jobs N] [--twice]`: the seeds from A to before B on all
    ///   cores or on N threads; `--twice` runs each seed two times and compares the stories.
    ///
    /// Without a name, all scenarios run, one after the other.
    pub fn run(&self, arguments: impl IntoIterator<Item = String>) -> Outcome {
        let arguments = match Arguments::parse(arguments) {
            Ok(arguments) => arguments,
            Err(error) => return self.misused(&error),
        };
        let Some(seeds) = arguments.seeds else {
            self.list();
            return Outcome::default();
        };
        let wanted = |scenario: &&dyn Scenario| {
            arguments.scenario.as_deref().is_none_or(|name| name == scenario.name())
        };
        let scenarios: Vec<&dyn Scenario> =
            self.scenarios.iter().map(Box::as_ref).filter(wanted).collect();
        if scenarios.is_empty() {
            let names: Vec<&str> = self.scenarios.iter().map(|s| s.name()).collect();
            let name = arguments.scenario.as_deref().unwrap_or_default();
            return self.misused(&format!("no scenario {name:?}; give one of {names:?}"));
        }
        let outcomes = scenarios.into_iter().map(|scenario| match &seeds {
            Seeds::One(seed) => self.run_one(scenario, *seed),
            Seeds::Many { range, jobs, twice } => {
                let repeat = self.repeat_command(scenario);
                let print = self.print.as_ref();
                Campaign { scenario, repeat, print, twice: *twice }.run(range.clone(), *jobs)
            }
        });
        outcomes.fold(Outcome::default(), Outcome::plus)
    }

    fn run_one(&self, scenario: &dyn Scenario, seed: u64) -> Outcome {
        let print = Arc::clone(&self.print);
        // The story is printed as it happens; a tail would only say its end again.
        let tracing = Tracing::full(move |line| print(line)).lines(0).fingerprint();
        let name = scenario.name();
        match campaign::run_caught(scenario, seed, tracing) {
            Ok(report) => {
                let fingerprint = report.fingerprint.unwrap_or_default();
                self.say(&format!(
                    "{name} held with seed {seed}: {} events and {} faults in {:?}, fingerprint \
                     {fingerprint:016x}",
                    report.events, report.faults, report.virtual_time
                ));
                Outcome { held: 1, ..Outcome::default() }
            }
            Err(failure) => {
                let repeat = Some(format!("{} --seed {seed}", self.repeat_command(scenario)));
                self.say(&Failure { repeat, ..failure }.to_string());
                Outcome { failed: 1, ..Outcome::default() }
            }
        }
    }

    fn repeat_command(&self, scenario: &dyn Scenario) -> String {
        format!("{} --scenario {}", self.command, scenario.name())
    }

    fn list(&self) {
        for scenario in &self.scenarios {
            self.say(&format!("{:<16} {}", scenario.name(), scenario.about()));
        }
    }

    fn misused(&self, error: &str) -> Outcome {
        self.say(error);
        self.say(&format!("usage: {} {}", self.command, arguments::USAGE));
        Outcome { misused: true, ..Outcome::default() }
    }

    fn say(&self, line: &str) {
        (self.print)(line);
    }
}
