//! Pings on behalf of others.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::NodeId;

/// The most that may be open at once; further requests are dropped, and the one who asked has
/// others to ask.
const RELAYS_MAX: usize = 256;

/// The pings that we sent because another node asked for them, by the number of our ping.
#[derive(Debug, Default)]
pub(super) struct Relays {
    open: BTreeMap<u64, Relay>,
}

#[derive(Debug)]
struct Relay {
    target: NodeId,
    /// Who asked, and under which number.
    origin: (NodeId, u64),
    expires: Duration,
}

impl Relays {
    /// Whether one more may be opened.
    pub(super) fn has_room(&mut self, now: Duration) -> bool {
        // Numbers rise with time, so what expires first is in front.
        while let Some(first) = self.open.first_entry()
            && first.get().expires <= now
        {
            first.remove();
        }
        self.open.len() < RELAYS_MAX
    }

    pub(super) fn insert(
        &mut self,
        seq: u64,
        target: NodeId,
        origin: (NodeId, u64),
        expires: Duration,
    ) {
        self.open.insert(seq, Relay { target, origin, expires });
    }

    /// Who asked for the ping that `from` has just answered, and under which number.
    pub(super) fn answered(&mut self, from: NodeId, seq: u64) -> Option<(NodeId, u64)> {
        self.open.get(&seq).filter(|relay| relay.target == from)?;
        self.open.remove(&seq).map(|relay| relay.origin)
    }
}
