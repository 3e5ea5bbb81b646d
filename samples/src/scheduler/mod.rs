//! The `scheduler` sample: jobs that run on through the death of the leader.

pub mod chaos;
pub mod demo;
mod health_page;
mod jobs;
mod ledger;
pub mod next;
pub mod node;
pub mod recover;
mod trio;
mod verdict;

pub use ledger::{LedgerWriter, attempts_path};
pub use verdict::Verdict;
