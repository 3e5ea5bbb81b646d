//! Every scenario keeps its promises with a few seeds; the command runs thousands.

use clustron_testkit::cluster::Flaw;
use clustron_testkit::cluster::scenarios::{self, Scenario};

/// Enough for each deliberate defect.
const FLAW_SEEDS: u64 = 12;

fn scenario(name: &str) -> Scenario {
    scenarios::all().into_iter().find(|scenario| scenario.name == name).expect("it is listed")
}

fn holds(name: &str, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let run = scenario(name).run(seed);
        run.outcome.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

#[test]
fn nothing_acknowledged_is_lost_on_three_nodes() {
    holds("tally-3", 0..16);
}

#[test]
fn nothing_acknowledged_is_lost_on_five_nodes() {
    holds("tally-5", 0..8);
}

#[test]
fn partial_partitions_stop_no_cluster_for_good() {
    holds("partial-partitions", 0..8);
}

#[test]
fn disks_that_fail_lose_nothing_on_three_nodes() {
    holds("disks-3", 0..12);
}

#[test]
fn disks_that_fail_lose_nothing_on_five_nodes() {
    holds("disks-5", 0..4);
}

#[test]
fn what_was_acknowledged_is_there_when_all_power_is_back() {
    holds("power", 0..6);
}

/// `cargo xtask sim --level nodes flaws` tells how many seeds each of them takes.
#[test]
fn deliberate_defects_are_found() {
    for flaw in Flaw::ALL {
        let catch = flaw.hunt(FLAW_SEEDS);
        assert!(catch.is_some(), "no seed below {FLAW_SEEDS} finds {}", flaw.name());
    }
}

#[test]
fn scenarios_can_be_told_apart() {
    let mut names: Vec<&str> = scenarios::all().iter().map(|scenario| scenario.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), scenarios::all().len());
}

#[test]
fn different_seeds_give_different_traces() {
    let trace = |seed| scenario("tally-3").run(seed).trace;
    assert_ne!(trace(1), trace(2));
}

/// Only where tokio itself takes a seed, see [`clustron_testkit::cluster::simulate`].
#[cfg(tokio_unstable)]
#[test]
fn the_same_seed_gives_the_same_trace_to_the_byte() {
    for scenario in scenarios::all() {
        for seed in 0..4 {
            let (first, second) = (scenario.run(seed).trace, scenario.run(seed).trace);
            assert!(first.lines().count() > 100, "{first}");
            assert_eq!(first, second, "{} at seed {seed}", scenario.name);
        }
    }
}
