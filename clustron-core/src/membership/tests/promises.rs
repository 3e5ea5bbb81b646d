//! What the protocol promises, on many seeds.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::sim::{Fate, Net};
use crate::membership::{MembershipConfig, PeerState};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Crashes node 0 of a cluster that has settled, and returns how long it took until every other
/// node thought it Down.
fn time_to_down(size: usize, seed: u64, fate: Fate, loss: f64) -> Option<Duration> {
    let mut net = Net::new(size, seed);
    net.loss = loss;
    net.run_for(ms(2000 + seed * 37 % 1000));
    net.crash(0, fate);
    let took = net.run_until(net.now + secs(60), |net| net.all_think(0, PeerState::Down));
    let id = net.id(0);
    let wrong: Vec<_> = net.downs().into_iter().filter(|(_, _, v)| v.node != id).collect();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
    took
}

fn slowest(size: usize, seeds: u64, fate: Fate, loss: f64) -> Duration {
    (0..seeds)
        .map(|seed| time_to_down(size, seed, fate, loss).unwrap_or(Duration::MAX))
        .max()
        .unwrap()
}

#[test]
fn a_silent_crash_is_down_everywhere_within_five_seconds_at_any_size() {
    for (size, seeds) in [(2, 40), (3, 100), (10, 60), (100, 6)] {
        let took = slowest(size, seeds, Fate::CrashedSilent, 0.0);
        assert!(took < secs(5), "{size} nodes: {took:?}");
    }
}

#[test]
fn each_profile_finds_a_silent_crash_as_fast_as_it_says() {
    for (config, bound) in
        [(MembershipConfig::local(), secs(3)), (MembershipConfig::wan(), secs(9))]
    {
        for seed in 0..40 {
            let mut net = Net::with_config(5, seed, &config);
            net.run_for(ms(3000 + seed * 37));
            net.crash(0, Fate::CrashedSilent);
            let down = |net: &Net| net.all_think(0, PeerState::Down);
            let took = net.run_until(net.now + secs(60), down);
            assert!(took.is_some_and(|took| took < bound), "seed {seed}: {took:?}");
        }
    }
}

#[test]
fn a_silent_crash_is_down_within_five_seconds_while_messages_are_lost() {
    let took = slowest(10, 60, Fate::CrashedSilent, 0.05);
    assert!(took < secs(5), "{took:?}");
}

#[test]
fn a_crash_on_a_refusing_host_is_down_everywhere_within_one_second() {
    for (size, seeds) in [(2, 20), (3, 100), (10, 60), (100, 3)] {
        let took = slowest(size, seeds, Fate::CrashedRefusing, 0.0);
        assert!(took < secs(1), "{size} nodes: {took:?}");
    }
}

#[test]
fn no_healthy_node_is_down_in_five_minutes_of_lost_messages() {
    let mut doubts = 0;
    for seed in 0..20 {
        let mut net = Net::new(10, seed);
        net.loss = 0.05;
        net.run_for(secs(300));
        assert!(net.downs().is_empty(), "seed {seed}: {:?}", net.downs());
        doubts += net.verdicts.len();
    }
    assert!(doubts > 0, "no doubt ever arose: the test shows nothing");
}

#[test]
fn a_node_that_is_paused_for_a_second_is_never_down() {
    for seed in 0..60 {
        let mut net = Net::new(if seed % 2 == 0 { 3 } else { 10 }, seed);
        net.run_for(ms(3000 + seed * 53 % 1000));
        net.pause(0);
        net.run_for(secs(1));
        net.resume(0);
        net.run_for(secs(10));
        assert!(net.downs().is_empty(), "seed {seed}: {:?}", net.downs());
    }
}

#[test]
fn a_node_that_is_paused_for_ten_seconds_is_down_and_objects_when_it_resumes() {
    for seed in 0..40 {
        let mut net = Net::new(if seed % 2 == 0 { 3 } else { 10 }, seed);
        net.run_for(ms(3000 + seed * 53 % 1000));
        net.pause(0);
        net.run_for(secs(10));
        assert!(net.all_think(0, PeerState::Down), "seed {seed}");
        net.resume(0);
        let resumed = net.now;
        let back = net.run_until(net.now + secs(5), |net| net.all_think(0, PeerState::Alive));
        assert!(back.is_some(), "seed {seed}: not back");
        net.run_for(secs(10));
        assert!(net.refuted.iter().any(|(at, node)| *at >= resumed && *node == 0), "seed {seed}");
        let blamed: Vec<_> = net.downs().into_iter().filter(|(_, by, _)| *by == 0).collect();
        assert!(blamed.is_empty(), "seed {seed}: the sleeper blames others: {blamed:?}");
    }
}

#[test]
fn a_starved_node_is_never_down_and_brings_nobody_down() {
    for seed in 0..10 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Net::new(5, seed);
        net.loss = 0.01;
        while net.now < secs(60) {
            net.pause(0);
            net.run_for(ms(rng.random_range(50..900)));
            net.resume(0);
            net.run_for(ms(rng.random_range(1..50)));
        }
        assert!(net.downs().is_empty(), "seed {seed}: {:?}", net.downs());
    }
}

#[test]
fn a_crash_is_noticed_by_nodes_that_are_starved_themselves() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Net::new(3, seed);
        net.run_for(secs(2));
        net.crash(0, Fate::CrashedSilent);
        let crashed = net.now;
        while !net.all_think(0, PeerState::Down) {
            assert!(net.now < crashed + secs(20), "seed {seed}: not noticed");
            let node = rng.random_range(1..3);
            net.pause(node);
            net.run_for(ms(rng.random_range(100..400)));
            net.resume(node);
            net.run_for(ms(rng.random_range(1..200)));
        }
    }
}

#[test]
fn several_crashes_at_once_are_down_within_five_seconds() {
    for seed in 0..400 {
        // From two of three up to five of ten.
        let size = 3 + seed as usize % 8;
        let crashed = size.div_ceil(2);
        let mut net = Net::new(size, seed);
        net.run_for(secs(2));
        for node in 0..crashed {
            net.crash(node, Fate::CrashedSilent);
        }
        let took = net.run_until(net.now + secs(60), |net| {
            (0..crashed).all(|node| net.all_think(node, PeerState::Down))
        });
        assert!(took.is_some_and(|took| took < secs(5)), "seed {seed}: {took:?}");
    }
}

#[test]
fn after_a_healed_partition_both_sides_are_alive_again() {
    for seed in 0..20 {
        let mut net = Net::new(6, seed);
        net.run_for(secs(2));
        net.partition(|node| u8::from(node < 2));
        net.run_for(secs(20));
        let (minority, majority) = (net.id(0), net.id(5));
        let thinks = |net: &Net, node, of| net.machine(node).peer(of).unwrap().state();
        assert_eq!(thinks(&net, 5, minority), PeerState::Down, "seed {seed}");
        assert_eq!(thinks(&net, 0, majority), PeerState::Down, "seed {seed}");
        net.partition(|_| 0);
        let all = |net: &Net| (0..6).all(|node| net.all_think(node, PeerState::Alive));
        let took = net.run_until(net.now + secs(30), all);
        assert!(took.is_some(), "seed {seed}: not healed");
    }
}

#[test]
fn after_any_mix_of_faults_all_agree_on_who_is_alive() {
    for seed in 0..30 {
        let mut rng = StdRng::seed_from_u64(seed);
        let size = rng.random_range(3..9);
        let mut net = Net::new(size, seed);
        net.loss = rng.random_range(0.0..0.3);
        let mut crashed = 0;
        for _ in 0..40 {
            let node = rng.random_range(crashed..size);
            match rng.random_range(0..8) {
                0..3 => net.pause(node),
                3..6 => net.resume(node),
                6 => net.partition(|other| u8::from(other % size < node)),
                // The lowest go first, so that one number tells who is left.
                _ if crashed + 2 < size => {
                    let fates = [Fate::CrashedSilent, Fate::CrashedRefusing];
                    net.crash(crashed, fates[rng.random_range(0..2)]);
                    crashed += 1;
                }
                _ => net.partition(|_| 0),
            }
            net.run_for(ms(rng.random_range(10..3000)));
        }
        (crashed..size).for_each(|node| net.resume(node));
        net.partition(|_| 0);
        net.loss = 0.0;
        let agreed = |net: &Net| {
            (0..crashed).all(|node| net.all_think(node, PeerState::Down))
                && (crashed..size).all(|node| net.all_think(node, PeerState::Alive))
        };
        // The sleepers may have to learn of every crash, and both sides of each other.
        let took = net.run_until(net.now + secs(30), agreed);
        assert!(took.is_some(), "seed {seed}: no agreement");
        // The last old doubts may still be on their way.
        net.run_for(secs(10));
        let verdicts = net.verdicts.len();
        net.run_for(secs(30));
        assert_eq!(net.verdicts.len(), verdicts, "seed {seed}: the agreement did not last");
        assert!(agreed(&net), "seed {seed}: the agreement did not last");
    }
}

#[test]
fn a_quiet_cluster_sends_the_same_per_node_at_any_size() {
    let per_node = |size: usize| {
        let mut net = Net::new(size, 1);
        net.run_for(secs(10));
        net.messages / size as u64
    };
    // Two pings a second, and the answers to as many.
    assert!((38..=42).contains(&per_node(10)), "{}", per_node(10));
    assert!((38..=42).contains(&per_node(100)), "{}", per_node(100));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut net = Net::new(5, seed);
        net.trace = Some(DefaultHasher::new());
        net.loss = 0.1;
        net.run_for(secs(5));
        net.pause(1);
        net.crash(2, Fate::CrashedRefusing);
        net.run_for(secs(5));
        net.resume(1);
        net.run_for(secs(5));
        net.trace.unwrap().finish()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
