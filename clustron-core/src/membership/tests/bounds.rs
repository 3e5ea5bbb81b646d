//! What no peer can do to us.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::harness::*;
use crate::NodeId;
use crate::membership::PeerState::{Alive, Down, Suspect};
use crate::membership::message::{INCARNATION_MAX, UPDATES_MAX};
use crate::membership::{Effect, Input, Message, Update, Verification};

#[test]
fn pings_for_others_are_bounded() {
    let mut machine = machine(3);
    for seq in 0..10_000 {
        let message = Message::PingRequest { seq, target: BERT, updates: vec![] };
        machine.handle(ms(1), Input::Received { from: ANNA, message });
    }
    assert_eq!(machine.relays.len(), 256);
    let message = Message::PingRequest { seq: 1, target: BERT, updates: vec![] };
    machine.handle(ms(3000), Input::Received { from: ANNA, message });
    assert_eq!(machine.relays.len(), 1, "the forgotten ones make room");
}

#[test]
fn an_accusation_that_nobody_could_answer_is_not_believed() {
    let mut machine = machine(3);
    for incarnation in [INCARNATION_MAX.0 + 1, u64::MAX] {
        for node in [US, ANNA] {
            let news = vec![update(node, incarnation, Down)];
            assert!(machine.handle(ms(1), gossip(BERT, news)).is_empty());
        }
    }
    machine.handle(ms(1), gossip(BERT, vec![update(US, INCARNATION_MAX.0, Down)]));
    assert_eq!(machine.incarnation(), INCARNATION_MAX.next());
}

#[test]
fn no_message_carries_more_than_its_share_of_news() {
    let mut machine = machine(100);
    let news: Vec<Update> = (2..100).map(|id| update(NodeId(id), 2, Alive)).collect();
    for part in news.chunks(UPDATES_MAX) {
        machine.handle(ms(1), gossip(NodeId(100), part.to_vec()));
    }
    let told = run_until(&mut machine, ms(20_000));
    let mut largest = 0;
    for (_, effect) in told {
        if let Effect::Send { message: Message::Gossip { updates }, .. } = effect {
            largest = largest.max(updates.len());
        }
    }
    assert_eq!(largest, UPDATES_MAX);
    assert!(machine.queue.is_empty(), "news comes to an end");
}

#[test]
fn evidence_is_bounded() {
    let mut machine = machine(3);
    for at in 0..100 {
        machine.handle(ms(at), Input::ConnectionLost { peer: ANNA });
        machine.handle(ms(at), verified(ANNA, Verification::Reached));
    }
    assert_eq!(kinds(&machine, ANNA).len(), 16);
    assert_eq!(machine.peer(ANNA).unwrap().evidence()[0].at, ms(84), "the oldest went");
}

/// An input of any kind with any content, biased towards the few numbers that mean something.
fn any_input(rng: &mut StdRng) -> Input {
    fn number(rng: &mut StdRng) -> u64 {
        if rng.random_bool(0.9) {
            rng.random_range(0..6)
        } else {
            u64::MAX - rng.random_range(0..2)
        }
    }
    fn updates(rng: &mut StdRng) -> Vec<Update> {
        let count = rng.random_range(0..2 * UPDATES_MAX);
        let any = |_| {
            let state = [Alive, Suspect, Down][rng.random_range(0..3)];
            update(NodeId(number(rng)), number(rng), state)
        };
        (0..count).map(any).collect()
    }
    let peer = NodeId(number(rng));
    let seq = number(rng);
    let target = NodeId(number(rng));
    let why = String::new();
    let received = |message| Input::Received { from: peer, message };
    match rng.random_range(0..12) {
        0 => received(Message::Ping { seq, updates: updates(rng) }),
        1 => received(Message::Ack { seq, updates: updates(rng) }),
        2 => received(Message::PingRequest { seq, target, updates: updates(rng) }),
        3 => received(Message::IndirectAck { seq, target, updates: updates(rng) }),
        4 => received(Message::Gossip { updates: updates(rng) }),
        5 => verified(peer, Verification::Reached),
        6 => verified(peer, Verification::NoAnswer { why }),
        7 => verified(peer, Verification::Gone { why }),
        8 => Input::ConnectionLost { peer },
        9 => view((0..rng.random_range(0..6)).map(|_| number(rng))),
        _ => Input::Timeout,
    }
}

#[test]
fn whatever_comes_in_the_machine_stays_sane() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut machine = machine(5);
        let mut now = Duration::ZERO;
        for _ in 0..200 {
            let before = machine.incarnation();
            now += ms(rng.random_range(0..600));
            let input = any_input(&mut rng);
            let timeout = matches!(input, Input::Timeout);
            for effect in machine.handle(now, input) {
                let Effect::Send { to, message } = effect else { continue };
                assert_ne!(to, US);
                assert!(message.updates().len() <= UPDATES_MAX);
                let told: Vec<NodeId> = message.updates().iter().map(|told| told.node).collect();
                assert_eq!(told[0], US);
                assert!(
                    told.iter().all(|id| told.iter().filter(|other| *other == id).count() == 1)
                );
            }
            assert!(machine.incarnation() >= before);
            assert!(!timeout || machine.next_timeout().is_none_or(|next| next > now));
            assert!(machine.peers().all(|(id, peer)| id != US && peer.evidence().len() <= 16));
            let suspects = machine.peers().filter(|(_, peer)| peer.state() == Suspect);
            assert!(suspects.into_iter().all(|(_, peer)| peer.suspicion.is_some()));
        }
    }
}
