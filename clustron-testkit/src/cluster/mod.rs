//! Whole nodes in virtual time: your service on a cluster that suffers, in one process and from one
//! seed.
//!
//! Think of a wind tunnel. The aeroplane in it is the real one: a [`SimCluster`] runs the real
//! nodes of `clustron-core`, with all their tasks, messages and consensus. Only the wind is made:
//! time passes when everybody waits ([`simulate`]), bytes travel over a [`SimNetwork`], wall clocks
//! are [`SimClock`]s, and whatever the nodes leave to chance follows from a seed. So minutes of
//! faults take a fraction of a second, and what goes wrong can be looked at again.
//!
//! Ten lines put a service of yours into it. Here it is a replicated counter:
//!
//! ```
//! # use clustron_core::{Applied, Installer, Module, Replicated, ReplicatedState};
//! # use std::time::Duration;
//! # #[derive(Default, serde::Serialize, serde::Deserialize)]
//! # struct Counter(u64);
//! # impl ReplicatedState for Counter {
//! #     type Command = u64;
//! #     type Reply = u64;
//! #     fn apply(&mut self, _at: Applied, add: u64) -> u64 { self.0 += add; self.0 }
//! # }
//! # struct CounterModule;
//! # impl Module for CounterModule {
//! #     const NAME: &'static str = "counter";
//! #     type Handle = Replicated<Counter>;
//! #     fn install(self, to: &mut Installer<'_>) -> Replicated<Counter> { to.replicate() }
//! # }
//! use clustron_testkit::cluster::{Failure, SimCluster, simulate};
//!
//! let counted: Result<(u64, u64), Failure> = simulate(7, async {
//!     let builder = SimCluster::builder(7).nodes(3).watch_state(Replicated::clone);
//!     let cluster = builder.start(|node| node.install(CounterModule)).await?;
//!     let acknowledged = cluster.under_chaos(async {
//!         let mut acknowledged = 0;
//!         for _ in 0..50 {
//!             tokio::time::sleep(Duration::from_millis(500)).await;
//!             let Some(node) = cluster.pick() else { continue };
//!             let added = node.app.propose(&1, Duration::from_secs(2)).await;
//!             acknowledged += u64::from(added.is_ok());
//!         }
//!         acknowledged
//!     });
//!     let acknowledged = acknowledged.await?;
//!     cluster.converge().await?;
//!     Ok((acknowledged, cluster.pick().expect("all run").app.read_local(|counter| counter.0)))
//! });
//! let (acknowledged, counted) = counted.unwrap_or_else(|failure| panic!("{failure}"));
//! assert!(0 < acknowledged && acknowledged <= counted && counted <= 50);
//! ```
//!
//! # What happens in it
//!
//! [`under_chaos`](SimCluster::under_chaos) does your work while a [`Nemesis`] cuts links one way
//! and both, builds bridges, kills processes, takes the power from hosts, loses and damages bytes
//! and turns clocks. At every change of any node's status each [`Predicate`] of [`predicates`]
//! looks at it. Then all faults end, and [`converge`](SimCluster::converge) wants one leader, one
//! view and an answer from every node within a minute. Whatever breaks a promise gives a
//! [`Failure`] with the seed and the story.
//!
//! To tell a story of your own, leave the nemesis out and use [`crash`](SimCluster::crash),
//! [`power_off`](SimCluster::power_off), [`cut`](SimCluster::cut),
//! [`cut_one_way`](SimCluster::cut_one_way), [`worsen`](SimCluster::worsen),
//! [`clock`](SimCluster::clock), [`mend`](SimCluster::mend) and [`heal`](SimCluster::heal).
//!
//! # Disks
//!
//! With [`SimBuilder::on_disk`] every host has a simulated disk that outlives its nodes. A node
//! that is [killed](SimCluster::crash) finds it as it was, one whose [power](SimCluster::power_off)
//! failed finds what was synced and any pieces of the rest, and both come back as who they were.
//! Disks can be [slow](SimCluster::slow_disk), [full](SimCluster::fill_disk), fail [a
//! sync](SimCluster::fail_next_sync) or [go](SimCluster::cut_disk_after) in the middle of a change,
//! be [lost](SimCluster::lose_disk), and be [put back](SimCluster::restore_old_disk) to what they
//! were before the node's latest start, with which nobody may be let in: the node has to say so
//! itself, and then its host does what an operator would, and starts a new one without that disk.
//! [`FaultKind::DISKS`] has all of that happen by itself. A node may end only because of its disk.
//!
//! An older copy than that is not tried: with one that is put back without a start in between, the
//! next start has a new number, and nobody can tell that it has forgotten something.
//!
//! # Deliberate flaws
//!
//! A simulation that finds nothing may be blind. So each [`Flaw`] is switched on in all nodes, and
//! the seeds of that one of the [`scenarios`] that is best at it must find it; `cargo xtask sim
//! --level nodes flaws` makes this table of how many it took.
//!
//! | flaw | seeds | found in | by |
//! | --- | --- | --- | --- |
//! | `VoteNotPersisted` | 1 | power | every_node_starts |
//! | `AcknowledgedBeforeSync` | 1 | power | every_node_starts |
//! | `IdentityOutlivesLog` | 1 | power | converges |
//! | `ClusterForgotten` | 1 | power | one_cluster_id |
//! | `StartNotCounted` | 1 | disks-3 | every_node_starts |
//! | `LastEntryLost` | 1 | power | reads_are_linearizable |
//! | `TruncatedEntriesReturn` | 5 | disks-3 | same_index_same_state |
//! | `SnapshotNotWritten` | 1 | power | every_node_starts |
//! | `PurgeNotNoted` | 4 | disks-5 | every_node_starts |
//! | `SnapshotAheadOfState` | 2 | power | same_index_same_state |
//! | `StateNotRestored` | 1 | power | same_index_same_state |
//! | `StaleEpochAccepted` | 1 | power | leader_work_is_fenced |
//! | `FoundedApart` | 1 | tally-3 | one_cluster_id |
//! | `VotersChangedTogether` | 1 | churn | voters_change_one_at_a_time |
//! | `HandedOnAgain` | 6 | crowds | acknowledged_once |
//!
//! # What it cannot show
//!
//! * A stopped process (`SIGSTOP`): all nodes share one thread, so none can be kept from running.
//!   Cutting a host off both ways comes near, but its node goes on thinking, and a real stopped
//!   leader wakes up not knowing that time has passed. `samples/tests/processes` stops real ones.
//! * Two threads at once: every task runs to its next `.await` undisturbed.
//! * Without [disks](SimBuilder::on_disk), a node that starts again has a fresh identity and an
//!   empty log, as in production without a data directory. That is why the nemesis then kills only
//!   what the cluster [can lose](SimCluster::can_lose).
//! * A disk that answers late holds up whoever waits for it, and no thread.
//! * Bytes that are doubled or overtake each other: TCP removes them.
//!
//! Runs repeat to the byte where [`REPEATS_EXACTLY`] is true: see [`simulate`].

mod clock;
mod failure;
mod flaws;
mod health;
mod host_disk;
mod nemesis;
mod network;
mod node;
pub mod predicates;
mod record;
pub mod scenarios;
mod sim_builder;
mod sim_cluster;
mod simulate;
mod watched;

pub use clock::SimClock;
pub use failure::Failure;
pub use flaws::{Catch, Flaw};
pub use health::Health;
pub use nemesis::{FaultKind, Nemesis};
pub use network::{Quality, SimNetwork, SimTransport};
pub use node::Node;
pub use predicates::{Moment, Predicate};
pub use sim_builder::SimBuilder;
pub use sim_cluster::{CONVERGE_WITHIN, SimCluster, WORK_MAX};
pub use simulate::{REPEATS_EXACTLY, simulate};
