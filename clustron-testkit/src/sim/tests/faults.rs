//! The nemesis and the end of what it does.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::talker::*;
use crate::sim::{FaultKind, Link, Nemesis, NodeIndex, Skew, Tracing};

/// The trace of chaos with these faults, without what the nodes do.
fn chaos_of(kinds: &[FaultKind], seed: u64) -> Vec<String> {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&lines);
    let tracing = Tracing::full(move |line| sink.borrow_mut().push(line.to_owned()));
    let builder = crate::sim::SimulationBuilder::new(seed).nodes(5).tracing(tracing);
    let mut sim = build(builder.nemesis(Nemesis::only(kinds.iter().copied())));
    sim.chaos(60 * SECOND).unwrap();
    sim.heal();
    sim.run_for(SECOND).unwrap();
    for node in (0..5).map(NodeIndex) {
        assert!(sim.moment().is_running(node), "{node} does not run after heal");
    }
    drop(sim);
    lines.take()
}

#[test]
fn every_kind_of_fault_happens_and_says_what_it_is() {
    for (kind, said) in [
        (FaultKind::Isolate, "partition n"),
        (FaultKind::Halves, "</> others"),
        (FaultKind::Bridge, ", not cut off: n"),
        (FaultKind::OneWay, "-/-> others"),
        (FaultKind::OneLink, "not cut off: n"),
        (FaultKind::ShortPause, "is paused"),
        (FaultKind::LongPause, "is paused"),
        (FaultKind::Starve, "is starved"),
        (FaultKind::CrashWithDisk, "is restarted with its disk"),
        (FaultKind::CrashWithoutDisk, "is restarted with an empty disk"),
        (FaultKind::CrashAll, "crash of n0 n1 n2 n3 n4"),
        (FaultKind::Loss, "loss: 0."),
        (FaultKind::Duplication, "duplicate: 0."),
        (FaultKind::Delay, "delay: "),
        (FaultKind::Corruption, "corrupt: 0."),
        (FaultKind::ClockForward, "jumps forward"),
        (FaultKind::ClockBack, "jumps back"),
        (FaultKind::ClockDrift, "drifts by"),
    ] {
        let lines = chaos_of(&[kind], 3);
        assert!(lines.iter().any(|line| line.contains(said)), "{kind:?}: {lines:#?}");
    }
}

#[test]
fn all_kinds_happen_together_and_differ_with_the_seed() {
    let faults = |seed| {
        let mut lines = chaos_of(&FaultKind::ALL, seed);
        lines.retain(|line| line.contains(" -- fault "));
        lines
    };
    let (one, other) = (faults(1), faults(2));
    assert!(one.len() >= 20, "{one:#?}");
    assert_eq!(one, faults(1));
    assert_ne!(one, other);
}

#[test]
fn pauses_are_shorter_or_longer_than_the_threshold() {
    let lengths = |kind| -> BTreeSet<u128> {
        let nemesis = Nemesis::only([kind]);
        let mut rng = crate::sim::streams::stream(5, crate::sim::streams::Stream::Nemesis);
        let running = vec![A, B, C];
        let targets = crate::sim::nemesis::Targets { nodes: 3, up: running.clone(), running };
        let draw = |_| nemesis.draw(&mut rng, &targets).unwrap().1.as_millis();
        (0..100).map(draw).collect()
    };
    let (short, long) = (lengths(FaultKind::ShortPause), lengths(FaultKind::LongPause));
    assert!(short.last().unwrap() < &1000 && short.first().unwrap() >= &50, "{short:?}");
    assert!(long.first().unwrap() >= &1000 && long.last().unwrap() < &3000, "{long:?}");
}

#[test]
fn no_more_nodes_crash_at_once_than_allowed() {
    let kinds = [FaultKind::CrashWithDisk, FaultKind::CrashWithoutDisk, FaultKind::CrashAll];
    let limited = Nemesis { crashed_max: 1, at_once_max: 5, ..Nemesis::only(kinds) };
    let mut sim = ticking(builder().nemesis(limited));
    sim.always("a_majority_is_up", |moment| match moment.nodes().count() {
        2.. => Ok(()),
        up => Err(format!("{up} nodes are up").into()),
    });
    sim.chaos(100 * SECOND).unwrap();
    assert!(sim.report().faults > 10);
}

#[test]
fn a_fault_that_ends_does_not_end_another_of_its_kind() {
    let always = Nemesis {
        at_once_max: 1,
        rest: MS..2 * MS,
        length: 10 * MS..11 * MS,
        ..Nemesis::only([FaultKind::Halves])
    };
    let mut sim = build(builder().nemesis(always));
    sim.partition(crate::sim::Partition::apart([A]));
    sim.chaos(SECOND).unwrap();
    sim.run_for(SECOND).unwrap();
    assert!(sim.report().faults > 10);
    send(&mut sim, A, B, 10);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0; 0], "the script's own partition is still there");
}

#[test]
fn heal_gives_clocks_their_rate_back_and_leaves_links_as_set() {
    let drift = Nemesis { drift_ppm_max: 400_000, ..Nemesis::only([FaultKind::ClockDrift]) };
    let mut sim = build(builder().skew(Skew::NONE).nemesis(drift));
    sim.chaos(20 * SECOND).unwrap();
    sim.set_drift(A, 300_000);
    sim.set_links(Link::steady(5 * MS));
    sim.heal();
    let before = [A, B, C].map(|node| sim.moment().clock(node));
    assert_ne!(before, [sim.now(); 3], "they have drifted");
    sim.run_for(SECOND).unwrap();
    let after = [A, B, C].map(|node| sim.moment().clock(node));
    assert_eq!(after, before.map(|shown| shown + SECOND));
    send(&mut sim, A, B, 1);
    sim.run_for(4 * MS).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0; 0]);
}

#[test]
#[should_panic(expected = "nemesis.length is 2s..1s; give a start below its end")]
fn a_nemesis_that_contradicts_itself_is_refused() {
    build(builder().nemesis(Nemesis { length: 2 * SECOND..SECOND, ..Nemesis::default() }));
}
