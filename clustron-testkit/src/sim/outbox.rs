//! Where a node puts what should be done.

use std::fmt;

use super::{Node, NodeIndex};

/// One thing that a node wants done.
#[derive(Debug)]
pub(super) enum Effect<M> {
    Send { to: NodeIndex, message: M },
    Dial { peer: NodeIndex },
    Note(String),
}

/// Takes a node's effects during one input. They are carried out, in their order, when
/// [`Node::handle`] returns.
pub struct Outbox<'a, N: Node> {
    pub(super) local: NodeIndex,
    pub(super) nodes: usize,
    pub(super) effects: &'a mut Vec<Effect<N::Message>>,
    pub(super) disk: &'a mut N::Disk,
    /// Whether anybody reads the notes.
    pub(super) noting: bool,
}

impl<N: Node> Outbox<'_, N> {
    /// The node whose outbox this is.
    pub fn local(&self) -> NodeIndex {
        self.local
    }

    /// How many nodes there are, up or not, this one among them.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// All other nodes, up or not.
    pub fn peers(&self) -> impl Iterator<Item = NodeIndex> + use<N> {
        let local = self.local;
        (0..self.nodes).map(NodeIndex).filter(move |node| *node != local)
    }

    /// Sends a message. It may be lost, late, doubled or overtaken, as the link is, and nobody
    /// tells.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn send(&mut self, to: NodeIndex, message: N::Message) {
        self.check(to);
        self.effects.push(Effect::Send { to, message });
    }

    /// Sends a message to all other nodes.
    pub fn broadcast(&mut self, message: &N::Message) {
        for to in self.peers() {
            self.effects.push(Effect::Send { to, message: message.clone() });
        }
    }

    /// Opens a fresh connection to find out whether a process answers there.
    /// [`Input::Dialled`](super::Input::Dialled) tells.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn dial(&mut self, peer: NodeIndex) {
        self.check(peer);
        self.effects.push(Effect::Dial { peer });
    }

    /// Puts a line into the trace. Takes `format_args!(..)`, which costs nothing while nobody
    /// traces.
    pub fn note(&mut self, text: impl fmt::Display) {
        if self.noting {
            self.effects.push(Effect::Note(text.to_string()));
        }
    }

    /// What survives a crash. Changes are safe at once.
    pub fn disk(&mut self) -> &mut N::Disk {
        self.disk
    }

    fn check(&self, node: NodeIndex) {
        assert!(
            node.0 < self.nodes,
            "{} addresses {node}, but there are only {} nodes; address n0 to n{}",
            self.local,
            self.nodes,
            self.nodes - 1
        );
    }
}
