//! What must hold at every moment of a run.

use std::fmt;
use std::time::Duration;

use super::host::Host;
use super::time::VirtualTime;
use super::{Node, NodeIndex};

/// What is wrong, in a sentence with the values that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl Violation {
    /// A violation with its explanation.
    pub fn new(what: impl Into<String>) -> Violation {
        Violation(what.into())
    }
}

impl From<String> for Violation {
    fn from(what: String) -> Self {
        Violation(what)
    }
}

impl From<&str> for Violation {
    fn from(what: &str) -> Self {
        Violation(what.to_owned())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A property that must hold after every input that a node has taken.
///
/// It may remember what it saw. Look at [`Moment::touched`] alone where that is enough: a thousand
/// nodes times a million events are too many to look at.
pub trait Predicate<N: Node> {
    /// Its name, in words that say what holds.
    fn name(&self) -> &str;

    /// Looks at the nodes as they are now.
    ///
    /// # Errors
    ///
    /// The property does not hold. The run ends.
    fn check(&mut self, moment: &Moment<'_, N>) -> Result<(), Violation>;
}

/// A closure as a predicate.
pub(super) struct Named<F> {
    pub(super) name: String,
    pub(super) check: F,
}

impl<N: Node, F: FnMut(&Moment<'_, N>) -> Result<(), Violation>> Predicate<N> for Named<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&mut self, moment: &Moment<'_, N>) -> Result<(), Violation> {
        (self.check)(moment)
    }
}

/// All nodes at one moment.
pub struct Moment<'a, N: Node> {
    pub(super) now: VirtualTime,
    pub(super) touched: Option<NodeIndex>,
    pub(super) hosts: &'a [Host<N>],
}

impl<'a, N: Node> Moment<'a, N> {
    /// The virtual time since the simulation began, which no node knows.
    pub fn now(&self) -> Duration {
        self.now.since_start()
    }

    /// The node that has just taken an input. `None` where the moment is not that of an input.
    pub fn touched(&self) -> Option<(NodeIndex, &'a N)> {
        let index = self.touched?;
        Some((index, self.node(index)?))
    }

    /// How many nodes there are, up or not.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are no nodes at all.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// A node, `None` while it is crashed.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn node(&self, index: NodeIndex) -> Option<&'a N> {
        self.hosts[index.0].node.as_ref()
    }

    /// All nodes that are not crashed; paused and starved ones are among them.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIndex, &'a N)> + use<'a, N> {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter_map(|(at, host)| Some((NodeIndex(at), host.node.as_ref()?)))
    }

    /// What is on a node's disk, crashed or not.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn disk(&self, index: NodeIndex) -> &'a N::Disk {
        &self.hosts[index.0].disk
    }

    /// What a node's own clock shows.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn clock(&self, index: NodeIndex) -> Duration {
        self.hosts[index.0].clock.read(self.now)
    }

    /// Whether a node takes inputs as they come: it is not crashed, paused or starved.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn is_running(&self, index: NodeIndex) -> bool {
        self.hosts[index.0].is_running()
    }
}

impl<N: Node> Clone for Moment<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N: Node> Copy for Moment<'_, N> {}
