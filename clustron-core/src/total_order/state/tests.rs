use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use proptest::prelude::*;

use super::super::origin::{Number, Origin as Process};
use super::*;
use crate::codec;

const NODE: NodeId = NodeId(7);

/// A log with nothing in it but these commands.
#[derive(Default)]
struct Log {
    state: Broadcasts,
    index: u64,
}

impl Log {
    fn apply(&mut self, command: Command) -> Reply {
        self.index += 1;
        self.state.apply_at(FencingToken(self.index), command)
    }

    fn open(&mut self) -> FencingToken {
        match self.apply(Command::Open { node: NODE }) {
            Reply::Opened(name) => name,
            other => panic!("{other:?}"),
        }
    }

    fn broadcast(&mut self, origin: FencingToken, number: u64, done_below: u64) -> Reply {
        self.apply(broadcast(origin, number, done_below, 1))
    }
}

fn broadcast(origin: FencingToken, number: u64, done_below: u64, bytes: usize) -> Command {
    let body = vec![b'x'; bytes].into();
    Command::Broadcast { origin, number, done_below, kind: "k".to_owned(), body }
}

fn places(state: &Broadcasts) -> Vec<u64> {
    state.kept.iter().map(|kept| kept.place.0).collect()
}

#[test]
fn what_is_tried_again_keeps_its_place() {
    let mut log = Log::default();
    let origin = log.open();
    assert_eq!(log.broadcast(origin, 0, 0), Reply::Placed(FencingToken(2)));
    assert_eq!(log.broadcast(origin, 1, 0), Reply::Placed(FencingToken(3)));
    assert_eq!(log.broadcast(origin, 0, 0), Reply::Placed(FencingToken(2)));
    assert_eq!(places(&log.state), [2, 3]);
}

#[test]
fn a_try_that_comes_after_its_caller_gave_up_has_no_effect() {
    let mut log = Log::default();
    let origin = log.open();
    // The caller of 0 has given up, which the log learns with 1.
    assert_eq!(log.broadcast(origin, 1, 1), Reply::Placed(FencingToken(2)));
    assert_eq!(log.broadcast(origin, 0, 0), Reply::GivenUp);
    assert_eq!(places(&log.state), [2]);
}

#[test]
fn two_origins_of_one_node_are_two() {
    let mut log = Log::default();
    let (first, second) = (log.open(), log.open());
    assert_eq!(log.broadcast(first, 0, 0), Reply::Placed(FencingToken(3)));
    assert_eq!(log.broadcast(second, 0, 0), Reply::Placed(FencingToken(4)));
}

#[test]
fn the_origin_that_was_unused_for_longest_gives_way() {
    let mut log = Log::default();
    let (first, second) = (log.open(), log.open());
    for _ in 2..ORIGINS_MAX {
        log.open();
    }
    assert_eq!(log.broadcast(first, 0, 0), Reply::Placed(FencingToken(log.index)));
    log.open();
    assert_eq!(log.state.origins.len(), ORIGINS_MAX);
    assert_eq!(log.broadcast(second, 0, 0), Reply::Forgotten);
    assert!(matches!(log.broadcast(first, 1, 0), Reply::Placed(_)));
}

#[test]
fn what_no_node_of_ours_sends_is_refused() {
    let mut log = Log::default();
    let origin = log.open();
    let refused = |reply| matches!(reply, Reply::Refused(_));
    let far = UNDER_WAY_MAX as u64;
    assert!(refused(log.broadcast(origin, far, 0)));
    assert!(refused(log.broadcast(origin, u64::MAX, 0)));
    assert!(refused(log.broadcast(origin, 0, 1)));
    assert!(refused(log.apply(broadcast(origin, 0, 0, BODY_BYTES_MAX + 1))));
    let kind = "k".repeat(KIND_BYTES_MAX + 1);
    let body = Bytes::new();
    let named = Command::Broadcast { origin, number: 0, done_below: 0, kind, body };
    assert!(refused(log.apply(named)));
    assert_eq!(log.state.last(), FencingToken(0));
    assert!(matches!(log.broadcast(origin, far - 1, 0), Reply::Placed(_)));
}

#[test]
fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
    let mut log = Log::default();
    let origin = log.open();
    let many = KEPT_MAX as u64 + 1;
    for number in 0..many {
        log.broadcast(origin, number, number);
    }
    assert_eq!(log.state.kept.len(), KEPT_MAX);
    assert_eq!(log.state.let_go, FencingToken(2));
    for number in many..2 * many {
        log.apply(broadcast(origin, number, number, BODY_BYTES_MAX));
    }
    assert!(log.state.kept_bytes <= KEPT_BYTES_MAX);
    assert_eq!(log.state.kept.len(), KEPT_BYTES_MAX / (BODY_BYTES_MAX + 1 + Kept::BYTES));
}

#[test]
fn a_reader_finds_its_kind_its_gap_and_the_end() {
    let mut log = Log::default();
    let origin = log.open();
    for number in 0..KEPT_MAX as u64 {
        log.broadcast(origin, number, number);
    }
    let at = FencingToken;
    let last = log.state.last();
    assert!(matches!(log.state.after(at(0), "k"), Next::Broadcast(kept) if kept.place == at(2)));
    assert!(matches!(log.state.after(at(2), "k"), Next::Broadcast(kept) if kept.place == at(3)));
    assert_eq!(log.state.after(at(0), "other"), Next::End(last));
    assert_eq!(log.state.after(last, "k"), Next::End(last));
    assert_eq!(log.state.after(at(last.0 + 9), "k"), Next::End(at(last.0 + 9)));
    let number = KEPT_MAX as u64;
    log.broadcast(origin, number, number);
    assert_eq!(log.state.after(at(1), "k"), Next::Gap(at(2)));
    assert!(matches!(log.state.after(at(2), "k"), Next::Broadcast(kept) if kept.place == at(3)));
}

#[derive(Debug, Clone)]
enum Step {
    /// A process begins a broadcast.
    Take { process: usize },
    /// A caller makes a try, which is on its way from then on.
    Try { nth: usize },
    /// A try arrives, and may arrive again: it stays on its way.
    Arrive { nth: usize },
    /// A caller has its answer, or gives up.
    Done { nth: usize },
    /// The state goes through a snapshot.
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3usize).prop_map(|process| Step::Take { process }),
        4 => any::<usize>().prop_map(|nth| Step::Try { nth }),
        6 => any::<usize>().prop_map(|nth| Step::Arrive { nth }),
        2 => any::<usize>().prop_map(|nth| Step::Done { nth }),
        1 => Just(Step::Snapshot),
    ]
}

proptest! {
    /// Whatever is lost, doubled or late on the way: a number has one place, which every answer
    /// names; nobody is refused; and what is given up and not placed by then never will be once
    /// the log knows it.
    #[test]
    fn each_number_has_at_most_one_place(steps in proptest::collection::vec(step(), 0..400)) {
        let mut log = Log::default();
        let processes: Vec<_> = (0..3).map(|_| Arc::new(Process::new(log.open()))).collect();
        let mut callers: Vec<Number> = vec![];
        let mut on_the_way: Vec<Command> = vec![];
        let mut placed: BTreeMap<(FencingToken, u64), FencingToken> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Take { process } => {
                    callers.extend(processes[process].take().now_or_never());
                }
                Step::Try { nth } if !callers.is_empty() => {
                    let number = &callers[nth % callers.len()];
                    let (origin, done_below) = (number.origin.name, number.done_below());
                    on_the_way.push(broadcast(origin, number.number, done_below, 1));
                }
                Step::Arrive { nth } if !on_the_way.is_empty() => {
                    let command = on_the_way[nth % on_the_way.len()].clone();
                    let Command::Broadcast { origin, number, .. } = command else { unreachable!() };
                    let last = log.state.last();
                    match log.apply(command) {
                        Reply::Placed(place) => {
                            let known = *placed.entry((origin, number)).or_insert(place);
                            prop_assert_eq!(known, place);
                        }
                        Reply::GivenUp => {
                            prop_assert!(number < log.state.origins[&origin].done_below);
                            prop_assert_eq!(log.state.last(), last);
                        }
                        other => prop_assert!(false, "{:?}", other),
                    }
                    prop_assert!(log.state.origins[&origin].placed.len() <= UNDER_WAY_MAX);
                }
                Step::Done { nth } if !callers.is_empty() => {
                    callers.swap_remove(nth % callers.len());
                }
                Step::Snapshot => {
                    let bytes = codec::encode(&log.state).unwrap();
                    let copy: Broadcasts = codec::decode(&bytes).unwrap();
                    prop_assert_eq!(&copy, &log.state);
                    log.state = copy;
                }
                _ => {}
            }
        }
        let mut known: Vec<u64> = placed.values().map(|place| place.0).collect();
        known.sort_unstable();
        prop_assert_eq!(places(&log.state), known);
    }
}
