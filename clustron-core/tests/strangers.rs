//! What comes over the network is not always a friend: over real TCP, garbage, hostile sizes and
//! misconfigured nodes leave a cluster as it was, and are counted.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use clustron_core::{
    Activation, Cluster, ClusterId, ClusterName, Config, Installer, Module, NodeId, NodeInfo,
    StartError, codec,
};
use clustron_testkit::free_addrs;
use futures::future::join_all;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything takes, however busy the machine is.
const LONG: Duration = Duration::from_secs(20);

/// What every connection begins with: the name of the protocol, and its version.
const PREAMBLE: &[u8] = b"CLUSTRN\x07";

/// A cluster of nodes in this process, over TCP.
struct Orders {
    addrs: Vec<SocketAddr>,
    nodes: Vec<(Cluster, Registry)>,
    leader: Activation,
}

fn config(listen: &str, seeds: &[SocketAddr]) -> Config {
    let seeds = seeds.iter().map(ToString::to_string).collect();
    Config { listen: listen.to_owned(), seeds, ..Config::local() }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took more than {LONG:?}"),
    }
}

async fn start(name: &str, config: Config) -> Result<Cluster, StartError> {
    within("a start", Cluster::builder(name).config(config).start()).await
}

impl Orders {
    async fn new(size: usize) -> Self {
        let addrs = free_addrs(size).unwrap();
        let starts = addrs.iter().map(|addr| start("orders", config(&addr.to_string(), &addrs)));
        let mut nodes = vec![];
        for started in join_all(starts).await {
            let (node, mut registry) = (started.unwrap(), Registry::default());
            node.register_metrics(&mut registry);
            nodes.push((node, registry));
        }
        let leader = nodes[0].0.wait_for_leader(LONG).await.expect("a leader");
        let orders = Self { addrs, nodes, leader };
        orders.is_unharmed().await;
        orders
    }

    fn seeds(&self, others: usize) -> Config {
        // A node that shares its seeds with nobody expects as many founders as it knows of.
        let seeds = &self.addrs[..others.min(self.addrs.len())];
        config("127.0.0.1:0", seeds)
    }

    /// All nodes are alive for all, follow the same leader as ever, and can commit.
    async fn is_unharmed(&self) {
        let ids: BTreeSet<NodeId> = self.nodes.iter().map(|(node, _)| node.node().id).collect();
        for (node, _) in &self.nodes {
            node.barrier(LONG).await.unwrap();
            let healthy = node
                .wait_for(LONG, |status| {
                    let alive: BTreeSet<NodeId> = status.view.alive().map(|n| n.id).collect();
                    alive == ids && status.suspected.is_empty() && status.leader.is_some()
                })
                .await;
            let status = healthy.unwrap_or_else(|| panic!("unhealthy: {:#?}", node.status()));
            assert_eq!(status.leader.as_ref(), Some(&self.leader), "the leader changed");
            assert!(node.ended().is_none());
        }
    }

    fn counted(&self, node: usize, counter: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.nodes[node].1).unwrap();
        let name = format!("clustron_core_{counter}_total ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("no {name}in\n{text}")).parse().unwrap()
    }

    async fn connect(&self, node: usize) -> TcpStream {
        TcpStream::connect(self.addrs[node]).await.unwrap()
    }

    /// Does to each node in turn what a stranger does, and waits until the node has hung up.
    async fn each_hangs_up_on(&self, what: &str, bytes: &[u8], counter: &str) {
        for node in 0..self.nodes.len() {
            let before = self.counted(node, counter);
            let mut stream = self.connect(node).await;
            // The node may hang up before it has read all.
            let _ = stream.write_all(bytes).await;
            within(what, hung_up(&mut stream)).await;
            drop(stream);
            self.counts_more(node, counter, before).await;
        }
    }

    /// A connection is counted just after it is closed.
    async fn counts_more(&self, node: usize, counter: &str, than: u64) {
        within(counter, async {
            while self.counted(node, counter) <= than {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// What stands before a payload of that length and checksum: both, and the checksum of both.
fn head(length: u32, checksum: u32) -> Vec<u8> {
    let both = [length.to_be_bytes(), checksum.to_be_bytes()].concat();
    [&both[..], &crc32fast::hash(&both).to_be_bytes()].concat()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&head(length, crc32fast::hash(payload))[..], payload].concat()
}

/// Reads until the other end closes, in whatever way. Gives what it said.
async fn hung_up(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = vec![];
    match stream.read_to_end(&mut heard).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_dropped_and_counted() {
    let orders = Orders::new(3).await;
    let noise: Vec<u8> =
        (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (what, bytes) in [
        ("an HTTP request", &b"GET /metrics HTTP/1.1\r\nHost: orders\r\n\r\n"[..]),
        ("noise", &noise),
        ("a hello that is no hello", &[PREAMBLE, &frame(&[1, 2, 3, 4])].concat()),
        ("an empty hello", &[PREAMBLE, &frame(&[])].concat()),
        ("a hello without checksums", &[PREAMBLE, &[0, 0, 0, 4, 1, 2, 3, 4], &noise].concat()),
        ("a hello of four GiB", &[PREAMBLE, &head(u32::MAX, 0), &noise].concat()),
        ("a hello of one MiB", &[PREAMBLE, &head(1 << 20, 0), &noise].concat()),
    ] {
        orders.each_hangs_up_on(what, bytes, "connections_dropped").await;
    }
    // These expect security, which is another misfortune.
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    orders.each_hangs_up_on("a TLS hello", tls, "handshakes_unproven").await;
    orders.each_hangs_up_on("a call with a key", b"CLUSKEY\x01 so", "handshakes_unproven").await;
    orders.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_too_little_is_dropped_in_time() {
    let orders = Orders::new(2).await;
    // All at once: each waits for the connect timeout.
    let half = [PREAMBLE, &head(256, 0), &[7; 100]].concat();
    let silences = [&b""[..], b"CLUS", PREAMBLE, &half].map(|bytes| async {
        orders.each_hangs_up_on("too little", bytes, "connections_dropped").await;
    });
    join_all(silences).await;
    // Who hangs up in the middle is dropped as well.
    let dropped = orders.counted(0, "connections_dropped");
    let mut stream = orders.connect(0).await;
    stream.write_all(&half).await.unwrap();
    drop(stream);
    orders.counts_more(0, "connections_dropped", dropped).await;
    orders.is_unharmed().await;
}

/// More than a node shakes hands with at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_says_nothing_does_no_harm() {
    let orders = Orders::new(2).await;
    let dropped = orders.counted(1, "connections_dropped");
    let over_limit = orders.counted(1, "connections_over_limit");
    let crowd = join_all((0..400).map(|_| orders.connect(1))).await;
    orders.is_unharmed().await;
    let gone = crowd.into_iter().map(|mut stream| async move { hung_up(&mut stream).await });
    within("the end of the crowd", join_all(gone)).await;
    // Those beyond what one host may have are turned away at once, before anybody waits for them.
    let turned_away = orders.counted(1, "connections_over_limit") - over_limit;
    assert!(turned_away > 0);
    orders.counts_more(1, "connections_dropped", dropped + 399 - turned_away).await;
    orders.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_version_is_refused_and_told_ours() {
    let orders = Orders::new(2).await;
    let refused = orders.counted(0, "handshakes_refused");
    let mut stream = orders.connect(0).await;
    stream.write_all(b"CLUSTRN\x63").await.unwrap();
    assert_eq!(within("the answer", hung_up(&mut stream)).await, PREAMBLE);
    orders.counts_more(0, "handshakes_refused", refused).await;
    orders.is_unharmed().await;
}

/// The hello of a peer, field by field as it is on the wire.
fn hello(node: &NodeInfo) -> Vec<u8> {
    let cluster = ClusterName::new("orders").unwrap();
    let (cluster_id, modules): (Option<ClusterId>, BTreeSet<String>) = (None, BTreeSet::new());
    // The lane is the data lane, nothing is on disk, nobody in particular is expected, nothing is
    // known of the other node's process, and there are no layers.
    let (layers, conversation) = (Vec::<(String, String)>::new(), None::<(u32, bool)>);
    let rest = (1u32, false, None::<NodeId>, None::<(u64, u64)>, layers, conversation);
    let hello = codec::encode(&(cluster, cluster_id, node, modules, rest)).unwrap();
    [PREAMBLE, &frame(&hello)].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_turns_hostile_after_its_handshake_is_dropped() {
    let orders = Orders::new(2).await;
    let stranger = NodeInfo { id: NodeId(4711), ..orders.nodes[1].0.node() };
    let mut damaged = frame(&[0, 1, b'k', 7]);
    *damaged.last_mut().unwrap() ^= 1;
    for (what, bytes) in [
        ("a frame of four GiB", head(u32::MAX, 0)),
        ("garbage", frame(&[99, 1, 2, 3])),
        ("a damaged frame", damaged),
    ] {
        let errors = orders.counted(0, "protocol_errors");
        let mut stream = orders.connect(0).await;
        stream.write_all(&hello(&stranger)).await.unwrap();
        let mut answer = [0; 20];
        within("the welcome", stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer[..8], *PREAMBLE);
        let length = answer[8..].first_chunk().unwrap();
        let mut welcome = vec![0; u32::from_be_bytes(*length) as usize];
        within("the welcome", stream.read_exact(&mut welcome)).await.unwrap();
        assert_eq!(welcome[0], 0, "the node did not welcome its peer");
        stream.write_all(&bytes).await.unwrap();
        within(what, hung_up(&mut stream)).await;
        orders.counts_more(0, "protocol_errors", errors).await;
    }
    orders.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_refused_with_both_names() {
    let orders = Orders::new(3).await;
    let refused = orders.counted(1, "handshakes_refused");
    match start("billing", orders.seeds(3)).await {
        Err(StartError::Refused(why)) => {
            assert!(why.contains("\"orders\"") && why.contains("\"billing\""), "{why}");
        }
        other => panic!("the start of a node of another cluster ended with {other:?}"),
    }
    orders.counts_more(1, "handshakes_refused", refused).await;
    orders.is_unharmed().await;
}

struct Audit;

impl Module for Audit {
    const NAME: &'static str = "audit";
    type Handle = ();

    fn install(self, _installer: &mut Installer<'_>) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_other_modules_is_refused_with_both_lists() {
    let orders = Orders::new(2).await;
    let refused = orders.counted(0, "handshakes_refused");
    let mut builder = Cluster::builder("orders").config(orders.seeds(2));
    builder.install(Audit);
    match within("the start", builder.start()).await {
        Err(StartError::Refused(why)) => {
            assert!(why.contains("{\"audit\"}") && why.contains("runs {}"), "{why}");
        }
        other => panic!("the start of a node with other modules ended with {other:?}"),
    }
    orders.counts_more(0, "handshakes_refused", refused).await;
    orders.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named() {
    let orders = Orders::new(2).await;
    let taken = orders.addrs[1].to_string();
    match start("orders", config(&taken, &orders.addrs)).await {
        Err(StartError::Listen { addr, error: source }) => {
            assert_eq!((addr, source.kind()), (taken, ErrorKind::AddrInUse));
        }
        other => panic!("the start at an address in use ended with {other:?}"),
    }
    orders.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_seed_keeps_nobody_from_forming() {
    let addrs = free_addrs(3).unwrap();
    // The last one is nobody's.
    let nodes = addrs[..2].iter().map(|addr| {
        let config = Config { expect: Some(2), ..config(&addr.to_string(), &addrs) };
        start("orders", config)
    });
    let nodes: Vec<Cluster> = join_all(nodes).await.into_iter().map(Result::unwrap).collect();
    let leader = nodes[0].wait_for_leader(LONG).await.expect("a leader");
    let same = nodes[1].wait_for(LONG, |s| s.leader.as_ref() == Some(&leader)).await;
    assert!(same.is_some());
    assert_eq!(nodes[0].cluster_id(), nodes[1].cluster_id());
    assert_eq!(nodes[0].view().alive().count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_to_which_nobody_can_connect_must_not_be_advertised() {
    match start("orders", config("0.0.0.0:0", &[])).await {
        Err(error @ StartError::Advertise { .. }) => {
            let text = error.to_string();
            assert!(text.contains("0.0.0.0:") && text.contains("`advertise`"), "{text}");
        }
        other => panic!("the start at 0.0.0.0 ended with {other:?}"),
    }
    let advertised =
        Config { advertise: Some("127.0.0.1:9".to_owned()), ..config("0.0.0.0:0", &[]) };
    let node = start("orders", advertised).await.unwrap();
    assert_eq!(node.node().addr, "127.0.0.1:9");
}
