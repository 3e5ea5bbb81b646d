//! The machine on which one node runs: its process, its disk, its clock and what waits for it.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::clock::Clock;
use super::network::Traffic;
use super::time::VirtualTime;
use super::{DialOutcome, Node, NodeIndex, Outbox};

/// What a crash looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The host is gone too: nothing answers, and no connection closes.
    Silent,
    /// The process is gone and its host is not: its connections close, and dials are refused.
    Refusing,
}

/// What a node finds when it starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// The disk as the crash left it. To put an old one there, change
    /// [`Simulation::disk_mut`](super::Simulation::disk_mut) before.
    WithDisk,
    /// A new, empty disk: [`Default`].
    WithoutDisk,
}

/// How a starved process runs: it stands still, then takes a few inputs, and stands still again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starvation {
    /// How long it stands still each time, drawn from here.
    pub gap: Range<Duration>,
    /// How many inputs it takes in between. More than this wait for the next time.
    pub inputs_per_slice: usize,
}

impl Default for Starvation {
    /// 5 to 400 ms, then 20 inputs.
    fn default() -> Self {
        Starvation {
            gap: Duration::from_millis(5)..Duration::from_millis(400),
            inputs_per_slice: 20,
        }
    }
}

/// A command that a script gives a node.
pub(super) type Command<N> = Box<dyn FnOnce(&mut N, Duration, &mut Outbox<'_, N>)>;

/// What comes to a process from outside and waits while it does not run.
pub(super) enum Arrival<N: Node> {
    Start,
    Received {
        from: NodeIndex,
        message: N::Message,
    },
    ConnectionLost {
        peer: NodeIndex,
    },
    /// Somebody dials; the number is that of the dial.
    DialRequest {
        dial: u64,
    },
    DialDone {
        peer: NodeIndex,
        outcome: DialOutcome,
    },
    Told {
        what: String,
        command: Command<N>,
    },
}

impl<N: Node> Arrival<N> {
    /// Whether it is lost where the buffer is full. What peers send is; the rest is bounded by the
    /// node's own connections and dials and by the script, and a kernel does not lose it.
    pub(super) fn needs_room(&self) -> bool {
        matches!(self, Arrival::Received { .. } | Arrival::DialRequest { .. })
    }
}

pub(super) enum Process {
    Running,
    Paused,
    /// With the number of its next slice, so that one of an earlier starvation is not taken for it.
    Starved {
        starvation: Starvation,
        slice: u64,
    },
    Crashed(Crash),
}

pub(super) struct Host<N: Node> {
    /// `None` while crashed.
    pub(super) node: Option<N>,
    pub(super) process: Process,
    /// Counts the starts: what belongs to an earlier life is not for this one.
    pub(super) life: u32,
    pub(super) disk: N::Disk,
    pub(super) clock: Clock,
    /// The rate with which the clock began, for when faults end.
    pub(super) first_drift_ppm: i32,
    /// Where the timer event that counts stands in the queue. Others are of no meaning any more.
    pub(super) timer: Option<VirtualTime>,
    /// The moment of the last timeouts, and how many there were.
    pub(super) timeouts: (VirtualTime, u32),
    /// At most the simulation's `inbox_max`, and what does not [need room](Arrival::needs_room).
    pub(super) inbox: VecDeque<Arrival<N>>,
    pub(super) traffic: Traffic,
}

impl<N: Node> Host<N> {
    pub(super) fn new(clock: Clock) -> Self {
        Host {
            node: None,
            process: Process::Crashed(Crash::Silent),
            life: 0,
            disk: N::Disk::default(),
            clock,
            first_drift_ppm: clock.drift_ppm(),
            timer: None,
            timeouts: (VirtualTime::ZERO, 0),
            inbox: VecDeque::new(),
            traffic: Traffic::default(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.process, Process::Running)
    }

    pub(super) fn is_crashed(&self) -> bool {
        matches!(self.process, Process::Crashed(_))
    }

    /// Whether the node's own clock shows the time that it waits for.
    pub(super) fn is_due(&self, now: VirtualTime) -> bool {
        let due = self.node.as_ref().and_then(N::next_timeout);
        due.is_some_and(|due| self.clock.read(now) >= due)
    }
}
