//! What seeds have found, told as stories so that it stays found.

use std::sync::Arc;
use std::time::Duration;

use clustron_core::membership::{self, News, Standing};
use clustron_core::{ClusterStatus, Incarnation, Message, Metadata, NodeId, Replicated, Role};
use clustron_testkit::cluster::scenarios::{self, Tally, TallyModule};
use clustron_testkit::cluster::{Failure, Quality, SimCluster, simulate};
use serde::{Deserialize, Serialize};

/// Each story is told with several seeds, for the nodes' own choices matter too.
const SEEDS: std::ops::Range<u64> = 1..11;

/// Longer than anything takes in a cluster that works.
const LONG: Duration = Duration::from_secs(20);

type Tallies = SimCluster<Replicated<Tally>>;

fn tell(story: impl AsyncFn(&Tallies) -> Result<(), Failure>) {
    for seed in SEEDS {
        let told = simulate(seed, async {
            let builder = SimCluster::builder(seed).watch_state(Replicated::clone);
            let cluster = builder.start(|node| node.install(TallyModule)).await?;
            story(&cluster).await?;
            cluster.heal();
            cluster.converge().await
        });
        told.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// The leader's host, and the two others.
fn cast(cluster: &Tallies) -> (String, [String; 2]) {
    let leader = cluster.leader().expect("a leader");
    let others = cluster.hosts().into_iter().filter(|host| *host != leader);
    let others: Vec<String> = others.collect();
    (leader, others.try_into().expect("two others"))
}

async fn until(
    cluster: &Tallies,
    host: &str,
    what: &str,
    wanted: impl FnMut(&ClusterStatus) -> bool,
) -> Result<(), Failure> {
    let node = cluster.node(host).expect("it runs");
    match node.wait_for(LONG, wanted).await {
        Some(_) => Ok(()),
        None => cluster.fail(what, &format!("not at {host} within {LONG:?}")),
    }
}

/// The leader loses touch, and what it takes in then makes its log longer than the other's, who
/// refuses it by then: neither could be elected, for ever. Five of the first hundred
/// runs with three nodes ended so.
#[test]
fn a_leader_out_of_touch_with_the_longest_log_does_not_block_the_cluster() {
    tell(async |cluster| {
        let (leader, [gone, deputy]) = cast(cluster);
        cluster.power_off(&gone);
        // It is heard, hears nobody, says so, and is refused after a while.
        cluster.cut_one_way(&deputy, &leader);
        let leading = cluster.node(&leader).expect("it runs");
        for number in 1..=4 {
            let unheard = leading.app.propose(&number, Duration::from_secs(1)).await;
            assert!(unheard.is_err(), "committed without a majority");
        }
        cluster.mend();
        for host in [&leader, &deputy] {
            until(cluster, host, "two of three go on", |status| status.leader.is_some()).await?;
        }
        Ok(())
    });
}

/// A follower is cut off and put out of the view, and the leader dies before it is back: the two
/// that are left are a majority of the voters. The one in the view had forgotten where the other
/// lives, and the other's log was too short. Two of four hundred
/// runs ended so.
#[test]
fn a_voter_that_is_out_of_the_view_can_still_vote() {
    tell(async |cluster| {
        let (leader, [out, stays]) = cast(cluster);
        cluster.part(std::slice::from_ref(&out), &[leader.clone(), stays.clone()]);
        let id = cluster.node(&out).expect("it runs").node().id;
        until(cluster, &stays, "it is put out", |status| !status.view.is_alive(id)).await?;
        cluster.crash(&leader);
        cluster.mend();
        for host in [&out, &stays] {
            let other = |status: &ClusterStatus| {
                status.leader.as_ref().is_some_and(|now| now.name.as_str() != leader)
            };
            until(cluster, host, "two of three go on", other).await?;
        }
        Ok(())
    });
}

/// One follower answers late, to everybody alike: no other leader would be better off, and none
/// takes its turn. There were 32 leaders in two minutes.
#[test]
fn a_node_that_is_slow_to_all_costs_no_leaders() {
    for delay in [45, 60, 80, 110] {
        let leaders = simulate(9, async {
            let cluster = SimCluster::builder(9).nodes(5).start(|_| ()).await?;
            let first = cluster.leader().expect("a leader");
            let hosts = cluster.hosts();
            let slow = hosts.iter().find(|host| **host != first).expect("five nodes");
            let node = cluster.node(&first).expect("it runs");
            let before = node.leader_history().len();
            for other in hosts.iter().filter(|host| *host != slow) {
                let delay = Duration::from_millis(delay);
                cluster.worsen(slow, other, Quality { delay, ..Quality::default() });
            }
            let never = node.wait_for(Duration::from_secs(120), |_| false).await;
            assert!(never.is_none());
            Ok(node.leader_history().len() - before)
        });
        let leaders = leaders.unwrap_or_else(|failure: Failure| panic!("{failure}"));
        assert!(leaders <= 1, "{leaders} new leaders with {delay} ms more each way");
    }
}

#[derive(Serialize, Deserialize)]
struct Gossip(membership::Message);

impl Message for Gossip {
    const KIND: &'static str = "core.membership";
}

/// What one confused node says of another that is well does not put it out, and does not change
/// what it is.
#[test]
fn hearsay_about_a_healthy_node_does_not_stand() {
    let lies: [fn(NodeId, NodeId) -> News; 3] = [
        |node, _by| News::Standing { node, incarnation: Incarnation(1), standing: Standing::Left },
        |node, by| News::Standing {
            node,
            incarnation: Incarnation(1),
            standing: Standing::Down { by },
        },
        |node, _by| {
            let tags = [("zone".to_owned(), "elsewhere".to_owned())].into();
            let metadata = Arc::new(Metadata { roles: [Role::Member].into(), tags });
            News::Metadata { node, revision: 7, metadata }
        },
    ];
    for lie in lies {
        let told = simulate(9, async {
            let cluster = SimCluster::builder(9).nodes(5).start(|_| ()).await?;
            let leader = cluster.node(&cluster.leader().expect("a leader")).expect("it runs");
            let others: Vec<_> =
                cluster.nodes().into_iter().filter(|node| node.name != leader.name).collect();
            let (liar, victim) = (&others[0], &others[1]);
            let id = victim.node().id;
            let news = vec![lie(id, liar.node().id)];
            let gossip = Gossip(membership::Message::Heartbeat { news });
            liar.send(leader.node().id, &gossip).await.expect("it is sent");
            let out = |status: &ClusterStatus| !status.view.is_alive(id);
            let gone = leader.wait_for(LONG, out).await;
            assert!(gone.is_none(), "{:?}", gone.map(|status| status.view));
            let known = leader.view().node(id).expect("it is in").info.metadata();
            assert_eq!(known, victim.node().metadata());
            assert!(victim.leader().is_some() && leader.status().voters.contains(&id));
            cluster.converge().await
        });
        told.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// A node's disk failed while the node was on its way back, and its start went on for ever.
#[test]
fn a_start_ends_when_the_disk_fails_on_the_way_back() {
    let disks = scenarios::all().into_iter().find(|scenario| scenario.name == "disks-3");
    let run = disks.expect("it is listed").run(60);
    run.outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
