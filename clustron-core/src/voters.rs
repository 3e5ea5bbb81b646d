//! Who should vote: the next single change of the control group, as a pure decision.
//!
//! The group is like a committee that must never lose its quorum: it grows only by members who have
//! caught up and stayed a while, replaces its dead in one step, and never shrinks for the sake of
//! shrinking. A witness is its deputy: it sits in while there are too few members, always in the
//! minority, and makes room for the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::identity::{NodeId, NodeInfo};

/// The fewest voters to which the seats of the dead are given up: of three, one may fail.
const SHRINKS_TO: usize = 3;

/// What the leader knows of a node that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether its roles let it vote.
    pub(crate) may_vote: bool,
    /// Whether its log is (nearly) that of the leader.
    pub(crate) caught_up: bool,
    /// How long it has taken part without a break.
    pub(crate) stable_for: Duration,
}

/// The control group as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group<'a> {
    /// Those who vote now.
    pub(crate) voters: BTreeSet<NodeId>,
    /// Those who follow the log without a vote.
    pub(crate) learners: BTreeSet<NodeId>,
    /// All nodes that are alive in the view and reachable, with what is known of them.
    pub(crate) alive: BTreeMap<NodeId, Standing>,
    /// Nodes that left in order: their seats go even without a replacement.
    pub(crate) left: BTreeSet<NodeId>,
    /// Voters that are suspected but not down: no reason to act, nor to count on them.
    pub(crate) shaky: BTreeSet<NodeId>,
    /// Those of all these that vote but hold no data.
    pub(crate) witnesses: BTreeSet<NodeId>,
    /// Voters that are gone, each with the node that lives at its address now: a node without a
    /// disk that was started again.
    pub(crate) heirs: BTreeMap<NodeId, NodeId>,
    /// Who decides. It does not make room for another: it would have to hand over first.
    pub(crate) leader: Option<NodeId>,
    /// A change that an earlier leader left half done, where there is one: the voters it was for.
    pub(crate) unfinished: Option<&'a BTreeSet<NodeId>>,
}

/// What the group should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Goal {
    /// The most voters, odd.
    pub(crate) voters_max: usize,
    /// The fewest voters to which the group shrinks without having been asked to, odd.
    pub(crate) voters_min: usize,
    /// How long a node must have been alive before it votes.
    pub(crate) stable_after: Duration,
}

/// The one next change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Let the node follow the log.
    AddLearner(NodeId),
    /// Stop sending the log to nodes that are gone.
    RemoveLearners(BTreeSet<NodeId>),
    /// Let exactly these vote; whoever voted before and is not among them leaves the group.
    Voters(BTreeSet<NodeId>),
}

/// Those of a cluster's founders that vote first; the others join. Members come before witnesses,
/// lower ids first, and a witness only where it makes the number odd and members stay the majority.
pub(crate) fn first_voters(mut founders: Vec<NodeInfo>, voters_max: usize) -> Vec<NodeInfo> {
    founders.sort_by_key(|node| (!node.holds_data(), node.id));
    let members = founders.iter().filter(|node| node.holds_data()).count();
    let first = match members {
        // Nobody but witnesses: they found what members will join.
        0 => founders.len(),
        1 => 1,
        even if even.is_multiple_of(2) => even + 1,
        odd => odd,
    };
    founders.truncate(first.min(voters_max));
    founders
}

/// Decides the next change, or none. Call again when it has been made.
pub(crate) fn next_change(group: &Group<'_>, goal: Goal) -> Option<Change> {
    if let Some(voters) = group.unfinished {
        return Some(Change::Voters(voters.clone()));
    }
    let known = |id: &NodeId| group.voters.contains(id) || group.learners.contains(id);
    if let Some(new) = group.alive.keys().find(|id| !known(id)) {
        return Some(Change::AddLearner(*new));
    }
    if let Some(voters) = group.next_voters(goal).filter(|voters| group.may_become(voters)) {
        return Some(Change::Voters(voters));
    }
    let gone: BTreeSet<NodeId> =
        group.learners.iter().filter(|id| !group.alive.contains_key(id)).copied().collect();
    if gone.is_empty() { None } else { Some(Change::RemoveLearners(gone)) }
}

impl Group<'_> {
    fn next_voters(&self, goal: Goal) -> Option<BTreeSet<NodeId>> {
        // Who may not vote any more lives, and is replaced like the dead.
        let votes_on = |id: &NodeId| self.alive.get(id).is_some_and(|s| s.may_vote);
        let (live, dead): (BTreeSet<NodeId>, BTreeSet<NodeId>) =
            self.voters.iter().partition(|id| votes_on(id));
        let spares = self.spares(goal);
        if dead.is_empty() {
            return self.grown(&spares, goal).or_else(|| self.without_a_witness(&spares));
        }
        self.with_one_replaced(&dead, &spares)
            .or_else(|| self.without_resigned(&live))
            .or_else(|| self.without_left(&live, &dead))
            .or_else(|| self.without_dead(&live, &dead, goal))
    }

    /// Who may be let in now, the best first: members before witnesses.
    fn spares(&self, goal: Goal) -> Vec<NodeId> {
        let ready = |standing: &Standing| {
            standing.may_vote && standing.caught_up && standing.stable_for >= goal.stable_after
        };
        let spares = self.learners.iter().filter(|id| self.alive.get(id).is_some_and(ready));
        let mut spares: Vec<NodeId> = spares.copied().collect();
        spares.sort_by_key(|id| (self.witnesses.contains(id), *id));
        spares
    }

    /// One of the dead goes in the change that lets another in: of a node that was started again,
    /// the identity before.
    fn with_one_replaced(
        &self,
        dead: &BTreeSet<NodeId>,
        spares: &[NodeId],
    ) -> Option<BTreeSet<NodeId>> {
        let heir = |gone: &NodeId| self.heirs.get(gone).filter(|heir| spares.contains(heir));
        let inherited = dead.iter().find_map(|gone| Some((*gone, *heir(gone)?)));
        let gone = dead.iter().find(|id| !self.alive.contains_key(id)).or(dead.first());
        let any = gone.copied().zip(spares.first().copied());
        let replaced = |(gone, spare): (NodeId, NodeId)| {
            let mut voters = self.voters.clone();
            voters.remove(&gone);
            voters.insert(spare);
            self.lets_in(voters)
        };
        inherited.and_then(replaced).or_else(|| any.and_then(replaced))
    }

    /// The group without those who left and those who live and may not vote any more. A seat of the
    /// latter goes without a replacement too, unless the rest could then not decide anything: they
    /// vote on until it can.
    fn without_resigned(&self, live: &BTreeSet<NodeId>) -> Option<BTreeSet<NodeId>> {
        let resigned = |id: &NodeId| self.alive.get(id).is_some_and(|s| !s.may_vote);
        let rest = self.voters.difference(&self.left).copied();
        let rest: BTreeSet<NodeId> = rest.filter(|id| !resigned(id)).collect();
        let decides = 2 * live.len() > rest.len();
        (self.voters.iter().any(resigned) && decides).then_some(rest)
    }

    /// A last member that stays must be able to go on alone.
    fn without_left(
        &self,
        live: &BTreeSet<NodeId>,
        dead: &BTreeSet<NodeId>,
    ) -> Option<BTreeSet<NodeId>> {
        let any_left = dead.iter().any(|id| self.left.contains(id));
        (any_left && !live.is_empty())
            .then(|| self.voters.difference(&self.left).copied().collect())
    }

    /// Nobody takes the place of the dead. Fewer voters survive more only where a smaller majority
    /// is enough: of five with two dead no other may fail, of three one may; with one dead one may
    /// as well, and the seat stays.
    fn without_dead(
        &self,
        live: &BTreeSet<NodeId>,
        dead: &BTreeSet<NodeId>,
        goal: Goal,
    ) -> Option<BTreeSet<NodeId>> {
        let kept = usize::from(live.len().is_multiple_of(2));
        let rest: BTreeSet<NodeId> = live.iter().chain(dead.iter().take(kept)).copied().collect();
        let steady = live.is_disjoint(&self.shaky) && live.len() >= SHRINKS_TO;
        let safer = rest.len() / 2 < self.voters.len() / 2;
        (steady && safer && rest.len() >= goal.voters_min).then_some(rest)
    }

    /// Grows by two at a time, so that the number stays odd; from an even number by one.
    fn grown(&self, spares: &[NodeId], goal: Goal) -> Option<BTreeSet<NodeId>> {
        let wanted = if self.voters.len().is_multiple_of(2) { 1 } else { 2 };
        let new = spares.get(..wanted)?;
        let fits = self.voters.len() + wanted <= goal.voters_max;
        let voters = self.voters.iter().chain(new).copied().collect();
        fits.then_some(voters).and_then(|voters| self.lets_in(voters))
    }

    /// A witness makes room for a member.
    fn without_a_witness(&self, spares: &[NodeId]) -> Option<BTreeSet<NodeId>> {
        let spare = spares.first().filter(|id| !self.witnesses.contains(id))?;
        let stays = |id: &&NodeId| Some(**id) == self.leader;
        let witness = self.voters.intersection(&self.witnesses).find(|id| !stays(id))?;
        let mut voters = self.voters.clone();
        voters.remove(witness);
        voters.insert(*spare);
        Some(voters)
    }

    /// These voters, unless a witness is new among them and members would not be the majority.
    fn lets_in(&self, voters: BTreeSet<NodeId>) -> Option<BTreeSet<NodeId>> {
        let witness = |id: &&NodeId| self.witnesses.contains(id);
        let minority = 2 * voters.iter().filter(witness).count() < voters.len();
        (minority || !voters.difference(&self.voters).any(|id| witness(&id))).then_some(voters)
    }

    /// A group that cannot decide is no use to anybody, whatever else speaks for it. But where the
    /// present one could not either, a replacement after which fewer lack is a step.
    fn may_become(&self, voters: &BTreeSet<NodeId>) -> bool {
        let lacks = self.shortfall(voters);
        let step = voters.len() >= self.voters.len() && lacks < self.shortfall(&self.voters);
        lacks == 0 || step
    }

    /// How many of these are lacking for a majority that is alive and in no doubt.
    fn shortfall(&self, voters: &BTreeSet<NodeId>) -> usize {
        let live = |id: &&NodeId| self.alive.contains_key(id) && !self.shaky.contains(id);
        (voters.len() / 2 + 1).saturating_sub(voters.iter().filter(live).count())
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
