//! Who should vote: the next single change of the control group, as a pure decision.
//!
//! The group is like a committee that must never lose its quorum: it grows only by members who have
//! caught up and stayed a while, replaces its dead in one step, and never shrinks for the sake of
//! shrinking.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::identity::NodeId;

/// What the leader knows of a node that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether it may vote.
    pub(crate) is_member: bool,
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
    /// A change that an earlier leader left half done, where there is one: the voters it was for.
    pub(crate) unfinished: Option<&'a BTreeSet<NodeId>>,
}

/// What the group should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Goal {
    /// The most voters, odd.
    pub(crate) voters_max: usize,
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

/// Decides the next change, or none. Call again when it has been made.
pub(crate) fn next_change(group: &Group<'_>, goal: Goal) -> Option<Change> {
    if let Some(voters) = group.unfinished {
        return Some(Change::Voters(voters.clone()));
    }
    let known = |id: &NodeId| group.voters.contains(id) || group.learners.contains(id);
    if let Some(new) = group.alive.keys().find(|id| !known(id)) {
        return Some(Change::AddLearner(*new));
    }
    if let Some(voters) = next_voters(group, goal) {
        return Some(Change::Voters(voters));
    }
    let gone: BTreeSet<NodeId> =
        group.learners.iter().filter(|id| !group.alive.contains_key(id)).copied().collect();
    if gone.is_empty() { None } else { Some(Change::RemoveLearners(gone)) }
}

fn next_voters(group: &Group<'_>, goal: Goal) -> Option<BTreeSet<NodeId>> {
    // Who is no member any more lives, and is replaced like the dead.
    let votes_on = |id: &NodeId| group.alive.get(id).is_some_and(|s| s.is_member);
    let (live, dead): (BTreeSet<NodeId>, BTreeSet<NodeId>) =
        group.voters.iter().partition(|id| votes_on(id));
    let spares: Vec<NodeId> = group
        .learners
        .iter()
        .filter(|id| {
            group
                .alive
                .get(id)
                .is_some_and(|s| s.is_member && s.caught_up && s.stable_for >= goal.stable_after)
        })
        .copied()
        .collect();

    // Replace the dead, one by one, in the change that lets the new one in.
    let gone = dead.iter().find(|id| !group.alive.contains_key(id)).or(dead.first());
    if let Some(gone) = gone {
        let mut voters = group.voters.clone();
        voters.remove(gone);
        if let Some(spare) = spares.first() {
            voters.insert(*spare);
            return Some(voters);
        }
        if let Some(voters) = without_resigned(group, &live) {
            return Some(voters);
        }
        if dead.iter().any(|id| group.left.contains(id)) && !live.is_empty() {
            // A last member that stays must be able to go on alone.
            return Some(group.voters.difference(&group.left).copied().collect());
        }
        // Nobody to take the place. Fewer voters survive more only where an odd number of at least
        // three live ones remains: of five with two dead no other may fail, of three one may.
        let steady = live.iter().filter(|id| !group.shaky.contains(id)).count();
        if live.len() >= 3 && live.len() % 2 == 1 && steady == live.len() && dead.len() >= 2 {
            return Some(live);
        }
        return None;
    }

    // Grow by two at a time, so that the number stays odd; from an even number by one.
    let wanted = if group.voters.len().is_multiple_of(2) { 1 } else { 2 };
    if spares.len() >= wanted && group.voters.len() + wanted <= goal.voters_max {
        let mut voters = group.voters.clone();
        voters.extend(&spares[..wanted]);
        return Some(voters);
    }
    None
}

/// The group without those who left and those who live and are no members any more. A seat of the
/// latter goes without a replacement too, unless the rest could then not decide anything: they vote
/// on until it can.
fn without_resigned(group: &Group<'_>, live: &BTreeSet<NodeId>) -> Option<BTreeSet<NodeId>> {
    let resigned = |id: &NodeId| group.alive.get(id).is_some_and(|s| !s.is_member);
    let rest: BTreeSet<NodeId> = group.voters.difference(&group.left).copied().collect();
    let rest: BTreeSet<NodeId> = rest.into_iter().filter(|id| !resigned(id)).collect();
    let decides = 2 * live.len() > rest.len();
    (group.voters.iter().any(resigned) && decides).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOAL: Goal = Goal { voters_max: 5, stable_after: Duration::from_secs(1) };
    const STEADY: Standing =
        Standing { is_member: true, caught_up: true, stable_for: Duration::from_secs(9) };

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    fn group(voters: &[u64], learners: &[u64], alive: &[u64]) -> Group<'static> {
        Group {
            voters: ids(voters),
            learners: ids(learners),
            alive: alive.iter().map(|id| (NodeId(*id), STEADY)).collect(),
            ..Group::default()
        }
    }

    #[test]
    fn a_full_group_stays_as_it_is() {
        assert_eq!(next_change(&group(&[1, 2, 3], &[], &[1, 2, 3]), GOAL), None);
    }

    #[test]
    fn a_new_node_follows_first_and_a_dead_voter_goes_in_the_change_that_replaces_it() {
        let new = group(&[1, 2, 3], &[], &[1, 2, 4]);
        assert_eq!(next_change(&new, GOAL), Some(Change::AddLearner(NodeId(4))));
        let following = group(&[1, 2, 3], &[4], &[1, 2, 4]);
        assert_eq!(next_change(&following, GOAL), Some(Change::Voters(ids(&[1, 2, 4]))));
    }

    #[test]
    fn a_node_that_lags_or_has_just_come_does_not_vote() {
        for standing in [
            Standing { caught_up: false, ..STEADY },
            Standing { stable_for: Duration::ZERO, ..STEADY },
            Standing { is_member: false, ..STEADY },
        ] {
            let mut fresh = group(&[1, 2, 3], &[4], &[1, 2, 4]);
            fresh.alive.insert(NodeId(4), standing);
            assert_eq!(next_change(&fresh, GOAL), None, "{standing:?}");
        }
    }

    #[test]
    fn a_dead_voter_without_replacement_keeps_its_seat_while_that_costs_nothing() {
        assert_eq!(next_change(&group(&[1, 2, 3], &[], &[1, 2]), GOAL), None);
        assert_eq!(next_change(&group(&[1, 2, 3, 4, 5], &[], &[1, 2, 3, 4]), GOAL), None);
        let two_dead = group(&[1, 2, 3, 4, 5], &[], &[1, 2, 3]);
        assert_eq!(next_change(&two_dead, GOAL), Some(Change::Voters(ids(&[1, 2, 3]))));
    }

    #[test]
    fn a_voter_that_left_in_order_gives_up_its_seat_at_once() {
        let mut pair = group(&[1, 2], &[], &[1]);
        assert_eq!(next_change(&pair, GOAL), None, "a dead one may be needed again");
        pair.left = ids(&[2]);
        assert_eq!(next_change(&pair, GOAL), Some(Change::Voters(ids(&[1]))));
    }

    fn resigned(mut group: Group<'static>, ids: &[u64]) -> Group<'static> {
        for id in ids {
            group.alive.insert(NodeId(*id), Standing { is_member: false, ..STEADY });
        }
        group
    }

    #[test]
    fn a_voter_that_is_no_member_any_more_gives_up_its_seat() {
        let replaced = resigned(group(&[1, 2, 3], &[4], &[1, 2, 3, 4]), &[2]);
        assert_eq!(next_change(&replaced, GOAL), Some(Change::Voters(ids(&[1, 3, 4]))));
        let alone = resigned(group(&[1, 2], &[], &[1, 2]), &[2]);
        assert_eq!(next_change(&alone, GOAL), Some(Change::Voters(ids(&[1]))));
        let pair = resigned(group(&[1, 2, 3], &[], &[1, 2, 3]), &[2]);
        assert_eq!(next_change(&pair, GOAL), Some(Change::Voters(ids(&[1, 3]))));
        let follows = resigned(group(&[1, 3], &[2, 4], &[1, 2, 3, 4]), &[2, 4]);
        assert_eq!(next_change(&follows, GOAL), None, "it does not come back to vote");
    }

    #[test]
    fn a_voter_that_is_no_member_votes_on_while_the_rest_could_not_decide_without_it() {
        let needed = resigned(group(&[1, 2, 3], &[], &[1, 2]), &[2]);
        assert_eq!(next_change(&needed, GOAL), None);
        let relieved = resigned(group(&[1, 2, 3], &[4], &[1, 2, 4]), &[2]);
        let first = next_change(&relieved, GOAL);
        assert_eq!(first, Some(Change::Voters(ids(&[1, 2, 4]))), "the dead one goes first");
        let all = resigned(group(&[1], &[], &[1]), &[1]);
        assert_eq!(next_change(&all, GOAL), None, "somebody has to vote");
    }

    #[test]
    fn the_group_grows_in_odd_steps_up_to_the_goal() {
        assert_eq!(next_change(&group(&[1], &[2], &[1, 2]), GOAL), None);
        let three = next_change(&group(&[1], &[2, 3], &[1, 2, 3]), GOAL);
        assert_eq!(three, Some(Change::Voters(ids(&[1, 2, 3]))));
        let even = next_change(&group(&[1, 2], &[3], &[1, 2, 3]), GOAL);
        assert_eq!(even, Some(Change::Voters(ids(&[1, 2, 3]))));
        assert_eq!(
            next_change(&group(&[1, 2, 3, 4, 5], &[6, 7], &[1, 2, 3, 4, 5, 6, 7]), GOAL),
            None
        );
    }

    #[test]
    fn what_an_earlier_leader_left_half_done_is_finished_first() {
        let goal = ids(&[1, 2, 4]);
        let mut half = group(&[1, 2, 3, 4], &[], &[1, 2, 4]);
        half.unfinished = Some(&goal);
        assert_eq!(next_change(&half, GOAL), Some(Change::Voters(goal.clone())));
    }

    proptest! {
        /// Whatever the state, a change of voters keeps a majority of live voters in the old group
        /// able to commit it only if there was one, never empties the group, never lets a stranger
        /// vote, and following the changes ends.
        #[test]
        fn changes_are_safe_and_end(
            voters in 1usize..6, extra in 0usize..4, dead in any::<u16>(), clients in any::<u16>()
        ) {
            let all: Vec<u64> = (1..=(voters + extra) as u64).collect();
            let alive: Vec<u64> = all.iter().copied().filter(|id| dead >> id & 1 == 0).collect();
            let clients: Vec<u64> =
                alive.iter().copied().filter(|id| clients >> id & 1 == 1).collect();
            let mut now = resigned(group(&all[..voters], &[], &alive), &clients);
            for step in 0.. {
                prop_assert!(step < 40, "changes never end");
                match next_change(&now, GOAL) {
                    None => {
                        let members = |id: &&NodeId| now.alive.get(id).is_some_and(|s| s.is_member);
                        let live = now.voters.iter().filter(members).count();
                        let rest = now.voters.iter().filter(|id| !clients.contains(&id.0)).count();
                        let kept = now.voters.len() > rest;
                        prop_assert!(!kept || 2 * live <= rest, "it votes and is not needed");
                        break;
                    }
                    Some(Change::AddLearner(id)) => { prop_assert!(now.learners.insert(id)); }
                    Some(Change::RemoveLearners(ids)) => {
                        prop_assert!(ids.iter().all(|id| !now.alive.contains_key(id)));
                        now.learners.retain(|id| !ids.contains(id));
                    }
                    Some(Change::Voters(next)) => {
                        prop_assert!(!next.is_empty() && next.len() <= GOAL.voters_max);
                        for id in next.difference(&now.voters) {
                            prop_assert!(now.learners.contains(id) && now.alive[id].is_member);
                        }
                        let alive = &now.alive;
                        let is_live = |id: &&NodeId| alive.get(id).is_some_and(|s| s.is_member);
                        let live = |set: &BTreeSet<NodeId>| set.iter().filter(is_live).count();
                        let (before, after) = (live(&now.voters), live(&next));
                        prop_assert!(after >= before, "a live voter lost its seat");
                        let decides = |set: &BTreeSet<NodeId>| {
                            2 * set.iter().filter(|id| alive.contains_key(id)).count() > set.len()
                        };
                        prop_assert!(!decides(&now.voters) || decides(&next), "it cannot decide");
                        now.learners.retain(|id| !next.contains(id));
                        now.voters = next;
                    }
                }
            }
        }
    }
}
