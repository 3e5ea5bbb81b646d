//! Many seeds of one scenario, on all cores.

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::sim::{Failure, Report, Scenario, Tracing};

/// How many failures are shown; the others are counted.
const FAILURES_SHOWN: usize = 20;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Campaign<'a> {
    pub(super) scenario: &'a dyn Scenario,
    /// The command that repeats a run, but for the seed.
    pub(super) repeat: String,
    pub(super) print: &'a (dyn Fn(&str) + Send + Sync),
    /// Whether each seed runs two times.
    pub(super) twice: bool,
}

/// What the threads have found so far.
struct Tally {
    outcome: Outcome,
    events: u64,
    /// The first failures by seed, at most [`FAILURES_SHOWN`].
    failures: BTreeMap<u64, Failure>,
    told: Instant,
}

impl Campaign<'_> {
    pub(super) fn run(&self, seeds: Range<u64>, jobs: NonZero<usize>) -> Outcome {
        let begun = Instant::now();
        let next = AtomicU64::new(seeds.start);
        let tally = Mutex::new(Tally {
            outcome: Outcome::default(),
            events: 0,
            failures: BTreeMap::new(),
            told: begun,
        });
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if !seeds.contains(&seed) {
                    return;
                }
                let found = self.run_seed(seed);
                let mut tally = lock(&tally);
                tally.add(seed, found);
                if tally.told.elapsed() >= PROGRESS_EVERY {
                    tally.told = Instant::now();
                    self.say(&format!("  {}", tally.summary(begun)));
                }
            }
        };
        thread::scope(|scope| (0..jobs.get()).for_each(|_| drop(scope.spawn(work))));
        let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.tell(&tally, begun);
        tally.outcome
    }

    fn run_seed(&self, seed: u64) -> Result<Report, Failure> {
        if !self.twice {
            return run_caught(self.scenario, seed, Tracing::off());
        }
        let run = || run_caught(self.scenario, seed, Tracing::off().fingerprint());
        let (one, other) = (run()?, run()?);
        if one == other {
            return Ok(one);
        }
        Err(Failure {
            seed,
            at: Duration::ZERO,
            predicate: "same_seed_same_story".to_owned(),
            what: format!("two runs differ: {one:?} and {other:?}"),
            tail: Vec::new(),
            repeat: None,
        })
    }

    fn tell(&self, tally: &Tally, begun: Instant) {
        for (seed, failure) in &tally.failures {
            let Failure { at, predicate, what, .. } = failure;
            self.say(&format!("  seed {seed}: {predicate} broken at {at:?}: {what}"));
            self.say(&format!("    repeat with: {} --seed {seed}", self.repeat));
        }
        if let Some(more) = tally.outcome.failed.checked_sub(FAILURES_SHOWN as u64 + 1) {
            self.say(&format!("  and {} more", more + 1));
        }
        // Seeds ran without a trace. The first failure runs again to tell its end.
        if let Some(seed) = tally.failures.keys().next()
            && let Err(failure) = run_caught(self.scenario, *seed, Tracing::tail())
        {
            let repeat = Some(format!("{} --seed {seed}", self.repeat));
            self.say(&Failure { repeat, ..failure }.to_string());
        }
        self.say(&tally.summary(begun));
    }

    fn say(&self, line: &str) {
        (self.print)(&format!("{}: {line}", self.scenario.name()));
    }
}

impl Tally {
    fn add(&mut self, seed: u64, found: Result<Report, Failure>) {
        match found {
            Ok(report) => {
                self.outcome.held += 1;
                self.events += report.events;
            }
            Err(failure) => {
                self.outcome.failed += 1;
                self.failures.insert(seed, failure);
                if self.failures.len() > FAILURES_SHOWN {
                    self.failures.pop_last();
                }
            }
        }
    }

    fn summary(&self, begun: Instant) -> String {
        let Outcome { held, failed, .. } = self.outcome;
        let seconds = begun.elapsed().as_secs_f64();
        format!(
            "{} seeds in {seconds:.1} s ({:.0} a minute, {:.2} million events a second), \
             {failed} failed",
            held + failed,
            (held + failed) as f64 / seconds * 60.0,
            self.events as f64 / seconds / 1e6
        )
    }
}

/// A node that panics has failed like one that breaks a predicate.
pub(super) fn run_caught(
    scenario: &dyn Scenario,
    seed: u64,
    tracing: Tracing,
) -> Result<Report, Failure> {
    // Nothing of the run is used after a panic.
    catch_unwind(AssertUnwindSafe(|| scenario.run(seed, tracing))).unwrap_or_else(|panic| {
        Err(Failure {
            seed,
            at: Duration::ZERO,
            predicate: "no_panic".to_owned(),
            what: said(panic.as_ref()),
            tail: Vec::new(),
            repeat: None,
        })
    })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without words").to_owned()
}

/// A thread that panicked left nothing half done in it: it only counts.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
