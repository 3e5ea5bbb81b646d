use super::*;
use crate::membership::detector::Verification;
use crate::membership::detector::harness::*;

/// A detector that is called `US` and has the peers 2 up to `nodes`.
fn detector(nodes: u64) -> PingPong {
    let mut detector = PingPong::new(US, &MembershipConfig::lan(), 1);
    detector.handle(Duration::ZERO, peers(2..=nodes));
    detector
}

/// The number of the ping to this peer.
fn ping_of(actions: &[Action], peer: NodeId) -> u64 {
    let seq = |action: &Action| match action {
        Action::Ping { to, seq } if *to == peer => Some(*seq),
        _ => None,
    };
    actions.iter().find_map(seq).unwrap_or_else(|| panic!("no ping to {peer} in {actions:?}"))
}

#[test]
fn a_peer_that_answers_no_ping_is_asked_through_others_then_suspect_then_down() {
    let mut detector = detector(5);
    let done = run_answering(&mut detector, ms(6000), |peer| peer != ANNA);
    let about_anna = |action: &Action| match action {
        Action::Ping { to, .. } | Action::Remind { to } => *to == ANNA,
        Action::PingThrough { target, .. } => *target == ANNA,
        Action::Suspect { peer } | Action::Note { peer, .. } => *peer == ANNA,
        Action::Down { .. } => true,
        _ => false,
    };
    let told: Vec<_> = done.into_iter().filter(|(_, action)| about_anna(action)).collect();
    let start = told[0].0;
    let helpers: Vec<NodeId> = told
        .iter()
        .filter_map(|(at, action)| match action {
            Action::PingThrough { helper, .. } => {
                assert_eq!(*at, start + ms(200));
                Some(*helper)
            }
            _ => None,
        })
        .collect();
    let mut sorted = helpers.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [BERT, CARL, NodeId(5)]);
    let note = |what| Action::Note { peer: ANNA, what };
    let suspected: Vec<_> =
        told.iter().filter(|(at, _)| *at == start + ms(500)).map(|(_, a)| a.clone()).collect();
    assert_eq!(
        suspected[..4],
        [
            note(EvidenceKind::ProbeTimedOut { waited: ms(500), local_health: 0 }),
            note(EvidenceKind::IndirectProbesFailed { asked: helpers }),
            Action::Suspect { peer: ANNA },
            Action::Remind { to: ANNA },
        ]
    );
    // Nobody confirms it, so it has the longest time.
    let down = start + ms(500 + 2500);
    let convicted: Vec<_> =
        told.iter().filter(|(at, _)| *at == down).map(|(_, a)| a.clone()).collect();
    let expired = EvidenceKind::SuspicionExpired { waited: ms(2500), confirmed_by: vec![] };
    assert_eq!(convicted[..2], [note(expired), Action::Down { peers: vec![ANNA] }]);
    let after = told.iter().filter(|(at, _)| *at > down);
    assert!(after.into_iter().all(|(_, action)| *action == Action::Remind { to: ANNA }));
}

#[test]
fn an_answer_tells_the_round_trip_and_only_the_target_can_give_it() {
    let mut detector = detector(2);
    let at = detector.next_timeout().unwrap();
    let actions = detector.handle(at, Observation::Timeout);
    let [Action::Ping { to: ANNA, seq }] = actions[..] else { panic!("{actions:?}") };
    let answer = |from, seq| Observation::Answered { from, seq };
    assert!(detector.handle(at + ms(1), answer(STRANGER, seq)).is_empty());
    assert!(detector.handle(at + ms(1), answer(ANNA, seq + 1)).is_empty());
    let round_trip = EvidenceKind::ProbeAnswered { round_trip: ms(3) };
    let note = Action::Note { peer: ANNA, what: round_trip };
    assert_eq!(detector.handle(at + ms(3), answer(ANNA, seq)), [note]);
    assert_eq!(detector.next_timeout(), Some(at + ms(500)), "no more but the next period");
}

#[test]
fn an_indirect_answer_counts_only_from_who_was_asked_and_marks_the_link_as_broken() {
    let mut detector = detector(3);
    detector.handle(ms(1), Observation::ConnectionLost { peer: ANNA });
    let actions = detector.handle(ms(2), verified(ANNA, no_answer()));
    let seq = ping_of(&actions, ANNA);
    let through = Action::PingThrough { helper: BERT, target: ANNA, seq };
    assert_eq!(actions.last(), Some(&through));
    let report = |helper| Observation::AnsweredThrough { helper, target: ANNA, seq };
    assert!(detector.handle(ms(3), report(STRANGER)).is_empty());
    let reached = EvidenceKind::AnsweredThrough { helper: BERT, after: ms(1) };
    let note = Action::Note { peer: ANNA, what: reached };
    assert_eq!(detector.handle(ms(3), report(BERT)), [note]);
    assert!(detector.handle(ms(4), report(BERT)).is_empty(), "it is known");

    // Anna answers us directly no more, but Bert reaches her whenever he is asked.
    let mut links = Vec::new();
    let mut last_ping = 0;
    while detector.next_timeout().unwrap() < ms(4000) {
        let at = detector.next_timeout().unwrap();
        for action in detector.handle(at, Observation::Timeout) {
            match action {
                Action::Link { peer, works } => links.push((at, peer, works)),
                Action::PingThrough { helper: BERT, target: ANNA, seq } => {
                    let answer = Observation::AnsweredThrough { helper: BERT, target: ANNA, seq };
                    detector.handle(at, answer);
                }
                Action::Ping { to: ANNA, seq } => last_ping = seq,
                Action::Ping { to, seq } => {
                    detector.handle(at, Observation::Answered { from: to, seq });
                }
                Action::Suspect { .. } | Action::Down { .. } => panic!("{action:?}"),
                _ => {}
            }
        }
    }
    assert_eq!(links, [(ms(502), ANNA, false)], "said once");
    let actions = detector.handle(ms(4000), Observation::Answered { from: ANNA, seq: last_ping });
    assert!(actions.contains(&Action::Link { peer: ANNA, works: true }), "{actions:?}");
}

#[test]
fn an_answer_that_comes_on_both_ways_breaks_no_link() {
    let mut detector = detector(3);
    detector.handle(ms(1), Observation::ConnectionLost { peer: ANNA });
    let seq = ping_of(&detector.handle(ms(2), verified(ANNA, no_answer())), ANNA);
    detector.handle(ms(3), Observation::AnsweredThrough { helper: BERT, target: ANNA, seq });
    detector.handle(ms(4), Observation::Answered { from: ANNA, seq });
    let done = run_answering(&mut detector, ms(5000), |_| true);
    assert!(!done.iter().any(|(_, action)| matches!(action, Action::Link { .. })), "{done:?}");
}

#[test]
fn two_refused_connections_make_a_peer_down_and_both_are_noted() {
    let mut detector = detector(3);
    let note = |what| Action::Note { peer: ANNA, what };
    let refused = || note(EvidenceKind::ConnectionRefused { why: "connection refused".into() });
    let lost = Observation::ConnectionLost { peer: ANNA };
    assert_eq!(
        detector.handle(ms(1), lost.clone()),
        [note(EvidenceKind::ConnectionLost), Action::Verify { peer: ANNA }]
    );
    assert_eq!(
        detector.handle(ms(2), verified(ANNA, gone())),
        [
            refused(),
            Action::Suspect { peer: ANNA },
            Action::Remind { to: ANNA },
            // Who comes after her has lost the one that watched it.
            Action::Ping { to: BERT, seq: 1 },
        ]
    );
    let confirm = run_until(&mut detector, ms(252));
    assert!(confirm.contains(&(ms(252), Action::Verify { peer: ANNA })), "{confirm:?}");
    assert_eq!(
        detector.handle(ms(253), verified(ANNA, gone())),
        [refused(), Action::Down { peers: vec![ANNA] }]
    );
    assert!(detector.handle(ms(254), lost).is_empty());
    assert!(detector.handle(ms(255), accused(ANNA, BERT)).is_empty());
}

#[test]
fn a_peer_that_started_again_between_two_dials_is_not_down() {
    let mut detector = detector(3);
    detector.handle(ms(1), Observation::ConnectionLost { peer: ANNA });
    detector.handle(ms(2), verified(ANNA, gone()));
    run_until(&mut detector, ms(252));
    detector.handle(ms(253), Observation::Cleared { peer: ANNA });
    assert!(detector.handle(ms(254), verified(ANNA, gone())).is_empty());
    let actions = detector.handle(ms(255), Observation::ConnectionLost { peer: ANNA });
    assert!(actions.contains(&Action::Verify { peer: ANNA }), "a new life, a new check");
}

#[test]
fn a_neighbour_looks_for_itself_when_another_node_accuses() {
    let mut detector = detector(9);
    let actions = detector.handle(ms(1), accused(ANNA, BERT));
    assert_eq!(notes(&actions, ANNA), [EvidenceKind::AccusedBy { node: BERT }]);
    let seq = ping_of(&actions, ANNA);
    let asked = actions.iter().filter(|a| matches!(a, Action::PingThrough { .. })).count();
    assert_eq!(asked, 3);
    for action in &actions {
        reply(&mut detector, ms(1), action, &|peer| peer != ANNA);
    }
    assert!(detector.handle(ms(2), accused(ANNA, BERT)).is_empty(), "an accuser counts once");

    let mut silent = self::detector(9);
    for action in silent.handle(ms(1), accused(ANNA, BERT)) {
        reply(&mut silent, ms(1), &action, &|peer| peer != ANNA);
    }
    let done = run_answering(&mut silent, ms(9000), |peer| peer != ANNA);
    let verdict = |wanted: &Action| done.iter().find(|(_, a)| a == wanted).map(|(at, _)| *at);
    assert_eq!(verdict(&Action::Suspect { peer: ANNA }), Some(ms(501)));
    // Two witnesses of three: 2500 - 500 * ln 2 / ln 3.
    let down = verdict(&Action::Down { peers: vec![ANNA] }).unwrap();
    assert_eq!(down.as_millis(), 1 + 2184);

    detector.handle(ms(3), Observation::Answered { from: ANNA, seq });
    let done = run_answering(&mut detector, ms(9000), |_| true);
    assert!(done.iter().all(|(_, a)| verdicts(std::slice::from_ref(a)).is_empty()), "{done:?}");
}

#[test]
fn only_the_nearest_predecessors_of_an_accused_peer_look() {
    let looks = |accused_peer: u64, silent: &[u64]| {
        let mut detector = detector(30);
        for peer in silent {
            detector.handle(ms(1), Observation::Settled { peer: NodeId(*peer) });
        }
        let actions = detector.handle(ms(1), accused(NodeId(accused_peer), NodeId(30)));
        actions.iter().any(|a| matches!(a, Action::Ping { to, .. } if to.0 == accused_peer))
    };
    // With three observers, five look: there may be four trusted ones in between.
    assert!(looks(2, &[]) && looks(6, &[]));
    assert!(!looks(7, &[]) && !looks(29, &[]));
    assert!(looks(8, &[3, 5]), "who failed is not in between");
}

#[test]
fn who_comes_near_because_others_are_doubted_looks_then() {
    let mut detector = detector(30);
    let pinged = |actions: &[Action], peer| {
        actions.iter().any(|a| matches!(a, Action::Ping { to, .. } if *to == NodeId(peer)))
    };
    let actions = detector.handle(ms(1), accused(NodeId(7), NodeId(30)));
    assert!(!pinged(&actions, 7), "five others are nearer");
    let actions = detector.handle(ms(2), accused(ANNA, NodeId(30)));
    assert!(pinged(&actions, 7) && pinged(&actions, 2), "{actions:?}");
}

#[test]
fn one_opinion_from_afar_is_looked_into_and_no_verdict() {
    let mut detector = detector(20);
    detector.handle(ms(1), accused(NodeId(12), NodeId(20)));
    let done = run_answering(&mut detector, ms(20_000), |_| true);
    assert!(done.iter().all(|(_, a)| verdicts(std::slice::from_ref(a)).is_empty()));
    let through = |a: &Action| matches!(a, Action::PingThrough { target: NodeId(12), .. });
    assert!(done.iter().any(|(at, a)| *at == ms(1501) && through(a)));

    // A second one makes it a verdict, without our having looked.
    let actions = detector.handle(ms(20_000), accused(NodeId(12), NodeId(19)));
    assert_eq!(verdicts(&actions), []);
    let done = run_answering(&mut detector, ms(23_000), |_| true);
    assert!(done.iter().any(|(_, a)| *a == Action::Down { peers: vec![NodeId(12)] }));
}

#[test]
fn in_a_crowd_only_those_near_look_after_a_suspect() {
    let asks = |accused_peer: u64| {
        let mut detector = detector(60);
        detector.handle(ms(1), accused(NodeId(accused_peer), NodeId(30)));
        let done = run_answering(&mut detector, ms(4000), |_| true);
        let asks = |action: &Action| match action {
            Action::Remind { to } => to.0 == accused_peer,
            Action::PingThrough { target, .. } => target.0 == accused_peer,
            _ => false,
        };
        done.iter().filter(|(_, action)| asks(action)).count()
    };
    assert!(asks(3) >= 3 && asks(60) >= 3);
    assert_eq!(asks(40), 0);
}

#[test]
fn a_suspect_is_reminded_three_times() {
    let mut detector = detector(3);
    detector.handle(ms(1), accused(BERT, ANNA));
    let done = run_answering(&mut detector, ms(3000), |peer| peer == ANNA);
    let reminded: Vec<Duration> =
        done.iter().filter(|(_, a)| *a == Action::Remind { to: BERT }).map(|(at, _)| *at).collect();
    for at in [501, 1001, 1501] {
        assert!(reminded.contains(&ms(at)), "{reminded:?}");
    }
}

#[test]
fn a_cleared_peer_is_trusted_and_asked_anew() {
    let mut detector = detector(2);
    detector.handle(ms(1), Observation::ConnectionLost { peer: ANNA });
    detector.handle(ms(2), verified(ANNA, gone()));
    detector.handle(ms(3), Observation::Cleared { peer: ANNA });
    let done = run_answering(&mut detector, ms(10_000), |_| true);
    assert!(done.iter().all(|(_, a)| verdicts(std::slice::from_ref(a)).is_empty()), "{done:?}");
    assert!(done.iter().any(|(_, a)| matches!(a, Action::Ping { to: ANNA, .. })));
    assert!(!done.iter().any(|(_, a)| *a == Action::Remind { to: ANNA }));
}

#[test]
fn a_verdict_that_did_not_stand_is_looked_into_and_passed_again() {
    let mut detector = detector(4);
    let unconfirmed = Observation::Unconfirmed { peer: ANNA };
    assert!(detector.handle(ms(0), unconfirmed.clone()).is_empty(), "there was no verdict");
    let done = run_answering(&mut detector, ms(6000), |peer| peer != ANNA);
    assert!(done.iter().any(|(_, a)| *a == Action::Down { peers: vec![ANNA] }));
    let actions = detector.handle(ms(6000), unconfirmed);
    ping_of(&actions, ANNA);
    let done = run_answering(&mut detector, ms(12_000), |peer| peer != ANNA);
    let verdicts: Vec<_> =
        done.iter().filter(|(_, a)| !verdicts(std::slice::from_ref(a)).is_empty()).collect();
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    assert_eq!(verdicts[0], &(ms(6500), Action::Suspect { peer: ANNA }));
}

#[test]
fn a_node_that_slept_gives_suspects_their_whole_time_again() {
    let mut detector = detector(3);
    detector.handle(ms(1), Observation::ConnectionLost { peer: ANNA });
    detector.handle(ms(2), verified(ANNA, gone()));
    let actions = detector.handle(ms(60_000), Observation::Timeout);
    assert_eq!(verdicts(&actions), []);
    let until = |detector: &mut PingPong, end| {
        let done = run_answering(detector, end, |peer| peer == BERT);
        done.iter().any(|(_, a)| matches!(a, Action::Down { .. }))
    };
    assert!(!until(&mut detector, ms(62_499)));
    assert!(until(&mut detector, ms(62_500)), "but no more than that");
}

#[test]
fn a_short_absence_is_added_to_the_time_of_suspects() {
    let mut detector = detector(3);
    detector.handle(ms(1), Observation::ConnectionLost { peer: ANNA });
    detector.handle(ms(2), verified(ANNA, gone()));
    detector.handle(ms(3), verified(ANNA, Verification::Reached));
    let due = detector.next_timeout().unwrap();
    detector.handle(due + ms(300), Observation::Heard { from: BERT });
    let done = run_answering(&mut detector, ms(9000), |peer| peer == BERT);
    let down = done.iter().find(|(_, a)| matches!(a, Action::Down { .. })).unwrap();
    assert_eq!(down.0, ms(2 + 2500 + 300));
}

#[test]
fn a_node_that_is_late_itself_waits_longer_for_others() {
    let mut detector = detector(2);
    let due = detector.next_timeout().unwrap();
    let actions = detector.handle(due + ms(101), Observation::Timeout);
    assert!(matches!(actions[..], [Action::Ping { to: ANNA, .. }]));
    assert_eq!(detector.local_health(), 1);
    let done = run_until(&mut detector, due + ms(5000));
    let suspected = done.iter().find(|(_, a)| matches!(a, Action::Suspect { .. })).unwrap();
    assert_eq!(suspected.0, due + ms(101) + ms(1000), "twice the usual period");
    let waited = EvidenceKind::ProbeTimedOut { waited: ms(1000), local_health: 1 };
    assert!(done.iter().any(|(_, a)| *a == Action::Note { peer: ANNA, what: waited.clone() }));
}

#[test]
fn a_failed_probe_is_our_own_fault_only_if_we_hear_from_nobody() {
    for (bert_speaks, health) in [(true, 0), (false, 1)] {
        let mut detector = detector(3);
        let mut suspected = false;
        while !suspected {
            let at = detector.next_timeout().unwrap();
            if bert_speaks {
                detector.handle(at, Observation::Heard { from: BERT });
            }
            // A stranger proves nothing: who knows where it speaks from.
            detector.handle(at, Observation::Heard { from: STRANGER });
            suspected = !verdicts(&detector.handle(at, Observation::Timeout)).is_empty();
        }
        assert_eq!(detector.local_health(), health, "Bert speaks: {bert_speaks}");
    }
    let mut accused = detector(3);
    accused.handle(ms(1), Observation::AccusedOurselves);
    assert_eq!(accused.local_health(), 1);
}

#[test]
fn the_neighbour_is_asked_every_second_period_at_any_size() {
    let mut detector = detector(100);
    let done = run_answering(&mut detector, ms(60_000), |_| true);
    let mut last = ms(0);
    for (at, action) in done {
        if matches!(action, Action::Ping { to: ANNA, .. }) {
            assert!(at - last <= ms(1000), "not asked from {last:?} to {at:?}");
            last = at;
        }
    }
    assert!(last > ms(59_000));
}

#[test]
fn the_next_neighbour_is_asked_at_once_when_one_is_silent() {
    let mut detector = detector(30);
    // Everybody after us up to 9 crashed together.
    let done = run_answering(&mut detector, ms(4500), |peer| peer.0 > 9);
    let mut suspected: Vec<u64> = done
        .iter()
        .filter_map(|(_, a)| if let Action::Suspect { peer } = a { Some(peer.0) } else { None })
        .collect();
    suspected.sort_unstable();
    assert_eq!(suspected, [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn strangers_are_no_matter_and_a_peer_that_left_is_forgotten() {
    let mut detector = detector(3);
    let before = detector.next_timeout();
    for observation in [
        Observation::Heard { from: STRANGER },
        Observation::Heartbeat { from: STRANGER },
        Observation::Answered { from: STRANGER, seq: 1 },
        Observation::AnsweredThrough { helper: ANNA, target: STRANGER, seq: 1 },
        Observation::ConnectionLost { peer: STRANGER },
        verified(STRANGER, gone()),
        accused(STRANGER, ANNA),
        accused(ANNA, STRANGER),
        accused(US, ANNA),
        Observation::Settled { peer: STRANGER },
        Observation::Cleared { peer: STRANGER },
        Observation::Unconfirmed { peer: STRANGER },
    ] {
        let actions = detector.handle(ms(0), observation.clone());
        assert!(actions.is_empty(), "{observation:?} led to {actions:?}");
    }
    assert_eq!(detector.next_timeout(), before);

    detector.handle(ms(1), accused(ANNA, BERT));
    detector.handle(ms(2), peers([]));
    assert_eq!(detector.next_timeout(), None);
    detector.handle(ms(3), peers([2]));
    let done = run_answering(&mut detector, ms(9000), |_| true);
    assert!(done.iter().all(|(_, a)| verdicts(std::slice::from_ref(a)).is_empty()));
}

#[test]
fn time_that_runs_backwards_changes_nothing() {
    let mut detector = detector(2);
    run_until(&mut detector, ms(5000));
    let due = detector.next_timeout();
    detector.handle(ms(1), Observation::Timeout);
    assert_eq!(detector.next_timeout(), due);
}

#[test]
fn questions_are_bounded_however_many_are_accused_at_once() {
    let mut detector = detector(200);
    let mut pings = 0;
    for peer in 2..=199 {
        let actions = detector.handle(ms(1), accused(NodeId(peer), NodeId(200)));
        pings += actions.iter().filter(|a| matches!(a, Action::Ping { .. })).count();
        for action in &actions {
            reply(&mut detector, ms(1), action, &|peer| peer.0 == 200);
        }
    }
    assert_eq!(pings, super::super::probes::PROBES_MAX);
    let done = run_answering(&mut detector, ms(20_000), |peer| peer.0 == 200);
    let down: usize = done
        .iter()
        .map(|(_, a)| if let Action::Down { peers } = a { peers.len() } else { 0 })
        .sum();
    assert_eq!(down, 198, "but all get their turn");
}

#[test]
fn one_silence_is_one_sign_however_many_questions_were_open() {
    let mut detector = detector(9);
    for peer in 2..=5 {
        detector.handle(ms(1), accused(NodeId(peer), BERT));
    }
    run_until(&mut detector, ms(501));
    assert_eq!(detector.local_health(), 1);
}

#[test]
fn a_neighbour_that_is_accused_by_others_is_passed_over_at_once() {
    let mut detector = detector(30);
    let actions = detector.handle(ms(1), Observation::Settled { peer: ANNA });
    ping_of(&actions, BERT);
    let actions = detector.handle(ms(2), accused(BERT, NodeId(30)));
    ping_of(&actions, CARL);
    let actions = detector.handle(ms(3), accused(NodeId(20), NodeId(30)));
    assert!(!actions.iter().any(|a| matches!(a, Action::Ping { .. })), "far away: {actions:?}");
}

#[test]
fn with_nobody_to_ask_a_peer_is_asked_twice_itself() {
    let mut detector = detector(2);
    let first = detector.next_timeout().unwrap();
    let pings: Vec<(Duration, u64)> = run_until(&mut detector, first + ms(499))
        .into_iter()
        .filter_map(|(at, a)| if let Action::Ping { seq, .. } = a { Some((at, seq)) } else { None })
        .collect();
    assert_eq!(pings, [(first, 1), (first + ms(200), 1)]);
    let answered = detector.handle(first + ms(499), Observation::Answered { from: ANNA, seq: 1 });
    assert_eq!(notes(&answered, ANNA), [EvidenceKind::ProbeAnswered { round_trip: ms(499) }]);
}
