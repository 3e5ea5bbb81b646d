//! A crash between any two things that a log does to its disk.

use super::play::{Player, Step, open, script};
use crate::SimDisk;

/// How the run of a script ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The power fails.
    Crash,
    /// Only the process dies.
    Kill,
}

fn end(disk: &SimDisk, how: End) {
    match how {
        End::Crash => disk.crash(),
        End::Kill => disk.kill(),
    }
}

/// How many changes the script and the opening after it make.
fn operations(steps: &[Step]) -> u64 {
    let mut player = Player::new(SimDisk::new(0));
    player.play(steps).unwrap();
    player.verify().unwrap();
    player.disk.operations()
}

/// Cuts the power before the `n`-th change, ends the run, and lets the log go on.
fn survive(
    steps: &[Step],
    n: u64,
    seed: u64,
    how: End,
    flaw: impl Fn(&SimDisk),
) -> Result<(), String> {
    let disk = SimDisk::new(seed);
    flaw(&disk);
    disk.crash_after(n);
    let mut player = Player::new(disk.clone());
    let _ = player.play(steps);
    end(&disk, how);
    // What was found once has to stay.
    player.verify()?;
    disk.crash();
    player.verify()?;
    player
        .play(&[Step::Append(vec![5, 5]), Step::Append(vec![800]), Step::TruncateLast(1)])
        .map_err(|error| format!("the log does not go on: {error}"))?;
    disk.crash();
    player.verify()
}

/// All changes of the script, with some seeds each. The first that goes wrong.
fn survive_all(seeds: u64, flaw: impl Fn(&SimDisk)) -> Result<(), String> {
    let steps = script();
    for n in 1..=operations(&steps) + 1 {
        for seed in 0..seeds {
            for how in [End::Crash, End::Kill] {
                survive(&steps, n, seed, how, &flaw).map_err(|what| {
                    format!("after {n} changes with seed {seed} and {how:?}: {what}")
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_crash_between_any_two_changes_loses_nothing_that_was_acknowledged() {
    let total = operations(&script());
    assert!(total > 100, "the script does too little: {total} changes");
    survive_all(16, |_| {}).unwrap();
}

#[test]
fn a_crash_while_the_log_is_put_in_order_after_a_crash_is_harmless_too() {
    let steps = script();
    let mut interrupted = 0;
    for n in 1..=operations(&steps) {
        for seed in 0..6 {
            let disk = SimDisk::new(seed);
            disk.crash_after(n);
            let mut player = Player::new(disk.clone());
            let _ = player.play(&steps);
            disk.crash();
            // Opening makes far fewer changes; a log that never opens fails below.
            for m in 1..100 {
                disk.crash_after(m);
                let opened = open(&disk).map(drop);
                disk.crash();
                if opened.is_ok() {
                    break;
                }
                interrupted += 1;
            }
            player.verify().unwrap_or_else(|what| panic!("after {n}, seed {seed}: {what}"));
        }
    }
    assert!(interrupted > 1000, "only {interrupted} openings were interrupted");
}

#[test]
fn a_disk_that_lies_about_syncing_files_is_found_out() {
    let found = survive_all(16, |disk| disk.lose_syncs(true));
    assert!(found.is_err(), "the test would not notice a log that never syncs");
}

#[test]
fn a_disk_that_lies_about_syncing_names_is_found_out() {
    let found = survive_all(16, |disk| disk.lose_directory_syncs(true));
    assert!(found.is_err(), "the test would not notice a log that never syncs its directory");
}
