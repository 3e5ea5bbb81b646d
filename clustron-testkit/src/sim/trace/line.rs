//! One line of the story.

use std::fmt;

use crate::sim::network::{Loss, Passage};
use crate::sim::time::VirtualTime;
use crate::sim::{DialOutcome, Input, NodeIndex};

/// Something that happened. Kept as a value, since most lines are never read.
pub(in crate::sim) struct Line<M> {
    pub(in crate::sim) at: VirtualTime,
    /// To whom; `None` for what concerns the whole simulation.
    pub(in crate::sim) node: Option<NodeIndex>,
    pub(in crate::sim) what: What<M>,
}

pub(in crate::sim) enum What<M> {
    Takes(Input<M>),
    Told(String),
    Sends {
        to: NodeIndex,
        message: M,
        passage: Passage,
    },
    /// A message came to the node and did not get in.
    Misses {
        from: NodeIndex,
        message: M,
        why: Loss,
    },
    Dials(NodeIndex),
    Note(String),
    /// What was done to the node or to the world.
    Fate(String),
}

impl<M: fmt::Debug> fmt::Display for Line<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        match self.node {
            Some(node) => write!(f, "{node} ")?,
            None => f.write_str("-- ")?,
        }
        match &self.what {
            What::Takes(input) => takes(f, input),
            What::Told(what) => write!(f, "is told: {what}"),
            What::Sends { to, message, passage } => {
                write!(f, "-> {to} {message:?}")?;
                sent(f, passage)
            }
            What::Misses { from, message, why } => {
                write!(f, "misses {message:?} from {from}: {why}")
            }
            What::Dials(peer) => write!(f, "dials {peer}"),
            What::Note(text) => write!(f, "notes: {text}"),
            What::Fate(text) => f.write_str(text),
        }
    }
}

fn takes<M: fmt::Debug>(f: &mut fmt::Formatter<'_>, input: &Input<M>) -> fmt::Result {
    match input {
        Input::Start => f.write_str("starts"),
        Input::Received { from, message } => write!(f, "<- {from} {message:?}"),
        Input::ConnectionLost { peer } => write!(f, "lost its connection with {peer}"),
        Input::Dialled { peer, outcome } => {
            let outcome = match outcome {
                DialOutcome::Reached => "reached",
                DialOutcome::Refused => "was refused by",
                DialOutcome::NoAnswer => "got no answer from",
            };
            write!(f, "{outcome} {peer}")
        }
        Input::Timeout => f.write_str("timeout"),
    }
}

fn sent(f: &mut fmt::Formatter<'_>, passage: &Passage) -> fmt::Result {
    match passage {
        Passage::Lost(why) => write!(f, " (lost: {why})"),
        Passage::Arrives { at, again, damaged, ordered: _ } => {
            write!(f, " (arrives {at}")?;
            if let Some(again) = again {
                write!(f, " and {again}")?;
            }
            if damaged.is_some() {
                f.write_str(", damaged")?;
            }
            f.write_str(")")
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::Cut => "the link is cut",
            Loss::Chance => "the network dropped it",
            Loss::Damaged => "damaged beyond reading",
            Loss::BufferFull => "the buffer is full",
            Loss::NobodyThere => "no process is there",
            Loss::ConnectionGone => "its connection is gone",
        })
    }
}
