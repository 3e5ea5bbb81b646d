//! What is done to each system, and what is seen.

use std::time::Duration;

use anyhow::ensure;

use crate::systems::{Sent, System};

/// How long a cluster may take to come together.
const WHOLE_WITHIN: Duration = Duration::from_secs(20 * 60);

/// How long it then runs before anything is measured: what joining has stirred up must settle, and
/// detectors that learn must have learnt.
const SETTLE: Duration = Duration::from_secs(120);

/// How long the quiet cluster is watched.
const QUIET: Duration = Duration::from_secs(60);

/// How long a crashed node may be kept.
const REMOVED_WITHIN: Duration = Duration::from_secs(120);

/// What is lost of all messages while it is hard.
const LOSS: f64 = 0.05;

/// One node of so many is starved of CPU while it is hard.
const ONE_IN: usize = 10;

/// What one crash showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CrashSeen {
    /// After what time no other node had the crashed one any more; `None` if some still do.
    pub(crate) removed: Option<Duration>,
    /// What a node sent in a second before, in bytes.
    pub(crate) bytes: f64,
    /// The same in messages.
    pub(crate) messages: f64,
}

/// A settled cluster is watched, then one of its nodes falls silent.
pub(crate) fn crash(system: System, nodes: usize, seed: u64) -> anyhow::Result<CrashSeen> {
    let mut cluster = system.start(nodes, seed)?;
    ensure!(cluster.until_whole(WHOLE_WITHIN)?, "not whole after {WHOLE_WITHIN:?}, seed {seed}");
    cluster.run_for(SETTLE)?;
    let before = cluster.sent();
    cluster.run_for(QUIET)?;
    let quiet = since(cluster.sent(), before);
    let each = 1.0 / (nodes as f64 * QUIET.as_secs_f64());
    // Each seed hits another phase of what goes on periodically, and another node.
    cluster.run_for(Duration::from_millis(seed * 137 % 1000))?;
    let victim = (seed as usize * 7 + 2) % nodes;
    cluster.crash(victim);
    let removed = cluster.until_removed(victim, REMOVED_WITHIN)?;
    Ok(CrashSeen {
        removed,
        bytes: quiet.bytes as f64 * each,
        messages: quiet.messages as f64 * each,
    })
}

/// A settled cluster in which nobody crashes has a hard time for so long. Gives how often a node
/// was removed.
pub(crate) fn hardship(
    system: System,
    nodes: usize,
    seed: u64,
    time: Duration,
) -> anyhow::Result<u64> {
    let mut cluster = system.start(nodes, seed)?;
    ensure!(cluster.until_whole(WHOLE_WITHIN)?, "not whole after {WHOLE_WITHIN:?}, seed {seed}");
    cluster.run_for(SETTLE)?;
    let starved: Vec<usize> = (0..nodes).step_by(ONE_IN).collect();
    let before = cluster.false_removals();
    cluster.worsen(LOSS, &starved);
    cluster.run_for(time)?;
    Ok(cluster.false_removals() - before)
}

fn since(after: Sent, before: Sent) -> Sent {
    Sent { messages: after.messages - before.messages, bytes: after.bytes - before.bytes }
}
