//! Whether every due tick was claimed once and has one outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use clustron_core::Timestamp;
use clustron_scheduler::{Firing, JobName, JobSpec, Outcome, SchedulerHandle};
use clustron_testkit::{Ledger, predicates};

use super::jobs;
use super::ledger::attempts_path;

/// What was counted over all jobs.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Ticks that the schedules name.
    pub due: usize,
    /// Claims of these ticks in the cluster's history.
    pub claims: usize,
    /// Outcomes of these ticks in the cluster's history.
    pub outcomes: usize,
    /// Outcomes that say that the job ran.
    pub ran: usize,
    /// Executions in the ledger beyond the first of a tick.
    pub doubles: usize,
    /// Ticks without an execution in the ledger.
    pub gaps: usize,
    /// From the leader's death to the next leader, where one was killed.
    pub without_leader: Duration,
    /// What is wrong, in words; empty if nothing is.
    pub faults: Vec<String>,
}

impl Verdict {
    /// Whether the promise held.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Judges every job up to `until`, by what the cluster recorded and what the jobs wrote. Waits
    /// within the deadline for ticks that are due and not recorded yet.
    ///
    /// # Errors
    /// The cluster or the ledger cannot be read.
    pub async fn of(
        scheduler: &SchedulerHandle,
        ledger: &Path,
        until: Timestamp,
        deadline: Duration,
    ) -> anyhow::Result<Self> {
        let mut verdict = Self::default();
        for JobSpec { name, .. } in jobs::specs()? {
            let status = scheduler.status(&name, deadline).await?;
            let next = |tick: &Timestamp| status.spec.schedule.next_after(*tick);
            let due = std::iter::successors(status.spec.schedule.next_after(status.since), next);
            let due: Vec<_> = due.take_while(|tick| *tick <= until).collect();
            let Some(last) = due.last() else { continue };
            // Where this ends early, the verdict says what is missing.
            let recorded = recorded(scheduler, &name, *last);
            if let Ok(Err(error)) = tokio::time::timeout(deadline, recorded).await {
                return Err(error);
            }
            let mut firings = scheduler.history(&name, deadline).await?;
            firings.extend(scheduler.stale_status(&name)?.open);
            verdict.judge(&status.spec, &due, &firings, &Ledger::read(ledger)?);
            verdict.judge_attempts(&name, &due, &firings, &Ledger::read(attempts_path(ledger))?);
        }
        verdict.judge_ledger(&Ledger::read(ledger)?);
        ensure!(verdict.due > 0, "no tick was due: there is nothing to judge");
        Ok(verdict)
    }

    /// Judges one job: `due` by its schedule, `firings` by the cluster, and what it wrote itself.
    fn judge(&mut self, spec: &JobSpec, due: &[Timestamp], firings: &[Firing], ledger: &Ledger) {
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

    /// Judges what was begun: nothing before its claim, nothing twice under one token, and nothing
    /// that the cluster does not know to be due.
    fn judge_attempts(
        &mut self,
        job: &JobName,
        due: &[Timestamp],
        firings: &[Firing],
        attempts: &Ledger,
    ) {
        let firings: BTreeMap<Timestamp, &Firing> =
            firings.iter().map(|firing| (firing.scheduled, firing)).collect();
        let mut begun = BTreeSet::new();
        for attempt in attempts.entries().iter().filter(|entry| entry.job == job.as_str()) {
            if due.last().is_none_or(|last| attempt.scheduled > *last) {
                continue;
            }
            let claimed = firings.get(&attempt.scheduled).is_some_and(|firing| {
                firing.claim_token <= attempt.token && Some(attempt.token) <= firing.token
            });
            if !claimed || due.binary_search(&attempt.scheduled).is_err() {
                self.faults.push(format!("begun without a claim: {attempt}"));
            }
            if !begun.insert((attempt.scheduled, attempt.token)) {
                self.faults.push(format!("begun twice under one token: {attempt}"));
            }
        }
    }

    /// Judges the ledger as a whole.
    fn judge_ledger(&mut self, ledger: &Ledger) {
        let ticks: BTreeSet<_> = ledger.entries().iter().map(|e| (&e.job, e.scheduled)).collect();
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

/// Resolves when every tick of the job up to `last` has an outcome.
async fn recorded(
    scheduler: &SchedulerHandle,
    job: &JobName,
    last: Timestamp,
) -> anyhow::Result<()> {
    let mut changes = scheduler.changes();
    loop {
        let status = scheduler.stale_status(job)?;
        let open = status.open.iter().any(|firing| firing.scheduled <= last);
        if status.cursor >= last && !open {
            return Ok(());
        }
        ensure!(changes.changed().await.is_ok(), "the watching node ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clustron_core::{Epoch, FencingToken};
    use clustron_scheduler::Schedule;
    use clustron_testkit::Entry;

    fn tick(at: i64) -> Timestamp {
        Timestamp::from_unix_ms(at * 1000)
    }

    fn firing(at: i64, claim: u64, newest: u64) -> Firing {
        Firing {
            scheduled: tick(at),
            asked: None,
            failures: 0,
            retry_of: None,
            cancelled: false,
            generation: 1,
            claim_token: FencingToken(claim),
            claimed_at: tick(at),
            epoch: Epoch(1),
            attempts: 1,
            worker: None,
            token: Some(FencingToken(newest)),
            why: None,
            outcome: Some(Outcome::Ran),
            started: Some(tick(at)),
            finished: Some(tick(at)),
            late: vec![],
        }
    }

    fn ledger(lines: &[(i64, u64)]) -> Ledger {
        let line = |(at, token): &(i64, u64)| {
            let entry = Entry {
                job: "pulse".to_owned(),
                scheduled: tick(*at),
                token: FencingToken(*token),
                node: "a".to_owned(),
                epoch: Epoch(1),
                attempt: 1,
                at: tick(*at),
            };
            serde_json::to_string(&entry).unwrap() + "\n"
        };
        Ledger::parse(&lines.iter().map(line).collect::<String>()).unwrap()
    }

    /// The faults of two due ticks, claimed with tokens 5 and 7 to 9, for what was begun.
    fn faults(begun: &[(i64, u64)]) -> Vec<String> {
        let name = JobName::new("pulse").unwrap();
        let spec = JobSpec::new(name.clone(), Schedule::every(Duration::from_secs(1)).unwrap());
        let (due, firings) = ([tick(1), tick(2)], [firing(1, 5, 5), firing(2, 7, 9)]);
        let mut verdict = Verdict::default();
        verdict.judge(&spec, &due, &firings, &ledger(&[(1, 5), (2, 9)]));
        verdict.judge_attempts(&name, &due, &firings, &ledger(begun));
        verdict.faults
    }

    #[test]
    fn attempts_are_judged_by_their_claims() {
        assert_eq!(faults(&[(1, 5), (2, 7), (2, 9)]), [""; 0]);
        for (begun, fault) in [
            (&[(1, 5), (1, 5)][..], "begun twice under one token"),
            (&[(1, 4)], "begun without a claim"),
            (&[(2, 10)], "begun without a claim"),
            (&[(0, 3)], "begun without a claim"),
        ] {
            let faults = faults(begun);
            assert!(faults.len() == 1 && faults[0].starts_with(fault), "{begun:?}: {faults:?}");
        }
    }

    #[test]
    fn a_tick_without_its_one_claim_and_outcome_is_a_fault() {
        let name = JobName::new("pulse").unwrap();
        let spec = JobSpec::new(name, Schedule::every(Duration::from_secs(1)).unwrap());
        let due = [tick(1), tick(2)];
        let open = Firing { outcome: None, ..firing(2, 7, 7) };
        for firings in [vec![firing(1, 5, 5)], vec![firing(1, 5, 5), open]] {
            let mut verdict = Verdict::default();
            verdict.judge(&spec, &due, &firings, &ledger(&[(1, 5), (2, 7)]));
            assert!(!verdict.is_clean() && verdict.faults.len() == 1, "{:?}", verdict.faults);
        }
    }
}
