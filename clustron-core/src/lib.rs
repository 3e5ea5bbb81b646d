//! Clustron core: clustering inside a service.
//!
//! The replicas of a service form the cluster themselves; there is no server to operate. The core
//! gives them an agreed [`View`] of who takes part, one leader per [`Epoch`], replicated state and
//! typed messages. Modules such as `clustron-scheduler` build on it.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use clustron_core::{Cluster, MemoryNetwork};
//! use std::time::Duration;
//!
//! // Three nodes in one process; over TCP, leave out `transport` and give real addresses.
//! let network = MemoryNetwork::new();
//! let start = |name: &'static str| {
//!     let transport = network.host(name);
//!     Cluster::builder("orders")
//!         .name(name)
//!         .transport(transport)
//!         .listen(format!("{name}:1"))
//!         .seeds(["a:1", "b:1", "c:1"])
//!         .start()
//! };
//! let (a, b, c) = tokio::try_join!(start("a"), start("b"), start("c"))?;
//!
//! // All agree on one leader.
//! let soon = Duration::from_secs(10);
//! let leader = a.wait_for_leader(soon).await.expect("three nodes see each other");
//! for node in [&a, &b, &c] {
//!     node.lead("greeter", |leadership| async move {
//!         // Runs on the leader only, and carries the epoch into whatever it commits.
//!         println!("leading in epoch {}", leadership.epoch());
//!         leadership.cancelled().await;
//!     });
//! }
//!
//! // When it leaves, another takes over, in a higher epoch.
//! let mut nodes = vec![a, b, c];
//! let at = nodes.iter().position(|n| n.node().id == leader.node).expect("one of them leads");
//! nodes.swap_remove(at).shutdown(soon).await?;
//! let next = nodes[0].wait_for(soon, |status| {
//!     status.leader.as_ref().is_some_and(|next| next.epoch > leader.epoch)
//! });
//! assert!(next.await.is_some());
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! * At most one leader per epoch. Two nodes may believe that they lead; only one can commit.
//! * A minority commits nothing, stops its leader's work, and removes nobody; its reads are stale
//!   and say how old they are.
//! * Reads are linearizable unless less is asked for: see [`Consistency`].
//! * Leader work starts after the node applied its own activation, carries the epoch, and is
//!   refused where it is applied once another leads.
//! * Nodes started together make one cluster, or wait and say what they wait for.
//! * A crashed process is down in under five seconds; a healthy one that is slow is not.
//!
//! A call that timed out is *unknown*, never *absent*: see [`Outcome`].
//!
//! Messages can pass through layers that compress them, send them again or hold back whoever is too
//! fast for its reader: see [`pipeline`].

mod bootstrap;
mod builder;
mod chance;
mod cluster;
pub mod codec;
mod collect;
mod config;
mod control;
mod cut;
mod data_dir;
mod defect;
mod describe;
mod detection;
mod discovery;
mod election;
mod error;
pub mod event_bus;
mod follow;
mod formation;
#[cfg(test)]
mod golden;
mod hand_over;
pub mod health;
mod identity;
mod late;
mod leadership;
mod local;
mod looks;
pub mod membership;
mod messaging;
mod metrics;
pub mod monitor;
mod opinion;
mod outlook;
pub mod pipeline;
mod reachability;
pub mod recovery;
mod roles;
mod security;
#[cfg(feature = "simulation")]
pub mod simulation;
mod status;
mod tasks;
mod time;
mod tolerance;
pub mod total_order;
mod transport;
mod view;
mod voter_groups;
mod voters;
mod why;

pub use builder::{ClusterBuilder, Installer, Module};
pub use cluster::{Cluster, ClusterHandle};
pub use collect::{CollectedMetrics, METRICS_BYTES_MAX, MetricsText, NodeMetrics, NotCollector};
pub use config::{Config, ConfigError, Timing};
pub use control::{
    Applied, Backlog, COMMAND_BYTES_MAX, Committed, Consistency, ProposeError, Read, Rejection,
    Replicated, ReplicatedState,
};
pub use data_dir::DataDirError;
pub use describe::DescribeError;
pub use discovery::{
    Discovery, DiscoveryError, FIND_DEADLINE, FileSeeds, Found, LOOK_AGAIN_MAX, LOOK_AGAIN_MIN,
    SEED_BYTES_MAX, SEEDS_MAX, StaticSeeds,
};
#[cfg(feature = "dns")]
pub use discovery::{DnsSeeds, SrvSeeds};
pub use error::{ShutdownError, StartError};
pub use hand_over::HandOverError;
pub use health::{Health, NotReady, Question, Reason};
pub use identity::{
    ClusterId, ClusterName, Epoch, FencingToken, Incarnation, InvalidMetadata, InvalidName,
    Metadata, NAME_BYTES_MAX, NodeId, NodeInfo, NodeName, Role, TAGS_MAX,
};
pub use late::LateCluster;
pub use leadership::Leadership;
pub use membership::{InvalidMembershipConfig, MembershipConfig};
pub use messaging::{
    HandlerOptions, InvalidTraceparent, ItemSink, Message, MessageError, OtherLayers, Outcome,
    Refusal, ReplyStream, Request, RequestOptions, Retry, SinkError, StreamOptions, StreamRequest,
    TraceContext, WhenFull,
};
pub use metrics::{Metric, MetricFamily, MetricValue, MetricsListener, MetricsSnapshot};
pub use monitor::{ClusterHealth, ClusterMonitor, NodeCondition, NodeHealth, NodeReport};
pub use opinion::{DatedEvidence, Opinion, Removal};
pub use security::{
    CLUSTER_KEYS_MAX, ClusterKey, KeyRing, KeySource, Security, SecurityError, TlsConfig,
};
pub use status::{ClusterEvent, ClusterStatus, Events};
pub use time::{Clock, InvalidTimestamp, SystemClock, Timestamp};
#[cfg(feature = "tls")]
pub use transport::TlsTransport;
pub use transport::{
    Incoming, KeyTransport, Listener, MemoryNetwork, MemoryTransport, Stream, TcpTransport,
    Transport,
};
pub use view::{Activation, NodeRecord, NodeState, View};
pub use why::Why;
