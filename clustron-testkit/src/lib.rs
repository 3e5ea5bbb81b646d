//! What tests of Clustron are made of, for the project's own tests and for those of services that
//! build on it.
//!
//! A cluster is trustworthy when it keeps its promises while processes die, freeze and lose each
//! other. Cheapest is to show that in [`sim`], where nodes are plain values, time is virtual and a
//! seed decides what breaks: thousands of runs a minute, each of which can be repeated. It takes
//! services of your own, too.
//!
//! Three things are needed to show it on real processes, and they are here:
//!
//! 1. **Nodes that can be hurt.** [`Process`] starts a real program, reads what it prints, and can
//!    kill, freeze, thaw and end it. [`free_addrs`] finds ports for it to listen on. [`cpu_time`]
//!    and [`resident_bytes`] measure what an idle cluster costs.
//! 2. **A record that survives the nodes.** A [`Ledger`] is a file of JSON lines to which every run
//!    of a job appends one line. It lies outside the cluster, so it shows what really happened and
//!    not what the cluster believes.
//! 3. **Promises as predicates.** Each property in [`predicates`] is one file that reads the ledger
//!    and gives a [`Violation`] with the offending lines.
//!
//! Long before that, [`cluster`] runs the same nodes in one process and in virtual time, where a
//! seed decides which links are cut, which disks fail and who dies: thousands of bad days in the
//! time of one.
//!
//! Besides, [`conformance`] has the suite that every [`Transport`](clustron_core::Transport)
//! passes, one of your own too; [`golden`] freezes bytes, [`hostile`] gives some that mean harm.
//!
//! A test waits for what a process says, never for time to pass:
//!
//! ```
//! use std::process::Command;
//! use std::time::Duration;
//!
//! use clustron_testkit::Process;
//!
//! let mut command = Command::new("sh");
//! command.args(["-c", "echo listening on port 7101; exec tail -f /dev/null"]);
//! let mut node = Process::spawn(&mut command, "node-a")?;
//!
//! let port: u16 = node.wait_for_line(
//!     |line| line.strip_prefix("listening on port ")?.parse().ok(),
//!     Duration::from_secs(10),
//! )?;
//! assert_eq!(port, 7101);
//!
//! node.kill()?; // as `kill -9` does; dropping it does the same
//! assert!(!node.is_running());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! And afterwards the ledger is judged:
//!
//! ```
//! use clustron_testkit::{Ledger, predicates};
//!
//! // Two nodes ran the same tick, the second with a later token.
//! let line = |token, node, at| {
//!     let tick = r#""job":"bill","scheduled":"2026-11-18T11:06:40.000Z","attempt":1"#;
//!     format!("{{{tick},\"token\":{token},\"node\":\"{node}\",\"epoch\":2,\"at\":\"{at}\"}}\n")
//! };
//! let text = line(7, "a", "2026-11-18T11:06:40.012Z") + &line(9, "b", "2026-11-18T11:06:41.530Z");
//!
//! let ledger = Ledger::parse(&text)?;
//! assert!(predicates::tokens_never_fall(&ledger).is_ok());
//! let violation = predicates::no_double(&ledger).unwrap_err();
//! assert_eq!(violation.lines.len(), 2);
//! # Ok::<(), clustron_testkit::LedgerError>(())
//! ```

mod addrs;
pub mod cluster;
pub mod conformance;
pub mod golden;
pub mod hostile;
mod ledger;
mod name_server;
pub mod predicates;
mod process;
pub mod sim;
pub mod swim;
mod usage;

pub use addrs::free_addrs;
pub use ledger::{Entry, Ledger, LedgerError};
pub use name_server::{DnsMood, DnsRecord, NameServer};
pub use predicates::Violation;
pub use process::{LINE_BYTES_MAX, LINES_MAX, Mark, Process, WaitError};
pub use usage::{count_peak_anew, cpu_time, peak_resident_bytes, resident_bytes};
