//! Nodes that are lost for good the moment that somebody says that one may be lost.

use std::time::Duration;

use clustron_core::ClusterStatus;
use clustron_core::simulation::NodeBug;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::Run;
use super::tally::{self, Acknowledged, Load, Tallies};
use crate::cluster::{CONVERGE_WITHIN, Failure, SimCluster};

/// How often a node goes in a run.
const ROUNDS: u64 = 8;

/// How long there may be no leader after a loss that was said to be harmless.
const LEADER_WITHIN: Duration = Duration::from_secs(10);

/// An impatient operator restarts three nodes without disks one after the other, mostly the leader:
/// the next one as soon as any of them says that one more may fail. There must be a leader again
/// each time.
pub(super) fn run(seed: u64, bug: Option<NodeBug>) -> Run {
    tally::play(seed, SimCluster::builder(seed).nodes(3).bug(bug), async |cluster| {
        let acknowledged = Acknowledged::default();
        let mut rng = StdRng::seed_from_u64(seed ^ 0x7375_6363);
        let load = Load { numbers: 40, pause: Duration::from_millis(600), ..Load::default() };
        let counting = tally::count_together(cluster, load, 0, &acknowledged);
        let (counted, restarted) = tokio::join!(counting, restart_all(cluster, &mut rng));
        counted?;
        restarted?;
        tally::settle(cluster, load.clients * load.numbers, &acknowledged).await
    })
}

async fn restart_all(cluster: &Tallies, rng: &mut StdRng) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let nodes = cluster.nodes();
        let Some(teller) = nodes.choose(rng) else { return Ok(()) };
        let harmless = |status: &ClusterStatus| status.leader.is_some() && status.tolerates > 0;
        let Some(status) = teller.wait_for(CONVERGE_WITHIN, harmless).await else {
            return cluster.fail("converges", &format!("at {} no node may be lost", teller.name));
        };
        let leader = status.leader.map_or_else(String::new, |leader| leader.name.to_string());
        let victim = match rng.random_bool(0.7) {
            true => leader,
            false => nodes.choose(rng).map_or(leader, |node| node.name.clone()),
        };
        cluster.note(&format!("{} says that one may be lost", teller.name));
        cluster.crash(&victim);
        let lost = nodes.iter().find(|node| node.name == victim).map(|node| node.node().id);
        // Nobody can tell what he has not noticed.
        let gone = |status: &ClusterStatus| {
            let counts = |id| status.view.is_alive(id) && !status.suspected.contains_key(&id);
            status.leader.as_ref().is_some_and(|leader| leader.name.as_str() != victim)
                && !lost.is_some_and(counts)
        };
        for left in cluster.nodes() {
            if left.wait_for(LEADER_WITHIN, gone).await.is_none() {
                let detail = format!("no leader {LEADER_WITHIN:?} after {victim} was lost");
                return cluster.fail("what_is_tolerated_is_survived", &detail);
            }
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..500))).await;
        cluster.restart(&victim);
    }
    Ok(())
}
