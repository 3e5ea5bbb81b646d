//! What membership costs, and how fast it is, at different sizes.

use std::time::Duration;

use clustron_core::membership::DetectorKind;

use super::{Swim, SwimOptions};
use crate::sim::{Crash, Failure, NodeIndex, Tracing};

/// For how long the quiet cluster is watched.
const QUIET: Duration = Duration::from_secs(20);

/// What was measured at one size, over several seeds: medians, and the slowest.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    /// How many nodes.
    pub nodes: usize,
    /// How many runs.
    pub seeds: u64,
    /// From the crash of a host, which says nothing, until no other node has it in its view.
    pub removed: Duration,
    /// The slowest of them.
    pub removed_max: Duration,
    /// From a change of one node's tags until all know it.
    pub changed: Duration,
    /// The slowest of them.
    pub changed_max: Duration,
    /// Bytes that one node sends in a second while nothing happens, without framing.
    pub bytes: f64,
    /// Messages that one node sends in a second while nothing happens.
    pub messages: f64,
}

impl Sizes {
    /// Measures clusters of so many nodes with this detector and otherwise default settings.
    ///
    /// # Errors
    /// A predicate did not hold.
    ///
    /// # Panics
    /// When there are fewer than two nodes or no seeds.
    pub fn measure(detector: &DetectorKind, nodes: usize, seeds: u64) -> Result<Sizes, Failure> {
        assert!(nodes > 1 && seeds > 0, "{nodes} nodes and {seeds} seeds; give 2 and 1 at least");
        let (mut removed, mut changed) = (Vec::new(), Vec::new());
        let (mut bytes, mut messages) = (Vec::new(), Vec::new());
        for seed in 0..seeds {
            let mut options = SwimOptions::nodes(nodes);
            options.config.detector = detector.clone();
            options.tracing = Tracing::off();
            let mut swim = Swim::new(seed, options);
            // Each seed meets another moment of the nodes' rounds.
            swim.run_for(Duration::from_millis(10_000 + seed * 137 % 1000))?;
            let before = sent(&swim, nodes);
            swim.run_for(QUIET)?;
            let after = sent(&swim, nodes);
            let per_node_second = nodes as f64 * QUIET.as_secs_f64();
            bytes.push((after.0 - before.0) as f64 / per_node_second);
            messages.push((after.1 - before.1) as f64 / per_node_second);
            changed.push(time_of_change(&mut swim, NodeIndex(1))?);
            let victim = NodeIndex((seed as usize * 7 + 2) % nodes);
            swim.crash(victim, Crash::Silent);
            let never = Duration::MAX;
            removed.push(swim.until_removed(victim, Duration::from_secs(60))?.unwrap_or(never));
        }
        Ok(Sizes {
            nodes,
            seeds,
            removed_max: removed.iter().max().copied().unwrap_or_default(),
            removed: median(removed, Duration::cmp),
            changed_max: changed.iter().max().copied().unwrap_or_default(),
            changed: median(changed, Duration::cmp),
            bytes: median(bytes, f64::total_cmp),
            messages: median(messages, f64::total_cmp),
        })
    }
}

fn time_of_change(swim: &mut Swim, node: NodeIndex) -> Result<Duration, Failure> {
    swim.describe_in(Duration::ZERO, node, "changed");
    let id = swim.moment().node(node).map(super::Member::id).unwrap_or_default();
    let knows = move |member: &super::Member| {
        member.machine().metadata(id).is_some_and(|(_, metadata)| !metadata.tags.is_empty())
    };
    let took = swim.until_all(Duration::from_secs(60), knows)?;
    Ok(took.unwrap_or(Duration::MAX))
}

fn sent(swim: &Swim, nodes: usize) -> (u64, u64) {
    let traffic = (0..nodes).map(|node| swim.traffic(NodeIndex(node)));
    traffic.fold((0, 0), |sum, t| (sum.0 + t.bytes_sent, sum.1 + t.messages_sent))
}

fn median<T: Copy + Default>(mut of: Vec<T>, order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> T {
    of.sort_by(order);
    of.get(of.len() / 2).copied().unwrap_or_default()
}
