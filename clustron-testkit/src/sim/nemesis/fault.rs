//! What can break.

use std::fmt;
use std::time::Duration;

use crate::sim::{Crash, NodeIndex, Partition, Restart, Weather};

/// A kind of fault that a [`Nemesis`](crate::sim::Nemesis) may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultKind {
    /// One node is cut off from all others.
    Isolate,
    /// Half of the nodes are cut off from the other half.
    Halves,
    /// Two halves that only one node still reaches, both of them.
    Bridge,
    /// Some nodes are not heard by the others, which they still hear.
    OneWay,
    /// Two nodes cannot reach each other and reach all others.
    OneLink,
    /// A process stands still, shorter than the nemesis' `pause_threshold`.
    ShortPause,
    /// A process stands still for longer than that.
    LongPause,
    /// A process runs only now and then.
    Starve,
    /// A process ends, with its host or without, and starts again with its disk.
    CrashWithDisk,
    /// A process ends, with its host or without, and starts again with an empty disk.
    CrashWithoutDisk,
    /// All processes end at once and start again with their disks.
    CrashAll,
    /// Messages are lost.
    Loss,
    /// Messages arrive twice.
    Duplication,
    /// Messages arrive late and overtake each other.
    Delay,
    /// Messages' bytes are damaged.
    Corruption,
    /// A node's clock is set forward.
    ClockForward,
    /// A node's clock is set back. Not among the defaults: a monotonic clock never does that.
    ClockBack,
    /// A node's clock runs fast or slow for a while.
    ClockDrift,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [FaultKind; 18] = [
        FaultKind::Isolate,
        FaultKind::Halves,
        FaultKind::Bridge,
        FaultKind::OneWay,
        FaultKind::OneLink,
        FaultKind::ShortPause,
        FaultKind::LongPause,
        FaultKind::Starve,
        FaultKind::CrashWithDisk,
        FaultKind::CrashWithoutDisk,
        FaultKind::CrashAll,
        FaultKind::Loss,
        FaultKind::Duplication,
        FaultKind::Delay,
        FaultKind::Corruption,
        FaultKind::ClockForward,
        FaultKind::ClockBack,
        FaultKind::ClockDrift,
    ];
}

/// One fault, drawn.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sim) enum Fault {
    Partition(Partition),
    Weather(Weather),
    Pause(NodeIndex),
    Starve(NodeIndex),
    Crash {
        nodes: Vec<NodeIndex>,
        crash: Crash,
        restart: Restart,
    },
    /// Over as soon as it has happened.
    ClockJump {
        node: NodeIndex,
        by: Duration,
        forward: bool,
    },
    Drift {
        node: NodeIndex,
        drift_ppm: i32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Partition(partition) => write!(f, "partition {partition}"),
            Fault::Weather(weather) => write!(f, "{weather:?}"),
            Fault::Pause(node) => write!(f, "pause of {node}"),
            Fault::Starve(node) => write!(f, "starvation of {node}"),
            Fault::Crash { nodes, .. } => {
                f.write_str("crash of")?;
                nodes.iter().try_for_each(|node| write!(f, " {node}"))
            }
            Fault::ClockJump { node, .. } => write!(f, "clock jump of {node}"),
            Fault::Drift { node, .. } => write!(f, "clock drift of {node}"),
        }
    }
}
