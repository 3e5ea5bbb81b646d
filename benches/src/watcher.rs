//! A node in this process that watches the measured ones: it neither votes nor can lead. A client,
//! because an observer hears of a new leader from a member, which would be measured too.

use std::collections::BTreeSet;

use anyhow::Context;
use clustron_core::{Activation, Cluster, ClusterStatus, NodeId, Role};

use crate::PATIENCE;
use crate::node::CLUSTER;
use crate::nodes::Nodes;

/// Joins the cluster of these nodes to watch it.
pub(crate) async fn watch(nodes: &Nodes) -> anyhow::Result<Cluster> {
    let builder =
        Cluster::builder(CLUSTER).name("watcher").roles([Role::Client]).seeds(nodes.addrs().iter());
    let started = tokio::time::timeout(PATIENCE, builder.start()).await;
    Ok(started.context("the watcher found no cluster")??)
}

/// Waits until exactly these nodes are the voters, all are alive, and one of them leads.
pub(crate) async fn settled(watcher: &Cluster, nodes: &Nodes) -> anyhow::Result<Activation> {
    let names: BTreeSet<&str> = nodes.processes().iter().map(|node| node.name()).collect();
    let status = watcher.wait_for(PATIENCE, |status| is_settled(status, &names)).await;
    let leader = status.and_then(|status| status.leader);
    leader.with_context(|| {
        let now = watcher.status();
        format!("{names:?} did not become the voters under a leader; it stands so: {now:?}")
    })
}

fn is_settled(status: &ClusterStatus, names: &BTreeSet<&str>) -> bool {
    let ids = status.view.alive().filter(|node| names.contains(node.name.as_str()));
    let ids: BTreeSet<NodeId> = ids.map(|node| node.id).collect();
    let leads = |leader: &Activation| ids.contains(&leader.node);
    ids.len() == names.len() && ids == status.voters && status.leader.as_ref().is_some_and(leads)
}
