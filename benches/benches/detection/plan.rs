//! How much of it is run: what takes long in real time is run less often.

use std::time::Duration;

use crate::systems::System;

/// How many seeds, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Seeds of the crash, from zero.
    pub(crate) crashes: u64,
    /// Seeds of the hardship, from zero.
    pub(crate) hardships: u64,
    /// How long each hardship lasts.
    pub(crate) hard_for: Duration,
}

/// What one row of the table takes; `None` where it would take too long.
pub(crate) fn plan(system: System, nodes: usize, quick: bool) -> Option<Plan> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let slow = system == System::Chitchat;
    let (crashes, hardships, hard_for) = match (nodes, quick) {
        (..=10, true) => (3, 1, minutes(if slow { 2 } else { 10 })),
        (..=10, false) => (21, 5, minutes(if slow { 10 } else { 60 })),
        (11..=100, true) => (1, 1, minutes(if slow { 1 } else { 2 })),
        (11..=100, false) => (9, 3, minutes(if slow { 10 } else { 20 })),
        // A cluster of that size that has a hard time takes minutes for each of its own.
        (101.., false) if !slow => (3, 0, minutes(0)),
        (101.., _) => return None,
    };
    Some(Plan { crashes, hardships, hard_for })
}
