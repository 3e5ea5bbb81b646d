use super::*;
use crate::chance::Chance;
use crate::identity::{Incarnation, NodeName, Role};
use proptest::prelude::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn info(id: u64, role: Role) -> NodeInfo {
    NodeInfo {
        id: NodeId(id),
        name: NodeName::new(format!("n{id}")).unwrap(),
        incarnation: Incarnation(1),
        addr: format!("n{id}:1"),
        roles: BTreeSet::from([role]),
        tags: BTreeMap::new(),
        revision: 0,
        starts: 1,
        process: 0,
    }
}

fn member(id: u64, expect: usize) -> Bootstrap {
    Bootstrap::new(info(id, Role::Member), expect, ms(2000))
}

/// `a` greets `b` and gets its greeting in return.
fn meet(now: Duration, a: &mut Bootstrap, b: &mut Bootstrap) {
    b.heard(now, a.greeting(now, None));
    a.heard(now, b.greeting(now, None));
}

fn founders(decision: Decision) -> BTreeSet<u64> {
    match decision {
        Decision::Found(nodes) => nodes.iter().map(|n| n.id.0).collect(),
        other => panic!("not founding: {other:?}"),
    }
}

#[test]
fn a_cluster_never_comes_when_no_majority_of_its_founders_is_left() {
    let cluster = ClusterId::mint(&Chance::seeded(1));
    let other = ClusterId::mint(&Chance::seeded(2));
    let was = |cluster, id| vec![GivenUp { cluster, node: NodeId(id) }];
    let founders = [BTreeSet::from([1, 2, 3].map(NodeId))];
    let mut a = member(1, 3);
    let [mut b, mut c] = [(12, 2), (13, 3)].map(|(id, old)| member(id, 3).after(was(cluster, old)));
    assert!(!a.never_comes(cluster, &founders));
    meet(ms(0), &mut a, &mut b);
    assert!(!a.never_comes(cluster, &founders), "two of three can still agree on it");
    meet(ms(1), &mut a, &mut member(14, 3).after(was(other, 3)));
    assert!(!a.never_comes(cluster, &founders), "that was for another cluster");
    meet(ms(2), &mut a, &mut c);
    assert!(a.never_comes(cluster, &founders));
    assert!(!a.never_comes(cluster, &[]), "nobody is known to vote");
}

#[test]
fn a_lone_node_that_expects_nobody_founds_at_once() {
    assert_eq!(founders(member(1, 1).decide(ms(0))), BTreeSet::from([1]));
}

#[test]
fn the_lowest_founds_when_all_see_the_same() {
    let [mut a, mut b, mut c] = [member(1, 3), member(2, 3), member(3, 3)];
    meet(ms(0), &mut a, &mut b);
    assert_eq!(a.decide(ms(0)), Decision::Wait { lacking: 1 });
    meet(ms(1), &mut a, &mut c);
    assert_eq!(a.decide(ms(1)), Decision::Wait { lacking: 0 }, "b and c have not met");
    meet(ms(2), &mut b, &mut c);
    meet(ms(3), &mut a, &mut b);
    meet(ms(3), &mut a, &mut c);
    assert_eq!(founders(a.decide(ms(4))), BTreeSet::from([1, 2, 3]));
    assert_eq!(b.decide(ms(4)), Decision::Wait { lacking: 0 });
}

#[test]
fn a_witness_helps_to_found_and_leaves_it_to_the_members() {
    let mut a = Bootstrap::new(info(1, Role::Witness), 2, ms(2000));
    let mut b = member(2, 2);
    meet(ms(0), &mut a, &mut b);
    meet(ms(1), &mut a, &mut b);
    assert_eq!(a.decide(ms(1)), Decision::Wait { lacking: 0 });
    assert_eq!(founders(b.decide(ms(1))), BTreeSet::from([1, 2]));
    let [mut a, mut b] = [1, 2].map(|id| Bootstrap::new(info(id, Role::Witness), 2, ms(2000)));
    meet(ms(0), &mut a, &mut b);
    meet(ms(1), &mut a, &mut b);
    assert_eq!(founders(a.decide(ms(1))), BTreeSet::from([1, 2]), "nobody else is there");
}

#[test]
fn old_reports_found_nothing() {
    let [mut a, mut b] = [member(1, 2), member(2, 2)];
    for now in [ms(0), ms(1)] {
        meet(now, &mut a, &mut b);
    }
    assert_eq!(founders(a.decide(ms(900))), BTreeSet::from([1, 2]));
    assert_eq!(a.decide(ms(1100)), Decision::Wait { lacking: 0 });
    assert_eq!(a.decide(ms(2100)), Decision::Wait { lacking: 1 });
}

#[test]
fn an_existing_cluster_is_joined_and_one_in_the_making_is_not() {
    let (mut a, b) = (member(1, 1), member(2, 1));
    let cluster = ClusterId::mint(&Chance::from_os());
    a.heard(ms(0), b.greeting(ms(0), Some((cluster, false))));
    assert_eq!(founders(a.decide(ms(0))), BTreeSet::from([1]));
    a.heard(ms(0), b.greeting(ms(0), Some((cluster, true))));
    assert_eq!(a.decide(ms(0)), Decision::Join { cluster, via: NodeId(2) });
}

#[test]
fn an_observer_neither_founds_nor_counts() {
    let mut a = member(2, 2);
    let mut observer = Bootstrap::new(info(1, Role::Observer), 2, ms(2000));
    for now in [ms(0), ms(1)] {
        meet(now, &mut a, &mut observer);
    }
    assert_eq!(a.decide(ms(2)), Decision::Wait { lacking: 1 });
    assert_eq!(observer.decide(ms(2)), Decision::Wait { lacking: 1 });
}

#[test]
fn nodes_that_are_no_members_never_found_however_many_meet() {
    let custom = Role::Custom("edge".to_owned());
    for role in [Role::Client, Role::Observer, Role::MetricsCollector, custom] {
        let [mut a, mut b] = [1, 2].map(|id| Bootstrap::new(info(id, role.clone()), 1, ms(2000)));
        meet(ms(0), &mut a, &mut b);
        meet(ms(1), &mut a, &mut b);
        assert_eq!(a.decide(ms(1)), Decision::Wait { lacking: 1 });
        // Nor with a member, though nobody is lacking then.
        let mut c = member(3, 1);
        meet(ms(2), &mut a, &mut c);
        assert_eq!(a.decide(ms(2)), Decision::Wait { lacking: 0 });
    }
}

#[test]
fn a_node_says_what_it_waits_for() {
    assert_eq!(waiting_for(true, 2), "2 more members");
    assert_eq!(waiting_for(true, 0), "all members to see each other");
    for lacking in [0, 2] {
        let text = waiting_for(false, lacking);
        assert!(text.contains("members") && text.contains("found a cluster"), "{text}");
        assert!(lacking == 0 || text.starts_with("2 more"), "{text}");
    }
}

#[test]
fn one_shared_acquaintance_is_enough_to_hear_of_all() {
    let [mut a, mut b, mut c] = [member(1, 3), member(2, 3), member(3, 3)];
    meet(ms(0), &mut a, &mut b);
    meet(ms(1), &mut b, &mut c);
    meet(ms(2), &mut a, &mut b);
    assert!(a.acquaintances().any(|n| n.id == NodeId(3)));
}

#[test]
fn what_a_node_says_of_itself_counts_more_than_what_others_say_of_it() {
    let [mut a, b, c] = [member(1, 3), member(2, 3), member(3, 3)];
    a.heard(ms(0), c.greeting(ms(0), None));
    let mut liar = b.greeting(ms(1), None);
    liar.knows = vec![NodeInfo { addr: "lie:1".to_owned(), starts: u64::MAX, ..c.me.clone() }];
    a.heard(ms(1), liar.clone());
    let addr = |a: &Bootstrap| a.heard_of.get(&NodeId(3)).map(|node| node.addr.clone());
    assert_eq!(addr(&a).as_deref(), Some("n3:1"));
    // Where it does not answer, others may know better, until it speaks itself.
    a.unreachable(NodeId(3));
    a.heard(ms(2), liar);
    assert_eq!(addr(&a).as_deref(), Some("lie:1"));
    a.heard(ms(3), c.greeting(ms(3), None));
    assert_eq!(addr(&a).as_deref(), Some("n3:1"));
}

#[test]
fn who_has_heard_of_as_many_as_may_be_still_takes_newer_words_of_them() {
    let mut a = member(1, 3);
    for id in 0..PEERS_MAX as u64 + 5 {
        a.hear_of(info(10 + id, Role::Member));
    }
    assert_eq!(a.heard_of.len(), PEERS_MAX);
    a.hear_of(NodeInfo { addr: "new:1".to_owned(), starts: 2, ..info(10, Role::Member) });
    assert_eq!(a.heard_of[&NodeId(10)].addr, "new:1");
}

proptest! {
    /// Nodes meet in any order while some fall silent. Whenever two have founded, their groups do
    /// not overlap without sharing a founder who has told both that it is free: and with everybody
    /// expected there is never more than one group.
    #[test]
    fn with_everybody_expected_at_most_one_group_is_founded(
        n in 2usize..6,
        steps in proptest::collection::vec((0usize..6, 0usize..6, 0u64..400), 0..200),
    ) {
        let mut nodes: Vec<Bootstrap> = (1..=n as u64).map(|id| member(id, n)).collect();
        let mut founded: BTreeMap<usize, ClusterId> = BTreeMap::new();
        let mut now = ms(0);
        for (a, b, dt) in steps {
            let (a, b) = (a % n, b % n);
            now += ms(dt);
            if a != b {
                let told = |nodes: &[Bootstrap], i: usize| {
                    nodes[i].greeting(now, founded.get(&i).map(|id| (*id, false)))
                };
                let (from_a, from_b) = (told(&nodes, a), told(&nodes, b));
                nodes[b].heard(now, from_a);
                nodes[a].heard(now, from_b);
            }
            for i in [a, b] {
                if !founded.contains_key(&i)
                    && let Decision::Found(group) = nodes[i].decide(now)
                {
                    prop_assert_eq!(group.len(), n);
                    prop_assert!(founded.is_empty(), "a second group");
                    founded.insert(i, ClusterId::mint(&Chance::from_os()));
                }
            }
        }
    }
}
