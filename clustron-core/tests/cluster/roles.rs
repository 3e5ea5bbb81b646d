//! What each role sees and may do.

use std::collections::BTreeSet;
use std::time::Duration;

use clustron_core::{
    Cluster, ClusterEvent, ClusterStatus, Config, NodeState, Outcome, ProposeError, Role,
    StartError,
};

use futures::FutureExt;

use crate::world::{
    LONG, Member, TallyModule, World, address, agree, alive, describe, hosts, part, settled,
    state_of, within,
};

const THREE: [&str; 3] = ["a", "b", "c"];

async fn three() -> (World, Vec<Member>) {
    let mut world = World::new(&THREE);
    // Whoever may vote does so soon, so that who does not may not.
    world.config.timing.voter_stable_after = Duration::from_millis(100);
    let members = world.start_all(&THREE).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    (world, members)
}

async fn until(
    cluster: &Cluster,
    what: &str,
    wanted: impl FnMut(&ClusterStatus) -> bool,
) -> ClusterStatus {
    match cluster.wait_for(LONG, wanted).await {
        Some(status) => status,
        None => panic!("{what} did not come about: {}", describe(&cluster.status())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_vote_clients_learn_and_observers_do_neither() {
    let (world, mut members) = three().await;
    let custom = Role::Custom("edge".to_owned());
    let client = world.start_in("client", &[Role::Client]).await;
    let edge = world.start_in("edge", std::slice::from_ref(&custom)).await;
    let observer = world.start_as("observer", &[Role::Observer, custom]).await;
    let collector = world.start_as("collector", &[Role::MetricsCollector]).await;
    let both = world.start_in("both", &[Role::Member, Role::Observer]).await;
    members.push(both);
    members.push(world.start("e").await);
    let voters: BTreeSet<_> = members.iter().map(|member| member.id()).collect();
    let learners = BTreeSet::from([client.id(), edge.id()]);
    let watchers = [observer.node().id, collector.node().id];
    let everybody = voters.iter().chain(&learners).chain(&watchers).copied().collect();
    agree(&members.iter().chain([&client, &edge]).collect::<Vec<_>>(), "the roles", |statuses| {
        statuses
            .iter()
            .all(|s| s.voters == voters && s.learners == learners && alive(s) == everybody)
    })
    .await;
    for watcher in [&observer, &collector] {
        let told = |s: &ClusterStatus| s.voters == voters && alive(s) == everybody;
        let status = until(watcher, "the same at the watchers", told).await;
        assert!(status.learners.is_empty());
        let attached = status.attached.expect("it was told by somebody");
        assert!(voters.contains(&attached));
        assert!(status.suspected.is_empty());
    }
    assert_eq!(members[0].status().attached, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_sees_joins_leaders_crashes_and_departures() {
    let (world, members) = three().await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let observer = world.start_as("observer", &[Role::Observer]).await;
    let mut events = observer.events();
    let mut seen = vec![];
    let mut next = async |what: &str, wanted: &dyn Fn(&ClusterEvent) -> bool| {
        within(what, async {
            loop {
                let event = events.next().await.expect("the node lives");
                seen.push(event.clone());
                if wanted(&event) {
                    return;
                }
            }
        })
        .await;
    };
    let status = until(&observer, "the leader", |s| s.leader == Some(first.clone())).await;
    // Whoever follows the log may be a moment behind whoever the observer was told by.
    members[0].until("the observer's view", |s| s.view == status.view).await;
    assert_eq!(observer.leader_history(), members[0].leader_history());

    let new = world.start("d").await;
    let id = new.id();
    next("a join", &|e| matches!(e, ClusterEvent::NodeJoined(node) if node.id == id)).await;
    new.cluster.shutdown(LONG).await.unwrap();
    next("a departure", &|e| matches!(e, ClusterEvent::NodeLeft(node) if node.id == id)).await;

    let (leader, others) = part(&first, members);
    let gone = first.node;
    world.crash(leader).await;
    next("a leader", &|e| matches!(e, ClusterEvent::LeaderElected(l) if l.epoch > first.epoch))
        .await;
    next("a crash", &|e| matches!(e, ClusterEvent::NodeDown { node, .. } if node.id == gone)).await;
    let second = settled_with(&others, &observer).await;
    assert!(second > first.epoch.0);
    let new = world.start("e").await;
    let voters: BTreeSet<_> = others.iter().chain([&new]).map(|member| member.id()).collect();
    next("new voters", &|e| matches!(e, ClusterEvent::VotersChanged(now) if *now == voters)).await;
    let suspicion = |e: &ClusterEvent| {
        matches!(e, ClusterEvent::NodeSuspected { .. } | ClusterEvent::NodeTrusted(_))
    };
    assert!(!seen.iter().any(suspicion), "{seen:?}");
}

/// Waits until the members and the observer agree on all that is agreed. Gives the epoch.
async fn settled_with(members: &[Member], observer: &Cluster) -> u64 {
    let wanted: BTreeSet<_> =
        members.iter().map(|member| member.id()).chain([observer.node().id]).collect();
    let all: Vec<_> = members.iter().collect();
    let statuses = agree(&all, "one leader and one view", |statuses| {
        statuses
            .iter()
            .all(|s| s.leader.is_some() && s.leader == statuses[0].leader && alive(s) == wanted)
    })
    .await;
    let told = |s: &ClusterStatus| s.leader == statuses[0].leader && alive(s) == wanted;
    let status = until(observer, "the same at the observer", told).await;
    status.leader.map(|leader| leader.epoch.0).expect("it was waited for")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_cannot_reach_its_member_goes_to_another_and_loses_no_leader() {
    let (world, members) = three().await;
    let observer = world.start_as("observer", &[Role::Observer]).await;
    settled_with(&members, &observer).await;
    let attached = until(&observer, "a member", |s| s.attached.is_some()).await.attached;
    let mut events = observer.events();
    // Nothing answers and nothing breaks: only time tells.
    let silent = members.iter().find(|member| Some(member.id()) == attached).unwrap();
    world.cut_off("observer", &[silent.host.as_str()]);
    let elsewhere = |s: &ClusterStatus| s.attached.is_some() && s.attached != attached;
    until(&observer, "another member", elsewhere).await;
    let id = world.start("e").await.id();
    within("a join", async {
        loop {
            match events.next().await.expect("the node lives") {
                ClusterEvent::NodeJoined(node) if node.id == id => return,
                ClusterEvent::LeaderLost(epoch) => panic!("epoch {epoch} was lost"),
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_survives_the_crash_of_every_member_that_it_hangs_on_to() {
    let (world, mut members) = three().await;
    let observer = world.start_as("observer", &[Role::Observer]).await;
    for round in 0..4 {
        let epoch = settled_with(&members, &observer).await;
        let status = until(&observer, "a member", |s| s.attached.is_some()).await;
        let at = members.iter().position(|member| Some(member.id()) == status.attached).unwrap();
        let crashing = members.remove(at);
        let (id, host) = (crashing.id(), crashing.host.clone());
        world.crash(crashing).await;
        members.push(world.start(&host).await);
        let down = |s: &ClusterStatus| state_of(s, id) == Some(NodeState::Down);
        until(&observer, "the crash", down).await;
        assert!(settled_with(&members, &observer).await >= epoch, "round {round}");
        // The next crash must leave a majority.
        let ids: BTreeSet<_> = members.iter().map(|member| member.id()).collect();
        until(&observer, "three voters", |s| s.voters == ids).await;
    }
    assert_eq!(observer.view(), members[0].view());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_is_cut_off_loses_the_leader_and_finds_its_way_back() {
    let (world, members) = three().await;
    let observer = world.start_as("observer", &[Role::Observer]).await;
    settled_with(&members, &observer).await;
    world.cut_off("observer", &THREE);
    let lost = until(&observer, "a lost leader", |s| s.leader.is_none()).await;
    assert_eq!(lost.attached, None);
    // What it knew it still knows.
    assert_eq!(alive(&lost).len(), 4);
    let id = observer.node().id;
    let all: Vec<_> = members.iter().collect();
    agree(&all, "it is down", |statuses| {
        statuses.iter().all(|s| state_of(s, id) == Some(NodeState::Down))
    })
    .await;
    world.heal("observer", &THREE);
    settled_with(&members, &observer).await;
    assert!(observer.node().incarnation.0 > 1, "it came back from down as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_do_not_all_hang_on_to_the_leader_that_let_them_in() {
    let (world, members) = three().await;
    let hosts: Vec<String> = (0..16).map(|at| format!("o{at}")).collect();
    let starts = hosts.iter().map(|host| world.start_as(host, &[Role::Observer]));
    let observers = futures::future::join_all(starts).await;
    // That chance alone gives all of them to one member: once in ten million runs.
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    within("a spread over the members", async {
        loop {
            looks.tick().await;
            let attached = observers.iter().filter_map(|observer| observer.status().attached);
            if attached.collect::<BTreeSet<_>>().len() > 1 {
                return;
            }
        }
    })
    .await;
    let id = world.start("d").await.id();
    for observer in &observers {
        until(observer, "the new member", |s| s.view.is_alive(id)).await;
    }
    drop(members);
}

/// How many suspicions a node has come to, whether it shows them or not.
fn suspicions(cluster: &Cluster) -> u64 {
    let text = cluster.metrics_text();
    let line = text.lines().find_map(|line| line.strip_prefix("clustron_core_suspicions_total "));
    line.and_then(|count| count.parse().ok()).expect("it is always counted")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspicions_are_events_at_members_and_clients_and_nowhere_else() {
    let (world, members) = three().await;
    let client = world.start_in("client", &[Role::Client]).await;
    let observer = world.start_as("observer", &[Role::Observer]).await;
    let collector = world.start_as("collector", &[Role::MetricsCollector]).await;
    let everybody = |s: &ClusterStatus| s.view.alive().count() == 6 && s.leader.is_some();
    let cut_off = [("client", &client.cluster), ("observer", &observer), ("collector", &collector)];
    for (_, node) in cut_off {
        until(node, "everybody", everybody).await;
    }
    let mut events: Vec<_> = cut_off.iter().map(|(_, node)| node.events()).collect();
    for (host, _) in cut_off {
        world.cut_off(host, &THREE);
    }
    let ids: BTreeSet<_> = members.iter().map(|member| member.id()).collect();
    client.until("suspicions", |s| ids.iter().all(|id| s.suspected.contains_key(id))).await;
    for node in [&observer, &collector] {
        let lost = |s: &ClusterStatus| s.leader.is_none() && suspicions(node) >= 3;
        let status = until(node, "as many suspicions, unseen", lost).await;
        assert_eq!(status.suspected.len(), 0);
    }
    for (host, _) in cut_off {
        world.heal(host, &THREE);
    }
    for (_, node) in cut_off {
        until(node, "the way back", everybody).await;
    }
    // At the client both come, in this order; the others have lived through as much by then.
    let mut at_client = events.remove(0);
    within("a suspicion and the end of it", async {
        let mut suspected = false;
        loop {
            match at_client.next().await.expect("the node lives") {
                ClusterEvent::NodeSuspected { .. } => suspected = true,
                ClusterEvent::NodeTrusted(_) if suspected => return,
                _ => {}
            }
        }
    })
    .await;
    for mut events in events {
        while let Some(Some(event)) = events.next().now_or_never() {
            let suspicion =
                matches!(event, ClusterEvent::NodeSuspected { .. } | ClusterEvent::NodeTrusted(_));
            assert!(!suspicion, "{event:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_whose_members_are_all_gone_loses_the_leader_and_lives_on() {
    let mut world = World::new(&["a"]);
    world.config.expect = Some(1);
    world.config.seeds.clear();
    let alone = world.start("a").await;
    settled(&[&alone]).await;
    world.config.seeds = vec![address("a")];
    let observer = world.start_as("observer", &[Role::Observer]).await;
    until(&observer, "the leader", |s| s.leader.is_some()).await;
    let mut events = observer.events();
    world.crash(alone).await;
    let is_lost = |event: &ClusterEvent| matches!(event, ClusterEvent::LeaderLost(_));
    within("the loss", async { while !is_lost(&events.next().await.expect("it lives")) {} }).await;
    // A cluster of the same name at the same address is another one.
    world.config.seeds.clear();
    let other = world.start("a").await;
    settled(&[&other]).await;
    let joined = observer.wait_for(Duration::from_secs(2), |s| s.leader.is_some()).await;
    assert!(joined.is_none(), "two clusters merged");
    assert!(observer.ended().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_proposes_and_reads_and_never_votes() {
    let (world, members) = three().await;
    members[0].add(1).await;
    let client = world.start_in("client", &[Role::Client]).await;
    assert_eq!(client.numbers_now().await, [1]);
    client.add(2).await;
    assert_eq!(members[0].numbers_now().await, [1, 2]);
    let mut events = client.events();
    // With one voter gone the client is no replacement.
    let leader = settled(&members.iter().chain([&client]).collect::<Vec<_>>()).await;
    let (_leader, mut others) = part(&leader, members);
    let crashed = others.pop().unwrap();
    let gone = crashed.id();
    world.crash(crashed).await;
    let is_suspicion =
        |e: &ClusterEvent| matches!(e, ClusterEvent::NodeSuspected { node, .. } if *node == gone);
    let is_down =
        |e: &ClusterEvent| matches!(e, ClusterEvent::NodeDown { node, .. } if node.id == gone);
    within("a suspicion or a crash", async {
        loop {
            let event = events.next().await.expect("it lives");
            if is_suspicion(&event) || is_down(&event) {
                return;
            }
        }
    })
    .await;
    client.add(3).await;
    let status = client.until("down", |s| state_of(s, gone) == Some(NodeState::Down)).await;
    assert!(!status.voters.contains(&client.id()), "{}", describe(&status));
}

/// A client may run fewer modules than the members: here none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_part_of_the_modules_follows_and_leaves_in_order() {
    let (world, members) = three().await;
    members[0].add(1).await;
    let client = world.start_as("client", &[Role::Client]).await;
    members[0].add(2).await;
    client.barrier(LONG).await.unwrap();
    assert!(client.applied_index() > 0);
    let id = client.node().id;
    client.shutdown(LONG).await.unwrap();
    members[0].until("it left", |s| state_of(s, id) == Some(NodeState::Left)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_refuses_what_needs_the_log_and_leaves_in_order() {
    let (world, members) = three().await;
    let observer = world.start_as("observer", &[Role::Observer]).await;
    let error = observer.barrier(LONG).await.expect_err("it has nothing to wait for");
    assert!(matches!(error, ProposeError::NoLog { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.to_string().contains("observer"), "{error}");

    let config =
        Config { listen: address("d"), roles: [Role::Observer].into(), ..world.config.clone() };
    let mut builder = Cluster::builder("test").config(config).transport(world.network.host("d"));
    let tally = builder.install(TallyModule);
    let error = builder.start().await.expect_err("its module cannot work");
    assert!(matches!(error, StartError::NoLog { .. }), "{error}");
    for part in ["\"tally\"", "observer", "role client"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(tally.propose(&1, LONG).await.is_err());

    let id = observer.node().id;
    observer.shutdown(LONG).await.unwrap();
    members[0].until("it left", |s| state_of(s, id) == Some(NodeState::Left)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_and_observers_that_start_first_wait_for_members_and_join_them() {
    let world = World::new(&THREE);
    let early = async {
        tokio::join!(
            world.start_in("client", &[Role::Client]),
            world.start_as("observer", &[Role::Observer]),
            world.start_as("collector", &[Role::MetricsCollector]),
        )
    };
    let mut early = Box::pin(early);
    // Three nodes that see each other, but no member among them.
    let waited = tokio::time::timeout(Duration::from_millis(1500), &mut early).await;
    assert!(waited.is_err(), "nodes that are no members founded a cluster");
    let ((client, observer, collector), members) = tokio::join!(early, world.start_all(&THREE));
    let ids: BTreeSet<_> = members
        .iter()
        .chain([&client])
        .map(|m| m.cluster_id())
        .chain([observer.cluster_id(), collector.cluster_id()])
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let voters: BTreeSet<_> = members.iter().map(|member| member.id()).collect();
    let status = until(&observer, "the founders vote", |s| s.voters == voters).await;
    assert_eq!(status.voters.len(), 3, "{}", describe(&status));
    assert_eq!(hosts(&members), THREE);
}

/// Installs the tally where the members have nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_module_that_the_members_lack_is_refused() {
    let mut world = World::new(&[]);
    let member = world.start_as("a", &[Role::Member]).await;
    world.config.seeds = vec![address("a")];
    let config =
        Config { listen: address("d"), roles: [Role::Client].into(), ..world.config.clone() };
    let mut builder = Cluster::builder("test").config(config).transport(world.network.host("d"));
    builder.install(TallyModule);
    let error = within("the refusal", builder.start()).await.expect_err("nobody would answer it");
    assert!(matches!(error, StartError::Refused(_)), "{error}");
    assert!(error.to_string().contains("at d:1) runs [\"tally\"]"), "{error}");
    assert_eq!(member.view().alive().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_may_not_found_must_know_another() {
    let builder = Cluster::builder("test").roles([Role::Observer]);
    let error = builder.start().await.expect_err("it would wait for ever").to_string();
    assert!(error.contains("seeds") && error.contains("name at least one"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_only_seed_is_an_observer_finds_its_way_to_the_leader() {
    let (mut world, mut members) = three().await;
    let observer = world.start_as("observer", &[Role::Observer]).await;
    settled_with(&members, &observer).await;
    world.config.seeds = vec![address("observer")];
    let new = world.start("d").await;
    assert_eq!(new.cluster_id(), observer.cluster_id());
    members.push(new);
    settled_with(&members, &observer).await;
}
