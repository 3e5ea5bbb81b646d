//! Small stories about a single rule.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Make;
use super::net::Net;
use super::rules::Supervised;
use super::wire::{Fate, Opinion};
use clustron_core::NodeId;
use clustron_core::membership::{Observation, Verification};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Observations about nodes that are not peers lead to nothing, and their opinions do not count.
pub(super) fn strangers_are_no_matter(make: Make<'_>) {
    let mut net = Net::new(make, 4, 1, "strangers are no matter");
    net.objections = false;
    let strangers = [NodeId(0), NodeId(u64::MAX), net.id(0)];
    let peer = net.id(1);
    for _ in 0..40 {
        for stranger in strangers {
            let gone = Verification::Gone { why: "refused".into() };
            let seq = 1;
            for observation in [
                Observation::Heard { from: stranger },
                Observation::Heartbeat { from: stranger },
                Observation::Answered { from: stranger, seq },
                Observation::AnsweredThrough { helper: peer, target: stranger, seq },
                Observation::AnsweredThrough { helper: stranger, target: peer, seq },
                Observation::ConnectionLost { peer: stranger },
                Observation::Verified { peer: stranger, result: gone.clone() },
                Observation::Verified { peer: stranger, result: gone },
                Observation::Accused { peer: stranger, by: peer },
                Observation::Accused { peer, by: stranger },
                Observation::Settled { peer: stranger },
                Observation::Cleared { peer: stranger },
            ] {
                net.observe(0, observation);
            }
        }
        net.run_for(ms(250));
    }
    let verdicts = (&net.suspects, &net.downs);
    assert!(
        net.suspects.is_empty() && net.downs.is_empty(),
        "strangers accused a peer that answers, and that led to {verdicts:?}"
    );
}

/// Observations of any kind in any order break no rule, and none leads to a flood.
pub(super) fn whatever_comes_in_it_stays_sane(make: Make<'_>) {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let context = format!("whatever comes in (seed {seed})");
        let mut detector = Supervised::new(LOCAL, make(LOCAL, seed), context);
        let mut now = Duration::ZERO;
        for _ in 0..400 {
            now += ms(rng.random_range(0..600));
            // A timer is on time more often than not.
            let due = detector.next_timeout().filter(|due| *due <= now);
            if let Some(due) = due.filter(|_| rng.random_bool(0.7)) {
                now = due;
                detector.handle(now, Observation::Timeout);
            }
            let observation = any_observation(&mut rng);
            let actions = detector.handle(now, observation.clone());
            assert!(
                actions.len() <= 100,
                "{observation:?} led to {} actions with six nodes (seed {seed})",
                actions.len()
            );
        }
    }
}

/// Who judges where any observation comes in.
const LOCAL: NodeId = NodeId(3);

fn any_observation(rng: &mut StdRng) -> Observation {
    let node = |rng: &mut StdRng| NodeId(rng.random_range(0..7));
    let (peer, by, seq) = (node(rng), node(rng), rng.random_range(0..30));
    let why = String::new();
    match rng.random_range(0..16) {
        0 => {
            let some = (0..rng.random_range(0..7)).map(|_| node(rng));
            Observation::Peers(some.filter(|id| *id != LOCAL).collect())
        }
        1 => Observation::Peers([0, 1, 2, 4, 5, 6].map(NodeId).into()),
        2 => Observation::Heard { from: peer },
        3 => Observation::Heartbeat { from: peer },
        4 => Observation::Answered { from: peer, seq },
        5 => Observation::AnsweredThrough { helper: by, target: peer, seq },
        6 | 7 => Observation::ConnectionLost { peer },
        8 => Observation::Verified { peer, result: Verification::Reached },
        9 => Observation::Verified { peer, result: Verification::NoAnswer { why } },
        10 => Observation::Verified { peer, result: Verification::Gone { why } },
        11 | 12 => Observation::Accused { peer, by },
        13 => Observation::Settled { peer },
        14 => Observation::Cleared { peer },
        _ => Observation::AccusedOurselves,
    }
}

/// Two runs from the same seed do the same.
pub(super) fn the_same_observations_give_the_same_actions(make: Make<'_>) {
    let trace = |seed| {
        let mut net = Net::new(make, 6, seed, "the same observations give the same actions");
        net.trace = Some(Vec::new());
        net.loss = 0.1;
        net.run_for(secs(4));
        net.pause(1);
        net.crash(2, Fate::Refusing);
        net.run_for(secs(4));
        net.resume(1);
        net.crash(3, Fate::Silent);
        net.run_for(secs(4));
        net.trace.take().unwrap_or_default()
    };
    for seed in 0..3 {
        let (first, second) = (trace(seed), trace(seed));
        let differ = first.iter().zip(&second).find(|(a, b)| a != b);
        assert!(
            first == second,
            "the same observations must give the same actions; with seed {seed} they differ: {differ:#?}"
        );
    }
}

/// One other node, however often it is reported, convicts nobody who answers.
pub(super) fn one_opinion_is_no_verdict(make: Make<'_>) {
    for (size, seed) in [(3, 1), (4, 2), (12, 3), (12, 4)] {
        let mut net = Net::new(make, size, seed, "one opinion is no verdict");
        // It does not even object: it never hears of it.
        net.objections = false;
        net.run_for(secs(2));
        let (peer, by) = (net.id(1 + seed as usize % (size - 1)), net.id(0));
        let judge = size - 1;
        for _ in 0..40 {
            if peer != net.id(judge) {
                net.observe(judge, Observation::Accused { peer, by });
            }
            net.run_for(ms(700));
        }
        assert!(
            net.downs.is_empty(),
            "one opinion is no verdict, however often it is repeated, but with {size} nodes and seed {seed} it led to {:?}",
            net.downs
        );
    }
}

/// Connections that close between nodes that answer mean nothing.
pub(super) fn a_lost_connection_is_no_verdict(make: Make<'_>) {
    for size in [2, 5] {
        let mut net = Net::new(make, size, 1, "a lost connection is no verdict");
        for _ in 0..40 {
            net.run_for(ms(470));
            net.lose_connections(0, 1);
        }
        assert!(
            net.suspects.is_empty() && net.downs.is_empty(),
            "a lost connection is no verdict while dialling works, but it led to {:?} and {:?}",
            net.suspects,
            net.downs
        );
    }
}

/// A judge that sleeps past the end of a doubt finds the objection in its inbox, whichever it looks
/// at first.
pub(super) fn a_late_timeout_is_no_verdict(make: Make<'_>) {
    for seed in 0..20 {
        for slept in [ms(2400), secs(4), secs(60)] {
            let mut net = Net::new(make, 2, seed, "a late timeout is no verdict");
            net.run_for(secs(3));
            net.pause(1);
            let suspected = net.run_until(net.now + secs(5), |net| !net.suspects.is_empty());
            assert!(suspected.is_some(), "a peer that is silent for five seconds is not suspected");
            net.run_for(ms(100));
            net.pause(0);
            net.resume(1);
            net.run_for(slept);
            net.resume(0);
            net.run_for(secs(5));
            let by_sleeper: Vec<_> = net.downs.iter().filter(|(_, by, _)| *by == 0).collect();
            assert!(
                by_sleeper.is_empty(),
                "a judge that slept for {slept:?} blames another for its own absence (seed {seed}): {by_sleeper:?}"
            );
        }
    }
}

/// Who is no longer listed is forgotten, with what was held against it, and starts trusted.
pub(super) fn a_peer_that_left_is_forgotten(make: Make<'_>) {
    for seed in 0..10 {
        let mut net = Net::new(make, 2, seed, "a peer that left is forgotten");
        net.run_for(secs(3));
        net.crash(1, Fate::Silent);
        net.run_until(net.now + secs(5), |net| !net.suspects.is_empty());
        let peer = net.id(1);
        net.observe(0, Observation::Peers([].into()));
        net.run_for(secs(10));
        let downs = net.downs.len();
        assert_eq!(downs, 0, "a peer that left was judged all the same (seed {seed})");
        net.observe(0, Observation::Peers([peer].into()));
        let took = net.run_until(net.now + secs(5), |net| net.all_think(1, Opinion::Down));
        assert!(
            took.is_some(),
            "a peer that came back silent is not Down in five seconds (seed {seed})"
        );
    }
}
