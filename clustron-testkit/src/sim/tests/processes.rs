//! What happens to processes, disks and clocks.

use std::time::Duration;

use super::talker::*;
use crate::sim::{Crash, DialOutcome, Input, Partition, Restart, Skew, Starvation};

#[test]
fn a_pause_keeps_what_arrives() {
    let mut sim = three();
    sim.pause(B);
    send(&mut sim, A, B, 10);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0; 0]);
    sim.resume(B);
    sim.run_for(Duration::ZERO).unwrap();
    assert_eq!(talker(&sim, B).heard(), (0..10).collect::<Vec<u64>>());
}

#[test]
fn a_paused_node_keeps_no_more_than_its_buffer_holds() {
    let mut sim = build(builder().inbox_max(4));
    sim.run_for(MS).unwrap();
    sim.pause(B);
    send(&mut sim, A, B, 10);
    sim.run_for(SECOND).unwrap();
    sim.resume(B);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0, 1, 2, 3]);
    assert!(sim.trace_tail().iter().any(|line| line.ends_with("the buffer is full")));
}

#[test]
fn a_full_buffer_does_not_lose_how_a_dial_has_ended() {
    let mut sim = build(builder().inbox_max(1));
    sim.run_for(MS).unwrap();
    sim.crash(A, Crash::Silent); // so that the dial ends late
    dial(&mut sim, B, A);
    sim.run_for(MS).unwrap();
    sim.pause(B);
    send(&mut sim, C, B, 3);
    sim.run_for(SECOND).unwrap();
    sim.resume(B);
    sim.run_for(SECOND).unwrap();
    assert_eq!((talker(&sim, B).heard().len(), talker(&sim, B).dials().len()), (1, 1));
}

#[test]
fn a_paused_node_gets_one_timeout_when_it_runs_again() {
    let mut sim = ticking(builder());
    sim.run_for(5 * MS).unwrap();
    sim.pause(B);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, B).timeouts(), 0);
    sim.resume(B);
    sim.run_for(5 * MS).unwrap();
    assert_eq!(talker(&sim, B).timeouts(), 1);
    sim.run_for(10 * MS).unwrap();
    assert_eq!(talker(&sim, B).timeouts(), 2, "its timer goes on");
}

#[test]
fn a_starved_node_takes_its_inputs_late_and_in_slices() {
    let mut sim = build(builder().skew(Skew::NONE));
    let gap = 100 * MS..101 * MS;
    sim.starve(B, Starvation { gap, inputs_per_slice: 3 });
    send(&mut sim, A, B, 7);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, B).heard(), (0..7).collect::<Vec<u64>>());
    let mut slices: Vec<Duration> = talker(&sim, B).inputs.iter().map(|(at, _)| *at).collect();
    assert!(slices[0] >= 100 * MS, "the start waits too");
    slices.dedup();
    assert_eq!(slices.len(), 3, "eight inputs in slices of three: {slices:?}");
    sim.resume(B);
    send(&mut sim, A, B, 1);
    sim.run_for(2 * MS).unwrap();
    assert_eq!(talker(&sim, B).heard().len(), 8);
}

#[test]
fn a_silent_crash_tells_nobody_and_takes_what_was_in_memory() {
    let mut sim = three();
    send(&mut sim, A, B, 1);
    sim.run_for(SECOND).unwrap();
    sim.crash(B, Crash::Silent);
    dial(&mut sim, A, B);
    send(&mut sim, A, B, 3);
    sim.run_for(SECOND).unwrap();
    assert!(sim.node(B).is_none());
    assert_eq!(talker(&sim, A).lost(), [A; 0]);
    assert_eq!(talker(&sim, A).dials(), [DialOutcome::NoAnswer]);
}

#[test]
fn a_refusing_crash_closes_the_connections_that_there_were() {
    let mut sim = three();
    send(&mut sim, A, B, 1);
    sim.run_for(SECOND).unwrap();
    sim.crash(B, Crash::Refusing);
    dial(&mut sim, A, B);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, A).lost(), [B]);
    assert_eq!(talker(&sim, C).lost(), [A; 0], "it never spoke with B");
    assert_eq!(talker(&sim, A).dials(), [DialOutcome::Refused]);
}

#[test]
fn behind_a_cut_a_closed_connection_is_noticed_with_the_next_message_that_arrives() {
    let mut sim = three();
    send(&mut sim, A, B, 1);
    sim.run_for(SECOND).unwrap();
    sim.partition(Partition::apart([A]));
    sim.crash(B, Crash::Refusing);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, A).lost(), [A; 0]);
    sim.heal();
    sim.run_for(SECOND).unwrap();
    assert!(sim.node(B).is_none(), "what a script crashed stays dead");
    assert_eq!(talker(&sim, A).lost(), [A; 0]);
    send(&mut sim, A, B, 2);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, A).lost(), [B]);
}

#[test]
fn dials_see_what_a_connection_would_see() {
    let mut sim = three();
    dial(&mut sim, A, B);
    sim.run_for(3 * MS).unwrap();
    assert_eq!(talker(&sim, A).dials(), [DialOutcome::Reached]);
    sim.pause(B);
    dial(&mut sim, A, B);
    sim.run_for(299 * MS).unwrap();
    assert_eq!(talker(&sim, A).dials().len(), 1, "nobody has given up yet");
    sim.run_for(MS).unwrap();
    sim.resume(B);
    sim.cut(B, A);
    dial(&mut sim, A, B);
    sim.run_for(SECOND).unwrap();
    let expected = [DialOutcome::Reached, DialOutcome::NoAnswer, DialOutcome::NoAnswer];
    assert_eq!(talker(&sim, A).dials(), expected);
}

#[test]
fn a_dial_of_a_node_that_runs_again_in_time_reaches_it_once() {
    let mut sim = three();
    sim.pause(B);
    dial(&mut sim, A, B);
    sim.run_for(100 * MS).unwrap();
    sim.resume(B);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, A).dials(), [DialOutcome::Reached]);
}

#[test]
fn a_restart_with_the_disk_keeps_it_and_one_without_does_not() {
    let mut sim = three();
    sim.tell(B, "write", |_, _, out| *out.disk() = 42);
    sim.run_for(MS).unwrap();
    let first = talker(&sim, B).seed;
    sim.crash(B, Crash::Silent);
    sim.run_for(SECOND).unwrap();
    sim.restart(B, Restart::WithDisk);
    sim.run_for(MS).unwrap();
    assert_eq!(talker(&sim, B).found, 42);
    assert_eq!(talker(&sim, B).inputs[0].1, Input::Start);
    assert_ne!(talker(&sim, B).seed, first, "each life has a seed of its own");
    sim.restart(B, Restart::WithoutDisk);
    assert_eq!(talker(&sim, B).found, 0);
    *sim.disk_mut(B) = 7; // an old one
    sim.restart(B, Restart::WithDisk);
    assert_eq!(talker(&sim, B).found, 7);
}

#[test]
fn a_restart_ends_the_connections_of_the_life_before() {
    let mut sim = build(builder().link(crate::sim::Link::steady(10 * MS).ordered()));
    sim.run_for(MS).unwrap();
    send(&mut sim, A, B, 1);
    sim.run_for(SECOND).unwrap();
    sim.crash(B, Crash::Silent);
    send(&mut sim, A, B, 1);
    sim.run_for(5 * MS).unwrap();
    sim.restart(B, Restart::WithDisk);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, A).lost(), [B]);
    assert_eq!(talker(&sim, B).heard(), [0; 0], "that message was for the life before");
}

#[test]
fn what_a_crashed_node_is_told_is_lost() {
    let mut sim = three();
    sim.crash(B, Crash::Silent);
    sim.tell(B, "write", |_, _, out| *out.disk() = 42);
    sim.run_for(SECOND).unwrap();
    assert_eq!(*sim.moment().disk(B), 0);
    assert!(sim.trace_tail().last().unwrap().ends_with("n1 is not told: write"));
}

#[test]
fn clocks_disagree_and_a_timeout_comes_by_the_nodes_own_clock() {
    let skew = Skew { offset_max: 100 * SECOND, drift_ppm_max: 100_000 };
    let mut sim = ticking(builder().skew(skew));
    sim.run_for(100 * SECOND).unwrap();
    let shown = [A, B, C].map(|node| sim.moment().clock(node));
    assert!(shown[0] != shown[1] && shown[1] != shown[2], "{shown:?}");
    for node in [A, B, C] {
        let inputs = &talker(&sim, node).inputs;
        let (first, last) = (inputs[0].0, inputs[inputs.len() - 1].0);
        let lived = sim.moment().clock(node) - first;
        assert!((90 * SECOND..=110 * SECOND).contains(&lived), "{lived:?}");
        assert!(first <= 100 * SECOND && last - first <= lived);
        let ticks = usize::try_from(lived.as_millis() / 10).unwrap();
        assert!(inputs.len().abs_diff(ticks) <= 2, "{} inputs, {ticks} ticks", inputs.len());
    }
    let mut none = ticking(builder().skew(Skew::NONE));
    none.run_for(SECOND).unwrap();
    assert_eq!(none.moment().clock(B), SECOND);
    assert_eq!(talker(&none, B).timeouts(), 100);
}

#[test]
fn a_clock_that_jumps_forward_fires_timers_and_one_that_jumps_back_holds_them() {
    let mut sim = ticking(builder().skew(Skew::NONE));
    sim.run_for(5 * MS).unwrap();
    sim.jump_clock_forward(B, 5 * MS);
    sim.run_for(Duration::ZERO).unwrap();
    assert_eq!((talker(&sim, A).timeouts(), talker(&sim, B).timeouts()), (0, 1));
    sim.jump_clock_back(B, 10 * MS);
    sim.run_for(19 * MS).unwrap();
    assert_eq!((talker(&sim, A).timeouts(), talker(&sim, B).timeouts()), (2, 1));
    sim.set_drift(A, 500_000);
    sim.run_for(20 * MS).unwrap();
    assert_eq!(talker(&sim, A).timeouts(), 5, "24 ms and then 30 on its own clock");
}
