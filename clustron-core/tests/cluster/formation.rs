//! Nodes started together make one cluster, or wait and say what they wait for (C6).

use std::collections::BTreeSet;
use std::time::Duration;

use clustron_core::{Cluster, Config, MembershipConfig, NodeId, Timing};

use crate::world::{Member, Reigns, TallyModule, World, settled, within};

fn all<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<&'a Member> {
    members.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_started_at_once_make_one_cluster_ten_times_in_a_row() {
    for _ in 0..10 {
        let world = World::new(&["a", "b", "c"]);
        let members = world.start_all(&["a", "b", "c"]).await;
        let leader = settled(&all(&members)).await;
        let ids: BTreeSet<_> = members.iter().map(|member| member.cluster_id()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let leading = members.iter().filter(|m| m.status().leading.is_some()).count();
        assert_eq!(leading, 1);
        let mut reigns = Reigns::default();
        reigns.record(&members);
        assert!(reigns.count() >= 1 && members.iter().any(|m| m.id() == leader.node));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_that_share_two_seeds_make_one_cluster() {
    let mut world = World::new(&["a", "b"]);
    world.config.expect = Some(5);
    let members = world.start_all(&["a", "b", "c", "d", "e"]).await;
    settled(&all(&members)).await;
    let ids: BTreeSet<NodeId> = members.iter().map(|member| member.id()).collect();
    for member in &members {
        member.until("five voters", |status| status.voters == ids).await;
    }
    members[3].add(1).await;
    for member in &members {
        assert_eq!(member.numbers_now().await, [1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_nodes_wait_for_the_others() {
    let world = World::new(&["a", "b", "c"]);
    let early = async {
        let early = tokio::join!(world.start("a"), world.start("b"));
        [early.0, early.1]
    };
    let mut early = Box::pin(early);
    // They must still wait after many rounds of greeting.
    let waited = tokio::time::timeout(Duration::from_millis(1500), &mut early).await;
    assert!(waited.is_err(), "two of three expected nodes founded a cluster");
    let ([a, b], c) = tokio::join!(early, world.start("c"));
    settled(&[&a, &b, &c]).await;
    assert!(a.cluster_id().is_some());
    assert_eq!((a.cluster_id(), a.cluster_id()), (b.cluster_id(), c.cluster_id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_joiners_are_let_in_and_become_voters() {
    let world = World::new(&["a", "b"]);
    let mut members = world.start_all(&["a", "b"]).await;
    settled(&all(&members)).await;
    members[0].add(1).await;
    // From two voters the group grows by one, from three by two, so that it stays odd.
    for hosts in [&["c"][..], &["d", "e"]] {
        members.extend(world.start_all(hosts).await);
        settled(&all(&members)).await;
        let ids: BTreeSet<NodeId> = members.iter().map(|member| member.id()).collect();
        for member in &members {
            member.until("all vote", |status| status.voters == ids).await;
            assert_eq!(member.numbers_now().await, [1]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_seeds_is_a_cluster_of_its_own() {
    let world = World::new(&[]);
    let alone = world.start("a").await;
    let leader = settled(&[&alone]).await;
    assert_eq!(leader.node, alone.id());
    alone.add(7).await;
    assert_eq!(alone.numbers_now().await, [7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_over_tcp_make_one_cluster() {
    let addrs = clustron_testkit::free_addrs(3).unwrap();
    let start = |at: usize| {
        let config = Config {
            listen: addrs[at].to_string(),
            seeds: addrs.iter().map(ToString::to_string).collect(),
            timing: Timing::local(),
            membership: MembershipConfig::local(),
            ..Config::default()
        };
        let mut builder = Cluster::builder("test").config(config);
        let tally = builder.install(TallyModule);
        async move {
            let cluster = within("a start", builder.start()).await.unwrap();
            Member { host: addrs_name(at), cluster, tally }
        }
    };
    let (a, b, c) = tokio::join!(start(0), start(1), start(2));
    let first = settled(&[&a, &b, &c]).await;
    c.add(3).await;
    let (leader, others) = crate::world::part(&first, vec![a, b, c]);
    drop(leader);
    let second = settled(&all(&others)).await;
    assert!(second.epoch > first.epoch);
    for member in &others {
        assert_eq!(member.numbers_now().await, [3]);
    }
}

fn addrs_name(at: usize) -> String {
    ["a", "b", "c"][at].to_owned()
}
