//! Who is believed what about whom.

use super::harness::*;
use crate::membership::PeerState::{Alive, Down, Left, Suspect};
use crate::membership::{Action, Effect, EvidenceKind, Input, Message, Observation, Standing};
use crate::{Incarnation, NodeId};

#[test]
fn the_view_alone_decides_who_is_a_peer() {
    let mut stage = Stage::new(3);
    assert_eq!(stage.machine.state(US), None);
    stage.hear(ms(1), ANNA, vec![alive(STRANGER, 1)]);
    assert_eq!(stage.machine.state(STRANGER), None);
    stage.machine.handle(ms(2), view([1, 3, 99]));
    assert_eq!(stage.machine.state(ANNA), None);
    assert_eq!(stage.state(STRANGER), Alive);
    let peers = Observation::Peers([BERT, STRANGER].into());
    assert_eq!(stage.puppet.seen().last(), Some(&peers));
    stage.machine.handle(ms(3), view([1]));
    let left = stage.run_until(ms(60_000));
    assert!(left.is_empty(), "alone there is nothing to do: {left:?}");
}

#[test]
fn a_suspect_hears_of_it_with_the_next_message_and_its_objection_settles_it() {
    let mut stage = Stage::new(3);
    let effects = stage.hear(ms(1), BERT, vec![suspect(ANNA, 1, BERT)]);
    assert_eq!(verdicts(&effects), [(ANNA, Suspect)]);
    let told = EvidenceKind::GossipFrom { node: BERT, state: Suspect };
    assert_eq!(stage.kinds(ANNA), [told]);
    let accused = Observation::Accused { peer: ANNA, by: BERT };
    assert_eq!(stage.puppet.seen(), [Observation::Heard { from: BERT }, accused]);

    let effects = stage.machine.handle(ms(2), ping(ANNA));
    let [(ANNA, Message::Ack { seq: 7, news })] = sent(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(news[..], [alive(US, 1), suspect(ANNA, 1, BERT)]);

    stage.hear(ms(3), ANNA, vec![alive(ANNA, 1)]);
    assert_eq!(stage.state(ANNA), Suspect, "being heard is no objection");
    stage.puppet.seen();
    let effects = stage.hear(ms(4), ANNA, vec![alive(ANNA, 2)]);
    assert_eq!(verdicts(&effects), [(ANNA, Alive)]);
    assert_eq!(stage.puppet.seen().last(), Some(&Observation::Cleared { peer: ANNA }));
    let Some(Effect::Verdict(verdict)) = effects.first() else { panic!("{effects:?}") };
    let by_herself = EvidenceKind::Refuted { by: ANNA, incarnation: Incarnation(2) };
    assert_eq!(verdict.evidence.last().unwrap().kind, by_herself);
    assert!(stage.kinds(ANNA).is_empty(), "the case is closed");
    stage.hear(ms(5), BERT, vec![down(ANNA, 1, BERT)]);
    assert_eq!(stage.state(ANNA), Alive, "old news");
}

#[test]
fn each_node_that_confirms_a_suspicion_counts_once_and_is_passed_on() {
    let mut stage = Stage::new(5);
    stage.act(ms(1), vec![Action::Suspect { peer: ANNA }]);
    assert_eq!(stage.state(ANNA), Suspect);
    stage.puppet.seen();
    for _ in 0..2 {
        stage.hear(ms(2), BERT, vec![suspect(ANNA, 1, BERT), suspect(ANNA, 1, US)]);
    }
    let heard = Observation::Heard { from: BERT };
    let accused = Observation::Accused { peer: ANNA, by: BERT };
    assert_eq!(stage.puppet.seen(), [heard.clone(), accused, heard]);
    assert_eq!(stage.machine.case(ANNA).unwrap().accusers, [US, BERT]);
    let rows = stage.machine.unreachable();
    assert_eq!(rows, [(US, [ANNA].into()), (BERT, [ANNA].into())].into());
    let told = stage.run_until(ms(1000));
    for news in [suspect(ANNA, 1, US), suspect(ANNA, 1, BERT)] {
        assert!(told.iter().any(|(_, effect)| tells(effect, &news)), "{news:?} is not passed on");
    }
}

#[test]
fn we_object_to_our_own_death_with_a_higher_incarnation() {
    let mut stage = Stage::new(3);
    for (heard, expected) in [
        (down(US, 0, BERT), None),
        (suspect(US, 1, BERT), Some(2)),
        (down(US, 1, BERT), None),
        (down(US, 2, BERT), Some(3)),
        (alive(US, 3), None),
        // Others remember an objection of our life before.
        (alive(US, 8), Some(9)),
        (standing(US, 9, Standing::Left), Some(10)),
    ] {
        let effects = stage.hear(ms(1), ANNA, vec![heard.clone()]);
        assert_eq!(refuted(&effects), expected, "{heard:?}");
    }
    assert_eq!(stage.machine.incarnation(), Incarnation(10));
    let told = stage.run_until(ms(500));
    let Some((_, Effect::Send { message, .. })) = told.first() else { panic!("{told:?}") };
    assert_eq!(message.news()[0], alive(US, 10));
    let ours = stage.puppet.seen();
    assert_eq!(ours.iter().filter(|o| **o == Observation::AccusedOurselves).count(), 3);
}

#[test]
fn a_down_peer_comes_back_only_with_a_higher_incarnation() {
    let mut stage = Stage::new(3);
    let effects = stage.hear(ms(1), BERT, vec![down(ANNA, 1, BERT)]);
    assert_eq!(verdicts(&effects), [(ANNA, Down)]);
    assert_eq!(stage.puppet.seen().last(), Some(&Observation::Settled { peer: ANNA }));
    for stale in [alive(ANNA, 1), suspect(ANNA, 5, BERT), down(ANNA, 4, BERT)] {
        let effects = stage.hear(ms(2), BERT, vec![stale.clone()]);
        assert_eq!(verdicts(&effects), [], "{stale:?}");
    }
    stage.machine.handle(ms(3), view(1..=3));
    assert_eq!(stage.state(ANNA), Down, "the view knows nothing newer");
    stage.hear(ms(4), BERT, vec![alive(ANNA, 4)]);
    assert_eq!(stage.state(ANNA), Down, "a later death is known");
    let effects = stage.hear(ms(5), BERT, vec![alive(ANNA, 5)]);
    assert_eq!(verdicts(&effects), [(ANNA, Alive)]);

    stage.hear(ms(6), BERT, vec![down(ANNA, 5, BERT)]);
    let started_again = vec![listed(1, 1), listed(2, 6), listed(3, 1)];
    let effects = stage.machine.handle(ms(7), Input::ViewChanged(started_again));
    assert_eq!(verdicts(&effects), [(ANNA, Alive)]);
    assert_eq!(stage.machine.case(ANNA).unwrap().incarnation, Incarnation(6));
}

#[test]
fn a_suspicion_of_a_later_life_starts_a_new_case() {
    let mut stage = Stage::new(4);
    stage.hear(ms(1), BERT, vec![suspect(ANNA, 1, BERT)]);
    stage.puppet.seen();
    stage.hear(ms(2), BERT, vec![suspect(ANNA, 3, NodeId(4))]);
    let seen = stage.puppet.seen();
    let accused = Observation::Accused { peer: ANNA, by: NodeId(4) };
    assert_eq!(seen[1..], [Observation::Cleared { peer: ANNA }, accused]);
    assert_eq!(stage.machine.case(ANNA).unwrap().accusers, [NodeId(4)]);
}

#[test]
fn the_detectors_verdict_is_told_to_all_and_ends_what_it_had_to_judge() {
    let mut stage = Stage::new(4);
    let effects = stage.act(ms(1), vec![Action::Suspect { peer: ANNA }]);
    assert_eq!(verdicts(&effects), [(ANNA, Suspect)]);
    let effects = stage.act(ms(2), vec![Action::Down { peers: vec![ANNA, BERT] }]);
    assert_eq!(verdicts(&effects), [(ANNA, Down), (BERT, Down)]);
    let effects = stage.act(ms(3), vec![Action::Suspect { peer: ANNA }]);
    assert_eq!(verdicts(&effects), [], "nothing more is said about it");
    let told = stage.run_until(ms(1000));
    let told_down = told.iter().any(|(_, effect)| tells(effect, &down(ANNA, 1, US)));
    assert!(told_down, "{told:?}");
}

#[test]
fn one_who_leaves_says_so_and_is_left_for_all() {
    let mut stage = Stage::new(3);
    let effects = stage.machine.handle(ms(1), Input::Leave);
    let (_, message) = sent(&effects)[0];
    assert_eq!(message.news()[0], standing(US, 1, Standing::Left));
    let effects = stage.hear(ms(2), BERT, vec![suspect(US, 1, BERT)]);
    assert_eq!(refuted(&effects), None, "it does not defend itself any more");

    let effects = stage.hear(ms(3), ANNA, vec![standing(ANNA, 1, Standing::Left)]);
    assert_eq!(verdicts(&effects), [(ANNA, Left)]);
    assert_eq!(stage.puppet.seen().last(), Some(&Observation::Settled { peer: ANNA }));
    stage.hear(ms(4), BERT, vec![down(ANNA, 1, BERT), alive(ANNA, 1)]);
    assert_eq!(stage.state(ANNA), Left);
    stage.hear(ms(5), BERT, vec![alive(ANNA, 2)]);
    assert_eq!(stage.state(ANNA), Alive);
}

#[test]
fn strangers_are_answered_but_not_believed() {
    let mut stage = Stage::new(3);
    stage.hear(ms(1), STRANGER, vec![down(ANNA, 1, STRANGER)]);
    assert_eq!(stage.state(ANNA), Alive);
    let effects = stage.machine.handle(ms(2), ping(STRANGER));
    let [(STRANGER, Message::Ack { news, .. })] = sent(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(news[..], [alive(US, 1)]);
    assert_eq!(stage.puppet.seen(), [], "the detector hears nothing of them");
    let effects = stage.hear(ms(3), STRANGER, vec![down(US, 1, STRANGER)]);
    assert_eq!(refuted(&effects), Some(2));
}

#[test]
fn a_node_that_was_dropped_learns_it_when_it_knocks() {
    let mut stage = Stage::new(3);
    stage.machine.handle(ms(1), view([1, 3]));
    let pinged = stage.machine.handle(ms(2), ping(ANNA));
    let heartbeat = Input::Received { from: ANNA, message: Message::Heartbeat { news: vec![] } };
    let pushed = stage.hear(ms(2), ANNA, vec![]);
    assert_eq!(sent(&stage.machine.handle(ms(2), heartbeat)).len(), 1);
    for effects in [pinged, pushed] {
        let [(ANNA, message)] = sent(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!(message.news(), [alive(US, 1), down(ANNA, 1, US)]);

        let mut anna = Stage::of(ANNA, 3);
        let message = message.clone();
        let effects = anna.machine.handle(ms(3), Input::Received { from: US, message });
        assert_eq!(refuted(&effects), Some(2));
    }
    stage.machine.handle(ms(4), view(1..=3));
    assert_eq!(stage.state(ANNA), Alive, "the view has the last word");
}

#[test]
fn two_nodes_that_have_dropped_each_other_do_not_go_on_telling_each_other() {
    let (mut us, mut anna) = (Stage::new(3), Stage::of(ANNA, 3));
    us.machine.handle(ms(1), view([1, 3]));
    anna.machine.handle(ms(1), view([2, 3]));
    let mut waiting = vec![(ANNA, Message::Gossip { news: vec![alive(ANNA, 1)] })];
    let mut count = 0;
    while let Some((from, message)) = waiting.pop() {
        count += 1;
        assert!(count < 10, "they never end");
        let to = if from == ANNA { &mut us } else { &mut anna };
        let effects = to.machine.handle(ms(2), Input::Received { from, message });
        let other = if from == ANNA { US } else { ANNA };
        waiting.extend(sent(&effects).into_iter().map(|(_, answer)| (other, answer.clone())));
    }
    assert_eq!(anna.machine.incarnation(), Incarnation(2));
}

#[test]
fn who_missed_an_objection_is_told_of_it() {
    let mut stage = Stage::new(4);
    stage.hear(ms(1), ANNA, vec![alive(ANNA, 3)]);
    for (at, late) in [(ms(2), suspect(ANNA, 2, BERT)), (ms(500), down(ANNA, 1, BERT))] {
        let effects = stage.hear(at, BERT, vec![late.clone()]);
        let [(BERT, Message::Gossip { news })] = sent(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!(news[..], [alive(US, 1), alive(ANNA, 3)]);
        let effects = stage.hear(at + ms(1), BERT, vec![late]);
        assert!(sent(&effects).is_empty(), "the answer is on its way");
    }
    let effects = stage.hear(ms(1000), BERT, vec![alive(ANNA, 2)]);
    assert!(sent(&effects).is_empty(), "it accuses nobody");
}

#[test]
fn a_doubt_is_repeated_for_as_long_as_it_lasts() {
    let mut stage = Stage::new(3);
    stage.hear(ms(1), BERT, vec![down(ANNA, 1, BERT)]);
    stage.run_until(ms(10_000));
    let effects = stage.machine.handle(ms(10_000), ping(BERT));
    let (to, answer) = sent(&effects)[0];
    assert_eq!(to, BERT);
    assert!(answer.news().contains(&down(ANNA, 1, BERT)), "{answer:?}");
}

#[test]
fn what_was_noted_explains_the_verdict() {
    let mut stage = Stage::new(3);
    let answered = EvidenceKind::ProbeAnswered { round_trip: ms(3) };
    let missed = EvidenceKind::ProbeTimedOut { waited: ms(500), local_health: 1 };
    let note = |what: &EvidenceKind| Action::Note { peer: ANNA, what: what.clone() };
    stage.hear(ms(4), ANNA, vec![]);
    stage.act(ms(5), vec![note(&answered)]);
    stage.act(ms(9), vec![note(&missed), Action::Suspect { peer: ANNA }]);
    let case = stage.machine.case(ANNA).unwrap();
    assert_eq!((case.last_heard, case.round_trip), (Some(ms(4)), Some(ms(3))));
    assert_eq!((case.state, case.local_health), (Suspect, 7));
    assert_eq!(stage.kinds(ANNA), [missed], "an answer says nothing while all is well");
    assert!(stage.machine.case(US).is_none() && stage.machine.case(STRANGER).is_none());
}
