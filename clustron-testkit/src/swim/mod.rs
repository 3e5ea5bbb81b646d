//! The membership protocol under simulation: [`clustron_core::membership`] on [`sim`](crate::sim).
//!
//! A [`Swim`] is a cluster of [`Member`]s: the real machine, the real rules for what a leader makes
//! of its verdicts, and an idealised control log between them, since consensus is not what is
//! looked at here. Scenarios break things, [`predicates`] say what must hold all the while, and
//! `converged` what must hold at the end.
//!
//! ```
//! use clustron_testkit::sim::{Crash, NodeIndex};
//! use clustron_testkit::swim::{Swim, SwimOptions};
//! use std::time::Duration;
//!
//! let mut swim = Swim::new(7, SwimOptions::nodes(10));
//! swim.run_for(Duration::from_secs(10))?;
//! swim.crash(NodeIndex(3), Crash::Silent);
//! let took = swim.until_removed(NodeIndex(3), Duration::from_secs(60))?;
//! assert!(took.is_some_and(|took| took < Duration::from_secs(5)));
//! # Ok::<(), clustron_testkit::sim::Failure>(())
//! ```
//!
//! # What it costs, at any size
//!
//! `cargo xtask sim sizes` makes this table: default settings, a network of 0.1 to 5 ms. *Removed*:
//! from the crash of a host, which says nothing, until no other node has it in its view. *Change*:
//! from a change of one node's tags until all know it. Medians, and the slowest. Bytes and messages
//! that one node sends in a second while nothing happens. A quorum of either detector has the same
//! figures.
//!
//! | detector | nodes | seeds | removed | slowest | change | slowest | bytes | messages |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | ping-pong | 3 | 12 | 3.14 s | 3.75 s | 0.10 s | 0.10 s | 67 | 4.3 |
//! | ping-pong | 10 | 12 | 3.10 s | 3.80 s | 0.23 s | 0.31 s | 67 | 4.3 |
//! | ping-pong | 100 | 12 | 3.25 s | 3.85 s | 0.41 s | 0.50 s | 67 | 4.3 |
//! | ping-pong | 1000 | 3 | 3.50 s | 3.80 s | 0.52 s | 0.56 s | 67 | 4.3 |
//! | heartbeat | 3 | 12 | 3.24 s | 3.40 s | 0.10 s | 0.10 s | 63 | 4.3 |
//! | heartbeat | 10 | 12 | 3.35 s | 3.49 s | 0.20 s | 0.31 s | 91 | 6.3 |
//! | heartbeat | 100 | 12 | 3.50 s | 3.65 s | 0.33 s | 0.46 s | 91 | 6.3 |
//! | heartbeat | 1000 | 3 | 3.55 s | 3.70 s | 0.46 s | 0.48 s | 91 | 6.3 |
//!
//! `cargo xtask sim hour --nodes N` lets an hour pass in which one node in ten is starved of CPU
//! and one message in twenty is lost, and ends at once if anybody is taken out of the view. It has
//! held with 10 nodes (eight seeds), with 100 (four, which is each detector once) and with 1,000
//! (one seed, 177 million events, some 70 minutes of real time).
//!
//! # Deliberate flaws
//!
//! A simulation that finds nothing may be blind. So each [`Flaw`] is switched on in all nodes, and
//! the seeds must find it; `cargo xtask sim flaws` makes this table of how many it took, over all
//! [`scenarios`].
//!
//! | flaw | seeds | found in | by |
//! | --- | --- | --- | --- |
//! | `ForgottenRefutation` | 1 | chaos | converge |
//! | `ReusedIncarnation` | 1 | chaos | converge |
//! | `LostTombstone` | 1 | comebacks | converge |
//! | `RevivedByOldNews` | 1 | chaos | the dead stay dead |
//! | `OldSuspicionCounts` | 1 | chaos | old news does not count |
//! | `EndlessGossip` | 1 | chaos | converge |
//! | `GossipEndsHere` | 1 | crashes | converge |
//! | `DeafToComparison` | 1 | chaos | converge |
//! | `OldMetadataWins` | 1 | changes | metadata rises |
//! | `ClearedUnheard` | 4 | chaos | everybody has time to object |
//! | `SilentGoodbye` | 1 | goodbyes | nobody healthy is removed |
//! | `ForgottenIncarnation` | 1 | chaos | incarnations rise |
//!
//! Seventeen careless failure detectors beside it, and what catches them, are in the conformance
//! suite of [`crate::conformance`].
//!
//! # What is too kind here
//!
//! The control log is agreed at once, somebody who sees everything says who leads, and all know
//! where everybody is. [`crate::cluster`] has the real ones. Nobody lies: that single lies do no
//! lasting harm is tested with the machine alone, and with whole nodes.

mod cluster;
mod flaws;
mod member;
pub mod predicates;
mod registry;
pub mod scenarios;
mod sizes;
mod wire;

pub use cluster::{Swim, SwimOptions};
pub use flaws::{Catch, Flaw};
pub use member::Member;
pub use registry::{Registry, Removal};
pub use sizes::Sizes;
pub use wire::{Disk, Wire};
