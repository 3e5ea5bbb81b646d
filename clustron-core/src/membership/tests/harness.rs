//! One machine, and short words to talk to it.

use std::time::Duration;

use crate::membership::{
    Effect, Evidence, EvidenceKind, Input, Membership, MembershipConfig, Message, PeerState,
    Update, Verification,
};
use crate::{Incarnation, NodeId};

pub(super) const US: NodeId = NodeId(1);
pub(super) const ANNA: NodeId = NodeId(2);
pub(super) const BERT: NodeId = NodeId(3);
pub(super) const STRANGER: NodeId = NodeId(99);

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn update(node: NodeId, incarnation: u64, state: PeerState) -> Update {
    Update { node, incarnation: Incarnation(incarnation), state }
}

pub(super) fn view(ids: impl IntoIterator<Item = u64>) -> Input {
    Input::ViewChanged(ids.into_iter().map(|id| (NodeId(id), Incarnation(1))).collect())
}

/// A machine that is called `US` and has the peers 2 up to `nodes`, all in incarnation 1.
pub(super) fn machine(nodes: u64) -> Membership {
    let mut machine = Membership::new(US, Incarnation(1), MembershipConfig::default(), 1);
    machine.handle(Duration::ZERO, view(1..=nodes));
    machine
}

pub(super) fn gossip(from: NodeId, updates: Vec<Update>) -> Input {
    Input::Received { from, message: Message::Gossip { updates } }
}

pub(super) fn ping(from: NodeId) -> Input {
    Input::Received { from, message: Message::Ping { seq: 7, updates: vec![] } }
}

pub(super) fn verified(peer: NodeId, result: Verification) -> Input {
    Input::Verified { peer, result }
}

pub(super) fn gone() -> Verification {
    Verification::Gone { why: "connection refused".into() }
}

pub(super) fn state(machine: &Membership, id: NodeId) -> PeerState {
    machine.peer(id).unwrap().state()
}

pub(super) fn verdicts(effects: &[Effect]) -> Vec<(NodeId, PeerState)> {
    let verdict = |effect: &Effect| match effect {
        Effect::Verdict(verdict) => Some((verdict.node, verdict.state)),
        Effect::Send { .. } | Effect::Verify { .. } | Effect::Refuted { .. } => None,
    };
    effects.iter().filter_map(verdict).collect()
}

pub(super) fn sent(effects: &[Effect]) -> Vec<(NodeId, &Message)> {
    let sent = |effect| match effect {
        &Effect::Send { to, ref message } => Some((to, message)),
        Effect::Verify { .. } | Effect::Verdict(_) | Effect::Refuted { .. } => None,
    };
    effects.iter().filter_map(sent).collect()
}

/// Fires timers, on time, up to `end`; returns when the last one fired and all that came of it.
pub(super) fn run_until(machine: &mut Membership, end: Duration) -> Vec<(Duration, Effect)> {
    let mut done = Vec::new();
    while let Some(at) = machine.next_timeout().filter(|at| *at <= end) {
        done.extend(machine.handle(at, Input::Timeout).into_iter().map(|effect| (at, effect)));
    }
    done
}

pub(super) fn kinds(machine: &Membership, id: NodeId) -> Vec<EvidenceKind> {
    machine
        .peer(id)
        .unwrap()
        .evidence()
        .iter()
        .map(|evidence: &Evidence| evidence.kind.clone())
        .collect()
}
