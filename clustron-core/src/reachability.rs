//! Who can reach whom directly, and whether somebody else should lead for that reason.
//!
//! A network can be cut so that two nodes cannot talk to each other while a third talks to both.
//! Nobody is down then: the one in the middle vouches for either. But a leader that cannot talk to
//! a node leaves that node without a leader. It is like a conference call in which the chair has
//! one bad line: the meeting goes on as soon as somebody takes the chair who hears everybody.
//!
//! Every node tells the others, by gossip, whom it cannot reach; [`Reachability`] is all that was
//! told. What to do about it is [`successors`], a pure decision; [`HandOver`] adds the patience.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::identity::NodeId;

/// How long another voter must have been the better leader without a break.
pub(crate) const STEADY: Duration = Duration::from_secs(2);

/// Who cannot reach whom. Whatever nobody has complained about can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reachability {
    unreachable: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

impl Reachability {
    /// The nodes that each observer cannot reach directly; no row is empty.
    pub(crate) fn rows(&self) -> &BTreeMap<NodeId, BTreeSet<NodeId>> {
        &self.unreachable
    }

    /// Adds what `observer` says that it cannot reach to what it has said before.
    pub(crate) fn complain(&mut self, observer: NodeId, about: impl IntoIterator<Item = NodeId>) {
        let about: BTreeSet<NodeId> = about.into_iter().filter(|node| *node != observer).collect();
        if !about.is_empty() {
            self.unreachable.entry(observer).or_default().extend(about);
        }
    }

    /// Whether `from` reaches `to` directly. Everybody reaches itself.
    pub(crate) fn can_reach(&self, from: NodeId, to: NodeId) -> bool {
        self.unreachable.get(&from).is_none_or(|row| !row.contains(&to))
    }

    /// Whether both reach each other, as a request with its reply needs.
    pub(crate) fn linked(&self, a: NodeId, b: NodeId) -> bool {
        self.can_reach(a, b) && self.can_reach(b, a)
    }

    /// Those of `nodes` that are linked with `of`, which counts as linked with itself.
    pub(crate) fn linked_with(&self, of: NodeId, nodes: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        nodes.iter().copied().filter(|node| self.linked(of, *node)).collect()
    }
}

/// The nodes that matter to the choice of a leader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Electorate {
    /// Those who vote and may lead.
    pub(crate) voters: BTreeSet<NodeId>,
    /// All that are to be led: alive and not doubted, the voters among them included.
    pub(crate) alive: BTreeSet<NodeId>,
}

/// How well a node is connected: more voters count before more nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Connected {
    voters: usize,
    alive: usize,
}

impl Electorate {
    fn connected(&self, matrix: &Reachability, node: NodeId) -> Connected {
        let voters: BTreeSet<NodeId> = self.voters.intersection(&self.alive).copied().collect();
        Connected {
            voters: matrix.linked_with(node, &voters).len(),
            alive: matrix.linked_with(node, &self.alive).len(),
        }
    }
}

/// The voters that should lead instead of `leader`, the best first; empty where it should stay.
///
/// A successor is linked with some alive node with which the leader is not, with a majority of the
/// voters, with strictly more alive nodes than the leader and with no fewer voters. So each change
/// of leadership is for the better by a whole node, and two equally badly connected nodes never
/// hand to and fro: on a matrix that stays, following this ends after fewer steps than there are
/// nodes.
pub(crate) fn successors(
    matrix: &Reachability,
    leader: NodeId,
    electorate: &Electorate,
) -> Vec<NodeId> {
    let mine = electorate.connected(matrix, leader);
    let mut better: Vec<(Connected, NodeId)> = electorate
        .voters
        .iter()
        .filter(|id| **id != leader && electorate.alive.contains(id) && matrix.linked(leader, **id))
        .map(|id| (electorate.connected(matrix, *id), *id))
        // More alive nodes than the leader: so some that the leader is not linked with.
        .filter(|(theirs, _)| theirs.alive > mine.alive && theirs.voters >= mine.voters)
        .filter(|(theirs, _)| 2 * theirs.voters > electorate.voters.len())
        .collect();
    better.sort_by(|(a, a_id), (b, b_id)| b.cmp(a).then(a_id.cmp(b_id)));
    better.into_iter().map(|(_, id)| id).collect()
}

/// The voters that may lead in the place of a leader that holds no data: those that do, are alive
/// and linked with it, and would not have to hand back to it, or to anybody else.
pub(crate) fn relief(
    matrix: &Reachability,
    leader: NodeId,
    electorate: &Electorate,
    holds_data: impl Fn(NodeId) -> bool,
) -> Vec<NodeId> {
    let able = |id: &NodeId| {
        *id != leader
            && holds_data(*id)
            && electorate.alive.contains(id)
            && matrix.linked(leader, *id)
            && successors(matrix, *id, electorate).is_empty()
    };
    electorate.voters.iter().copied().filter(able).collect()
}

/// Patience with a badly connected leader: what mends itself within [`STEADY`] changes nothing.
#[derive(Debug, Default)]
pub(crate) struct HandOver {
    since: BTreeMap<NodeId, Duration>,
}

impl HandOver {
    /// Takes in who should lead at the moment `now`, as [`successors`] says, and gives those of
    /// them who should have all the time, in the same order. Naming any starts the time of all
    /// anew, so that an attempt that fails is not repeated at once.
    pub(crate) fn steady(&mut self, now: Duration, successors: &[NodeId]) -> Vec<NodeId> {
        self.since.retain(|id, _| successors.contains(id));
        for id in successors {
            self.since.entry(*id).or_insert(now);
        }
        let began = |id: &NodeId| self.since.get(id).copied().unwrap_or(now);
        let steady = successors.iter().copied().filter(|id| began(id) + STEADY <= now);
        let steady: Vec<NodeId> = steady.collect();
        if !steady.is_empty() {
            self.since.clear();
        }
        steady
    }
}

#[cfg(test)]
mod tests;
