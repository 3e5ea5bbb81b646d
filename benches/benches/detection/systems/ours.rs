//! Ours: the membership machine and the leader's rules, as the project's own scenarios run them.

use std::time::Duration;

use clustron_testkit::sim::{Crash, Link, NodeIndex, Starvation, Tracing};
use clustron_testkit::swim::{Swim, SwimOptions};

use super::{Cluster, LINK, Sent};

/// A simulated cluster of Clustron with default settings.
pub(super) struct OurCluster {
    nodes: usize,
    swim: Swim,
}

impl OurCluster {
    /// A cluster that has just been founded: all nodes begin with the same view.
    pub(super) fn new(nodes: usize, seed: u64) -> Self {
        let tracing = Tracing::off();
        let options = SwimOptions { link: LINK(), tracing, ..SwimOptions::nodes(nodes) };
        Self { nodes, swim: Swim::new(seed, options) }
    }
}

impl Cluster for OurCluster {
    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        Ok(self.swim.run_for(time)?)
    }

    fn until_whole(&mut self, within: Duration) -> anyhow::Result<bool> {
        let version = self.swim.registry().version();
        let took = self.swim.until_all(within, move |member| member.version() >= version)?;
        Ok(took.is_some())
    }

    fn crash(&mut self, node: usize) {
        self.swim.crash(NodeIndex(node), Crash::Silent);
    }

    fn until_removed(&mut self, node: usize, within: Duration) -> anyhow::Result<Option<Duration>> {
        Ok(self.swim.until_removed(NodeIndex(node), within)?)
    }

    fn worsen(&mut self, loss: f64, starved: &[usize]) {
        self.swim.sim().set_links(Link { loss, ..LINK() });
        for node in starved {
            self.swim.starve(NodeIndex(*node), Starvation::default());
        }
    }

    /// The view says who is a member, and a node is taken out of it once for all.
    fn false_removals(&self) -> u64 {
        let moment = self.swim.moment();
        let removed = self.swim.registry();
        let removed = removed.removed().iter().filter(|removal| moment.is_running(removal.node));
        removed.count() as u64
    }

    fn sent(&self) -> Sent {
        let all = (0..self.nodes).map(|node| self.swim.traffic(NodeIndex(node)));
        all.fold(Sent::default(), |sum, one| Sent {
            messages: sum.messages + one.messages_sent,
            bytes: sum.bytes + one.bytes_sent,
        })
    }
}
