use std::sync::{Arc, Mutex};

use super::*;
use crate::membership::detector::harness::*;

/// An inner detector that does what the test says, and tells what it heard.
#[derive(Debug, Default, Clone)]
struct Puppet(Arc<Mutex<Strings>>);

#[derive(Debug, Default)]
struct Strings {
    does: Vec<Action>,
    heard: Vec<Observation>,
    due: Option<Duration>,
}

impl Puppet {
    fn heard(&self) -> Vec<Observation> {
        std::mem::take(&mut self.0.lock().unwrap().heard)
    }
}

impl FailureDetector for Puppet {
    fn handle(&mut self, _now: Duration, observation: Observation) -> Vec<Action> {
        let mut strings = self.0.lock().unwrap();
        strings.heard.push(observation);
        std::mem::take(&mut strings.does)
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.0.lock().unwrap().due
    }

    fn local_health(&self) -> u32 {
        7
    }
}

struct Stage {
    puppet: Puppet,
    quorum: Quorum,
}

impl Stage {
    /// `US` and the peers 2 up to `nodes`.
    fn new(nodes: u64) -> Self {
        let puppet = Puppet::default();
        let quorum = Quorum::new(Box::new(puppet.clone()), US, &MembershipConfig::lan());
        let mut stage = Self { puppet, quorum };
        stage.hear(0, peers(2..=nodes));
        stage
    }

    fn hear(&mut self, at: u64, observation: Observation) -> Vec<Action> {
        self.quorum.handle(ms(at), observation)
    }

    /// Lets the inner detector do this at the next opportunity.
    fn inner(&mut self, at: u64, does: Vec<Action>) -> Vec<Action> {
        self.puppet.0.lock().unwrap().does = does;
        self.hear(at, Observation::Heard { from: ANNA })
    }
}

fn suspect(peer: NodeId) -> Action {
    Action::Suspect { peer }
}

fn down(peers: &[NodeId]) -> Action {
    Action::Down { peers: peers.to_vec() }
}

fn reached(peer: NodeId, observers: &[NodeId], cut: usize) -> Action {
    let what = EvidenceKind::QuorumReached { observers: observers.to_vec(), cut };
    Action::Note { peer, what }
}

const DORA: NodeId = NodeId(5);
const EMIL: NodeId = NodeId(6);

#[test]
fn a_peer_is_down_when_three_found_it_silent() {
    let mut stage = Stage::new(10);
    assert_eq!(stage.inner(1, vec![suspect(ANNA)]), [suspect(ANNA)]);
    assert_eq!(stage.hear(2, accused(ANNA, BERT)), []);
    assert_eq!(stage.inner(3, vec![down(&[ANNA])]), [], "two are not enough");
    assert!(stage.puppet.heard().contains(&Observation::Unconfirmed { peer: ANNA }));
    assert_eq!(stage.hear(4, accused(ANNA, BERT)), [], "one accuser counts once");
    let actions = stage.hear(5, accused(ANNA, CARL));
    assert_eq!(actions, [reached(ANNA, &[US, BERT, CARL], 1), down(&[ANNA])]);
    // The inner detector doubted it again meanwhile, and is told.
    assert_eq!(stage.puppet.heard().last(), Some(&Observation::Settled { peer: ANNA }));
    assert_eq!(stage.hear(6, accused(ANNA, DORA)), []);
}

#[test]
fn enough_accusers_are_no_verdict_before_the_time_to_object_is_over() {
    let mut stage = Stage::new(10);
    for by in [BERT, CARL, DORA] {
        assert_eq!(stage.hear(1, accused(ANNA, by)), []);
    }
    assert_eq!(stage.quorum.next_timeout(), None);
    let actions = stage.inner(2, vec![down(&[ANNA])]);
    assert_eq!(actions, [reached(ANNA, &[BERT, CARL, DORA], 1), down(&[ANNA])]);
    assert!(!stage.puppet.heard().contains(&Observation::Settled { peer: ANNA }), "it knows");
}

#[test]
fn accusers_that_are_doubted_themselves_do_not_count() {
    let mut stage = Stage::new(10);
    stage.inner(1, vec![suspect(ANNA)]);
    stage.hear(2, accused(ANNA, BERT));
    stage.hear(2, accused(ANNA, CARL));
    stage.hear(2, accused(CARL, DORA));
    stage.hear(2, accused(ANNA, STRANGER));
    assert_eq!(stage.inner(3, vec![down(&[ANNA])]), []);
    let actions = stage.hear(4, Observation::Cleared { peer: CARL });
    assert_eq!(actions, [reached(ANNA, &[US, BERT, CARL], 1), down(&[ANNA])]);
}

#[test]
fn what_fails_together_is_taken_out_together() {
    let mut stage = Stage::new(10);
    for peer in [ANNA, BERT] {
        for by in [CARL, DORA, EMIL] {
            stage.hear(1, accused(peer, by));
        }
    }
    assert_eq!(stage.inner(100, vec![down(&[ANNA])]), [], "Bert's time is not over");
    assert_eq!(stage.quorum.next_timeout(), Some(ms(800)));
    let actions = stage.inner(400, vec![down(&[BERT])]);
    let by = [CARL, DORA, EMIL];
    assert_eq!(actions, [reached(ANNA, &by, 2), reached(BERT, &by, 2), down(&[ANNA, BERT])]);
    assert_eq!(stage.quorum.next_timeout(), None);
}

#[test]
fn what_is_certain_waits_for_the_uncertain_no_longer_than_so() {
    let mut stage = Stage::new(10);
    for by in [CARL, DORA, EMIL] {
        stage.hear(1, accused(ANNA, by));
    }
    stage.hear(1, accused(BERT, CARL));
    stage.inner(100, vec![down(&[ANNA])]);
    assert_eq!(stage.hear(799, Observation::Timeout), []);
    let actions = stage.hear(800, Observation::Timeout);
    assert_eq!(actions.last(), Some(&down(&[ANNA])));
    assert_eq!(stage.quorum.next_timeout(), None, "Bert alone is nothing to wait for");

    let mut late = Stage::new(10);
    for by in [CARL, DORA, EMIL] {
        late.hear(1, accused(ANNA, by));
    }
    late.hear(1, accused(BERT, CARL));
    late.inner(100, vec![down(&[ANNA])]);
    // Her objection lies in the inbox.
    assert_eq!(late.hear(9000, Observation::Timeout), []);
    late.hear(9000, Observation::Cleared { peer: ANNA });
    assert_eq!(late.quorum.next_timeout(), None);
}

#[test]
fn an_uncertain_peer_that_is_cleared_is_waited_for_no_longer() {
    let mut stage = Stage::new(10);
    for by in [CARL, DORA, EMIL] {
        stage.hear(1, accused(ANNA, by));
    }
    stage.hear(1, accused(BERT, CARL));
    stage.inner(100, vec![down(&[ANNA])]);
    let actions = stage.hear(200, Observation::Cleared { peer: BERT });
    assert_eq!(actions.last(), Some(&down(&[ANNA])));
}

#[test]
fn where_few_are_left_all_of_them_suffice() {
    // Of two nodes one is enough.
    let mut stage = Stage::new(2);
    let actions = stage.inner(1, vec![suspect(ANNA), down(&[ANNA])]);
    assert_eq!(actions, [suspect(ANNA), reached(ANNA, &[US], 1), down(&[ANNA])]);
    // Of three, two.
    let mut stage = Stage::new(3);
    assert_eq!(stage.inner(1, vec![suspect(ANNA), down(&[ANNA])]), [suspect(ANNA)]);
    let actions = stage.hear(2, accused(ANNA, BERT));
    assert_eq!(actions.last(), Some(&down(&[ANNA])));
    // Two of four that fail together leave two to observe.
    let mut stage = Stage::new(4);
    stage.inner(1, vec![suspect(ANNA), suspect(BERT), down(&[ANNA, BERT])]);
    stage.hear(2, accused(ANNA, CARL));
    let actions = stage.hear(2, accused(BERT, CARL));
    assert_eq!(actions.last(), Some(&down(&[ANNA, BERT])), "{actions:?}");
}

#[test]
fn a_node_that_misses_all_others_convicts_nobody_in_a_cluster_of_four() {
    let mut stage = Stage::new(4);
    let all = [ANNA, BERT, CARL];
    stage.inner(1, all.map(suspect).to_vec());
    for at in 2..50 {
        assert_eq!(stage.inner(at * 1000, vec![down(&all)]), []);
    }
    // The one that is known to have failed is no longer part of the cluster.
    let actions = stage.hear(60_000, Observation::Settled { peer: ANNA });
    assert_eq!(verdicts(&actions), [(BERT, true), (CARL, true)]);
}

#[test]
fn who_gives_a_sign_of_life_is_not_held_for_silent_by_this_node() {
    let answered = EvidenceKind::ProbeAnswered { round_trip: ms(1) };
    let note = Action::Note { peer: ANNA, what: answered };
    type Sign = fn(&mut Stage, Action);
    let signs: [Sign; 2] = [
        |stage, note| assert_eq!(stage.inner(4, vec![note.clone()]), [note]),
        |stage, _| assert_eq!(stage.hear(4, Observation::Heartbeat { from: ANNA }), []),
    ];
    for sign in signs {
        let mut stage = Stage::new(10);
        stage.inner(1, vec![suspect(ANNA)]);
        stage.inner(2, vec![down(&[ANNA])]);
        stage.hear(3, accused(ANNA, BERT));
        sign(&mut stage, note.clone());
        assert_eq!(stage.hear(5, accused(ANNA, CARL)), []);
        let actions = stage.inner(6, vec![suspect(ANNA)]);
        assert_eq!(actions, [reached(ANNA, &[US, BERT, CARL], 1), down(&[ANNA])]);
    }
}

#[test]
fn everything_else_passes_through() {
    let mut stage = Stage::new(10);
    let actions = vec![
        Action::Ping { to: ANNA, seq: 1 },
        Action::PingThrough { helper: BERT, target: ANNA, seq: 1 },
        Action::Heartbeat { to: ANNA },
        Action::Remind { to: ANNA },
        Action::Verify { peer: ANNA },
        Action::Link { peer: ANNA, works: false },
        Action::Note { peer: ANNA, what: EvidenceKind::ConnectionLost },
    ];
    assert_eq!(stage.inner(1, actions.clone()), actions);
    assert_eq!(stage.quorum.local_health(), 7);
    stage.puppet.heard();
    stage.puppet.0.lock().unwrap().due = Some(ms(50));
    assert_eq!(stage.quorum.next_timeout(), Some(ms(50)));
    stage.hear(49, Observation::Timeout);
    assert_eq!(stage.puppet.heard(), [], "its timer has not come");
    stage.hear(50, Observation::Timeout);
    assert_eq!(stage.puppet.heard(), [Observation::Timeout]);
}

#[test]
fn a_peer_that_was_dropped_or_cleared_leaves_nothing_behind() {
    let mut stage = Stage::new(10);
    for by in [BERT, CARL, DORA] {
        stage.hear(1, accused(ANNA, by));
    }
    stage.hear(2, Observation::Cleared { peer: ANNA });
    assert_eq!(stage.inner(3, vec![suspect(ANNA), down(&[ANNA])]), [suspect(ANNA)]);
    stage.hear(4, peers(3..=10));
    stage.hear(5, peers(2..=10));
    assert_eq!(stage.inner(6, vec![suspect(ANNA)]), [suspect(ANNA)], "a new case");
}
