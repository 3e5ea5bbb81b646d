//! Clusters of nodes in this process, over TCP, and what strangers hear of them.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clustron_core::{
    Activation, Cluster, ClusterBuilder, Config, Listener, NodeId, Stream, TcpTransport, Transport,
};
use clustron_testkit::free_addrs;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything takes, however busy the machine is.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// The cluster's name: nothing that a stranger hears may have it.
pub(crate) const NAME: &str = "secret-orders";

pub(crate) struct World {
    pub(crate) addrs: Vec<SocketAddr>,
    pub(crate) nodes: Vec<(Cluster, Registry)>,
    leader: Activation,
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took more than {LONG:?}"),
    }
}

/// A node that is yet to get its security.
pub(crate) fn builder(name: &str, listen: &str, seeds: &[SocketAddr]) -> ClusterBuilder {
    let seeds = seeds.iter().map(ToString::to_string).collect();
    let config = Config { listen: listen.to_owned(), seeds, ..Config::local() };
    Cluster::builder(NAME).config(config).name(name)
}

impl World {
    /// Three nodes, to each of which `secure` gives what it needs.
    pub(crate) async fn new(secure: impl Fn(usize, ClusterBuilder) -> ClusterBuilder) -> Self {
        let addrs = free_addrs(3).unwrap();
        let starts = addrs.iter().enumerate().map(|(at, addr)| {
            let name = format!("secret-node-{at}");
            secure(at, builder(&name, &addr.to_string(), &addrs)).start()
        });
        let mut nodes = vec![];
        for started in within("the starts", join_all(starts)).await {
            let (node, mut registry) = (started.unwrap(), Registry::default());
            node.register_metrics(&mut registry);
            nodes.push((node, registry));
        }
        let leader = nodes[0].0.wait_for_leader(LONG).await.expect("a leader");
        let world = Self { addrs, nodes, leader };
        world.is_unharmed().await;
        world
    }

    /// All nodes are alive for all, follow the same leader as ever, and can commit.
    pub(crate) async fn is_unharmed(&self) {
        let ids: BTreeSet<NodeId> = self.nodes.iter().map(|(node, _)| node.node().id).collect();
        for (node, _) in &self.nodes {
            node.barrier(LONG).await.unwrap();
            let healthy = node
                .wait_for(LONG, |status| {
                    let alive: BTreeSet<NodeId> = status.view.alive().map(|n| n.id).collect();
                    ids.is_subset(&alive) && status.suspected.is_empty() && status.leader.is_some()
                })
                .await;
            let status = healthy.unwrap_or_else(|| panic!("unhealthy: {:#?}", node.status()));
            assert_eq!(status.leader.as_ref(), Some(&self.leader), "the leader changed");
        }
    }

    pub(crate) fn counted(&self, node: usize, counter: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.nodes[node].1).unwrap();
        let name = format!("clustron_core_{counter}_total ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("no {name}in\n{text}")).parse().unwrap()
    }

    /// Waits until a node has counted that many.
    pub(crate) async fn counts(&self, node: usize, counter: &str, at_least: u64) {
        within(counter, async {
            while self.counted(node, counter) < at_least {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Nothing that a stranger has heard names the cluster, its id, a node or an address.
    pub(crate) fn is_not_in(&self, heard: &[u8]) {
        let mut secrets = vec![NAME.as_bytes().to_vec()];
        for (node, _) in &self.nodes {
            let info = node.node();
            let id = node.cluster_id().expect("the node is in a cluster");
            secrets.push(info.name.to_string().into_bytes());
            secrets.push(info.addr.clone().into_bytes());
            secrets.push(id.to_string().into_bytes());
            secrets.push(clustron_core::codec::encode(&id).unwrap());
            secrets.push(clustron_core::codec::encode(&info.id).unwrap());
        }
        for secret in secrets {
            let found = heard.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "a stranger heard {:?}", String::from_utf8_lossy(&secret));
        }
    }

    /// Says some bytes to a node, and gives all that it answers until it hangs up.
    pub(crate) async fn answer(&self, node: usize, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.addrs[node]).await.unwrap();
        // The node may hang up before it has read all.
        let _ = stream.write_all(bytes).await;
        let mut heard = vec![];
        let _ = within("the node's hanging up", stream.read_to_end(&mut heard)).await;
        heard
    }
}

/// TCP that writes down all that it hears.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wiretap {
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Wiretap {
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

impl Transport for Wiretap {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move { TcpTransport.listen(addr).await }.boxed()
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move {
            let mut real = TcpTransport.connect(addr).await?;
            let (near, mut far) = tokio::io::duplex(1 << 16);
            let heard = self.heard.clone();
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(&mut far);
                let (mut real_read, mut real_write) = tokio::io::split(&mut real);
                let up = async {
                    let _ = tokio::io::copy(&mut read, &mut real_write).await;
                    let _ = real_write.shutdown().await;
                };
                let down = async {
                    let mut buffer = vec![0; 4096];
                    while let Ok(read @ 1..) = real_read.read(&mut buffer).await {
                        heard.lock().unwrap().extend_from_slice(&buffer[..read]);
                        if write.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                    let _ = write.shutdown().await;
                };
                tokio::join!(up, down);
            });
            Ok(Box::new(near) as Box<dyn Stream>)
        }
        .boxed()
    }
}
