//! Asking, being asked, and being late.

use super::harness::*;
use crate::NodeId;
use crate::membership::PeerState::{Down, Suspect};
use crate::membership::{Effect, EvidenceKind, Input, Message, Verification};

#[test]
fn a_peer_that_answers_no_ping_is_asked_through_others_then_suspect_then_down() {
    let mut machine = machine(5);
    let mut asked = Vec::new();
    let mut told = Vec::new();
    let mut first_ping = None;
    // Everybody answers at once, except Anna.
    while machine.next_timeout().unwrap() < ms(6000) && told.len() < 2 {
        let at = machine.next_timeout().unwrap();
        for effect in machine.handle(at, Input::Timeout) {
            match effect {
                Effect::Send { to: ANNA, message: Message::Ping { .. } } => {
                    first_ping.get_or_insert(at);
                }
                Effect::Send { to, message: Message::Ping { seq, .. } } => {
                    let message = Message::Ack { seq, updates: vec![] };
                    machine.handle(at, Input::Received { from: to, message });
                }
                Effect::Send { to, message: Message::PingRequest { target: ANNA, .. } } => {
                    asked.push((at, to));
                }
                Effect::Verdict(verdict) => told.push((at, verdict)),
                Effect::Send { .. } | Effect::Verify { .. } | Effect::Refuted { .. } => {}
            }
        }
    }
    let start = first_ping.unwrap();
    let mut others: Vec<NodeId> = asked.iter().map(|(_, to)| *to).collect();
    assert!(asked.iter().all(|(at, _)| *at == start + ms(200)));
    let in_order_of_asking = others.clone();
    others.sort_unstable();
    assert_eq!(others, [NodeId(3), NodeId(4), NodeId(5)]);
    let [(suspected, suspect), (convicted, down)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*suspected, suspect.node, suspect.state), (start + ms(500), ANNA, Suspect));
    assert_eq!((*convicted, down.node, down.state), (start + ms(2500), ANNA, Down));
    let why: Vec<_> = down.evidence.iter().map(|evidence| evidence.kind.clone()).collect();
    assert_eq!(
        why,
        [
            EvidenceKind::ProbeTimedOut { waited: ms(500) },
            EvidenceKind::IndirectProbesFailed { asked: in_order_of_asking },
            EvidenceKind::SuspicionExpired { waited: ms(2000) },
        ]
    );
    assert_eq!(machine.peer(ANNA).unwrap().evidence(), down.evidence);
}

#[test]
fn an_answer_tells_the_round_trip_and_only_the_target_can_give_it() {
    let mut machine = machine(2);
    let at = machine.next_timeout().unwrap();
    let effects = machine.handle(at, Input::Timeout);
    let [(ANNA, Message::Ping { seq, .. })] = sent(&effects)[..] else { panic!("{effects:?}") };
    let ack = |from| {
        let message = Message::Ack { seq: *seq, updates: vec![] };
        Input::Received { from, message }
    };
    machine.handle(at + ms(1), ack(STRANGER));
    assert_eq!(machine.peer(ANNA).unwrap().round_trip(), None);
    machine.handle(at + ms(3), ack(ANNA));
    assert_eq!(machine.peer(ANNA).unwrap().round_trip(), Some(ms(3)));
    assert_eq!(machine.peer(ANNA).unwrap().last_heard(), Some(at + ms(3)));
    assert_eq!(machine.next_timeout(), Some(at + ms(500)), "no more but the next period");
}

#[test]
fn an_indirect_answer_counts_only_from_who_was_asked() {
    let mut machine = machine(3);
    machine.handle(ms(1), Input::ConnectionLost { peer: ANNA });
    let no_answer = Verification::NoAnswer { why: "timed out".into() };
    let effects = machine.handle(ms(2), verified(ANNA, no_answer));
    let [(ANNA, Message::Ping { .. }), (BERT, Message::PingRequest { seq, target: ANNA, .. })] =
        sent(&effects)[..]
    else {
        panic!("{effects:?}")
    };
    let answer = |from| {
        let message = Message::IndirectAck { seq: *seq, target: ANNA, updates: vec![] };
        Input::Received { from, message }
    };
    machine.handle(ms(3), answer(STRANGER));
    assert_eq!(machine.probes.len(), 1);
    machine.handle(ms(3), answer(BERT));
    assert!(machine.probes.is_empty());
}

#[test]
fn a_ping_for_another_is_passed_on_and_so_is_its_answer() {
    let mut machine = machine(3);
    let message = Message::PingRequest { seq: 40, target: BERT, updates: vec![] };
    let effects = machine.handle(ms(1), Input::Received { from: ANNA, message });
    let [(ANNA, Message::Ack { seq: 40, .. }), (BERT, Message::Ping { seq, .. })] =
        sent(&effects)[..]
    else {
        panic!("{effects:?}")
    };
    let message = Message::Ack { seq: *seq, updates: vec![] };
    let answer = Input::Received { from: BERT, message };
    let effects = machine.handle(ms(2), answer.clone());
    let [(ANNA, Message::IndirectAck { seq: 40, target: BERT, .. })] = sent(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert!(machine.handle(ms(3), answer).is_empty(), "it is passed on once");
}

#[test]
fn a_suspect_is_asked_three_times_before_it_is_down() {
    let mut machine = machine(3);
    // Only the neighbour is pinged besides, and Bert is not.
    machine.handle(ms(1), gossip(ANNA, vec![update(BERT, 1, Suspect)]));
    let mut asked = Vec::new();
    for (at, effect) in run_until(&mut machine, ms(2001)) {
        if let Effect::Send { to: BERT, message: Message::Ping { updates, .. } } = effect {
            assert!(updates.contains(&update(BERT, 1, Suspect)));
            asked.push(at);
        }
    }
    for at in [501, 1001, 1501] {
        assert!(asked.contains(&ms(at)), "{asked:?}");
    }
    assert_eq!(state(&machine, BERT), Down);
}

#[test]
fn a_node_that_slept_gives_suspects_their_whole_time_again() {
    let mut machine = machine(3);
    machine.handle(ms(1), gossip(BERT, vec![update(ANNA, 1, Suspect)]));
    let effects = machine.handle(ms(60_000), Input::Timeout);
    assert!(verdicts(&effects).is_empty(), "{effects:?}");
    run_until(&mut machine, ms(61_999));
    assert_eq!(state(&machine, ANNA), Suspect);
    run_until(&mut machine, ms(62_000));
    assert_eq!(state(&machine, ANNA), Down, "but no more than that");
}

#[test]
fn a_short_absence_is_added_to_the_time_of_suspects() {
    let mut machine = machine(3);
    machine.handle(ms(1), gossip(BERT, vec![update(ANNA, 1, Suspect)]));
    let due = machine.next_timeout().unwrap();
    machine.handle(due + ms(300), ping(BERT));
    run_until(&mut machine, ms(2300));
    assert_eq!(state(&machine, ANNA), Suspect);
    run_until(&mut machine, ms(2301));
    assert_eq!(state(&machine, ANNA), Down);
}

#[test]
fn a_node_that_is_late_itself_waits_longer_for_others() {
    let mut machine = machine(2);
    let due = machine.next_timeout().unwrap();
    let effects = machine.handle(due + ms(101), Input::Timeout);
    assert!(matches!(sent(&effects)[..], [(ANNA, Message::Ping { .. })]));
    let suspected = run_until(&mut machine, due + ms(5000))
        .into_iter()
        .find(|(_, effect)| !verdicts(std::slice::from_ref(effect)).is_empty());
    let (at, _) = suspected.unwrap();
    assert_eq!(at, due + ms(101) + ms(1000), "twice the usual period");
}

#[test]
fn time_that_runs_backwards_changes_nothing() {
    let mut machine = machine(2);
    run_until(&mut machine, ms(5000));
    let due = machine.next_timeout();
    machine.handle(ms(1), Input::Timeout);
    assert_eq!(machine.next_timeout(), due);
}

#[test]
fn the_neighbour_is_asked_every_second_period_at_any_size() {
    let mut machine = machine(100);
    let mut asked = vec![ms(0)];
    while asked.last().unwrap() < &ms(60_000) {
        let at = machine.next_timeout().unwrap();
        for effect in machine.handle(at, Input::Timeout) {
            let Effect::Send { to, message: Message::Ping { seq, .. } } = effect else { continue };
            if to == ANNA {
                asked.push(at);
            }
            let message = Message::Ack { seq, updates: vec![] };
            machine.handle(at, Input::Received { from: to, message });
        }
        assert!(at - *asked.last().unwrap() <= ms(1000), "not asked since {asked:?}");
    }
}

#[test]
fn a_failed_probe_is_our_own_fault_only_if_we_hear_from_nobody() {
    for (bert_speaks, allowed) in [(true, ms(1)), (false, ms(2))] {
        let mut machine = machine(3);
        while machine.peers().all(|(_, peer)| peer.state() != Suspect) {
            let at = machine.next_timeout().unwrap();
            if bert_speaks {
                machine.handle(at, gossip(BERT, vec![]));
            }
            machine.handle(at, Input::Timeout);
        }
        assert_eq!(machine.health.scale(ms(1)), allowed, "Bert speaks: {bert_speaks}");
    }
}
