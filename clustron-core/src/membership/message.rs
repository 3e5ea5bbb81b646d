//! What nodes say to each other about who is there.

use serde::{Deserialize, Serialize};

use crate::{Incarnation, NodeId};

/// The most updates that one message carries; what a received one has beyond is not read.
pub(crate) const UPDATES_MAX: usize = 16;

/// The highest incarnation that is believed in an update. A node can only object by going one
/// higher, so a number near the end of `u64` would silence it for ever; no honest node gets here.
pub(crate) const INCARNATION_MAX: Incarnation = Incarnation(u64::MAX >> 1);

/// What a node is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum PeerState {
    /// Nothing speaks against it.
    Alive,
    /// It failed to answer, and has a while to object.
    Suspect,
    /// It did not object. Only a higher incarnation changes that.
    Down,
}

/// One piece of news: what a node is thought to be in one of its incarnations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    /// Whom it is about.
    pub(crate) node: NodeId,
    /// The incarnation that it speaks of; an older one than known is old news.
    pub(crate) incarnation: Incarnation,
    /// What that incarnation is thought to be.
    pub(crate) state: PeerState,
}

impl Update {
    /// Whether this is news to somebody who believes `incarnation` to be in `state` (the table in
    /// SWIM §4.2, with one rule more: a newer Down replaces an older one, so that a late Alive
    /// from between the two does not revive anybody).
    pub(crate) fn overrides(&self, incarnation: Incarnation, state: PeerState) -> bool {
        match (self.state, state) {
            (PeerState::Suspect, PeerState::Down) => false,
            (PeerState::Suspect, PeerState::Alive)
            | (PeerState::Down, PeerState::Alive | PeerState::Suspect) => {
                self.incarnation >= incarnation
            }
            (PeerState::Alive, PeerState::Alive | PeerState::Suspect | PeerState::Down)
            | (PeerState::Suspect, PeerState::Suspect)
            | (PeerState::Down, PeerState::Down) => self.incarnation > incarnation,
        }
    }
}

/// A message between two nodes. Everyone opens its updates with the sender's own incarnation, and
/// tells a receiver that the sender doubts so, whatever else it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// "Are you there?" Answered with an `Ack` of the same `seq`.
    Ping {
        /// The sender's number for this question.
        seq: u64,
        /// At most [`UPDATES_MAX`] pieces of news.
        updates: Vec<Update>,
    },
    /// "I am here." Answers a `Ping`, and says of a `PingRequest` that it came: even where the
    /// target stays silent, the one who asks then knows that its own ears are good.
    Ack {
        /// The number of the question that it answers.
        seq: u64,
        /// At most [`UPDATES_MAX`] pieces of news.
        updates: Vec<Update>,
    },
    /// "`target` does not answer me. Does it answer you?"
    PingRequest {
        /// The sender's number for the probe of `target`.
        seq: u64,
        /// Whom to ping.
        target: NodeId,
        /// At most [`UPDATES_MAX`] pieces of news.
        updates: Vec<Update>,
    },
    /// "It answered me." There is no opposite: silence says it.
    IndirectAck {
        /// The `seq` of the `PingRequest`.
        seq: u64,
        /// Who answered.
        target: NodeId,
        /// At most [`UPDATES_MAX`] pieces of news.
        updates: Vec<Update>,
    },
    /// News that did not wait for the next ping. Not answered.
    Gossip {
        /// At most [`UPDATES_MAX`] pieces of news.
        updates: Vec<Update>,
    },
}

impl Message {
    /// The news that it carries, and no more of it than is allowed.
    pub(crate) fn updates(&self) -> &[Update] {
        let updates = match self {
            Message::Ping { updates, .. }
            | Message::Ack { updates, .. }
            | Message::PingRequest { updates, .. }
            | Message::IndirectAck { updates, .. }
            | Message::Gossip { updates } => updates,
        };
        &updates[..updates.len().min(UPDATES_MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PeerState::{Alive, Down, Suspect};

    #[test]
    fn news_overrides_as_in_the_table_of_swim() {
        // (news, known, whether a lower, the same, a higher incarnation overrides)
        let table = [
            (Alive, Alive, [false, false, true]),
            (Alive, Suspect, [false, false, true]),
            (Alive, Down, [false, false, true]),
            (Suspect, Alive, [false, true, true]),
            (Suspect, Suspect, [false, false, true]),
            (Suspect, Down, [false, false, false]),
            (Down, Alive, [false, true, true]),
            (Down, Suspect, [false, true, true]),
            (Down, Down, [false, false, true]),
        ];
        for (news, known, expected) in table {
            let got = [4, 5, 6].map(|i| {
                let update = Update { node: NodeId(1), incarnation: Incarnation(i), state: news };
                update.overrides(Incarnation(5), known)
            });
            assert_eq!(got, expected, "{news:?} over {known:?}");
        }
    }

    #[test]
    fn a_full_message_is_small() {
        let update =
            Update { node: NodeId(u64::MAX), incarnation: Incarnation(u64::MAX), state: Down };
        let message = Message::PingRequest {
            seq: u64::MAX,
            target: NodeId(u64::MAX),
            updates: vec![update; UPDATES_MAX],
        };
        let bytes = crate::codec::encode(&message).unwrap();
        assert!(bytes.len() < 350, "{} bytes", bytes.len());
        assert_eq!(crate::codec::decode::<Message>(&bytes).unwrap(), message);
    }

    #[test]
    fn updates_beyond_the_limit_are_not_read() {
        let update = Update { node: NodeId(1), incarnation: Incarnation(1), state: Alive };
        let message = Message::Gossip { updates: vec![update; 1000] };
        assert_eq!(message.updates().len(), UPDATES_MAX);
    }
}
