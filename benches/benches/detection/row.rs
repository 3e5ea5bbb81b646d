//! One row of the table: what all seeds of one system at one size have shown.

use std::time::Duration;

use anyhow::Context;

use crate::plan::Plan;
use crate::scenarios::{self, CrashSeen};
use crate::systems::System;
use clustron_benches::Figures;

/// What the columns are called. A ratio is ours divided by the row's; below one is better.
const HEADER: [&str; 10] = [
    "seeds",
    "removed ms",
    "greatest",
    "ratio",
    "false removals",
    "bytes/node/s",
    "ratio",
    "messages/node/s",
    "ratio",
    "took s",
];

/// The header of the table for clusters of so many nodes.
pub(crate) fn header(nodes: usize) -> impl Iterator<Item = String> {
    std::iter::once(format!("{nodes} nodes")).chain(HEADER.map(str::to_owned))
}

/// The figures of a row.
pub(crate) struct Row {
    removed_ms: Figures,
    bytes: Figures,
    messages: Figures,
    false_removals: u64,
    hard_for: Duration,
    seeds: (u64, u64),
    took: Duration,
}

impl Row {
    /// Runs all that is planned, on all cores: nothing in virtual time is disturbed by that.
    pub(crate) fn measure(system: System, nodes: usize, plan: &Plan) -> anyhow::Result<Self> {
        let began = std::time::Instant::now();
        let crashes: Vec<CrashSeen> =
            on_all_cores(plan.crashes, |seed| scenarios::crash(system, nodes, seed))?;
        let hard_for = plan.hard_for;
        let removals: Vec<u64> = on_all_cores(plan.hardships, |seed| {
            scenarios::hardship(system, nodes, seed, hard_for)
        })?;
        // Never is longer than any time.
        let ms = |seen: &CrashSeen| seen.removed.map_or(f64::INFINITY, |t| t.as_secs_f64() * 1e3);
        Ok(Self {
            removed_ms: crashes.iter().map(ms).collect(),
            bytes: crashes.iter().map(|seen| seen.bytes).collect(),
            messages: crashes.iter().map(|seen| seen.messages).collect(),
            false_removals: removals.iter().sum(),
            hard_for,
            seeds: (plan.crashes, plan.hardships),
            took: began.elapsed(),
        })
    }

    /// The cells under the header; `ours` is what the ratios compare with.
    pub(crate) fn cells(&self, ours: Option<&Self>) -> [String; 10] {
        let ratio = |of: fn(&Self) -> &Figures| match ours {
            Some(ours) => format!("{:.2}", of(ours).median() / of(self).median()),
            None => String::new(),
        };
        let false_removals = match self.hard_for.as_secs() / 60 * self.seeds.1 {
            0 => "not run".to_owned(),
            minutes => format!("{} in {minutes} min", self.false_removals),
        };
        [
            format!("{}+{}", self.seeds.0, self.seeds.1),
            format!("{:.0}", self.removed_ms.median()),
            format!("{:.0}", self.removed_ms.max()),
            ratio(|row| &row.removed_ms),
            false_removals,
            format!("{:.0}", self.bytes.median()),
            ratio(|row| &row.bytes),
            format!("{:.1}", self.messages.median()),
            ratio(|row| &row.messages),
            format!("{:.0}", self.took.as_secs_f64()),
        ]
    }
}

/// Runs all seeds from zero, and gives what came of each in their order.
fn on_all_cores<T: Send>(
    seeds: u64,
    run: impl Fn(u64) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let cores = std::thread::available_parallelism()?.get() as u64;
    let run = &run;
    let shares = std::thread::scope(|scope| {
        let share = |core| {
            let seeds = (core..seeds).step_by(cores as usize);
            scope.spawn(move || seeds.map(|seed| Ok((seed, run(seed)?))).collect())
        };
        let shares: Vec<_> = (0..cores).map(share).collect();
        shares.into_iter().map(|share| share.join().ok().context("a run panicked")?).collect()
    });
    let shares: anyhow::Result<Vec<Vec<(u64, T)>>> = shares;
    let mut all: Vec<(u64, T)> = shares?.into_iter().flatten().collect();
    all.sort_by_key(|(seed, _)| *seed);
    Ok(all.into_iter().map(|(_, seen)| seen).collect())
}
