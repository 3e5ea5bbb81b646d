use super::*;
use crate::identity::{Incarnation, NodeName, Role};
use proptest::prelude::*;

const GOAL: Goal = Goal { voters_max: 5, voters_min: 1, stable_after: Duration::from_secs(1) };
const STEADY: Standing =
    Standing { may_vote: true, caught_up: true, stable_for: Duration::from_secs(9) };

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
        Standing { may_vote: false, ..STEADY },
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
        group.alive.insert(NodeId(*id), Standing { may_vote: false, ..STEADY });
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
    assert_eq!(next_change(&group(&[1, 2, 3, 4, 5], &[6, 7], &[1, 2, 3, 4, 5, 6, 7]), GOAL), None);
}

#[test]
fn the_seats_of_the_dead_go_only_where_that_makes_the_group_safer_and_not_below_the_minimum() {
    let seven = group(&[1, 2, 3, 4, 5, 6, 7], &[], &[1, 2, 3, 4]);
    let goal = Goal { voters_max: 7, ..GOAL };
    assert_eq!(next_change(&seven, goal), Some(Change::Voters(ids(&[1, 2, 3, 4, 5]))));
    let four = group(&[1, 2, 3, 4], &[], &[1, 2, 3]);
    assert_eq!(next_change(&four, GOAL), Some(Change::Voters(ids(&[1, 2, 3]))));
    let mut five = group(&[1, 2, 3, 4, 5], &[], &[1, 2, 3]);
    assert_eq!(next_change(&five, Goal { voters_min: 5, ..GOAL }), None);
    five.left = ids(&[5]);
    let asked = next_change(&five, Goal { voters_min: 5, ..GOAL });
    assert_eq!(asked, Some(Change::Voters(ids(&[1, 2, 3, 4]))), "somebody had it leave");
}

#[test]
fn a_seat_is_not_given_up_where_the_rest_could_not_decide() {
    // One left while another is dead: with its seat gone, the live one would need the dead one.
    let mut trio = group(&[1, 2, 3], &[], &[1]);
    trio.left = ids(&[2]);
    assert_eq!(next_change(&trio, GOAL), None);
    // The same where one that lives is in doubt.
    let mut doubted = group(&[1, 2, 3], &[], &[1, 3]);
    (doubted.left, doubted.shaky) = (ids(&[2]), ids(&[3]));
    assert_eq!(next_change(&doubted, GOAL), None);
    doubted.shaky = ids(&[]);
    assert_eq!(next_change(&doubted, GOAL), Some(Change::Voters(ids(&[1, 3]))));
}

#[test]
fn a_node_that_was_started_again_takes_the_seat_of_its_identity_before() {
    let goal = Goal { voters_max: 3, ..GOAL };
    for (dead, heir) in [(1, 4), (2, 4), (3, 4)] {
        let alive: Vec<u64> = (1..=4).filter(|id| *id != dead).collect();
        let mut full = group(&[1, 2, 3], &[heir], &alive);
        full.heirs = [(NodeId(dead), NodeId(heir))].into();
        let expected: BTreeSet<NodeId> = alive.iter().map(|id| NodeId(*id)).collect();
        assert_eq!(
            next_change(&full, goal),
            Some(Change::Voters(expected)),
            "{dead} in a full group"
        );
    }
    // Two are dead, and one of them is back: its own seat, not the other's.
    let mut two = group(&[1, 2, 3, 4, 5], &[9], &[1, 2, 3, 9]);
    two.heirs = [(NodeId(5), NodeId(9))].into();
    assert_eq!(next_change(&two, GOAL), Some(Change::Voters(ids(&[1, 2, 3, 4, 9]))));
    // It is not ready yet, but somebody else is.
    two.learners = ids(&[8, 9]);
    two.alive.insert(NodeId(8), STEADY);
    two.alive.insert(NodeId(9), Standing { caught_up: false, ..STEADY });
    assert_eq!(next_change(&two, GOAL), Some(Change::Voters(ids(&[1, 2, 3, 5, 8]))));
}

fn with_witnesses(mut group: Group<'static>, witnesses: &[u64]) -> Group<'static> {
    group.witnesses = ids(witnesses);
    group
}

#[test]
fn a_witness_makes_two_members_three_voters() {
    let pair = with_witnesses(group(&[1, 2], &[8, 9], &[1, 2, 8, 9]), &[8, 9]);
    assert_eq!(next_change(&pair, GOAL), Some(Change::Voters(ids(&[1, 2, 8]))));
    let third = with_witnesses(group(&[1, 2], &[3, 8], &[1, 2, 3, 8]), &[8]);
    assert_eq!(next_change(&third, GOAL), Some(Change::Voters(ids(&[1, 2, 3]))), "members first");
    let four = with_witnesses(group(&[1, 2, 3], &[4, 8], &[1, 2, 3, 4, 8]), &[8]);
    assert_eq!(next_change(&four, GOAL), Some(Change::Voters(ids(&[1, 2, 3, 4, 8]))));
}

#[test]
fn witnesses_are_let_in_only_as_the_minority() {
    let one = with_witnesses(group(&[1], &[8, 9], &[1, 8, 9]), &[8, 9]);
    assert_eq!(next_change(&one, GOAL), None);
    let dead_member = with_witnesses(group(&[1, 2, 8], &[9], &[1, 8, 9]), &[8, 9]);
    assert_eq!(next_change(&dead_member, GOAL), None);
    let dead_witness = with_witnesses(group(&[1, 2, 8], &[9], &[1, 2, 9]), &[8, 9]);
    assert_eq!(next_change(&dead_witness, GOAL), Some(Change::Voters(ids(&[1, 2, 9]))));
}

#[test]
fn a_witness_makes_room_for_a_member_but_not_while_it_leads() {
    let mut full = with_witnesses(group(&[1, 2, 8], &[3], &[1, 2, 3, 8]), &[8]);
    assert_eq!(next_change(&full, GOAL), Some(Change::Voters(ids(&[1, 2, 3]))));
    full.leader = Some(NodeId(8));
    assert_eq!(next_change(&full, GOAL), None);
    let settled = with_witnesses(group(&[1, 2, 3], &[8], &[1, 2, 3, 8]), &[8]);
    assert_eq!(next_change(&settled, GOAL), None, "it does not come back");
}

fn founders(members: &[u64], witnesses: &[u64], voters_max: usize) -> Vec<u64> {
    let info = |id: &u64, role: Role| NodeInfo {
        id: NodeId(*id),
        name: NodeName::new(format!("n{id}")).unwrap(),
        incarnation: Incarnation(1),
        addr: format!("n{id}:1"),
        roles: [role].into(),
        tags: BTreeMap::new(),
        revision: 0,
        starts: 1,
        process: 0,
    };
    let all = members.iter().map(|id| info(id, Role::Member));
    let all = all.chain(witnesses.iter().map(|id| info(id, Role::Witness))).collect();
    first_voters(all, voters_max).iter().map(|node| node.id.0).collect()
}

#[test]
fn members_found_and_a_witness_makes_their_number_odd() {
    assert_eq!(founders(&[3, 2, 1], &[], 5), [1, 2, 3]);
    assert_eq!(founders(&[3, 2], &[1], 5), [2, 3, 1]);
    assert_eq!(founders(&[2, 3, 4], &[1], 5), [2, 3, 4]);
    assert_eq!(founders(&[2], &[1], 5), [2]);
    assert_eq!(founders(&[], &[1, 2], 5), [1, 2]);
    assert_eq!(founders(&[1, 2, 3, 4], &[9], 3), [1, 2, 3]);
    assert_eq!(founders(&[1, 2, 3, 4], &[], 5), [1, 2, 3, 4]);
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
                    let members = |id: &&NodeId| now.alive.get(id).is_some_and(|s| s.may_vote);
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
                        prop_assert!(now.learners.contains(id) && now.alive[id].may_vote);
                    }
                    let alive = &now.alive;
                    let is_live = |id: &&NodeId| alive.get(id).is_some_and(|s| s.may_vote);
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
