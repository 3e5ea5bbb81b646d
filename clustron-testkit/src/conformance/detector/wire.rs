//! The words in which nodes of the training ground speak.

use clustron_core::membership::Observation;

/// How a node fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Running,
    /// Stopped by a signal: the host still takes in what arrives.
    Paused,
    /// The host is gone: nothing answers.
    Silent,
    /// The process is gone, its host is not: connections close, and new ones are refused.
    Refusing,
}

/// What one node takes another for, as the rest of a node would keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opinion {
    Trusted,
    Suspect,
    Down,
}

/// What a message says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    Ping { seq: u64 },
    Answer { seq: u64 },
    PingRequest { target: usize, seq: u64 },
    RequestCame,
    Relayed { origin: usize, seq: u64 },
    RelayAnswered { origin: usize, seq: u64 },
    Reached { target: usize, seq: u64 },
    Remind,
    Heartbeat,
}

/// A message, and what every message carries besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) from: usize,
    /// The life that the sender speaks for.
    pub(super) life: u64,
    /// What it holds against the receiver: the life that it doubts.
    pub(super) doubts: Option<u64>,
    pub(super) content: Content,
}

/// What is told to everybody. A life is what an incarnation is to a real node.
#[derive(Debug, Clone, Copy)]
pub(super) enum News {
    Accused { about: usize, life: u64, by: usize },
    Down { about: usize, life: u64 },
    Alive { about: usize, life: u64 },
}

/// What can happen to a node.
#[derive(Debug, Clone)]
pub(super) enum Input {
    Message(Message),
    News(News),
    Observed(Observation),
}

/// What is to happen, and when is kept beside it.
#[derive(Debug)]
pub(super) enum Event {
    Deliver { to: usize, input: Input },
    Dial { from: usize, to: usize },
    Timer { node: usize },
}
