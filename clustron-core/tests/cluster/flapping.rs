//! What lasts only a moment changes nothing, and what lasts is over in bounded time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clustron_core::NodeState;

use crate::world::{World, agree, hosts, lasts, part, settled, state_of};

/// Something on the way refuses all connections of one node for a moment, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_connections_are_refused_for_a_moment_stays_in_the_view() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&first, members);
    let flapping = others.pop().unwrap();
    let steady = [leader.host.as_str(), others[0].host.as_str()];
    let (before, id) = (leader.view(), flapping.id());
    for _ in 0..3 {
        for host in steady {
            world.network.refuse(&flapping.host, host);
        }
        leader.until("the node is missed", |status| status.suspected.contains_key(&id)).await;
        // Long enough for the verdict, which needs two refusals within a quarter of a second, and
        // for the node to miss its leader and to ask its way back in.
        lasts(Duration::from_millis(1200)).await;
        world.heal(&flapping.host, &steady);
        leader.until("it is trusted", |status| !status.suspected.contains_key(&id)).await;
    }
    settled(&[&leader, &others[0], &flapping]).await;
    assert_eq!(leader.view().version(), before.version(), "{:#?}", leader.view());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_crash_together_go_together_after_two_seconds_and_before_five() {
    let names = ["a", "b", "c", "d", "e"];
    let world = World::new(&names);
    let members = world.start_all(&names).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&first, members);
    let gone = [others.pop().unwrap(), others.pop().unwrap()];
    let ids = [gone[0].id(), gone[1].id()];
    let crashed = Instant::now();
    // Neither waits for the end of the other.
    let [one, other] = gone;
    tokio::join!(world.crash(one), world.crash(other));
    let rest: Vec<_> = others.iter().chain([&leader]).collect();
    let down = agree(&rest, "both are down", |statuses| {
        statuses.iter().all(|s| ids.iter().all(|id| state_of(s, *id) == Some(NodeState::Down)))
    })
    .await;
    let took = crashed.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(5), "{took:?}");
    let versions: BTreeSet<u64> =
        down.iter().flat_map(|s| ids.map(|id| s.view.node(id).unwrap().since)).collect();
    assert_eq!(versions.len(), 1, "one cut, one version: {versions:?}");
}

/// A host that says nothing at all costs the suspicion, and no stabilisation on top of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_host_is_out_of_the_view_in_under_five_seconds_with_default_settings() {
    let mut world = World::new(&["a", "b", "c"]);
    world.config = clustron_core::Config { seeds: world.config.seeds, ..Default::default() };
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&first, members);
    let silent = others.pop().unwrap();
    let cut = Instant::now();
    world.cut_off(&silent.host, &[&leader.host, hosts(&others)[0]]);
    let gone = Some(NodeState::Down);
    leader.until("it is down", |status| state_of(status, silent.id()) == gone).await;
    assert!(cut.elapsed() < Duration::from_secs(5), "{:?}", cut.elapsed());
}
