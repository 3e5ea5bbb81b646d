//! Three nodes that are started anew one after another while callers go on.

use std::time::Duration;

use clustron_core::{ClusterEvent, NodeId, NodeState, Role};

use crate::load::Load;
use crate::world::{LONG, Member, World, agree, alive, settled, within};

/// Waits until exactly these members vote, under one leader, and the client sees it.
async fn whole(members: &[Member], client: &Member) {
    let ids = members.iter().map(Member::id).collect();
    let everybody: Vec<&Member> = members.iter().chain([client]).collect();
    agree(&everybody, "all vote", |statuses| {
        statuses.iter().all(|s| s.voters == ids && s.tolerates == 1 && s.leader.is_some())
    })
    .await;
    settled(&everybody).await;
}

/// As an operator does it: the next one only when all is well again. Every acknowledged number is
/// there afterwards, though none of the first three processes is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_three_nodes_under_load_fails_no_call() {
    let hosts = ["a", "b", "c"];
    let mut world = World::new(&hosts);
    world.config.timing.voter_stable_after = Duration::from_millis(200);
    let mut members = world.start_all(&hosts).await;
    let client = world.start_in("client", &[Role::Client]).await;
    whole(&members, &client).await;
    let first: Vec<NodeId> = members.iter().map(Member::id).collect();
    let load = Load::start(&[&client]);
    load.until_acknowledged(20).await;
    for _ in 0..hosts.len() {
        let leaving = members.remove(0);
        let (id, host) = (leaving.id(), leaving.host.clone());
        // Beside the client, one of those that stay.
        let beside = Load::start(&[&members[0]]);
        leaving.cluster.shutdown(LONG).await.unwrap_or_else(|error| panic!("{host}: {error}"));
        members.push(world.start(&host).await);
        whole(&members, &client).await;
        let status = client.status();
        assert_eq!(status.view.node(id).map(|record| record.state), Some(NodeState::Left));
        load.until_acknowledged(20).await;
        let gap = beside.finish(&members[1]).await;
        println!("{host} was started anew: longest gap on a member that stayed {gap:?}");
    }
    assert!(first.iter().all(|id| !alive(&client.status()).contains(id)));
    let gap = load.finish(&members[0]).await;
    println!("rolling restart: longest gap {gap:?}");
    assert!(gap < Duration::from_secs(5), "a call took its whole deadline");
}

/// Without a goodbye: each identity goes in the change in which its successor gets its vote, so the
/// group is never smaller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_crash_and_start_anew_take_the_seats_of_their_identities_before() {
    let hosts = ["a", "b", "c"];
    let mut world = World::new(&hosts);
    world.config.timing.voter_stable_after = Duration::from_millis(200);
    // A full group: nobody can be let in before somebody goes.
    world.config.voters_max = 3;
    world.config.voters_min = 3;
    let mut members = world.start_all(&hosts).await;
    let client = world.start_in("client", &[Role::Client]).await;
    whole(&members, &client).await;
    let mut events = client.events();
    for _ in 0..hosts.len() {
        let crashing = members.remove(0);
        let host = crashing.host.clone();
        world.crash(crashing).await;
        members.push(world.start(&host).await);
        whole(&members, &client).await;
    }
    members[0].add(1).await;
    let seen = client.status().voters;
    let mut changes = vec![];
    within("the changes", async {
        while changes.last() != Some(&seen) {
            let event = events.next().await.expect("the client lives");
            if let ClusterEvent::VotersChanged(voters) = event {
                changes.push(voters);
            }
        }
    })
    .await;
    // While one group replaces the other, both are shown.
    assert!(changes.iter().all(|voters| (3..=4).contains(&voters.len())), "{changes:?}");
}
