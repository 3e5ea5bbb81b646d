#[cfg(feature = "simulation")]
mod restarts;

use std::path::Path;

use clustron_wal::FileDisk;

use super::{Greet, Greeting};
use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::control::fixture::founding_on_disk;
use crate::data_dir::{Calls, DataDir, GivenUp};
use crate::golden;
use crate::identity::{ClusterId, ClusterName, NodeId, NodeName};
use crate::{MemoryNetwork, StartError};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What the power left of three nodes that were founding a cluster: `knows` of them have the entry
/// that makes it real.
fn cut_off(folder: &Path, knows: usize) -> ClusterId {
    let cluster = ClusterId::mint(&Chance::seeded(1));
    let dirs = (0..).zip(NAMES).map(|(seed, name)| {
        let disk = std::sync::Arc::new(FileDisk::open(folder.join(name)).unwrap());
        let (orders, name) = (ClusterName::new("orders").unwrap(), NodeName::new(name).unwrap());
        let chance = Chance::seeded(seed);
        let dir = DataDir::open(disk, Calls::Pool, &orders, Some(&name), &chance).unwrap();
        std::sync::Arc::new(dir)
    });
    let dirs: Vec<_> = dirs.collect();
    let founders: Vec<NodeId> = dirs.iter().map(|dir| dir.identity().node).collect();
    for (at, dir) in dirs.iter().enumerate() {
        founding_on_disk(dir, cluster, &founders, at < knows);
    }
    cluster
}

async fn start_all(folder: &Path) -> Vec<Result<Cluster, StartError>> {
    let network = MemoryNetwork::new();
    let started = NAMES.map(|name| {
        let node = Cluster::builder("orders").name(name).listen(format!("{name}:1"));
        let node = node.seeds(NAMES.map(|name| format!("{name}:1"))).expect(3);
        node.data_dir(folder.join(name)).transport(network.host(name)).start()
    });
    futures::future::join_all(started).await
}

async fn cluster_of_all(folder: &Path) -> ClusterId {
    let nodes: Vec<Cluster> = start_all(folder).await.into_iter().map(Result::unwrap).collect();
    let clusters: Vec<_> = nodes.iter().map(|node| node.cluster_id().unwrap()).collect();
    assert!(clusters.iter().all(|cluster| *cluster == clusters[0]), "{clusters:?}");
    clusters[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_alone_has_kept_a_founding_starts_over_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let old = cut_off(folder.path(), 1);
    assert_ne!(cluster_of_all(folder.path()).await, old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_majority_has_kept_of_a_founding_is_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let old = cut_off(folder.path(), 2);
    assert_eq!(cluster_of_all(folder.path()).await, old);
}

#[test]
fn the_bytes_of_a_greeting_are_frozen() {
    let (cluster, node) = (golden::cluster(), golden::node());
    let greeting = Greeting {
        node: node.clone(),
        sees: [NodeId(2)].into(),
        cluster: Some((cluster, true)),
        knows: vec![node],
        given_up: vec![GivenUp { cluster, node: NodeId(3) }],
    };
    let mut table = golden::file("greet.txt");
    table.add("greet", &Greet(greeting.clone()));
    table.add("greeting", &greeting);
    table.check();
}
