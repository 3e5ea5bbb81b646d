//! Clusters with a key.

use std::path::{Path, PathBuf};

use clustron_core::{ClusterKey, KeyTransport, TcpTransport, Transport};

use crate::world::{World, builder, within};

fn write(path: &Path, keys: &[&ClusterKey]) {
    let lines: String = keys.iter().map(|key| key.to_line() + "\n").collect();
    std::fs::write(path, format!("# the cluster's keys\n{lines}")).unwrap();
}

/// The order that is documented: add the new key as the last everywhere, make it the first
/// everywhere, take the old one out everywhere. After each change of one file, every node calls
/// every other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_changed_while_three_nodes_run_and_nobody_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| ClusterKey::generate(name).unwrap());
    let files: Vec<PathBuf> = (0..3).map(|at| folder.path().join(format!("ring-{at}"))).collect();
    files.iter().for_each(|file| write(file, &[&old]));
    let transports: Vec<KeyTransport> =
        files.iter().map(|file| KeyTransport::new(TcpTransport, file.as_path()).unwrap()).collect();
    let world = World::new(|at, builder| builder.transport(transports[at].clone())).await;
    for keys in [&[&old, &new][..], &[&new, &old], &[&new]] {
        for (file, transport) in files.iter().zip(&transports) {
            write(file, keys);
            assert_eq!(transport.reload(), Ok(true));
            for caller in &transports {
                for addr in &world.addrs {
                    within("a call", caller.connect(&addr.to_string())).await.unwrap();
                }
            }
        }
    }
    world.is_unharmed().await;
    for node in 0..3 {
        assert_eq!(world.counted(node, "handshakes_unproven"), 0);
    }
    // The old key is worth nothing any more.
    let late =
        KeyTransport::new(TcpTransport, clustron_core::KeyRing::new([old]).unwrap()).unwrap();
    assert!(late.connect(&world.addrs[0].to_string()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_a_changed_key_file_by_itself_and_keeps_the_old_where_the_new_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| ClusterKey::generate(name).unwrap());
    let file = folder.path().join("ring");
    write(&file, &[&old]);
    let world = World::new(|_, builder| builder.cluster_key(file.as_path())).await;
    std::fs::write(&file, "nonsense").unwrap();
    for node in 0..3 {
        world.counts(node, "credentials_refused", 1).await;
    }
    world.is_unharmed().await;
    write(&file, &[&old, &new]);
    for node in 0..3 {
        world.counts(node, "credentials_renewed", 1).await;
    }
    // It calls with the new key; the others call it with the old one.
    let ring = clustron_core::KeyRing::new([new, old]).unwrap();
    let late = builder("late", "127.0.0.1:0", &world.addrs).cluster_key(ring);
    within("the join of a node with the new key", late.start()).await.unwrap();
    world.is_unharmed().await;
}

/// It waits, as others do who do not find their cluster, and both sides count and say it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_another_kind_of_security_or_another_key_does_not_get_in() {
    let ring = |name| clustron_core::KeyRing::new([ClusterKey::generate(name).unwrap()]).unwrap();
    let ours = ring("ours");
    let world = World::new(|_, builder| builder.cluster_key(ours.clone())).await;
    let strange = || builder("strange", "127.0.0.1:0", &world.addrs);
    for (what, node) in
        [("no security", strange()), ("another key", strange().cluster_key(ring("ours")))]
    {
        let before = world.counted(1, "handshakes_unproven");
        tokio::select! {
            biased;
            started = node.start() => panic!("a node with {what} started: {started:?}"),
            () = world.counts(1, "handshakes_unproven", before + 3) => {}
        }
        world.is_unharmed().await;
    }
    // The other way round: the cluster has no security, the node does.
    let world = World::new(|_, builder| builder).await;
    let node = builder("strange", "127.0.0.1:0", &world.addrs).cluster_key(ours);
    tokio::select! {
        biased;
        started = node.start() => panic!("a node with a key started: {started:?}"),
        () = world.counts(1, "handshakes_unproven", 3) => {}
    }
    world.is_unharmed().await;
}
