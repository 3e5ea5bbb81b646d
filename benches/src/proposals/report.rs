//! What is printed, and what must hold.

use clustron_benches::{Figures, Table};

use super::Plan;
use super::disk::Syncs;
use super::outcome::{Case, OnDisk, Outcome, Outcomes, Place, Storage, System};

/// What ours must acknowledge in a second at the leader, in memory, of 256 callers.
const PER_SECOND_MIN: f64 = 20_000.0;

/// What ours must reach of what the disk allows.
const SHARE_OF_DISK_MIN: f64 = 0.5;

/// Prints the tables.
pub(super) fn print(plan: &Plan, rounds: u32, peer: Option<&str>, outcomes: &Outcomes) {
    println!("\n{}\n", rates(outcomes));
    println!("{}\n", disks(outcomes));
    if let Some(version) = peer {
        println!("{}\n", ratios(version, outcomes));
    }
    let busy: Figures = outcomes.busy_before.iter().copied().collect();
    let [median, min, max] = busy.cells(1);
    println!(
        "{} callers, values of {} bytes, {rounds} rounds of {:?}; logs in {}; before the starts other \
         work kept {median} cores busy ({min} to {max})",
        plan.callers,
        plan.value_bytes,
        plan.span.length,
        plan.dir.display()
    );
}

fn rates(outcomes: &Outcomes) -> Table {
    let header = ["acknowledged a second", "median", "min", "max", "p50 ms", "p99 ms"];
    let mut table = Table::new(header.into_iter().chain(["commands/entry", "entries/s"]));
    for case in outcomes.cases() {
        let rates = outcomes.figures(case, |run| Some(run.per_second));
        let mut cells = rates.cells(0).to_vec();
        cells.push(cell(&outcomes.figures(case, |run| Some(run.p50_ms)), 1));
        cells.push(cell(&outcomes.figures(case, |run| Some(run.p99_ms)), 1));
        cells.push(cell(&outcomes.figures(case, |run| Some(run.entries.as_ref()?.commands)), 0));
        cells.push(cell(&outcomes.figures(case, |run| Some(run.entries.as_ref()?.per_second)), 0));
        table.row(&case.to_string(), cells);
    }
    table
}

fn disks(outcomes: &Outcomes) -> Table {
    let header = ["syncs a second of the bare disk", "bytes/entry", "alone", "each of three"];
    let shares = ["in turn", "measured/allowed: alone", "each of three", "min", "max", "in turn"];
    let mut table = Table::new(header.into_iter().chain(shares));
    for case in on_disk() {
        let disk = |figure: fn(&OnDisk) -> f64| {
            let figure = |run: &Outcome| run.entries.as_ref()?.disk.as_ref().map(figure);
            cell(&outcomes.figures(case, figure), 0)
        };
        let share = |syncs: fn(&Syncs) -> f64| {
            cell(&outcomes.figures(case, |run| run.share_of_disk(syncs)), 2)
        };
        let mut cells = vec![
            disk(|disk| disk.entry_bytes),
            disk(|disk| disk.bare.alone),
            disk(|disk| disk.bare.of_three),
            disk(|disk| disk.bare.in_turn),
            share(|syncs| syncs.alone),
        ];
        cells.extend(shares_of_disk(outcomes, case).cells(2));
        cells.push(share(|syncs| syncs.in_turn));
        table.row(&case.to_string(), cells);
    }
    table
}

fn ratios(version: &str, outcomes: &Outcomes) -> Table {
    let name = format!("Clustron / {version}");
    let mut table = Table::new([&name, "median", "min", "max"]);
    for case in outcomes.cases().filter(|case| case.system == System::Clustron) {
        let ratios = outcomes.ratios(case, Case { system: System::Etcd, ..case });
        if !ratios.is_empty() {
            table.row(&case.to_string(), ratios.cells(2));
        }
    }
    table
}

/// Says what must hold. Gives whether it does.
pub(super) fn judge(outcomes: &Outcomes) -> bool {
    let in_memory =
        Case { system: System::Clustron, storage: Storage::Memory, place: Place::Leader };
    let rate = outcomes.figures(in_memory, |run| Some(run.per_second)).median();
    let mut holds = says(&in_memory, "a second", rate, PER_SECOND_MIN, 0);
    for case in on_disk() {
        let share = shares_of_disk(outcomes, case).median();
        let held = says(&case, "of what the disk allows three", share, SHARE_OF_DISK_MIN, 2);
        holds = holds && held;
    }
    holds
}

fn says(case: &Case, what: &str, value: f64, min: f64, decimals: usize) -> bool {
    let holds = value >= min;
    let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
    println!("{case}: {value:.decimals$} {what}, at least {min} wanted: {verdict}");
    holds
}

fn on_disk() -> [Case; 2] {
    Place::BOTH.map(|place| Case { system: System::Clustron, storage: Storage::Disk, place })
}

fn shares_of_disk(outcomes: &Outcomes, case: Case) -> Figures {
    outcomes.figures(case, |run| run.share_of_disk(|syncs| syncs.of_three))
}

/// The median, or nothing where nothing was measured.
fn cell(figures: &Figures, decimals: usize) -> String {
    if figures.is_empty() { String::new() } else { format!("{:.decimals$}", figures.median()) }
}
