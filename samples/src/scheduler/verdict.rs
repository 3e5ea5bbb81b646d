//! Whether every due tick was claimed once and has one outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clustron_core::Timestamp;
use clustron_scheduler::{Firing, JobSpec, Outcome};
use clustron_testkit::{Ledger, predicates};

/// What was counted over all jobs.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) due: usize,
    pub(crate) claims: usize,
    pub(crate) outcomes: usize,
    pub(crate) ran: usize,
    pub(crate) doubles: usize,
    pub(crate) gaps: usize,
    pub(crate) without_leader: Duration,
    /// What is wrong, in words; empty if nothing is.
    pub(crate) faults: Vec<String>,
}

impl Verdict {
    /// Whether the promise held.
    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Judges one job: `due` by its schedule, `firings` by the cluster, and what it wrote itself.
    pub(crate) fn judge(
        &mut self,
        spec: &JobSpec,
        due: &[Timestamp],
        firings: &[Firing],
        ledger: &Ledger,
    ) {
        let (Some(first), Some(last)) = (due.first(), due.last()) else { return };
        self.due += due.len();
        let mut by_tick: BTreeMap<Timestamp, Vec<&Firing>> = BTreeMap::new();
        let in_time = |firing: &&Firing| (*first..=*last).contains(&firing.scheduled);
        for firing in firings.iter().filter(in_time) {
            by_tick.entry(firing.scheduled).or_default().push(firing);
        }
        for tick in due {
            let claims = by_tick.remove(tick).unwrap_or_default();
            let outcomes = claims.iter().filter(|firing| firing.outcome.is_some()).count();
            self.claims += claims.len();
            self.outcomes += outcomes;
            if (claims.len(), outcomes) != (1, 1) {
                let (name, claims) = (&spec.name, claims.len());
                self.faults.push(format!("{name} at {tick}: {claims} claims, {outcomes} outcomes"));
                continue;
            }
            match &claims[0].outcome {
                Some(Outcome::Ran) => self.ran += 1,
                other => {
                    self.faults.push(format!("{} at {tick} did not run: {other:?}", spec.name))
                }
            }
        }
        for tick in by_tick.keys() {
            self.faults.push(format!("{} was claimed at {tick}, where it was not due", spec.name));
        }
        let name = spec.name.as_str();
        if let Err(violation) = predicates::no_gap(ledger, name, due) {
            let runs: Vec<_> = ledger.entries().iter().filter(|e| e.job == name).collect();
            self.gaps += due.iter().filter(|t| runs.iter().all(|e| e.scheduled != **t)).count();
            self.faults.push(violation.to_string());
        }
    }

    /// Judges the ledger as a whole.
    pub(crate) fn judge_ledger(&mut self, ledger: &Ledger) {
        let ticks: std::collections::BTreeSet<_> =
            ledger.entries().iter().map(|e| (&e.job, e.scheduled)).collect();
        self.doubles = ledger.entries().len() - ticks.len();
        for checked in [predicates::no_double(ledger), predicates::tokens_never_fall(ledger)] {
            if let Err(violation) = checked {
                self.faults.push(violation.to_string());
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "verdict: {}", if self.is_clean() { "clean" } else { "BROKEN" })?;
        writeln!(f, "  ticks due              {:>5}", self.due)?;
        writeln!(f, "  claims                 {:>5}", self.claims)?;
        writeln!(f, "  outcomes               {:>5}, of which {} ran", self.outcomes, self.ran)?;
        writeln!(f, "  doubles                {:>5}", self.doubles)?;
        writeln!(f, "  gaps                   {:>5}", self.gaps)?;
        write!(f, "  time without a leader  {:>5} ms", self.without_leader.as_millis())?;
        for fault in &self.faults {
            write!(f, "\n  ! {fault}")?;
        }
        Ok(())
    }
}
