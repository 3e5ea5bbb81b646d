//! Nodes that keep what they know, on disks that fail and in houses where the lights go out.

use std::time::Duration;

use clustron_core::Config;
use clustron_core::simulation::NodeBug;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::Run;
use super::tally::{self, Acknowledged, Load, Tallies, TallyBuilder};
use crate::cluster::{FaultKind, Nemesis, SimCluster};

/// As few as may be, so that a run has snapshots and gives entries up.
const SNAPSHOT_ENTRIES: u64 = 100;

/// How often the power of all fails in a run.
const OUTAGES: u64 = 4;

/// Every fault of the network, of clocks and of disks, while clients count.
pub(super) fn chaos(seed: u64, bug: Option<NodeBug>, nodes: usize) -> Run {
    let nemesis = Nemesis::only(FaultKind::ALL.into_iter().chain(FaultKind::DISKS));
    let load =
        Load { numbers: 60, pause: Duration::from_millis(900), leads: true, ..Load::default() };
    tally::run(seed, builder(seed, bug).nodes(nodes).nemesis(nemesis), load)
}

/// All hosts lose their power in the middle of the clients' work. After each outage the cluster has
/// to be whole again, with all that was acknowledged.
pub(super) fn power(seed: u64, bug: Option<NodeBug>) -> Run {
    tally::play(seed, builder(seed, bug), async |cluster| {
        let acknowledged = Acknowledged::default();
        let mut rng = StdRng::seed_from_u64(seed ^ 0x0070_6f77_6572);
        let load =
            Load { numbers: 30, pause: Duration::from_millis(120), leads: true, ..Load::default() };
        let mut told = String::new();
        for outage in 0..OUTAGES {
            let first = outage * load.numbers;
            let counting = tally::count_together(cluster, load, first, &acknowledged);
            let (counted, ()) = tokio::join!(counting, lights_out(cluster, &mut rng));
            counted?;
            told = tally::settle(cluster, load.clients * (first + load.numbers), &acknowledged)
                .await?;
        }
        Ok(told)
    })
}

fn builder(seed: u64, bug: Option<NodeBug>) -> TallyBuilder {
    let config = Config { snapshot_entries: SNAPSHOT_ENTRIES, ..Config::local() };
    SimCluster::builder(seed).config(config).on_disk().bug(bug)
}

/// One outage: all at once, or all processes killed. The hosts come back in any order.
async fn lights_out(cluster: &Tallies, rng: &mut StdRng) {
    let wait = async |rng: &mut StdRng, ms_max: u64| {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..ms_max))).await;
    };
    wait(rng, 2500).await;
    if rng.random_bool(0.7) {
        cluster.power_off_all();
    } else {
        cluster.hosts().iter().for_each(|host| cluster.crash(host));
    }
    wait(rng, 1000).await;
    let mut hosts = cluster.hosts();
    hosts.shuffle(rng);
    for host in hosts {
        wait(rng, 400).await;
        cluster.restart(&host);
    }
}
