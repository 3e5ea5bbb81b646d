//! What can be done to a simulated cluster does what it says.

use std::time::Duration;

use clustron_core::{Clock, NodeState};
use clustron_testkit::cluster::{
    Failure, FaultKind, Moment, Nemesis, Predicate, SimBuilder, SimCluster, simulate,
};

const LONG: Duration = Duration::from_secs(20);

async fn started(builder: SimBuilder<()>) -> SimCluster<()> {
    builder.start(|_| ()).await.unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_crashed_node_comes_back_as_another_in_a_further_life() {
    simulate(1, async {
        let cluster = started(SimCluster::builder(1)).await;
        let before = cluster.node("b").unwrap();
        cluster.crash("b");
        assert!(cluster.node("b").is_none() && before.ended().is_some());
        let id = before.node().id;
        let watcher = cluster.node("a").unwrap();
        let down = |state: Option<NodeState>| state == Some(NodeState::Down);
        let gone = watcher.wait_for(LONG, |s| down(s.view.node(id).map(|r| r.state))).await;
        assert!(gone.is_some());
        cluster.restart("b");
        cluster.converge().await.unwrap();
        let after = cluster.node("b").unwrap();
        assert_eq!((before.life, after.life), (1, 2));
        assert_ne!(after.node().id, id);
    });
}

#[test]
fn a_host_without_power_is_found_out_too_and_its_clock_goes_on() {
    simulate(2, async {
        let cluster = started(SimCluster::builder(2)).await;
        let clock = cluster.clock("c");
        clock.jump(60_000);
        let (right, wrong) = (cluster.clock("a").now(), clock.now());
        assert_eq!(wrong.saturating_since(right), Duration::from_secs(60));
        let id = cluster.node("c").unwrap().node().id;
        cluster.power_off("c");
        let put_out = |status: &clustron_core::ClusterStatus| !status.view.is_alive(id);
        assert!(cluster.node("a").unwrap().wait_for(LONG, put_out).await.is_some());
        cluster.heal();
        cluster.converge().await.unwrap();
        let node = cluster.node("c").unwrap();
        assert_eq!(node.clock().now(), clock.now());
        let ahead = clock.now().saturating_since(cluster.clock("a").now());
        assert_eq!(ahead, Duration::from_secs(60), "what it showed stays as wrong as it was");
    });
}

#[test]
fn a_cluster_without_a_majority_does_not_converge_and_says_what_lacks() {
    simulate(3, async {
        let cluster = started(SimCluster::builder(3)).await;
        cluster.part(&["a".to_owned()], &["b".to_owned(), "c".to_owned()]);
        cluster.cut("b", "c");
        let failure = cluster.converge().await.unwrap_err();
        assert_eq!((failure.seed, failure.predicate.as_str()), (3, "converges"));
        assert!(failure.to_string().starts_with("seed 3, after "), "{failure}");
        assert_eq!(cluster.check(), Err(failure), "the first failure stays");
    });
}

#[test]
fn a_cluster_that_would_not_survive_it_is_not_asked_to_lose_another() {
    simulate(4, async {
        let cluster = started(SimCluster::builder(4)).await;
        assert!(cluster.can_lose("a"));
        cluster.crash("b");
        assert!(!cluster.can_lose("a") && !cluster.can_lose("c"));
    });
}

/// Takes the first leader for the only one that there may be.
struct OneLeaderForEver(Option<u64>);

impl Predicate for OneLeaderForEver {
    fn name(&self) -> &'static str {
        "one_leader_for_ever"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(leader) = &moment.status.leader else { return Ok(()) };
        let first = *self.0.get_or_insert(leader.epoch.0);
        if first == leader.epoch.0 { Ok(()) } else { Err(format!("{first}, then {leader:?}")) }
    }
}

#[test]
fn a_broken_promise_ends_the_work_and_tells_the_story() {
    simulate(5, async {
        let builder = SimCluster::builder(5)
            .nemesis(Nemesis::only([FaultKind::Crash]).at_once(1))
            .predicate(OneLeaderForEver(None));
        let cluster = started(builder).await;
        let never: Result<(), Failure> = cluster.under_chaos(std::future::pending()).await;
        let failure = never.unwrap_err();
        assert_eq!(failure.predicate, "one_leader_for_ever");
        let crash = failure.trace.iter().any(|line| line.contains("fault: Crash"));
        assert!(
            crash && failure.trace.last().unwrap().contains("one_leader_for_ever"),
            "{failure}"
        );
    });
}
