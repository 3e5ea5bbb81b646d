//! The health of all nodes at one.

use clustron_core::{ClusterHealth, ClusterMonitor, NodeCondition, NodeState, Role};

use crate::world::{World, within};

async fn until(
    monitor: &ClusterMonitor,
    what: &str,
    mut wanted: impl FnMut(&ClusterHealth) -> bool,
) -> ClusterHealth {
    let mut watch = monitor.watch();
    let found = within(what, watch.wait_for(|health| wanted(health))).await;
    let health = found.expect("the collector has not ended").clone();
    ClusterHealth::clone(&health)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_shows_every_node_with_its_lag_and_one_that_is_cut_off_as_silent() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let collector = world.start_as("m", &[Role::MetricsCollector]).await;
    let ids: Vec<_> = members.iter().map(|member| member.id()).collect();
    let error = members[0].monitor().unwrap_err().to_string();
    assert!(error.contains("metrics-collector"), "{error}");

    let monitor = collector.monitor().expect("it has the role");
    let well = until(&monitor, "four nodes that are well", |health| {
        health.nodes.len() == 4 && health.is_well()
    })
    .await;
    for (id, member) in ids.iter().zip(&members) {
        let node = &well.nodes[id];
        assert_eq!(node.info.name.as_str(), member.host);
        assert_eq!((node.state, node.votes), (NodeState::Alive, true));
        let report = node.report.as_ref().expect("it has reported");
        assert!(report.applied > 0 && report.health.is_ready(), "{report:?}");
        assert!(report.round_trip > std::time::Duration::ZERO);
    }
    assert_eq!(well.tolerates, 1);
    let leader = well.leader.as_ref().expect("one leads").node;
    assert!(well.nodes[&leader].leads);

    // Nobody but the collector has lost it.
    world.cut_off("m", &["c"]);
    let id = ids[2];
    let cut = until(&monitor, "the silence", |health| {
        health.nodes.get(&id).is_some_and(|node| node.condition == NodeCondition::Silent)
    })
    .await;
    let node = &cut.nodes[&id];
    assert_eq!(node.state, NodeState::Alive, "the others reach it");
    assert!(node.error.is_some() && node.report.is_some(), "{node:?}");
    assert!(!cut.is_well());
    let table = cut.to_string();
    assert!(table.contains("silent") && table.contains("c: does not answer: "), "{table}");
    let age = |health: &ClusterHealth| health.nodes[&id].report.as_ref().map(|it| it.age);
    let before = age(&monitor.now());
    until(&monitor, "an older report", |health| age(health) > before).await;

    world.heal("m", &["c"]);
    until(&monitor, "the answer", |health| {
        health.nodes.get(&id).is_some_and(|node| node.condition == NodeCondition::Ready)
    })
    .await;
    crash_of_the_third(&world, members, &monitor).await;
}

/// One that crashes is down in the view, and so on the board.
async fn crash_of_the_third(
    world: &World,
    mut members: Vec<crate::world::Member>,
    monitor: &ClusterMonitor,
) {
    let crashed = members.pop().expect("three members");
    let id = crashed.id();
    world.crash(crashed).await;
    let health = until(monitor, "the end of c", |health| {
        health.nodes.get(&id).is_some_and(|node| node.condition == NodeCondition::Down)
    })
    .await;
    assert_eq!(health.nodes[&id].report, None);
    assert_eq!(health.in_condition(NodeCondition::Down).count(), 1);
}
