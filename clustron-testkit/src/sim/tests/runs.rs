//! Seeds, stories, predicates and the end of a run.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::talker::*;
use crate::sim::{
    Failure, FaultKind, Input, Link, Nemesis, Node, NodeIndex, Outbox, Outcome, Report, Runner,
    Scenario, Simulation, SimulationBuilder, Tracing,
};

/// A chaotic run and all that was written about it.
fn story(seed: u64) -> (String, Report) {
    let text = Rc::new(RefCell::new(String::new()));
    let sink = Rc::clone(&text);
    let tracing = Tracing::full(move |line| *sink.borrow_mut() += &format!("{line}\n"));
    let builder = SimulationBuilder::new(seed).nodes(5).tracing(tracing.fingerprint());
    let mut sim = ticking(builder.nemesis(Nemesis::only(FaultKind::ALL)));
    for (from, to) in [(A, B), (B, C), (C, A)] {
        send(&mut sim, from, to, 3000);
        dial(&mut sim, to, from);
    }
    sim.chaos(5 * SECOND).unwrap();
    sim.heal();
    sim.run_for(SECOND).unwrap();
    let report = sim.report();
    (text.take(), report)
}

#[test]
fn the_same_seed_tells_the_same_story_byte_for_byte() {
    for seed in 0..5 {
        let (one, other) = (story(seed), story(seed));
        assert!(one.0.lines().count() > 1000 && one.1.faults > 0, "{:?}", one.1);
        assert!(one == other, "seed {seed} tells two stories");
    }
}

#[test]
fn another_seed_tells_another_story() {
    let (one, other) = (story(1), story(2));
    assert_ne!(one.0, other.0);
    assert_ne!(one.1.fingerprint, other.1.fingerprint);
}

#[test]
fn what_is_kept_of_a_story_does_not_change_it() {
    let run = |tracing| {
        let mut sim = ticking(SimulationBuilder::new(9).tracing(tracing));
        sim.chaos(5 * SECOND).unwrap();
        Report { fingerprint: None, ..sim.report() }
    };
    let off = run(Tracing::off());
    assert_eq!(run(Tracing::tail()), off);
    assert_eq!(run(Tracing::full(|_| ()).fingerprint()), off);
}

/// B must never hear a number after a larger one.
fn in_order_or_fail(seed: u64, link: Link) -> Result<Report, Failure> {
    let builder = SimulationBuilder::new(seed).link(link).repeat_with(format!("again {seed}"));
    let mut sim = build(builder);
    sim.always("in_order", |moment| {
        let heard = moment.node(B).map(Talker::heard).unwrap_or_default();
        if heard.is_sorted() { Ok(()) } else { Err(format!("B heard {heard:?}").into()) }
    });
    send(&mut sim, A, B, 2);
    sim.run_for(SECOND)?;
    Ok(sim.report())
}

#[test]
fn a_seeded_bug_is_found_and_its_seed_repeats_it() {
    // Rarely does the second of two overtake the first.
    let link = Link { jitter: MS * 13 / 10, ..Link::steady(MS) };
    let failed: Vec<Failure> =
        (0..300).filter_map(|seed| in_order_or_fail(seed, link).err()).collect();
    assert!((1..100).contains(&failed.len()), "{}", failed.len());
    assert_eq!(in_order_or_fail(failed[0].seed, link).unwrap_err(), failed[0]);
    assert!((0..300).all(|seed| in_order_or_fail(seed, link.ordered()).is_ok()));

    let text = failed[0].to_string();
    assert!(text.starts_with("in_order broken at "), "{text}");
    assert!(text.contains("B heard [1, 0]"), "{text}");
    assert!(text.contains(" n1 <- n0 0\n"), "{text}");
    assert!(text.ends_with(&format!("\nrepeat with: again {}", failed[0].seed)), "{text}");
}

#[test]
fn a_run_that_failed_has_ended() {
    let mut sim = three();
    sim.always("silence", |moment| match moment.touched() {
        Some((node, talker)) if !talker.heard().is_empty() => {
            Err(format!("{node} heard something").into())
        }
        _ => Ok(()),
    });
    send(&mut sim, A, B, 5);
    let failure = sim.run_for(SECOND).unwrap_err();
    assert_eq!(
        (failure.predicate.as_str(), failure.what.as_str()),
        ("silence", "n1 heard something")
    );
    assert_eq!(sim.now(), 2 * MS, "it stands where it failed");
    assert_eq!(sim.step(), Err(failure.clone()));
    assert_eq!(sim.run_until(SECOND, |_| true), Err(failure.clone()));
    assert_eq!(talker(&sim, B).heard(), [0]);
}

#[test]
fn run_until_stops_at_the_input_and_converge_says_what_is_still_wrong() {
    let mut sim = three();
    send(&mut sim, A, B, 10);
    let heard = |count| {
        move |moment: &crate::sim::Moment<'_, Talker>| {
            moment.node(B).is_some_and(|b| b.heard().len() >= count)
        }
    };
    assert_eq!(sim.run_until(SECOND, heard(3)).unwrap(), Some(3 * MS));
    assert_eq!(sim.run_until(SECOND, heard(3)).unwrap(), Some(Duration::ZERO));
    assert_eq!(sim.run_until(SECOND, heard(11)).unwrap(), None);
    assert_eq!(sim.now(), SECOND + 4 * MS);

    let all = |count: usize| {
        move |moment: &crate::sim::Moment<'_, Talker>| match moment.node(B).unwrap().heard().len() {
            heard if heard >= count => Ok(()),
            heard => Err(format!("{heard} heard").into()),
        }
    };
    assert_eq!(sim.converge(SECOND, all(10)).unwrap(), Duration::ZERO);
    send(&mut sim, A, B, 10);
    assert_eq!(sim.converge(SECOND, all(20)).unwrap(), 10 * MS);
    let failure = sim.converge(SECOND, all(21)).unwrap_err();
    assert_eq!(failure.predicate, "converge");
    assert_eq!(failure.what, "after 1s still: 20 heard");
}

/// Always wants a timeout at once.
struct Impatient;

impl Node for Impatient {
    type Message = ();
    type Disk = ();

    fn handle(&mut self, _: Duration, _: Input<()>, _: &mut Outbox<'_, Self>) {}

    fn next_timeout(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

#[test]
fn a_timer_that_never_ends_is_found() {
    let mut sim = SimulationBuilder::new(0).build(|_, _, _| Impatient);
    let failure = sim.run_for(SECOND).unwrap_err();
    assert_eq!(failure.predicate, "timeouts_end");
    assert!(failure.what.starts_with("n0 took 10000 timeouts at one moment"), "{failure}");
}

#[test]
#[should_panic(expected = "n0 addresses n3, but there are only 3 nodes; address n0 to n2")]
fn a_message_to_nobody_is_refused() {
    let mut sim = three();
    sim.tell(A, "send", |_, _, out| out.send(NodeIndex(3), 0));
    let _ = sim.run_for(SECOND);
}

/// Odd seeds fail, seed 4 panics.
struct Odd;

impl Scenario for Odd {
    fn name(&self) -> &str {
        "odd"
    }

    fn about(&self) -> &str {
        "Odd seeds fail."
    }

    fn run(&self, seed: u64, tracing: Tracing) -> Result<Report, Failure> {
        assert_ne!(seed, 4, "seed 4 panics");
        let mut sim: Simulation<Talker> = build(SimulationBuilder::new(seed).tracing(tracing));
        sim.always("even", move |_| match seed % 2 {
            0 => Ok(()),
            _ => Err("odd".into()),
        });
        sim.run_for(SECOND)?;
        Ok(sim.report())
    }
}

/// What a runner does with these words, and prints.
fn run(words: &str) -> (Outcome, String) {
    let printed = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&printed);
    let print = move |line: &str| *sink.lock().unwrap() += &format!("{line}\n");
    let outcome = Runner::new("sim", print).with(Odd).run(words.split(' ').map(str::to_owned));
    let text = printed.lock().unwrap().clone();
    (outcome, text)
}

#[test]
fn a_campaign_names_the_seeds_that_failed_and_how_to_repeat_them() {
    for words in ["--seeds 0..10", "--seeds 0..10 --twice --jobs 1 --scenario odd"] {
        let (outcome, text) = run(words);
        assert_eq!((outcome.held, outcome.failed, outcome.misused), (4, 6, false));
        assert!(text.contains("seed 7: even broken at 0ns: odd"), "{text}");
        assert!(text.contains("repeat with: sim --scenario odd --seed 7"), "{text}");
        assert!(text.contains("seed 4: no_panic"), "{text}");
        assert!(text.contains("0.000000000 n0 starts"), "the first one's end is told: {text}");
        assert!(text.contains("10 seeds in"), "{text}");
    }
    let (outcome, text) = run("--seeds 10..11");
    assert_eq!((outcome.held, outcome.failed), (1, 0), "{text}");
}

#[test]
fn one_seed_prints_its_whole_story() {
    let (outcome, text) = run("--seed 6");
    assert_eq!((outcome.held, outcome.failed), (1, 0));
    assert!(text.starts_with("0.000000000 n0 starts\n0.000000000 n1 starts\n"), "{text}");
    assert!(text.contains("odd held with seed 6: 3 events and 0 faults in 1s"), "{text}");
    let (outcome, text) = run("--seed 7");
    assert_eq!((outcome.held, outcome.failed), (0, 1));
    assert!(text.ends_with("repeat with: sim --scenario odd --seed 7\n"), "{text}");
}

#[test]
fn the_runner_lists_its_scenarios_and_refuses_others() {
    assert_eq!(run("list").1, "odd              Odd seeds fail.\n");
    let (outcome, text) = run("--seed 1 --scenario even");
    assert!(outcome.misused);
    assert!(
        text.starts_with("no scenario \"even\"; give one of [\"odd\"]\nusage: sim list"),
        "{text}"
    );
}
