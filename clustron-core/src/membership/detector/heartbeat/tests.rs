use super::*;
use crate::membership::detector::harness::*;

/// A detector that is called 10 and has the peers 1 to 20, so that 9, 8 and 7 ring for it.
const LOCAL: NodeId = NodeId(10);

fn detector() -> Heartbeat {
    let mut detector = Heartbeat::new(LOCAL, &MembershipConfig::lan(), 1);
    detector.handle(Duration::ZERO, peers(1..=20));
    detector
}

/// Fires timers on time up to `end`. Every 500 ms of the clock those in `ring` send a heartbeat;
/// all but those in `silent` answer pings.
fn run(
    detector: &mut Heartbeat,
    from: u64,
    end: u64,
    ring: &[u64],
    silent: &[u64],
) -> Vec<(Duration, Action)> {
    let mut done = Vec::new();
    let answers = |peer: NodeId| !silent.contains(&peer.0);
    for at in (from..end).step_by(500) {
        done.extend(run_answering(detector, ms(at.saturating_sub(1)), answers));
        for peer in ring {
            let beat = Observation::Heartbeat { from: NodeId(*peer) };
            done.extend(detector.handle(ms(at), beat).into_iter().map(|action| (ms(at), action)));
        }
        done.extend(run_answering(detector, ms(end.min(at + 500) - 1), answers));
    }
    done
}

fn find(done: &[(Duration, Action)], wanted: &Action) -> Option<Duration> {
    done.iter().find(|(_, action)| action == wanted).map(|(at, _)| *at)
}

#[test]
fn heartbeats_go_to_the_next_three_and_to_the_doubted_in_between() {
    let to = |actions: &[(Duration, Action)]| {
        let beat = |action: &Action| match action {
            Action::Heartbeat { to } => Some(to.0),
            _ => None,
        };
        actions.iter().filter_map(|(_, action)| beat(action)).collect::<Vec<_>>()
    };
    let mut detector = detector();
    assert_eq!(to(&run(&mut detector, 0, 500, &[], &[])), [11, 12, 13]);
    detector.handle(ms(500), Observation::Settled { peer: NodeId(11) });
    detector.handle(ms(500), accused(NodeId(12), NodeId(1)));
    assert_eq!(to(&run(&mut detector, 500, 1000, &[], &[])), [12, 13, 14, 15]);
}

#[test]
fn a_peer_whose_heartbeats_stay_away_is_suspect_then_down() {
    let mut detector = detector();
    run(&mut detector, 0, 40_001, &[7, 8, 9], &[]);
    let done = run(&mut detector, 40_500, 45_000, &[7, 9], &[8]);
    let peer = NodeId(8);
    // The last one came at 40.0 s. One that is lost is no silence, so it is 2.25 intervals.
    let suspected = find(&done, &Action::Suspect { peer }).unwrap();
    assert_eq!(suspected.as_millis(), 40_000 + 1125);
    let silent = suspected - ms(40_000);
    let missing = EvidenceKind::HeartbeatsMissing { silent, phi: 23, local_health: 0 };
    let note = |what| Action::Note { peer, what };
    assert_eq!(find(&done, &note(missing)), Some(suspected));
    let expired = EvidenceKind::SuspicionExpired { waited: ms(2500), confirmed_by: vec![] };
    assert_eq!(find(&done, &note(expired)), Some(suspected + ms(2500)));
    assert_eq!(find(&done, &Action::Down { peers: vec![peer] }), Some(suspected + ms(2500)));
}

#[test]
fn when_one_falls_silent_the_next_up_the_row_is_asked_and_then_listened_for() {
    let mut detector = detector();
    run(&mut detector, 0, 40_001, &[7, 8, 9], &[]);
    let crashed = [5, 6, 7, 8, 9];
    let done = run(&mut detector, 40_500, 45_000, &[], &crashed);
    for peer in crashed {
        let at = find(&done, &Action::Suspect { peer: NodeId(peer) }).expect("unnoticed");
        // Three by their rhythm; two by knocking, half a second later.
        assert!(at < ms(40_000 + 1125 + 501), "{peer} at {at:?}");
    }
    assert_eq!(find(&done, &Action::Suspect { peer: NodeId(4) }), None, "it answers");
}

#[test]
fn who_never_sent_a_heartbeat_is_asked_before_it_is_suspected() {
    let mut detector = detector();
    let done = run(&mut detector, 0, 9000, &[7, 8], &[]);
    assert!(done.iter().any(|(_, a)| matches!(a, Action::Ping { to: NodeId(9), .. })));
    assert!(!done.iter().any(|(_, a)| matches!(a, Action::Suspect { .. })), "{done:?}");
    let mut detector = self::detector();
    let done = run(&mut detector, 0, 9000, &[7, 8], &[9]);
    assert!(find(&done, &Action::Suspect { peer: NodeId(9) }).unwrap() < ms(2000));
}

#[test]
fn an_accused_peer_is_missed_here_too_or_it_is_not() {
    let mut detector = detector();
    run(&mut detector, 0, 40_001, &[7, 8, 9], &[]);
    let actions = detector.handle(ms(40_400), accused(NodeId(8), NodeId(9)));
    assert_eq!(notes(&actions, NodeId(8)), [EvidenceKind::AccusedBy { node: NodeId(9) }]);
    let at_once = run(&mut detector, 40_500, 44_501, &[7, 8, 9], &[]);
    assert!(at_once.iter().all(|(_, a)| verdicts(std::slice::from_ref(a)).is_empty()));
    let done = run(&mut detector, 45_000, 60_000, &[7, 9], &[8]);
    let suspected = find(&done, &Action::Suspect { peer: NodeId(8) }).unwrap();
    assert_eq!(suspected.as_millis(), 44_500 + 1125);
    assert!(find(&done, &Action::Down { peers: vec![NodeId(8)] }).is_some());
}

#[test]
fn an_accused_peer_that_is_near_but_not_listened_for_is_asked_twice() {
    for (peer, looked) in [(6, true), (5, true), (4, false)] {
        let mut detector = detector();
        let peer = NodeId(peer);
        let pings = |actions: &[Action]| {
            actions.iter().filter(|a| matches!(a, Action::Ping { to, .. } if *to == peer)).count()
        };
        let first = detector.handle(ms(1), accused(peer, NodeId(1)));
        assert_eq!(pings(&first) == 1, looked, "{peer}");
        let done: Vec<Action> =
            run(&mut detector, 1, 1000, &[7, 8, 9], &[peer.0]).into_iter().map(|d| d.1).collect();
        assert_eq!(pings(&done) == 1, looked, "a second time after {peer} was silent");
        assert_eq!(done.contains(&Action::Suspect { peer }), looked);
    }
}

#[test]
fn a_cleared_peer_is_listened_for_anew() {
    let mut detector = detector();
    run(&mut detector, 0, 40_001, &[7, 8, 9], &[]);
    let done = run(&mut detector, 40_500, 41_501, &[7, 9], &[8]);
    assert!(find(&done, &Action::Suspect { peer: NodeId(8) }).is_some());
    detector.handle(ms(41_600), Observation::Cleared { peer: NodeId(8) });
    let done = run(&mut detector, 42_000, 50_000, &[7, 8, 9], &[]);
    assert!(done.iter().all(|(_, a)| verdicts(std::slice::from_ref(a)).is_empty()), "{done:?}");
}

#[test]
fn our_own_absence_is_no_silence_of_others() {
    for missed in [300, 20_000] {
        let mut detector = detector();
        run(&mut detector, 0, 40_001, &[7, 8, 9], &[]);
        let due = detector.next_timeout().unwrap();
        let heard = Observation::Heard { from: NodeId(1) };
        let actions = detector.handle(due + ms(missed), heard);
        assert_eq!(detector.local_health(), 1);
        assert_eq!(verdicts(&actions), []);
        let from = u64::try_from((due + ms(missed)).as_millis()).unwrap() + 400;
        let done = run(&mut detector, from, from + 9000, &[7, 8, 9], &[]);
        assert!(done.iter().all(|(_, a)| verdicts(std::slice::from_ref(a)).is_empty()));
        assert_eq!(detector.local_health(), 0, "the others' bells make us well again");
    }
}

#[test]
fn a_refused_connection_counts_here_too() {
    let mut detector = detector();
    let peer = NodeId(2);
    detector.handle(ms(1), Observation::ConnectionLost { peer });
    detector.handle(ms(2), verified(peer, gone()));
    let done = run(&mut detector, 3, 300, &[7, 8, 9], &[]);
    assert_eq!(find(&done, &Action::Verify { peer }), Some(ms(252)));
    let actions = detector.handle(ms(300), verified(peer, gone()));
    assert_eq!(verdicts(&actions), [(peer, true)]);
    let actions = detector.handle(ms(301), Observation::ConnectionLost { peer: NodeId(3) });
    assert!(actions.contains(&Action::Verify { peer: NodeId(3) }));
    let actions = detector.handle(ms(302), verified(NodeId(3), no_answer()));
    assert!(actions.iter().any(|a| matches!(a, Action::Ping { to: NodeId(3), .. })));
}

#[test]
fn with_a_single_other_node_both_listen_to_each_other() {
    let mut detector = Heartbeat::new(US, &MembershipConfig::lan(), 1);
    detector.handle(Duration::ZERO, peers([2]));
    run(&mut detector, 0, 20_001, &[2], &[]);
    let done = run(&mut detector, 20_500, 25_000, &[], &[2]);
    assert!(find(&done, &Action::Down { peers: vec![ANNA] }).unwrap() < ms(20_000 + 4000));
    detector.handle(ms(25_000), peers([]));
    assert_eq!(detector.next_timeout(), None);
}
