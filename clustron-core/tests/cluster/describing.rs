//! Nodes that change what they say about themselves while they run.

use std::collections::BTreeSet;
use std::time::Duration;

use clustron_core::{ClusterEvent, DescribeError, Metadata, NodeId, NodeState, Outcome, Role};

use crate::world::{LONG, Member, World, agree, hosts, part, settled, state_of, within};

fn zone(zone: &'static str) -> impl FnOnce(&mut Metadata) {
    move |node| drop(node.tags.insert("zone".to_owned(), zone.to_owned()))
}

fn no_member(node: &mut Metadata) {
    node.roles = BTreeSet::from([Role::Client]);
}

fn all(members: &[Member]) -> Vec<&Member> {
    members.iter().collect()
}

async fn all_show(members: &[&Member], node: NodeId, zone: &str) {
    agree(members, "all show the new tag", |statuses| {
        statuses.iter().all(|status| {
            let record = status.view.node(node).expect("a node of the view");
            record.info.tags.get("zone").is_some_and(|tag| tag == zone)
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_can_change_its_tags_and_all_see_it_as_a_new_version() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    settled(&all(&members)).await;
    for (at, member) in members.iter().enumerate() {
        let watching = &members[(at + 1) % 3];
        let mut events = watching.events();
        let before = member.view().version();
        let node = member.describe(zone("west"), LONG).await.unwrap();
        assert_eq!((node.id, node.revision, &*node.tags["zone"]), (member.id(), 1, "west"));
        assert_eq!(member.node(), node);
        assert!(member.view().version() > before);
        all_show(&all(&members), node.id, "west").await;
        let changed = async {
            loop {
                let event = events.next().await.expect("the node runs");
                if let ClusterEvent::NodeChanged { node, before } = event
                    && node.id == member.id()
                {
                    return (node, before);
                }
            }
        };
        let (seen, before) = within("the event", changed).await;
        assert_eq!((seen, before.tags.len()), (node, 0));
        let again = member.describe(zone("west"), LONG).await.unwrap();
        assert_eq!(again.revision, 1, "nothing to change");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_refused_before_anything_happens() {
    let world = World::new(&[]);
    let node = world.start("a").await;
    settled(&[&node]).await;
    let before = (node.node(), node.applied_index());
    let bad_key = |node: &mut Metadata| drop(node.tags.insert("a b".to_owned(), String::new()));
    let error = node.describe(bad_key, LONG).await.unwrap_err();
    assert!(error.to_string().contains("tag key \"a b\""), "{error}");
    let error = node.describe(|node| node.roles.clear(), LONG).await.unwrap_err();
    assert!(error.to_string().contains("name at least one role"), "{error}");
    let error = node.describe(no_member, LONG).await.unwrap_err();
    assert!(matches!(error, DescribeError::LastMember), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!((node.node(), node.applied_index()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_none_any_more_hands_over_and_votes_no_more() {
    let world = World::new(&["a", "b", "c"]);
    let mut members = world.start_all(&["a", "b", "c"]).await;
    let mut left: BTreeSet<NodeId> = members.iter().map(Member::id).collect();
    // The leader each time, until one is left to vote.
    for _ in 0..2 {
        let leader = settled(&all(&members)).await;
        let (leading, mut others) = part(&leader, members);
        leading.describe(no_member, LONG).await.unwrap();
        left.remove(&leading.id());
        others.push(leading);
        members = others;
        agree(&all(&members), "the others vote and lead", |statuses| {
            statuses.iter().all(|status| {
                let leader = status.leader.as_ref().map(|leader| leader.node);
                status.voters == left && leader.is_some_and(|leader| left.contains(&leader))
            })
        })
        .await;
        members[0].add(1).await;
    }
    let leader = settled(&all(&members)).await;
    let (last, mut clients) = part(&leader, members);
    let error = last.describe(no_member, LONG).await.unwrap_err();
    assert!(matches!(error, DescribeError::LastMember), "{error}");
    // A client can become a member again, and then the last one may go.
    let next = clients.pop().unwrap();
    let member = |node: &mut Metadata| node.roles = BTreeSet::from([Role::Member]);
    next.describe(member, LONG).await.unwrap();
    last.describe(no_member, LONG).await.unwrap();
    next.until("it votes alone", |status| status.voters == BTreeSet::from([next.id()])).await;
    next.add(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_put_out_comes_back_with_its_newest_description() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&all(&members)).await;
    let (leader, mut others) = part(&first, members);
    let cut_off = others.pop().unwrap();
    let rest_hosts = [leader.host.as_str(), hosts(&others)[0]];
    world.cut_off(&cut_off.host, &rest_hosts);
    let id = cut_off.id();
    leader.until("it is down", |status| state_of(status, id) == Some(NodeState::Down)).await;
    let error = cut_off.describe(zone("east"), Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    world.heal(&cut_off.host, &rest_hosts);
    all_show(&[&leader, &others[0], &cut_off], id, "east").await;
    assert!(leader.view().is_alive(id));
    let node = cut_off.describe(zone("east"), LONG).await.unwrap();
    assert_eq!(node.revision, 1, "saying it again waits for the same change");
}

#[tokio::test]
async fn a_running_node_stays_what_it_is_built_for() {
    let world = World::new(&["a"]);
    let member = world.start("a").await;
    for role in [Role::Observer, Role::MetricsCollector] {
        let also = BTreeSet::from([Role::Member, role.clone()]);
        let collects = role == Role::MetricsCollector;
        let told = member.describe(|node| node.roles = also, LONG).await;
        assert_eq!(told.is_err(), collects, "{told:?}");
        let only = BTreeSet::from([role.clone()]);
        let error = member.describe(|node| node.roles = only, LONG).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&role.to_string()) && text.contains("start it anew"), "{text}");
        assert_eq!(error.outcome(), Outcome::NotApplied);
    }
    // Nobody has looked whether a client runs what members run.
    let client = world.start_as("b", &[Role::Client]).await;
    let error = client.describe(|node| node.roles.extend([Role::Member]), LONG).await;
    assert!(matches!(error, Err(DescribeError::OtherKind { .. })), "{error:?}");
}
