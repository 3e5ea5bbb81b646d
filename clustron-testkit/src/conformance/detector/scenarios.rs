//! What a whole cluster has to live through.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Make;
use super::net::Net;
use super::wire::{Fate, Opinion};

/// The most messages that a node sends in a second while nothing happens, answers included.
const QUIET_MESSAGES_MAX: u64 = 12;

/// The most messages that a node sends in a second while half of the nodes fail.
const STORM_MESSAGES_MAX: u64 = 150;

/// The most timeouts of a node in a second, whatever happens.
const TIMEOUTS_MAX: u64 = 100;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn index(seed: u64, of: usize) -> usize {
    usize::try_from(seed).unwrap_or(0) % of
}

/// What was sent grows with nothing but the time.
pub(super) fn a_quiet_cluster_doubts_nobody_and_sends_little(make: Make<'_>) {
    for size in [2, 10, 100] {
        let mut net = Net::new(make, size, 1, "a quiet cluster");
        net.run_for(secs(20));
        assert!(
            net.suspects.is_empty() && net.downs.is_empty(),
            "a quiet cluster of {size} doubts {:?} and {:?}",
            net.suspects,
            net.downs
        );
        check_load(&net, secs(20), QUIET_MESSAGES_MAX);
    }
}

/// However unlucky the timing and at any size.
pub(super) fn a_silent_crash_is_down_in_five_seconds(make: Make<'_>) {
    for (size, seeds) in [(2, 40), (3, 60), (10, 30), (50, 8)] {
        for seed in 0..seeds {
            let mut net = Net::new(make, size, seed, "a silent crash is Down in five seconds");
            net.run_for(ms(2000 + seed * 37 % 1000));
            let victim = index(seed, size);
            net.crash(victim, Fate::Silent);
            let took =
                net.run_until(net.now + secs(60), |net| net.all_think(victim, Opinion::Down));
            assert!(
                took.is_some_and(|took| took < secs(5)),
                "a silent crash must be Down everywhere in 5 s; with {size} nodes and seed {seed} it took {took:?}"
            );
            nobody_but(&net, &[victim], seed);
        }
    }
}

/// Where the host refuses, nobody waits for the time to object.
pub(super) fn a_refused_connection_is_down_in_two_seconds(make: Make<'_>) {
    for (size, seeds) in [(2, 20), (3, 20), (10, 10)] {
        for seed in 0..seeds {
            let mut net = Net::new(make, size, seed, "two refusals are Down in two seconds");
            net.run_for(ms(2000 + seed * 53 % 1000));
            let victim = index(seed, size);
            net.crash(victim, Fate::Refusing);
            let took =
                net.run_until(net.now + secs(60), |net| net.all_think(victim, Opinion::Down));
            assert!(
                took.is_some_and(|took| took < secs(2)),
                "whose host refuses twice must be Down in 2 s; with {size} nodes and seed {seed} it took {took:?}"
            );
            nobody_but(&net, &[victim], seed);
        }
    }
}

/// All are found, without a storm.
pub(super) fn half_of_the_nodes_crash_at_once(make: Make<'_>) {
    for (size, seeds) in [(4, 20), (10, 20), (50, 6)] {
        for seed in 0..seeds {
            let mut net = Net::new(make, size, seed, "half of the nodes crash at once");
            net.run_for(ms(2000 + seed * 37 % 1000));
            let mut rng = StdRng::seed_from_u64(seed);
            let crashed = rand::seq::index::sample(&mut rng, size, size / 2).into_vec();
            crash_together(&mut net, &crashed, secs(5), seed);
        }
    }
}

/// The unluckiest place for a crash is beside other crashes: who watched it is gone too.
pub(super) fn neighbours_crash_together(make: Make<'_>) {
    for (size, count, seeds) in [(7, 3, 30), (20, 6, 20), (50, 10, 6)] {
        for seed in 0..seeds {
            let mut net = Net::new(make, size, seed, "neighbours crash together");
            net.run_for(ms(2000 + seed * 37 % 1000));
            let crashed: Vec<usize> = (0..count).map(|n| (index(seed, size) + n) % size).collect();
            crash_together(&mut net, &crashed, secs(5), seed);
        }
    }
}

/// Being cleared makes void what was held against a peer, and does not make it immortal.
pub(super) fn a_cleared_peer_is_trusted_and_can_fail_again(make: Make<'_>) {
    for seed in 0..20 {
        let size = 2 + index(seed, 4);
        let mut net = Net::new(make, size, seed, "a cleared peer is trusted");
        net.run_for(secs(3));
        net.pause(0);
        let suspected = net.run_until(net.now + secs(5), |net| !net.suspects.is_empty());
        assert!(suspected.is_some(), "who is silent for 5 s is not suspected (seed {seed})");
        net.resume(0);
        net.run_for(secs(10));
        nobody_but(&net, &[], seed);
        assert!(
            net.all_think(0, Opinion::Trusted),
            "a peer that objected is not trusted again (seed {seed})"
        );
        net.crash(0, Fate::Silent);
        let took = net.run_until(net.now + secs(60), |net| net.all_think(0, Opinion::Down));
        assert!(
            took.is_some_and(|took| took < secs(5)),
            "a peer that was cleared and then crashed is not Down in 5 s (seed {seed}): {took:?}"
        );
    }
}

/// Who is away for less than the time to object is never Down.
pub(super) fn a_short_pause_is_no_crash(make: Make<'_>) {
    for seed in 0..30 {
        let size = if seed % 2 == 0 { 3 } else { 10 };
        let mut net = Net::new(make, size, seed, "a short pause is no crash");
        net.run_for(ms(3000 + seed * 53 % 1000));
        net.pause(0);
        net.run_for(ms(1500));
        net.resume(0);
        net.run_for(secs(10));
        nobody_but(&net, &[], seed);
    }
}

/// Who sleeps for long is Down, comes back, and blames nobody for the silence.
pub(super) fn a_long_pause_is_held_against_the_sleeper_alone(make: Make<'_>) {
    for seed in 0..20 {
        let size = if seed % 2 == 0 { 3 } else { 10 };
        let mut net = Net::new(make, size, seed, "a long pause");
        net.run_for(ms(3000 + seed * 53 % 1000));
        net.pause(0);
        net.run_for(secs(10));
        assert!(net.all_think(0, Opinion::Down), "who sleeps for 10 s is not Down (seed {seed})");
        net.resume(0);
        let back = net.run_until(net.now + secs(10), |net| net.all_think(0, Opinion::Trusted));
        assert!(back.is_some(), "a sleeper that woke is not back in 10 s (seed {seed})");
        net.run_for(secs(10));
        nobody_but(&net, &[0], seed);
        assert!(net.all_think(0, Opinion::Trusted), "and it does not last (seed {seed})");
    }
}

/// A process that hardly gets to run answers late, but it answers.
pub(super) fn a_starved_node_is_not_down_and_brings_nobody_down(make: Make<'_>) {
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Net::new(make, 5, seed, "a starved node");
        net.loss = 0.01;
        while net.now < secs(60) {
            net.pause(0);
            net.run_for(ms(rng.random_range(50..900)));
            net.resume(0);
            net.run_for(ms(rng.random_range(1..50)));
        }
        nobody_but(&net, &[], seed);
    }
}

/// Two nodes that cannot reach each other, and are reached by all others, are both there.
pub(super) fn a_broken_link_is_no_crash(make: Make<'_>) {
    for seed in 0..8 {
        let size = 4 + index(seed, 4);
        let mut net = Net::new(make, size, seed, "a broken link is no crash");
        net.run_for(secs(2));
        net.broken_links.insert((0, 1 + index(seed, size - 1)));
        net.run_for(secs(40));
        nobody_but(&net, &[], seed);
    }
}

/// Both sides call the other Down, and neither for longer than it lasts.
pub(super) fn a_healed_partition_leaves_no_doubt(make: Make<'_>) {
    for seed in 0..8 {
        let mut net = Net::new(make, 6, seed, "a healed partition");
        net.run_for(secs(2));
        net.partition(|node| u8::from(node < 3));
        net.run_for(secs(20));
        assert!(!net.downs.is_empty(), "nobody is Down across a partition (seed {seed})");
        net.partition(|_| 0);
        let all = |net: &Net| (0..6).all(|node| net.all_think(node, Opinion::Trusted));
        let took = net.run_until(net.now + secs(40), all);
        assert!(took.is_some(), "after a healed partition not all are trusted (seed {seed})");
    }
}

/// One message in twenty gets lost for minutes, and nobody is the worse for it.
pub(super) fn lost_messages_bring_nobody_down(make: Make<'_>) {
    for (size, seeds) in [(2, 3), (10, 4)] {
        for seed in 0..seeds {
            let mut net = Net::new(make, size, seed, "lost messages bring nobody down");
            net.loss = 0.05;
            net.run_for(secs(240));
            nobody_but(&net, &[], seed);
        }
    }
}

/// A middlebox resets what one node dials: messages come through, its dials never.
pub(super) fn a_node_whose_dials_are_refused_convicts_nobody(make: Make<'_>) {
    for seed in 0..8 {
        let size = 4 + index(seed, 7);
        let mut net = Net::new(make, size, seed, "a node whose dials are refused");
        net.misdialling.insert(0);
        lie(&mut net, |net| (1..net.size()).for_each(|peer| net.lose_connections(0, peer)));
        nobody_but(&net, &[], seed);
    }
}

/// A middlebox resets all that one node sends and dials. The others may take it out; it may not
/// take out any of them.
pub(super) fn a_node_that_is_cut_off_convicts_nobody(make: Make<'_>) {
    for seed in 0..8 {
        let size = 4 + index(seed, 7);
        let mut net = Net::new(make, size, seed, "a node that is cut off");
        net.run_for(secs(2));
        net.partition(|node| u8::from(node == 0));
        net.refuse_across = true;
        lie(&mut net, |net| (1..net.size()).for_each(|peer| net.lose_connections(0, peer)));
        nobody_but(&net, &[0], seed);
    }
}

/// A middlebox resets what goes between two nodes.
pub(super) fn a_link_that_refuses_convicts_nobody(make: Make<'_>) {
    for seed in 0..8 {
        let size = 4 + index(seed, 7);
        let mut net = Net::new(make, size, seed, "a link that refuses");
        let other = 1 + index(seed, size - 1);
        net.broken_links.insert((0, other));
        lie(&mut net, |net| net.lose_connections(0, other));
        nobody_but(&net, &[], seed);
    }
}

/// Half a minute in which connections are reset again and again.
fn lie(net: &mut Net, reset: impl Fn(&mut Net)) {
    for _ in 0..60 {
        net.run_for(ms(500));
        reset(net);
    }
}

fn crash_together(net: &mut Net, crashed: &[usize], within: Duration, seed: u64) {
    for node in crashed {
        net.crash(*node, Fate::Silent);
    }
    // What was sent before is not part of the storm.
    net.messages.fill(0);
    net.timeouts.fill(0);
    let crash = net.now;
    let all = |net: &Net| crashed.iter().all(|node| net.all_think(*node, Opinion::Down));
    let took = net.run_until(crash + secs(60), all);
    assert!(
        took.is_some_and(|took| took < within),
        "{} of {} nodes that crash together must be Down in {within:?}; with seed {seed} it took {took:?}",
        crashed.len(),
        net.size()
    );
    nobody_but(net, crashed, seed);
    check_load(net, net.now - crash, STORM_MESSAGES_MAX);
}

/// Nobody sent or woke more often than allowed, on average over this time.
fn check_load(net: &Net, time: Duration, messages_max: u64) {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1000);
    let per_second = |count: u64| count * 1000 / ms;
    for node in 0..net.size() {
        let messages = per_second(net.messages[node]);
        let timeouts = per_second(net.timeouts[node]);
        assert!(
            messages <= messages_max,
            "a storm: one of {} nodes sends {messages} messages a second, and {messages_max} are allowed",
            net.size()
        );
        assert!(
            timeouts <= TIMEOUTS_MAX,
            "a storm: one of {} nodes has {timeouts} timeouts a second, and {TIMEOUTS_MAX} are allowed",
            net.size()
        );
    }
}

/// Nobody but these was called Down.
fn nobody_but(net: &Net, failed: &[usize], seed: u64) {
    let wrong: Vec<_> = net.downs.iter().filter(|(_, _, node)| !failed.contains(node)).collect();
    assert!(
        wrong.is_empty(),
        "of {} nodes only {failed:?} failed, but (when, by whom, who) {wrong:?} are called Down (seed {seed})",
        net.size()
    );
}
