//! What the runs gave.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clustron_benches::{Figures, Latencies};

use super::disk::Syncs;

/// Whose three processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum System {
    Clustron,
    Etcd,
}

/// Where they keep their logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Storage {
    Memory,
    Disk,
}

/// Where the callers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Leader,
    All,
}

impl Place {
    pub(super) const BOTH: [Self; 2] = [Self::Leader, Self::All];
}

/// One row: what is measured once in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Case {
    pub(super) storage: Storage,
    pub(super) place: Place,
    pub(super) system: System,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.system, self.storage) {
            (System::Clustron, Storage::Memory) => "Clustron in memory",
            (System::Clustron, Storage::Disk) => "Clustron on disk",
            (System::Etcd, Storage::Memory) => "etcd on tmpfs",
            (System::Etcd, Storage::Disk) => "etcd on disk",
        })?;
        f.write_str(match self.place {
            Place::Leader => ", at the leader",
            Place::All => ", at all three",
        })
    }
}

/// What one run gave.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// What stood in the log, of ours.
    pub(super) entries: Option<Entries>,
}

/// What stood in the log of a run.
#[derive(Debug, Clone)]
pub(super) struct Entries {
    pub(super) per_second: f64,
    /// Commands in an entry, the mean.
    pub(super) commands: f64,
    /// With a disk.
    pub(super) disk: Option<OnDisk>,
}

/// What was written for a run, and what the disk can do.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnDisk {
    /// Bytes of an entry in the log, the mean.
    pub(super) entry_bytes: f64,
    /// How often so many bytes were written and synced right after the run.
    pub(super) bare: Syncs,
}

impl Outcome {
    /// Of calls that took so long, in a run of this length.
    pub(super) fn new(latencies: &Latencies, length: Duration, entries: Option<Entries>) -> Self {
        Self {
            per_second: latencies.count() as f64 / length.as_secs_f64(),
            p50_ms: latencies.quantile_ms(0.5),
            p99_ms: latencies.quantile_ms(0.99),
            entries,
        }
    }

    /// What was measured on disk, divided by what the disk allows: as many commands to each sync as
    /// there were to an entry.
    pub(super) fn share_of_disk(&self, syncs: impl Fn(&Syncs) -> f64) -> Option<f64> {
        let entries = self.entries.as_ref()?;
        let allowed = syncs(&entries.disk?.bare) * entries.commands;
        Some(self.per_second / allowed)
    }
}

/// All runs, in the order of the rounds.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    runs: BTreeMap<Case, Vec<Outcome>>,
    /// How many cores were busy before each start, when nothing of ours ran.
    pub(super) busy_before: Vec<f64>,
}

impl Outcomes {
    /// Adds a run.
    pub(super) fn push(&mut self, case: Case, outcome: Outcome) {
        self.runs.entry(case).or_default().push(outcome);
    }

    /// The rows that were measured.
    pub(super) fn cases(&self) -> impl Iterator<Item = Case> {
        self.runs.keys().copied()
    }

    /// A figure of all runs of a row that have it.
    pub(super) fn figures(&self, case: Case, figure: impl Fn(&Outcome) -> Option<f64>) -> Figures {
        self.runs.get(&case).into_iter().flatten().filter_map(figure).collect()
    }

    /// Of each round, one row's commands a second divided by another's.
    pub(super) fn ratios(&self, of: Case, to: Case) -> Figures {
        let runs = |case| self.runs.get(&case).map_or(&[][..], Vec::as_slice);
        runs(of).iter().zip(runs(to)).map(|(of, to)| of.per_second / to.per_second).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_allows_a_batch_to_each_sync() {
        let mut latencies = Latencies::default();
        (0..500).for_each(|_| latencies.record(Duration::from_millis(2)));
        let bare = Syncs { alone: 100.0, of_three: 50.0, in_turn: 31.25 };
        let disk = Some(OnDisk { entry_bytes: 1000.0, bare });
        let entries = Entries { per_second: 25.0, commands: 10.0, disk };
        let outcome = Outcome::new(&latencies, Duration::from_secs(2), Some(entries));
        assert_eq!((outcome.per_second, outcome.p50_ms), (250.0, 2.0));
        assert_eq!(outcome.share_of_disk(|syncs| syncs.of_three), Some(0.5));
        assert_eq!(outcome.share_of_disk(|syncs| syncs.alone), Some(0.25));
        assert_eq!(outcome.share_of_disk(|syncs| syncs.in_turn), Some(0.8));
        let memory = Outcome { entries: None, ..outcome };
        assert_eq!(memory.share_of_disk(|syncs| syncs.alone), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let case = |system| Case { storage: Storage::Disk, place: Place::All, system };
        let outcome = |per_second| Outcome { per_second, p50_ms: 1.0, p99_ms: 1.0, entries: None };
        let mut outcomes = Outcomes::default();
        for (ours, theirs) in [(4.0, 2.0), (40.0, 4.0), (9.0, 3.0)] {
            outcomes.push(case(System::Clustron), outcome(ours));
            outcomes.push(case(System::Etcd), outcome(theirs));
        }
        let ratios = outcomes.ratios(case(System::Clustron), case(System::Etcd));
        assert_eq!((ratios.median(), ratios.min(), ratios.max()), (3.0, 2.0, 10.0));
    }
}
