//! Short words to talk to one detector in tests.

use std::time::Duration;

use super::{Action, FailureDetector, Observation, Verification};
use crate::NodeId;
use crate::membership::EvidenceKind;

pub(super) const US: NodeId = NodeId(1);
pub(super) const ANNA: NodeId = NodeId(2);
pub(super) const BERT: NodeId = NodeId(3);
pub(super) const CARL: NodeId = NodeId(4);
pub(super) const STRANGER: NodeId = NodeId(99);

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn peers(ids: impl IntoIterator<Item = u64>) -> Observation {
    Observation::Peers(ids.into_iter().map(NodeId).collect())
}

pub(super) fn verified(peer: NodeId, result: Verification) -> Observation {
    Observation::Verified { peer, result }
}

pub(super) fn gone() -> Verification {
    Verification::Gone { why: "connection refused".into() }
}

pub(super) fn no_answer() -> Verification {
    Verification::NoAnswer { why: "timed out".into() }
}

pub(super) fn accused(peer: NodeId, by: NodeId) -> Observation {
    Observation::Accused { peer, by }
}

/// The verdicts among the actions: `false` for Suspect, `true` for Down.
pub(super) fn verdicts(actions: &[Action]) -> Vec<(NodeId, bool)> {
    let mut verdicts = Vec::new();
    for action in actions {
        match action {
            Action::Suspect { peer } => verdicts.push((*peer, false)),
            Action::Down { peers } => verdicts.extend(peers.iter().map(|peer| (*peer, true))),
            _ => {}
        }
    }
    verdicts
}

/// What was noted about the peer.
pub(super) fn notes(actions: &[Action], about: NodeId) -> Vec<EvidenceKind> {
    let note = |action: &Action| match action {
        Action::Note { peer, what } if *peer == about => Some(what.clone()),
        _ => None,
    };
    actions.iter().filter_map(note).collect()
}

/// Fires timers, on time, up to `end`; nobody answers. Returns when the last one fired and all that
/// came of it.
pub(super) fn run_until(
    detector: &mut dyn FailureDetector,
    end: Duration,
) -> Vec<(Duration, Action)> {
    run_answering(detector, end, |_| false)
}

/// The same, but everybody for whom `answers` holds answers pings and calls at once.
pub(super) fn run_answering(
    detector: &mut dyn FailureDetector,
    end: Duration,
    answers: impl Fn(NodeId) -> bool,
) -> Vec<(Duration, Action)> {
    let mut done = Vec::new();
    while let Some(at) = detector.next_timeout().filter(|at| *at <= end) {
        let mut fresh = detector.handle(at, Observation::Timeout);
        while !fresh.is_empty() {
            let mut more = Vec::new();
            for action in fresh {
                more.extend(reply(detector, at, &action, &answers));
                done.push((at, action));
            }
            fresh = more;
        }
        assert!(detector.next_timeout().is_none_or(|next| next > at), "a timer that never ends");
    }
    done
}

/// Answers a question, if it is one and who is asked does.
pub(super) fn reply(
    detector: &mut dyn FailureDetector,
    at: Duration,
    action: &Action,
    answers: &impl Fn(NodeId) -> bool,
) -> Vec<Action> {
    match *action {
        Action::Ping { to, seq } if answers(to) => {
            let mut actions = detector.handle(at, Observation::Heard { from: to });
            actions.extend(detector.handle(at, Observation::Answered { from: to, seq }));
            actions
        }
        Action::PingThrough { helper, .. } if answers(helper) => {
            detector.handle(at, Observation::Heard { from: helper })
        }
        _ => Vec::new(),
    }
}
