//! Nodes that end without a word.

use std::time::Duration;

use clustron_core::NodeState;

use crate::world::{LONG, Reigns, World, agree, alive, part, settled, state_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_crashes_another_leads_in_a_higher_epoch() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    members[0].add(1).await;
    let mut reigns = Reigns::default();
    reigns.record(&members);

    let (leader, others) = part(&first, members);
    let crashed = leader.id();
    world.crash(leader).await;
    let second = settled(&others.iter().collect::<Vec<_>>()).await;
    assert!(second.epoch > first.epoch, "{second:?} after {first:?}");
    assert_ne!(second.node, first.node);
    for member in &others {
        let status = member.until("down", |s| state_of(s, crashed) == Some(NodeState::Down)).await;
        let reason = &status.view.node(crashed).unwrap().reason;
        assert!(reason.contains("as seen by"), "{reason}");
        assert_eq!(member.numbers_now().await, [1]);
    }
    reigns.record(&others);
}

/// The others still name the leader that is gone, at the address at which the new node is itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_back_before_it_is_missed_joins_at_the_first_attempt() {
    let mut world = World::new(&["a", "b", "c"]);
    let mut members = world.start_all(&["a", "b", "c"]).await;
    // No second attempt comes to the rescue.
    world.config.timing.formation_timeout = 10 * LONG;
    world.config.timing.voter_stable_after = Duration::from_millis(100);
    for _ in 0..5 {
        let leader = settled(&members.iter().collect::<Vec<_>>()).await;
        let ids = members.iter().map(|member| member.id()).collect();
        let all: Vec<_> = members.iter().collect();
        agree(&all, "all vote", |statuses| statuses.iter().all(|s| s.voters == ids)).await;
        let (leading, rest) = part(&leader, members);
        members = rest;
        let host = leading.host.clone();
        world.crash(leading).await;
        members.push(world.start(&host).await);
    }
    settled(&members.iter().collect::<Vec<_>>()).await;
}

/// Each round crashes the next of three nodes, the leader as often as it is its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_node_goes_down_and_a_new_identity_replaces_it_twenty_times_in_a_row() {
    let mut world = World::new(&["a", "b", "c"]);
    // A node goes soon and another votes soon, so that the next may crash soon.
    world.config.timing.view_stable_after = Duration::from_millis(100);
    world.config.timing.voter_stable_after = Duration::from_millis(100);
    let mut members = world.start_all(&["a", "b", "c"]).await;
    let mut reigns = Reigns::default();
    let mut before = settled(&members.iter().collect::<Vec<_>>()).await;
    for round in 0..20u64 {
        let victim = members.remove(0);
        let (host, old) = (victim.host.clone(), victim.id());
        reigns.record([&victim]);
        world.crash(victim).await;
        if round % 2 == 0 {
            // Half of the time the others have found out before it is back.
            agree(&members.iter().collect::<Vec<_>>(), "the crashed node is down", |statuses| {
                statuses.iter().all(|s| state_of(s, old) == Some(NodeState::Down))
            })
            .await;
        }
        let new = world.start(&host).await;
        assert_ne!(new.id(), old);
        members.push(new);
        let members: Vec<_> = members.iter().collect();
        let ids = members.iter().map(|member| member.id()).collect();
        agree(&members, "the new node votes instead of the old one", |statuses| {
            statuses.iter().all(|s| {
                alive(s) == ids && s.voters == ids && state_of(s, old) == Some(NodeState::Down)
            })
        })
        .await;
        let leader = settled(&members).await;
        members[0].add(round).await;
        assert!(leader.epoch >= before.epoch, "{leader:?} after {before:?}");
        before = leader;
    }
    reigns.record(&members);
    let written: Vec<u64> = (0..20).collect();
    for member in &members {
        assert_eq!(member.numbers_now().await, written);
    }
}
