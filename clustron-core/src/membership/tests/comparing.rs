//! Two machines that compare what they know.

use std::collections::VecDeque;

use super::harness::*;
use crate::membership::{Effect, Input, Message, News, PeerState, Range};
use crate::{Incarnation, NodeId};

/// Passes comparisons, and nothing else, between two machines until neither has more to say.
/// Returns how many there were.
fn talk(anna: &mut Stage, bert: &mut Stage, first: Message) -> usize {
    let mut waiting = VecDeque::from([(ANNA, first)]);
    let mut count = 0;
    while let Some((from, message)) = waiting.pop_front() {
        count += 1;
        assert!(count < 100, "they never end");
        let to = if from == ANNA { &mut *bert } else { &mut *anna };
        let effects = to.machine.handle(ms(10), Input::Received { from, message });
        for (_, answer) in sent(&effects) {
            if matches!(answer, Message::Compare { .. }) {
                waiting.push_back((if from == ANNA { BERT } else { ANNA }, answer.clone()));
            }
        }
    }
    count
}

/// What a machine says when it compares of its own accord.
fn opening(stage: &mut Stage) -> Message {
    stage.machine.sync();
    let effects = stage.machine.handle(ms(9), Input::Timeout);
    let compare = sent(&effects).into_iter().find(|(_, m)| matches!(m, Message::Compare { .. }));
    compare.expect("a comparison").1.clone()
}

fn same(anna: &Stage, bert: &Stage, nodes: u64) {
    for id in (1..=nodes).map(NodeId).filter(|id| ![ANNA, BERT].contains(id)) {
        let of = |stage: &Stage| {
            let case = stage.machine.case(id).unwrap();
            let metadata = stage.machine.metadata(id).map(|(r, m)| (r, m.clone()));
            (case.state, case.incarnation, metadata)
        };
        assert_eq!(of(anna), of(bert), "{id}");
    }
}

#[test]
fn nodes_that_agree_say_one_message_however_many_they_know() {
    for nodes in [3, 500] {
        let (mut anna, mut bert) = (Stage::of(ANNA, nodes), Stage::of(BERT, nodes));
        let first = opening(&mut anna);
        assert_eq!(talk(&mut anna, &mut bert, first), 1);
    }
}

#[test]
fn nodes_that_differ_know_the_same_afterwards() {
    for nodes in [4, 40, 1000] {
        let (mut anna, mut bert) = (Stage::of(ANNA, nodes), Stage::of(BERT, nodes));
        anna.hear(ms(1), BERT, vec![down(NodeId(4), 1, US), alive(US, 5)]);
        bert.hear(ms(1), ANNA, vec![alive(NodeId(nodes), 3)]);
        let metadata = std::sync::Arc::new(tagged("b"));
        bert.hear(ms(2), ANNA, vec![News::Metadata { node: US, revision: 2, metadata }]);
        let first = opening(&mut anna);
        let count = talk(&mut anna, &mut bert, first);
        same(&anna, &bert, nodes);
        assert_eq!(anna.machine.metadata(US).unwrap().0, 2);
        assert_eq!(bert.machine.case(US).unwrap().incarnation, Incarnation(5));
        assert!(count <= 8, "{nodes} nodes took {count} messages");
    }
}

#[test]
fn one_who_was_cut_off_for_long_catches_up_at_once_or_bit_by_bit() {
    let (mut anna, mut bert) = (Stage::of(ANNA, 300), Stage::of(BERT, 300));
    for id in 4..300 {
        anna.hear(ms(1), US, vec![alive(NodeId(id), 7)]);
    }
    for round in 0.. {
        assert!(round < 10, "it never catches up");
        let first = opening(&mut anna);
        talk(&mut anna, &mut bert, first);
        let behind = (4..300)
            .filter(|id| bert.machine.case(NodeId(*id)).unwrap().incarnation != Incarnation(7));
        if behind.count() == 0 {
            break;
        }
    }
    same(&anna, &bert, 300);
}

#[test]
fn a_suspicion_is_no_difference() {
    let (mut anna, mut bert) = (Stage::of(ANNA, 20), Stage::of(BERT, 20));
    anna.hear(ms(1), US, vec![suspect(NodeId(9), 1, US)]);
    let first = opening(&mut anna);
    talk(&mut anna, &mut bert, first);
    assert_eq!(bert.state(NodeId(9)), PeerState::Alive);
    assert_eq!(anna.state(NodeId(9)), PeerState::Suspect);
}

#[test]
fn a_hostile_comparison_costs_one_bounded_answer() {
    let mut stage = Stage::new(1000);
    let all = Range { from: NodeId(0), to: NodeId(u64::MAX), print: None };
    let mut turned = all;
    (turned.from, turned.to) = (all.to, all.from);
    for range in [all, turned, Range { print: Some(1), ..all }] {
        let message = Message::Compare { ranges: vec![range; 10_000], news: vec![] };
        let effects = stage.machine.handle(ms(1), Input::Received { from: ANNA, message });
        let answers = sent(&effects);
        assert!(answers.len() <= 1);
        for (_, answer) in answers {
            let Message::Compare { ranges, news } = answer else { panic!("{answer:?}") };
            assert!(ranges.len() <= 32 && news.len() <= 128);
        }
    }
    assert!(stage.machine.next_timeout().is_some());
    let stranger = Message::Compare { ranges: vec![all], news: vec![] };
    let effects =
        stage.machine.handle(ms(1), Input::Received { from: NodeId(5000), message: stranger });
    assert!(effects.iter().all(|effect| !matches!(effect, Effect::Send { .. })));
}
