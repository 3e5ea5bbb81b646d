//! `scheduler next`: the instants of a schedule, and errors that point at the place.

use std::process::{Command, Output};

fn next(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command.arg("next").args(arguments).output().unwrap()
}

/// What is printed, by lines.
fn shown(arguments: &[&str]) -> Vec<String> {
    let output = next(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What is said of a schedule that cannot be used.
fn refused(arguments: &[&str]) -> String {
    let output = next(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_next_instants_are_shown_on_the_clocks_of_the_zone() {
    let (from, zone) = ("--from=2026-03-28T00:00:00Z", "--zone=Europe/Berlin");
    assert_eq!(
        shown(&["30 2 * * *", zone, from, "--count=3"]),
        [
            "2026-03-28T02:30:00.000+01:00",
            "2026-03-29T03:00:00.000+02:00",
            "2026-03-30T02:30:00.000+02:00"
        ]
    );
    assert_eq!(
        shown(&["every 12h; until 2026-03-28T12:00:00Z", "--from=2026-03-28T00:00:00+01:00"]),
        ["2026-03-28T00:00:00.000Z", "2026-03-28T12:00:00.000Z"]
    );
    let spread = shown(&["~ 3 * * *", "--job=close-day", from, "--count=1"]);
    assert_eq!(spread, ["2026-03-28T03:31:00.000Z"]);
    assert_eq!(shown(&["@hourly"]).len(), 5);
}

#[test]
fn a_wrong_schedule_is_refused_with_the_place_and_the_remedy() {
    let error = refused(&["0 9 * * MON-FRY"]);
    assert!(error.contains("day of week") && error.contains("did you mean FRI?"), "{error}");
    assert!(error.contains("\n0 9 * * MON-FRY\n            ^^^"), "{error}");
    let error = refused(&["0 9 * * *", "--zone=Europe/Berlim"]);
    assert!(error.contains("did you mean Europe/Berlin?"), "{error}");
    let error = refused(&["0 0 30 2 *"]);
    assert!(error.contains("no further instant"), "{error}");
    let error = refused(&["~ 3 * * *"]);
    assert!(error.contains("--job"), "{error}");
}
