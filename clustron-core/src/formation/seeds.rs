//! The seed addresses, and who was found at each.

use std::collections::{BTreeMap, BTreeSet};

use crate::discovery::Addresses;
use crate::identity::NodeId;
use crate::messaging::{DialError, HandshakeError, Hello, Messenger, Refusal};

/// What became of a seed address.
enum Seed {
    /// Who lives there, and where that node says that it is reached.
    Node {
        id: NodeId,
        addr: String,
    },
    /// It is this node's own address.
    Itself,
    Failed {
        reason: String,
        refusal: Option<Refusal>,
    },
}

/// See the module's documentation.
pub(super) struct Seeds {
    addresses: Addresses,
    turn: usize,
    met: BTreeMap<String, Seed>,
}

impl Seeds {
    /// Nobody has been met yet.
    pub(super) fn new(addresses: Addresses) -> Self {
        Self { addresses, turn: 0, met: BTreeMap::new() }
    }

    /// Finds out who lives where that is not known yet, at the addresses that are known now.
    pub(super) async fn meet(&mut self, messenger: &Messenger) {
        if self.addresses.may_change() {
            let now = self.addresses.now();
            let now: BTreeSet<&String> = now.iter().collect();
            self.met.retain(|addr, _| now.contains(addr));
        }
        let mut turn = self.turn;
        let unknown = self.addresses.some(&mut turn, |addr| !self.is_known(addr, messenger));
        self.turn = turn;
        let introductions = unknown.iter().map(|addr| messenger.introduce(addr));
        let introduced = futures::future::join_all(introductions).await;
        for (addr, result) in unknown.into_iter().zip(introduced) {
            let seed = outcome(&addr, result);
            self.met.insert(addr, seed);
        }
    }

    /// Forgets whom it has met: by now another may live there.
    pub(super) fn forget(&mut self) {
        self.met.clear();
    }

    /// Whether it is clear who lives at an address. Where a node has moved, another may live there.
    fn is_known(&self, addr: &str, messenger: &Messenger) -> bool {
        match self.met.get(addr) {
            Some(Seed::Itself) => true,
            Some(Seed::Node { id, addr }) => messenger.address(*id).is_none_or(|now| now == *addr),
            Some(Seed::Failed { .. }) | None => false,
        }
    }

    /// The nodes that were met.
    pub(super) fn nodes(&self) -> BTreeSet<NodeId> {
        let nodes = self.met.values().filter_map(|seed| match seed {
            Seed::Node { id, .. } => Some(*id),
            Seed::Itself | Seed::Failed { .. } => None,
        });
        nodes.collect()
    }

    /// A node that was met does not answer any more.
    pub(super) fn lose(&mut self, node: NodeId) {
        self.met.retain(|_, seed| !matches!(seed, Seed::Node { id, .. } if *id == node));
    }

    /// Why nodes refuse to talk to this one.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.met.values().filter_map(|seed| match seed {
            Seed::Failed { refusal, .. } => refusal.as_ref(),
            Seed::Node { .. } | Seed::Itself => None,
        })
    }

    /// Whether there is a seed, besides this node itself, that may yet let it in, or may come to be
    /// one: what a source gives today is not all that it will ever give.
    pub(super) fn any_may_help(&self) -> bool {
        let may =
            |seed: &Seed| matches!(seed, Seed::Node { .. } | Seed::Failed { refusal: None, .. });
        self.addresses.may_change() || self.met.values().any(may)
    }

    /// Which seeds could not be reached, and why, for people.
    pub(super) fn failures(&self) -> Vec<String> {
        let failed = self.met.iter().filter_map(|(addr, seed)| match seed {
            Seed::Failed { reason, .. } => Some(format!("{addr}: {reason}")),
            Seed::Node { .. } | Seed::Itself => None,
        });
        failed.collect()
    }
}

fn outcome(addr: &str, result: Result<Hello, DialError>) -> Seed {
    match result {
        Ok(hello) => Seed::Node { id: hello.node.id, addr: hello.node.addr },
        Err(DialError::Handshake(HandshakeError::RefusedByPeer(Refusal::Itself { .. }))) => {
            Seed::Itself
        }
        Err(error) => {
            let reason = error.to_string();
            tracing::debug!(seed = addr, %reason, "a seed cannot be reached");
            let refusal = match error {
                DialError::Handshake(
                    HandshakeError::RefusedByPeer(refusal) | HandshakeError::RefusedHere(refusal),
                ) => Some(refusal),
                DialError::Handshake(_) | DialError::Connect(_) => None,
            };
            Seed::Failed { reason, refusal }
        }
    }
}
