//! What no peer can do to us.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::harness::*;
use crate::NodeId;
use crate::membership::PeerState::{Alive, Down};
use crate::membership::message::INCARNATION_STEP;
use crate::membership::{
    Action, EVIDENCE_MAX, Effect, EvidenceKind, Input, Membership, MembershipConfig, Message,
    NEWS_MAX, News, Range, Standing, Verification,
};

#[test]
fn pings_for_others_are_bounded() {
    let mut stage = Stage::new(3);
    let mut pinged = 0;
    let request = |seq| {
        let message = Message::PingRequest { seq, target: BERT, news: vec![] };
        Input::Received { from: ANNA, message }
    };
    for seq in 0..10_000 {
        let effects = stage.machine.handle(ms(1), request(seq));
        pinged += sent(&effects).iter().filter(|(to, _)| *to == BERT).count();
    }
    assert_eq!(pinged, 256);
    let effects = stage.machine.handle(ms(3000), request(1));
    assert_eq!(sent(&effects).len(), 2, "the forgotten ones make room");
}

#[test]
fn only_the_one_who_was_asked_answers_a_relayed_ping() {
    let mut stage = Stage::new(4);
    let message = Message::PingRequest { seq: 5, target: BERT, news: vec![] };
    let effects = stage.machine.handle(ms(1), Input::Received { from: ANNA, message });
    let Some((_, Message::Ping { seq, .. })) =
        sent(&effects).into_iter().find(|(to, _)| *to == BERT)
    else {
        panic!("{effects:?}")
    };
    let ack = |from| Input::Received { from, message: Message::Ack { seq: *seq, news: vec![] } };
    assert!(sent(&stage.machine.handle(ms(2), ack(NodeId(4)))).is_empty());
    let effects = stage.machine.handle(ms(3), ack(BERT));
    let [(ANNA, Message::IndirectAck { seq: 5, target: BERT, .. })] = sent(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert!(sent(&stage.machine.handle(ms(4), ack(BERT))).is_empty(), "once");
}

#[test]
fn an_accusation_that_nobody_could_answer_is_not_believed() {
    let mut stage = Stage::new(3);
    for incarnation in [INCARNATION_STEP + 2, u64::MAX >> 1, u64::MAX] {
        for node in [US, ANNA] {
            let effects = stage.hear(ms(1), BERT, vec![down(node, incarnation, BERT)]);
            assert_eq!((verdicts(&effects), refuted(&effects)), (vec![], None));
        }
    }
    // Whatever is believed can be answered, and the answer is believed again, step by step.
    let mut anna = Stage::of(ANNA, 3);
    for _ in 0..3 {
        let claimed = stage.machine.incarnation().0 + INCARNATION_STEP;
        let effects = stage.hear(ms(1), BERT, vec![down(US, claimed, BERT)]);
        assert_eq!(refuted(&effects), Some(claimed + 1));
        anna.hear(ms(1), BERT, vec![down(US, claimed, BERT)]);
        assert_eq!(anna.state(US), Down);
        anna.hear(ms(2), US, vec![alive(US, claimed + 1)]);
        assert_eq!(anna.state(US), Alive);
    }
}

#[test]
fn a_stranger_can_only_tell_that_our_present_incarnation_is_over() {
    let mut stage = Stage::new(3);
    for news in [alive(US, 9), down(US, 2, STRANGER)] {
        assert_eq!(refuted(&stage.hear(ms(1), STRANGER, vec![news])), None);
    }
    assert_eq!(refuted(&stage.hear(ms(1), STRANGER, vec![down(US, 1, STRANGER)])), Some(2));
}

#[test]
fn only_nodes_of_the_view_accuse_and_nobody_speaks_for_us() {
    let mut stage = Stage::new(5);
    for by in [ANNA, US, STRANGER] {
        stage.hear(ms(1), BERT, vec![suspect(ANNA, 1, by)]);
        assert_eq!(stage.state(ANNA), Alive, "{by}");
    }
    stage.act(ms(2), vec![Action::Suspect { peer: ANNA }]);
    let many = (100..200).map(|by| suspect(ANNA, 1, NodeId(by)));
    for news in many.collect::<Vec<_>>().chunks(NEWS_MAX) {
        stage.hear(ms(3), BERT, news.to_vec());
    }
    assert_eq!(stage.machine.case(ANNA).unwrap().accusers, [US]);
}

#[test]
fn no_message_carries_more_than_its_share_of_news_and_news_comes_to_an_end() {
    let mut stage = Stage::new(100);
    let news: Vec<News> = (2..100).map(|id| alive(NodeId(id), 2)).collect();
    for part in news.chunks(NEWS_MAX) {
        stage.hear(ms(1), NodeId(100), part.to_vec());
    }
    let told = stage.run_until(ms(60_000));
    let gossip = told.iter().filter_map(|(at, effect)| match effect {
        Effect::Send { message: Message::Gossip { news }, .. } => Some((*at, news.len())),
        _ => None,
    });
    let (at, sizes): (Vec<Duration>, Vec<usize>) = gossip.unzip();
    assert_eq!(sizes.into_iter().max(), Some(NEWS_MAX));
    assert!(at.last().unwrap() < &ms(20_000), "{:?}", at.last());
}

#[test]
fn evidence_is_bounded() {
    let mut stage = Stage::new(3);
    stage.hear(ms(0), BERT, vec![suspect(ANNA, 1, BERT)]);
    for at in 0..100 {
        stage.act(ms(at), vec![Action::Note { peer: ANNA, what: EvidenceKind::ConnectionLost }]);
    }
    let evidence = stage.machine.case(ANNA).unwrap().evidence;
    assert_eq!(evidence.len(), EVIDENCE_MAX);
    assert_eq!(evidence[0].at, ms(100 - EVIDENCE_MAX as u64), "the oldest went");
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
    fn any_news(rng: &mut StdRng) -> News {
        let (node, by) = (NodeId(number(rng)), NodeId(number(rng)));
        match rng.random_range(0..6) {
            0 => News::Metadata {
                node,
                revision: number(rng),
                metadata: Arc::new(tagged(["a", "b"][rng.random_range(0..2)])),
            },
            1 => {
                let version = number(rng);
                let broken = (0..rng.random_range(0..40)).map(|_| NodeId(number(rng)));
                News::Links { node, version, broken: broken.collect() }
            }
            kind => {
                let said = [
                    Standing::Alive,
                    Standing::Suspect { by },
                    Standing::Down { by },
                    Standing::Left,
                ];
                standing(node, number(rng), said[kind - 2])
            }
        }
    }
    let count = rng.random_range(0..2 * NEWS_MAX);
    let news: Vec<News> = (0..count).map(|_| any_news(rng)).collect();
    let (peer, target, seq) = (NodeId(number(rng)), NodeId(number(rng)), number(rng));
    let why = String::new();
    let received = |message| Input::Received { from: peer, message };
    match rng.random_range(0..16) {
        0 => received(Message::Ping { seq, news }),
        1 => received(Message::Ack { seq, news }),
        2 => received(Message::PingRequest { seq, target, news }),
        3 => received(Message::IndirectAck { seq, target, news }),
        4 => received(Message::Gossip { news }),
        5 => received(Message::Heartbeat { news }),
        6 => {
            let print = rng.random_bool(0.5).then(|| number(rng));
            let ranges = vec![Range { from: peer, to: target, print }; rng.random_range(0..50)];
            received(Message::Compare { ranges, news })
        }
        7 => Input::Verified { peer, result: Verification::Reached },
        8 => Input::Verified { peer, result: Verification::NoAnswer { why } },
        9 => Input::Verified { peer, result: Verification::Gone { why } },
        10 => Input::ConnectionLost { peer },
        11 => view((0..rng.random_range(0..6)).map(|_| number(rng))),
        12 => describe(seq, "c"),
        _ => Input::Timeout,
    }
}

#[test]
fn whatever_comes_in_the_machine_stays_sane() {
    use crate::membership::DetectorKind::{Heartbeat, PingPong, Quorum};
    let kinds = [PingPong, Heartbeat, Quorum(Box::new(PingPong)), Quorum(Box::new(Heartbeat))];
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let detector = kinds[seed as usize % kinds.len()].clone();
        let config = MembershipConfig { detector, ..MembershipConfig::default() };
        let mut machine = Membership::new(&listed(US.0, 1), config, seed);
        machine.handle(Duration::ZERO, view(1..=5));
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            let before = machine.incarnation();
            now += ms(rng.random_range(0..600));
            let input = any_input(&mut rng);
            let timeout = matches!(input, Input::Timeout);
            for effect in machine.handle(now, input) {
                let Effect::Send { to, message } = effect else { continue };
                assert_ne!(to, US);
                let Some(News::Standing { node: US, .. }) = message.news().first() else {
                    panic!("seed {seed}: {message:?}")
                };
                let all = message.news().len();
                let (Message::Ping { news, .. }
                | Message::Ack { news, .. }
                | Message::PingRequest { news, .. }
                | Message::IndirectAck { news, .. }
                | Message::Heartbeat { news }
                | Message::Gossip { news }
                | Message::Compare { news, .. }) = &message;
                assert_eq!(news.len(), all, "seed {seed}: more than anybody reads");
            }
            assert!(machine.incarnation() >= before);
            let next = machine.next_timeout();
            assert!(
                !timeout || next.is_none_or(|next| next > now),
                "seed {seed}: {next:?} {now:?}"
            );
            for id in (0..6).map(NodeId) {
                let Some(case) = machine.case(id) else { continue };
                assert!(case.evidence.len() <= EVIDENCE_MAX && case.accusers.len() <= 8);
            }
        }
    }
}
