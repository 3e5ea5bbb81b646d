use super::*;
use proptest::prelude::*;

fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
    ids.iter().map(|id| NodeId(*id)).collect()
}

/// Everybody reaches everybody, but for these pairs, in the one direction.
fn matrix(cut: &[(u64, u64)]) -> Reachability {
    let mut matrix = Reachability::default();
    for (from, to) in cut {
        matrix.complain(NodeId(*from), [NodeId(*to)]);
    }
    matrix
}

fn electorate(voters: &[u64], alive: &[u64]) -> Electorate {
    Electorate { voters: ids(voters), alive: ids(alive) }
}

fn advice(matrix: &Reachability, leader: u64, electorate: &Electorate) -> Vec<u64> {
    successors(matrix, NodeId(leader), electorate).into_iter().map(|id| id.0).collect()
}

#[test]
fn what_nobody_complains_about_is_reached() {
    let matrix = matrix(&[(1, 2), (1, 1)]);
    assert!(!matrix.can_reach(NodeId(1), NodeId(2)) && matrix.can_reach(NodeId(2), NodeId(1)));
    assert!(!matrix.linked(NodeId(2), NodeId(1)) && matrix.linked(NodeId(1), NodeId(3)));
    assert!(matrix.linked(NodeId(1), NodeId(1)), "everybody reaches itself");
    assert_eq!(matrix.linked_with(NodeId(1), &ids(&[1, 2, 3])), ids(&[1, 3]));
    let mut silent = Reachability::default();
    silent.complain(NodeId(1), []);
    assert_eq!(silent, Reachability::default(), "no empty rows");
}

#[test]
fn a_leader_that_misses_a_follower_hands_over_to_who_is_linked_with_both() {
    let three = electorate(&[1, 2, 3], &[1, 2, 3]);
    for cut in [(1, 3), (3, 1)] {
        assert_eq!(advice(&matrix(&[cut]), 1, &three), [2], "{cut:?}");
    }
    assert_eq!(advice(&matrix(&[(1, 3)]), 2, &three), [0; 0], "the one in the middle stays");
    assert_eq!(advice(&matrix(&[]), 1, &three), [0; 0]);
}

#[test]
fn a_leading_witness_is_relieved_by_a_member_that_would_not_hand_back() {
    let three = electorate(&[1, 2, 3], &[1, 2, 3]);
    let relieved = |cut: &[(u64, u64)], electorate: &Electorate| {
        let members = relief(&matrix(cut), NodeId(3), electorate, |id| id != NodeId(3));
        members.into_iter().map(|id| id.0).collect::<Vec<_>>()
    };
    assert_eq!(relieved(&[], &three), [1, 2]);
    assert_eq!(relieved(&[(1, 3)], &three), [2], "not linked with the witness");
    assert_eq!(relieved(&[(1, 2)], &three), [0; 0], "only the witness reaches all");
    assert_eq!(relieved(&[], &electorate(&[1, 2, 3], &[2, 3])), [2], "the other is not alive");
}

#[test]
fn a_node_that_nobody_reaches_changes_nothing() {
    let three = electorate(&[1, 2, 3], &[1, 2, 3]);
    assert_eq!(advice(&matrix(&[(1, 3), (2, 3)]), 1, &three), [0; 0]);
    let doubted = electorate(&[1, 2, 3], &[1, 2]);
    assert_eq!(advice(&matrix(&[(1, 3)]), 1, &doubted), [0; 0], "it is not alive");
}

#[test]
fn two_equally_badly_connected_voters_leave_each_other_in_office() {
    // 1 misses 4, 2 misses 3.
    let four = electorate(&[1, 2, 5], &[1, 2, 3, 4, 5]);
    let ring = matrix(&[(1, 4), (2, 3), (5, 3), (5, 4)]);
    assert_eq!(advice(&ring, 1, &four), [0; 0]);
    assert_eq!(advice(&ring, 2, &four), [0; 0]);
}

#[test]
fn a_successor_needs_a_majority_and_gives_up_no_voter() {
    let five = electorate(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5, 6, 7, 8]);
    // 2 is linked with more nodes, and with two voters only.
    let few_voters = matrix(&[(1, 6), (1, 7), (1, 8), (2, 3), (2, 4), (2, 5)]);
    assert!(!advice(&few_voters, 1, &five).contains(&2));
    // It keeps its majority and still would lose a voter that the leader has.
    let one_less =
        matrix(&[(1, 6), (1, 7), (2, 3), (3, 6), (3, 7), (4, 6), (4, 7), (5, 6), (5, 7)]);
    assert_eq!(advice(&one_less, 1, &five), [0; 0]);
}

#[test]
fn of_several_the_one_with_more_voters_comes_first() {
    // The leader misses voters 4 and 5 and client 6; 2 has all voters, 3 all but one, and both
    // clients.
    let five = electorate(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5, 6, 7]);
    let cut = matrix(&[(1, 4), (1, 5), (1, 6), (2, 6), (2, 7), (3, 5)]);
    assert_eq!(advice(&cut, 1, &five), [2, 3]);
}

#[test]
fn nobody_hands_over_before_the_advice_has_been_the_same_for_two_seconds() {
    let ms = Duration::from_millis;
    let (two, three) = (NodeId(2), NodeId(3));
    let mut patience = HandOver::default();
    assert_eq!(patience.steady(ms(0), &[two]), []);
    assert_eq!(patience.steady(ms(1999), &[two]), []);
    assert_eq!(patience.steady(ms(2000), &[]), [], "it has mended itself");
    assert_eq!(patience.steady(ms(2100), &[three, two]), []);
    assert_eq!(patience.steady(ms(3000), &[two]), []);
    assert_eq!(patience.steady(ms(4100), &[three, two]), [two], "the other one was gone meanwhile");
    assert_eq!(patience.steady(ms(4150), &[two, three]), [], "an attempt is not repeated at once");
    assert_eq!(patience.steady(ms(6150), &[three, two]), [three, two]);
}

proptest! {
    /// On any matrix that stays, whoever leads first: following the advice ends, no node leads
    /// twice, and each leader is linked with more nodes than the one before.
    #[test]
    fn following_the_advice_ends(
        cut in proptest::collection::vec((0u64..9, 0u64..9), 0..60),
        voters in 1u64..8,
        dead in any::<u16>(),
        first in 0u64..8,
    ) {
        let matrix = matrix(&cut);
        let alive: Vec<u64> = (0..9).filter(|id| dead >> id & 1 == 0).collect();
        let nodes = electorate(&(0..voters).collect::<Vec<_>>(), &alive);
        let mut leader = NodeId(first % voters);
        let mut led = BTreeSet::new();
        loop {
            prop_assert!(led.insert(leader), "{leader} leads a second time");
            let next = successors(&matrix, leader, &nodes);
            let Some(next) = next.first().copied() else { break };
            let before = matrix.linked_with(leader, &nodes.alive);
            let after = matrix.linked_with(next, &nodes.alive);
            prop_assert!(after.len() > before.len());
            prop_assert!(after.difference(&before).next().is_some());
            prop_assert!(matrix.linked(leader, next), "nobody can ask it");
            let majority = matrix.linked_with(next, &nodes.voters);
            prop_assert!(2 * majority.len() > nodes.voters.len());
            leader = next;
        }
    }
}
