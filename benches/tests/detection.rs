//! The benchmark `detection` is only worth what its adapters are: each system finds a crash.

#[path = "../benches/detection/plan.rs"]
mod plan;
#[path = "../benches/detection/row.rs"]
mod row;
#[path = "../benches/detection/scenarios.rs"]
mod scenarios;
#[path = "../benches/detection/systems/mod.rs"]
mod systems;

use std::time::Duration;

use self::plan::Plan;
use self::row::Row;
use self::systems::System;

#[test]
fn every_system_finds_a_crash_and_sends_something() {
    for system in System::ALL {
        let seen = scenarios::crash(system, 5, 7).unwrap();
        assert!(seen.removed.is_some(), "{system:?} never removes a crashed node");
        // A node that says nothing for longer than that could not be told from a dead one.
        assert!(seen.bytes > 1.0 && seen.messages > 0.1, "{system:?} is silent: {seen:?}");
    }
}

#[test]
fn a_row_has_a_cell_for_each_column() {
    let plan = Plan { crashes: 2, hardships: 1, hard_for: Duration::from_secs(60) };
    let row = Row::measure(System::FocaTuned, 3, &plan).unwrap();
    let cells = row.cells(Some(&row));
    assert_eq!(row::header(3).count(), 1 + cells.len());
    // Compared with itself.
    assert_eq!((&*cells[0], &*cells[3], &*cells[6], &*cells[8]), ("2+1", "1.00", "1.00", "1.00"));
}

#[test]
fn what_takes_long_is_left_out_of_a_quick_look() {
    for system in System::ALL {
        assert!(!system.name().contains('?'), "{} is not in the lock file", system.name());
        assert!(plan::plan(system, 10, true).is_some() && plan::plan(system, 1000, true).is_none());
    }
}
