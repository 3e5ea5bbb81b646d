//! What membership promises, on simulated clusters. More seeds, and an hour of virtual time:
//! `cargo xtask sim --seeds 0..2000`, `cargo xtask sim hour`, `cargo xtask sim sizes`.

use std::time::Duration;

use clustron_core::membership::{DetectorKind, MembershipConfig, PeerState};
use clustron_testkit::sim::{Crash, NodeIndex, Scenario, Tracing};
use clustron_testkit::swim::{Flaw, Sizes, Swim, SwimOptions, scenarios};

const DETECTORS: [DetectorKind; 2] = [DetectorKind::PingPong, DetectorKind::Heartbeat];

/// A crash without a word is out of every view in under five seconds, and a change known to all in
/// under three.
fn keeps_time(detector: &DetectorKind, nodes: usize, seeds: u64) {
    let sizes =
        Sizes::measure(detector, nodes, seeds).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(sizes.removed_max < Duration::from_secs(5), "{detector:?}: {sizes:?}");
    assert!(sizes.changed_max < Duration::from_secs(3), "{detector:?}: {sizes:?}");
    // As much at any size.
    assert!(sizes.bytes < 150.0 && sizes.messages < 8.0, "{detector:?}: {sizes:?}");
}

#[test]
fn every_scenario_holds_with_every_detector() {
    for scenario in scenarios::all() {
        for seed in 0..16 {
            if let Err(failure) = scenario.run(seed, Tracing::tail()) {
                panic!("{}: {failure}", scenario.name());
            }
        }
    }
}

#[test]
fn one_seed_tells_one_story() {
    for scenario in scenarios::all() {
        let story = |seed| {
            let run = scenario.run(seed, Tracing::off().fingerprint());
            run.unwrap_or_else(|failure| panic!("{failure}")).fingerprint
        };
        assert!(story(3).is_some());
        assert_eq!(story(3), story(3), "{}", scenario.name());
        assert_ne!(story(3), story(7), "{}", scenario.name());
    }
}

#[test]
fn every_deliberate_flaw_is_found() {
    for flaw in Flaw::ALL {
        assert!(flaw.hunt(20).is_some(), "{} is not found in 20 seeds", flaw.name());
    }
}

#[test]
fn small_clusters_keep_time() {
    for detector in &DETECTORS {
        keeps_time(detector, 3, 20);
        keeps_time(detector, 10, 10);
    }
}

#[test]
fn a_hundred_nodes_keep_time() {
    for detector in &DETECTORS {
        keeps_time(detector, 100, 2);
    }
}

#[test]
fn a_thousand_nodes_keep_time() {
    keeps_time(&DetectorKind::default(), 1000, 1);
}

#[test]
fn each_profile_finds_a_silent_crash_as_fast_as_it_says() {
    let profiles = [
        (MembershipConfig::local(), Duration::from_secs(3)),
        (MembershipConfig::lan(), Duration::from_secs(5)),
        (MembershipConfig::wan(), Duration::from_secs(9)),
    ];
    for (config, bound) in profiles {
        for seed in 0..30 {
            let options = SwimOptions { config: config.clone(), ..SwimOptions::nodes(5) };
            let mut swim = Swim::new(seed, options);
            swim.run_for(Duration::from_millis(5000 + seed * 137)).unwrap();
            swim.crash(NodeIndex(0), Crash::Silent);
            let took = swim.until_all_think(NodeIndex(0), PeerState::Down, 2 * bound).unwrap();
            assert!(took.is_some_and(|took| took < bound), "seed {seed}: {took:?} of {bound:?}");
        }
    }
}
