//! The membership protocol under simulation: [`clustron_core::membership`] on [`sim`](crate::sim).
//!
//! A [`Swim`] is a cluster of [`Member`]s: the real machine, the real rules for what a leader makes
//! of its verdicts, and an idealised control log between them, since consensus is not what is
//! looked at here. Scenarios break things, [`predicates`] say what must hold all the while, and
//! [`converged`](predicates::converged) what must hold at the end.
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

mod cluster;
mod flaws;
mod member;
pub mod predicates;
mod registry;
pub mod scenarios;
mod sizes;

pub use cluster::{Swim, SwimOptions};
pub use flaws::{Catch, Flaw};
pub use member::{Disk, Member, Wire};
pub use registry::{Registry, Removal};
pub use sizes::Sizes;
