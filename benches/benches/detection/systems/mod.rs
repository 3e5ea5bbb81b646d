//! The systems that are compared, each behind the same few verbs.
//!
//! What a cluster runs on is its own affair (our simulator, or a runtime whose clock stands still
//! until everybody waits); the scenarios see nodes by their number and virtual time.

mod chitchat;
mod foca;
mod knowledge;
mod ours;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clustron_testkit::sim::Link;

/// The lock file of the workspace: which peers were measured is read, not copied.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// How many of the first nodes a new one asks to let it in, where a system has seeds.
const SEEDS: usize = 3;

/// The network between all nodes, until it is made worse.
const LINK: fn() -> Link = Link::lan;

/// A simulated cluster of one system. Nodes are counted from zero.
pub(crate) trait Cluster {
    /// Lets so much virtual time pass.
    fn run_for(&mut self, time: Duration) -> anyhow::Result<()>;

    /// Waits until every node knows every other one. Gives whether it came to that in time.
    fn until_whole(&mut self, within: Duration) -> anyhow::Result<bool>;

    /// Takes a node's host away: nothing answers any more and nobody is told.
    fn crash(&mut self, node: usize);

    /// Waits until no other node takes `node` for a member, and gives how long that took; `None` if
    /// it was not so in time.
    fn until_removed(&mut self, node: usize, within: Duration) -> anyhow::Result<Option<Duration>>;

    /// From now on so many of all messages are lost (0 to 1), and `starved` nodes run only now and
    /// then.
    fn worsen(&mut self, loss: f64, starved: &[usize]);

    /// How often a node that runs was removed since all knew all.
    fn false_removals(&self) -> u64;

    /// What all nodes have sent since they started.
    fn sent(&self) -> Sent;
}

/// What went onto the wire, without the headers of the transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// How many messages.
    pub(crate) messages: u64,
    /// How long they were together.
    pub(crate) bytes: u64,
}

/// One system in one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// Clustron with default settings.
    Ours,
    /// foca as its authors suggest for a local network of that size.
    Foca,
    /// foca made about as fast as ours.
    FocaTuned,
    /// chitchat with its defaults.
    Chitchat,
}

impl System {
    /// All, ours first: the others are compared with it.
    pub(crate) const ALL: [System; 4] =
        [System::Ours, System::Foca, System::FocaTuned, System::Chitchat];

    /// What the table calls it.
    pub(crate) fn name(self) -> String {
        match self {
            System::Ours => format!("clustron {}", env!("CARGO_PKG_VERSION")),
            System::Foca => format!("foca {} new_lan", version_of("foca")),
            System::FocaTuned => format!("foca {} tuned", version_of("foca")),
            System::Chitchat => format!("chitchat {}", version_of("chitchat")),
        }
    }

    /// Starts a cluster.
    pub(crate) fn start(self, nodes: usize, seed: u64) -> anyhow::Result<Box<dyn Cluster>> {
        Ok(match self {
            System::Ours => Box::new(ours::OurCluster::new(nodes, seed)),
            System::Foca => Box::new(foca::FocaCluster::new(nodes, seed, foca::lan(nodes)?)),
            System::FocaTuned => Box::new(foca::FocaCluster::new(nodes, seed, foca::tuned(nodes)?)),
            System::Chitchat => Box::new(chitchat::ChitchatCluster::new(nodes, seed)?),
        })
    }
}

/// The version of a package in the lock file.
fn version_of(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"\nversion = \"");
    let found = LOCK.split_once(&name).and_then(|(_, rest)| rest.split_once('"'));
    found.map_or("?", |(version, _)| version)
}

/// Where a node listens; a peer's messages name each other so.
fn addr_of(node: usize) -> SocketAddr {
    let [.., high, low] = node.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), 7000)
}

/// Which node listens there.
fn node_at(addr: SocketAddr) -> usize {
    match addr.ip() {
        IpAddr::V4(ip) => usize::from(u16::from_be_bytes([ip.octets()[2], ip.octets()[3]])),
        IpAddr::V6(_) => usize::MAX,
    }
}
