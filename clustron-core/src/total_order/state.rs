//! What every node knows of ordered broadcasts: what was applied of whom, and the latest of them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{BODY_BYTES_MAX, KEPT_BYTES_MAX, KEPT_MAX, ORIGINS_MAX, UNDER_WAY_MAX};
use crate::control::{Applied, ReplicatedState};
use crate::identity::{FencingToken, NodeId};
use crate::messaging::KIND_BYTES_MAX;

/// A command of the broadcasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Command {
    /// A process begins to broadcast. It is answered with its [`Origin`]'s name.
    Open { node: NodeId },
    /// The same as often as it takes, and applied once.
    Broadcast {
        origin: FencingToken,
        /// Counts the broadcasts of the origin.
        number: u64,
        /// Nobody asks any more for those of the origin with lower numbers.
        done_below: u64,
        kind: String,
        body: Bytes,
    },
}

/// What applying a [`Command`] answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    Opened(FencingToken),
    /// It has this place, now or since an earlier try.
    Placed(FencingToken),
    /// The origin is not known any more, and with it what has been applied of it. Not applied now.
    Forgotten,
    /// Its caller has given up before this try came here. Not applied now.
    GivenUp,
    /// No node of ours sends it. Not applied.
    Refused(String),
}

/// What is known of one process that broadcasts. Its name is the token of the command that opened
/// it, so none comes twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    node: NodeId,
    /// The latest command for it.
    used: FencingToken,
    /// As in the command.
    done_below: u64,
    /// The places of the broadcasts that somebody may yet ask for again, by their numbers.
    placed: BTreeMap<u64, FencingToken>,
}

/// A broadcast as it waits for readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) place: FencingToken,
    pub(super) from: NodeId,
    kind: String,
    pub(super) body: Bytes,
}

impl Kept {
    /// More than it takes beside its texts.
    const BYTES: usize = 128;

    fn bytes(&self) -> usize {
        self.kind.len() + self.body.len() + Self::BYTES
    }
}

/// The replicated state. Like a guest book that is read by many: each reader has a bookmark of his
/// own, and of the oldest pages, once torn out, the book still knows that they were there.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Broadcasts {
    origins: BTreeMap<FencingToken, Origin>,
    /// The latest, in their order.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// The place of the last that is not kept any more.
    let_go: FencingToken,
}

/// What a reader finds behind its bookmark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next of its kind.
    Broadcast(Kept),
    /// All up to here was let go.
    Gap(FencingToken),
    /// Nothing of its kind up to here, where the book ends.
    End(FencingToken),
}

impl ReplicatedState for Broadcasts {
    type Command = Command;
    type Reply = Reply;

    fn apply(&mut self, at: Applied, command: Command) -> Reply {
        self.apply_at(at.token(), command)
    }
}

impl Broadcasts {
    fn apply_at(&mut self, at: FencingToken, command: Command) -> Reply {
        match command {
            Command::Open { node } => {
                self.open(at, node);
                Reply::Opened(at)
            }
            Command::Broadcast { origin, number, done_below, kind, body } => {
                if kind.len() > KIND_BYTES_MAX || body.len() > BODY_BYTES_MAX {
                    let (kind, body) = (kind.len(), body.len());
                    return Reply::Refused(format!("a kind of {kind} bytes and a body of {body}"));
                }
                let Some(origin) = self.origins.get_mut(&origin) else { return Reply::Forgotten };
                origin.used = at;
                let from = origin.node;
                match origin.place(at, number, done_below) {
                    Ok(()) => {
                        self.keep(Kept { place: at, from, kind, body });
                        Reply::Placed(at)
                    }
                    Err(reply) => reply,
                }
            }
        }
    }

    fn open(&mut self, at: FencingToken, node: NodeId) {
        if self.origins.len() >= ORIGINS_MAX {
            let longest_unused = self.origins.iter().min_by_key(|(_, origin)| origin.used);
            if let Some(name) = longest_unused.map(|(name, _)| *name) {
                self.origins.remove(&name);
            }
        }
        let origin = Origin { node, used: at, done_below: 0, placed: BTreeMap::new() };
        self.origins.insert(at, origin);
    }

    fn keep(&mut self, broadcast: Kept) {
        self.kept_bytes += broadcast.bytes();
        self.kept.push_back(broadcast);
        while self.kept.len() > KEPT_MAX || self.kept_bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.kept_bytes = self.kept_bytes.saturating_sub(oldest.bytes());
            self.let_go = oldest.place;
        }
    }

    /// What stands after this place for a reader of this kind.
    pub(super) fn after(&self, place: FencingToken, kind: &str) -> Next {
        if place < self.let_go {
            return Next::Gap(self.let_go);
        }
        let behind = self.kept.partition_point(|kept| kept.place <= place);
        match self.kept.range(behind..).find(|kept| kept.kind == kind) {
            Some(kept) => Next::Broadcast(kept.clone()),
            None => Next::End(self.last().max(place)),
        }
    }

    /// The place of the latest.
    pub(super) fn last(&self) -> FencingToken {
        self.kept.back().map_or(self.let_go, |kept| kept.place)
    }
}

impl Origin {
    /// Gives the broadcast with this number this place, unless it has one or may not get one.
    fn place(&mut self, at: FencingToken, number: u64, done_below: u64) -> Result<(), Reply> {
        if let Some(place) = self.placed.get(&number) {
            return Err(Reply::Placed(*place));
        }
        if number < self.done_below {
            return Err(Reply::GivenUp);
        }
        let done_below = done_below.max(self.done_below);
        if number < done_below || number - done_below >= UNDER_WAY_MAX as u64 {
            let reason = format!("number {number} while those below {done_below} are done");
            return Err(Reply::Refused(reason));
        }
        self.done_below = done_below;
        self.placed = self.placed.split_off(&done_below);
        self.placed.insert(number, at);
        Ok(())
    }
}

#[cfg(feature = "simulation")]
pub(super) mod decoders {
    use super::*;
    use crate::codec;
    use crate::control::Applied;
    use crate::identity::Epoch;
    use crate::simulation::{Decoder, pieces};

    pub(crate) const COMMAND: Decoder = Decoder::new(super::super::NAME, |bytes| {
        let _ = codec::decode::<Command>(bytes);
        let _ = codec::decode::<Reply>(bytes);
    });

    pub(crate) const STATE: Decoder = Decoder::new("a state of broadcasts, and more", |bytes| {
        let mut pieces = pieces(bytes);
        let first = pieces.next().unwrap_or_default();
        let mut state = codec::decode::<Broadcasts>(first).unwrap_or_default();
        for (index, piece) in (1..).zip(pieces) {
            if let Ok(command) = codec::decode::<Command>(piece) {
                let _ = state.apply(Applied { index, place: 0, epoch: Epoch(1) }, command);
            }
        }
    })
    .of_pieces();
}

#[cfg(test)]
mod tests;
