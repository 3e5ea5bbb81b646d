//! Putting a simulation together.

use std::time::Duration;

use super::{Link, Nemesis, Node, NodeIndex, Simulation, Skew, Tracing};

/// How many messages wait for a process that does not run, unless told otherwise.
const INBOX_MAX: usize = 1024;

/// Says what a [`Simulation`] is like. Everything but the seed and the node has a default.
#[derive(Debug)]
pub struct SimulationBuilder {
    pub(super) seed: u64,
    pub(super) nodes: usize,
    pub(super) link: Link,
    pub(super) skew: Skew,
    pub(super) nemesis: Nemesis,
    pub(super) tracing: Tracing,
    pub(super) dial_timeout: Duration,
    pub(super) inbox_max: usize,
    pub(super) repeat: Option<String>,
}

impl SimulationBuilder {
    /// Three nodes on a [local network](Link::lan). The seed decides all that is left to chance.
    pub fn new(seed: u64) -> SimulationBuilder {
        SimulationBuilder {
            seed,
            nodes: 3,
            link: Link::default(),
            skew: Skew::default(),
            nemesis: Nemesis::default(),
            tracing: Tracing::default(),
            dial_timeout: Duration::from_millis(300),
            inbox_max: INBOX_MAX,
            repeat: None,
        }
    }

    /// How many nodes. All of them start at time zero, in their order.
    pub fn nodes(self, nodes: usize) -> Self {
        SimulationBuilder { nodes, ..self }
    }

    /// How messages travel where no [`Simulation::set_link`] says otherwise.
    pub fn link(self, link: Link) -> Self {
        SimulationBuilder { link, ..self }
    }

    /// How far apart the nodes' clocks are.
    pub fn skew(self, skew: Skew) -> Self {
        SimulationBuilder { skew, ..self }
    }

    /// What [`Simulation::chaos`] breaks.
    pub fn nemesis(self, nemesis: Nemesis) -> Self {
        SimulationBuilder { nemesis, ..self }
    }

    /// What is kept of the story.
    pub fn tracing(self, tracing: Tracing) -> Self {
        SimulationBuilder { tracing, ..self }
    }

    /// After what time a dial without an answer is given up; 300 ms unless told.
    pub fn dial_timeout(self, dial_timeout: Duration) -> Self {
        SimulationBuilder { dial_timeout, ..self }
    }

    /// How many messages and dials wait for a process that is paused or starved, as in the buffer
    /// of a socket; 1,024 unless told. What comes when it is full is lost. The news of an ended
    /// connection or dial is not.
    pub fn inbox_max(self, inbox_max: usize) -> Self {
        SimulationBuilder { inbox_max, ..self }
    }

    /// The command that repeats the run, for the message of a failure.
    pub fn repeat_with(self, command: impl Into<String>) -> Self {
        SimulationBuilder { repeat: Some(command.into()), ..self }
    }

    /// Makes the nodes. `factory` is called for each start of each node with its index, a seed that
    /// differs in every life, and its disk, which is empty in the first life.
    ///
    /// # Panics
    ///
    /// When a setting has no meaning: no nodes, a probability above 1, a nemesis that contradicts
    /// itself.
    pub fn build<N: Node>(
        self,
        factory: impl FnMut(NodeIndex, u64, &mut N::Disk) -> N + 'static,
    ) -> Simulation<N> {
        assert!(self.nodes > 0, "a simulation of 0 nodes; give at least 1");
        self.nemesis.check();
        Simulation::new(self, Box::new(factory))
    }
}
