//! chitchat: it is made of tokio tasks, so its nodes run on a runtime with one thread and a paused
//! clock, which jumps ahead whenever all of them wait. Its transport is ours.
//!
//! It seeds its random source itself, so a run can not be repeated exactly.

mod network;

use std::time::Duration;

use ::chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState, ProtocolVersion,
    spawn_chitchat,
};
use clustron_testkit::sim::{Link, Starvation};
use std::collections::BTreeMap;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::Instant;

use self::network::Network;
use super::knowledge::Knowledge;
use super::{Cluster, LINK, SEEDS, Sent, addr_of, node_at};

/// How often it is looked what the nodes think. They think anew at every gossip.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A simulated cluster of chitchat.
pub(super) struct ChitchatCluster {
    runtime: Runtime,
    network: Network,
    nodes: Vec<Observer>,
    knowledge: Knowledge,
}

/// One node, and what it says about the others.
struct Observer {
    handle: ChitchatHandle,
    live: watch::Receiver<BTreeMap<ChitchatId, NodeState>>,
}

impl ChitchatCluster {
    /// All nodes start at once and know the first few as seeds.
    pub(super) fn new(nodes: usize, seed: u64) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let network = Network::new(seed, LINK());
        let observers = runtime.block_on(async {
            let mut observers = Vec::new();
            for node in 0..nodes {
                let handle = spawn_chitchat(config(node), Vec::new(), &network).await?;
                let live = handle.with_chitchat(|chitchat| chitchat.live_nodes_watcher()).await;
                observers.push(Observer { handle, live });
            }
            anyhow::Ok(observers)
        })?;
        Ok(Self { runtime, network, nodes: observers, knowledge: Knowledge::new(nodes) })
    }

    /// Runs until `done` or so much time is over. Gives how long it took, `None` if it is not done.
    fn run_until(
        &mut self,
        within: Duration,
        done: impl Fn(&Knowledge) -> bool,
    ) -> Option<Duration> {
        let Self { runtime, nodes, knowledge, .. } = self;
        runtime.block_on(async {
            let start = Instant::now();
            loop {
                for (observer, node) in nodes.iter_mut().enumerate() {
                    look(observer, node, knowledge);
                }
                let took = start.elapsed();
                if done(knowledge) {
                    return Some(took);
                }
                if took >= within {
                    return None;
                }
                tokio::time::sleep(LOOK_EVERY.min(within - took)).await;
            }
        })
    }
}

/// Enters what a node thinks if it has changed.
fn look(observer: usize, node: &mut Observer, knowledge: &mut Knowledge) {
    if !node.live.has_changed().unwrap_or(false) {
        return;
    }
    let live = node.live.borrow_and_update();
    let mut has = vec![false; knowledge.nodes()];
    for target in live.keys().map(|id| node_at(id.gossip_advertise_addr)) {
        has[target] = true;
    }
    for (target, has) in has.into_iter().enumerate() {
        knowledge.set(observer, target, has);
    }
}

/// The configuration has no default for its user; this is the one of chitchat's own tests, with the
/// later format on the wire, which is the smaller one.
fn config(node: usize) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: ChitchatId::new(format!("node-{node}"), 0, addr_of(node)),
        cluster_id: "cluster".to_owned(),
        gossip_interval: Duration::from_secs(1),
        listen_addr: addr_of(node),
        seed_nodes: (0..SEEDS).map(|seed| addr_of(seed).to_string()).collect(),
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_secs(15 * 60),
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: ProtocolVersion::V1,
    }
}

impl Cluster for ChitchatCluster {
    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        self.run_until(time, |_| false);
        Ok(())
    }

    fn until_whole(&mut self, within: Duration) -> anyhow::Result<bool> {
        Ok(self.run_until(within, Knowledge::is_whole).is_some())
    }

    fn crash(&mut self, node: usize) {
        self.nodes[node].handle.abort();
        self.network.close(addr_of(node));
        self.knowledge.crash(node);
    }

    fn until_removed(&mut self, node: usize, within: Duration) -> anyhow::Result<Option<Duration>> {
        Ok(self.run_until(within, |knowledge| knowledge.is_removed(node)))
    }

    fn worsen(&mut self, loss: f64, starved: &[usize]) {
        self.network.set_link(Link { loss, ..LINK() });
        for node in starved {
            self.network.starve(addr_of(*node), Starvation::default());
        }
    }

    fn false_removals(&self) -> u64 {
        self.knowledge.false_removals()
    }

    fn sent(&self) -> Sent {
        self.network.sent()
    }
}
