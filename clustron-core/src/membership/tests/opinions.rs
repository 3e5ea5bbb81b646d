//! Who is believed what about whom.

use super::harness::*;
use crate::Incarnation;
use crate::membership::PeerState::{Alive, Down, Suspect};
use crate::membership::{
    Effect, EvidenceKind, Input, Membership, MembershipConfig, Message, Verdict, Verification,
};

#[test]
fn the_view_alone_decides_who_is_a_peer() {
    let mut machine = machine(3);
    assert_eq!(machine.peers().map(|(id, _)| id).collect::<Vec<_>>(), [ANNA, BERT]);
    assert!(machine.peer(US).is_none());
    machine.handle(ms(1), gossip(ANNA, vec![update(STRANGER, 1, Alive)]));
    assert!(machine.peer(STRANGER).is_none());
    machine.handle(ms(2), view([1, 3, 99]));
    assert_eq!(machine.peers().map(|(id, _)| id).collect::<Vec<_>>(), [BERT, STRANGER]);
    machine.handle(ms(3), view([1]));
    assert_eq!(machine.peers().count(), 0);
    let left = run_until(&mut machine, ms(60_000));
    assert!(left.is_empty(), "alone there is nothing to do: {left:?}");
}

#[test]
fn a_suspect_hears_of_it_with_the_next_message_and_its_objection_settles_it() {
    let mut machine = machine(3);
    let effects = machine.handle(ms(1), gossip(BERT, vec![update(ANNA, 1, Suspect)]));
    assert_eq!(verdicts(&effects), [(ANNA, Suspect)]);
    assert_eq!(kinds(&machine, ANNA), [EvidenceKind::GossipFrom { node: BERT, state: Suspect }]);

    let effects = machine.handle(ms(2), ping(ANNA));
    let [(ANNA, Message::Ack { seq: 7, updates })] = sent(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(updates[..], [update(US, 1, Alive), update(ANNA, 1, Suspect)]);

    machine.handle(ms(3), gossip(ANNA, vec![update(ANNA, 1, Alive)]));
    assert_eq!(state(&machine, ANNA), Suspect, "being heard is no objection");
    let effects = machine.handle(ms(4), gossip(ANNA, vec![update(ANNA, 2, Alive)]));
    let [Effect::Verdict(Verdict { node: ANNA, incarnation, state: Alive, evidence })] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(*incarnation, Incarnation(2));
    let by_herself = EvidenceKind::Refuted { by: ANNA, incarnation: Incarnation(2) };
    assert_eq!(evidence.last().unwrap().kind, by_herself);
    assert!(kinds(&machine, ANNA).is_empty(), "the case is closed");
    machine.handle(ms(5), gossip(BERT, vec![update(ANNA, 1, Down)]));
    assert_eq!(state(&machine, ANNA), Alive, "old news");
}

#[test]
fn we_object_to_our_own_death_with_a_higher_incarnation() {
    let mut machine = machine(3);
    for (heard, expected) in [
        (update(US, 0, Down), None),
        (update(US, 1, Suspect), Some(2)),
        (update(US, 1, Down), None),
        (update(US, 2, Down), Some(3)),
        (update(US, 3, Alive), None),
        // Others remember an objection of our life before.
        (update(US, 8, Alive), Some(9)),
    ] {
        let effects = machine.handle(ms(1), gossip(ANNA, vec![heard]));
        let refuted = expected.map(|i| Effect::Refuted { incarnation: Incarnation(i) });
        assert_eq!(effects, refuted.into_iter().collect::<Vec<_>>(), "{heard:?}");
    }
    assert_eq!(machine.incarnation(), Incarnation(9));
    let effects = machine.handle(machine.next_timeout().unwrap(), Input::Timeout);
    let (_, first) = sent(&effects)[0];
    assert_eq!(first.updates()[0], update(US, 9, Alive));
}

#[test]
fn a_down_peer_comes_back_only_with_a_higher_incarnation() {
    let mut machine = machine(3);
    let effects = machine.handle(ms(1), gossip(BERT, vec![update(ANNA, 1, Down)]));
    assert_eq!(verdicts(&effects), [(ANNA, Down)]);
    for stale in [update(ANNA, 1, Alive), update(ANNA, 5, Suspect), update(ANNA, 4, Down)] {
        assert!(machine.handle(ms(2), gossip(BERT, vec![stale])).is_empty(), "{stale:?}");
    }
    assert!(machine.handle(ms(3), view(1..=3)).is_empty(), "the view knows nothing newer");
    let effects = machine.handle(ms(4), gossip(BERT, vec![update(ANNA, 4, Alive)]));
    assert!(effects.is_empty(), "a later death is known");
    let effects = machine.handle(ms(5), gossip(BERT, vec![update(ANNA, 5, Alive)]));
    assert_eq!(verdicts(&effects), [(ANNA, Alive)]);

    machine.handle(ms(6), gossip(BERT, vec![update(ANNA, 5, Down)]));
    let started_again = vec![(US, Incarnation(1)), (ANNA, Incarnation(6)), (BERT, Incarnation(1))];
    let effects = machine.handle(ms(7), Input::ViewChanged(started_again));
    assert_eq!(verdicts(&effects), [(ANNA, Alive)]);
    assert_eq!(machine.peer(ANNA).unwrap().incarnation(), Incarnation(6));
}

#[test]
fn two_refused_connections_make_a_peer_down_and_both_are_evidence() {
    let mut machine = machine(3);
    let verify = [Effect::Verify { peer: ANNA }];
    assert_eq!(machine.handle(ms(1), Input::ConnectionLost { peer: ANNA }), verify);
    let effects = machine.handle(ms(2), verified(ANNA, gone()));
    assert_eq!(verdicts(&effects), [(ANNA, Suspect)]);
    let confirm = run_until(&mut machine, ms(252));
    assert!(confirm.contains(&(ms(252), Effect::Verify { peer: ANNA })), "{confirm:?}");
    let effects = machine.handle(ms(253), verified(ANNA, gone()));
    assert_eq!(verdicts(&effects), [(ANNA, Down)]);
    let refused = EvidenceKind::ConnectionRefused { why: "connection refused".into() };
    let expected = [EvidenceKind::ConnectionLost, refused.clone(), refused];
    assert_eq!(kinds(&machine, ANNA), expected);
    assert!(machine.handle(ms(254), Input::ConnectionLost { peer: ANNA }).is_empty());
}

#[test]
fn all_connections_of_a_peer_closing_at_once_count_once() {
    let mut machine = machine(3);
    machine.handle(ms(1), Input::ConnectionLost { peer: ANNA });
    assert!(machine.handle(ms(1), Input::ConnectionLost { peer: ANNA }).is_empty());
    // The answer may be from before the second one closed, so it is asked again, once.
    let effects = machine.handle(ms(2), verified(ANNA, Verification::Reached));
    assert_eq!(effects, [Effect::Verify { peer: ANNA }]);
    assert!(machine.handle(ms(3), verified(ANNA, Verification::Reached)).is_empty());
    assert_eq!(state(&machine, ANNA), Alive);

    machine.handle(ms(4), Input::ConnectionLost { peer: ANNA });
    machine.handle(ms(5), verified(ANNA, gone()));
    machine.handle(ms(6), verified(ANNA, gone()));
    assert_eq!(state(&machine, ANNA), Suspect, "an outcome that nobody waits for");
}

#[test]
fn a_peer_that_started_again_between_two_dials_is_not_down() {
    let mut machine = machine(3);
    machine.handle(ms(1), Input::ConnectionLost { peer: ANNA });
    machine.handle(ms(2), verified(ANNA, gone()));
    run_until(&mut machine, ms(252));
    let started_again = vec![(ANNA, Incarnation(2)), (BERT, Incarnation(1))];
    machine.handle(ms(253), Input::ViewChanged(started_again));
    machine.handle(ms(254), verified(ANNA, gone()));
    assert_eq!(state(&machine, ANNA), Alive);
}

#[test]
fn strangers_are_answered_but_not_believed() {
    let mut machine = machine(3);
    machine.handle(ms(1), gossip(STRANGER, vec![update(ANNA, 1, Down)]));
    assert_eq!(state(&machine, ANNA), Alive);
    let effects = machine.handle(ms(2), ping(STRANGER));
    let [(STRANGER, Message::Ack { updates, .. })] = sent(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(updates[..], [update(US, 1, Alive)]);
    let effects = machine.handle(ms(3), gossip(STRANGER, vec![update(US, 1, Down)]));
    assert_eq!(effects, [Effect::Refuted { incarnation: Incarnation(2) }]);
}

#[test]
fn a_node_that_was_dropped_learns_it_when_it_knocks() {
    let mut machine = machine(3);
    machine.handle(ms(1), view([1, 3]));
    let effects = machine.handle(ms(2), ping(ANNA));
    let [(ANNA, Message::Ack { seq, updates })] = sent(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(updates[..], [update(US, 1, Alive), update(ANNA, 1, Down)]);

    let mut anna = Membership::new(ANNA, Incarnation(1), MembershipConfig::default(), 2);
    anna.handle(ms(0), view(1..=3));
    let message = Message::Ack { seq: *seq, updates: updates.clone() };
    let effects = anna.handle(ms(3), Input::Received { from: US, message });
    assert_eq!(effects, [Effect::Refuted { incarnation: Incarnation(2) }]);

    machine.handle(ms(4), view(1..=3));
    assert_eq!(state(&machine, ANNA), Alive, "the view has the last word");
}

#[test]
fn a_doubt_is_repeated_for_as_long_as_it_lasts() {
    let mut machine = machine(3);
    machine.handle(ms(1), gossip(BERT, vec![update(ANNA, 1, Down)]));
    run_until(&mut machine, ms(10_000));
    assert!(machine.queue.is_empty(), "as gossip it came to an end");
    let effects = machine.handle(ms(10_000), ping(BERT));
    let (to, answer) = sent(&effects)[0];
    assert_eq!(to, BERT);
    assert!(answer.updates().contains(&update(ANNA, 1, Down)), "{answer:?}");
}
