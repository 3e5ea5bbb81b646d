//! Nodes that are lost for good, two at the same moment, and others in their places.

use std::time::Duration;

use clustron_core::simulation::NodeBug;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::Run;
use super::tally::{self, Acknowledged, Load, Tallies};
use crate::cluster::SimCluster;

/// How often two go in a run.
const ROUNDS: u64 = 5;

/// Two of five nodes without disks are killed at once, and new ones start where they were, while
/// clients count. After each round the cluster has to be whole again.
pub(super) fn run(seed: u64, bug: Option<NodeBug>) -> Run {
    tally::play(seed, SimCluster::builder(seed).nodes(5).bug(bug), async |cluster| {
        let acknowledged = Acknowledged::default();
        let mut rng = StdRng::seed_from_u64(seed ^ 0x0063_6875_726e);
        let load = Load { numbers: 15, pause: Duration::from_millis(400), ..Load::default() };
        let mut told = String::new();
        for round in 0..ROUNDS {
            let first = round * load.numbers;
            let counting = tally::count_together(cluster, load, first, &acknowledged);
            let (counted, ()) = tokio::join!(counting, two_go(cluster, &mut rng));
            counted?;
            told = tally::settle(cluster, load.clients * (first + load.numbers), &acknowledged)
                .await?;
        }
        Ok(told)
    })
}

/// The second one stays where the first is as many as the cluster can lose.
async fn two_go(cluster: &Tallies, rng: &mut StdRng) {
    let wait = async |rng: &mut StdRng, ms_max: u64| {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..ms_max))).await;
    };
    wait(rng, 1500).await;
    let mut hosts = cluster.hosts();
    hosts.shuffle(rng);
    for host in hosts.iter().take(2) {
        if cluster.can_lose(host) {
            cluster.crash(host);
        }
    }
    wait(rng, 4000).await;
    cluster.heal();
}
