//! Where other nodes are, and looking whether they still are there.
//!
//! Like a postman who is told new addresses all day: he notes them, knocks to see whether they are
//! right, and goes back to the register where they are not.

use std::sync::PoisonError;
use std::time::Duration;

use super::Messenger;
use super::address_book::AddressBook;
use super::error::MessageError;
use super::handshake::{HandshakeError, Hello, Lane, Refusal};
use super::link::{self, DialError};
use crate::identity::{NodeId, NodeInfo};

/// How long to wait before looking again at an address where a handshake broke.
const LOOK_AGAIN_AFTER_MS: [u64; 4] = [5, 10, 20, 40];

impl Messenger {
    /// Where a node is reached by the view or the log, unless a later process of it is known to
    /// live elsewhere.
    pub(crate) fn learn_address(&self, node: &NodeInfo) {
        self.note_address(node, AddressBook::agree);
    }

    /// The same for what was only said, by the node itself or by another: it counts until it proves
    /// wrong.
    pub(crate) fn hear_address(&self, node: &NodeInfo) {
        self.note_address(node, AddressBook::hear);
    }

    fn note_address(&self, node: &NodeInfo, note: fn(&mut AddressBook, &NodeInfo) -> bool) {
        if node.id == self.shared.local.id {
            return;
        }
        let mut addresses = self.shared.addresses.write().unwrap_or_else(PoisonError::into_inner);
        let moved = note(&mut addresses, node);
        drop(addresses);
        if moved {
            // Where the address itself is gone, nothing would ever come back from there.
            self.hang_up(node.id);
        }
    }

    /// Where a node is reached, as far as this one has heard.
    pub(crate) fn address(&self, node: NodeId) -> Option<String> {
        self.shared.address(node).ok()
    }

    /// A node has just shown that it can be talked to: whoever waits to dial it dials now.
    pub(crate) fn heard_from(&self, node: NodeId) {
        for lane in Lane::CARRYING {
            let links = self.shared.links.lock().unwrap_or_else(PoisonError::into_inner);
            let link = links.get(&(node, lane)).cloned();
            drop(links);
            if let Some(link) = link {
                link.wait_no_longer();
            }
        }
    }

    /// Hangs up on a node and forgets where it lived.
    pub(crate) fn forget(&self, node: NodeId) {
        self.shared.addresses.write().unwrap_or_else(PoisonError::into_inner).forget(node);
        self.hang_up(node);
    }

    /// Closes whatever connects us to a node, so that whoever waits for its reply learns at once
    /// that it is gone. Who has something to say to it dials anew.
    pub(crate) fn hang_up(&self, node: NodeId) {
        for lane in Lane::CARRYING {
            let mut links = self.shared.links.lock().unwrap_or_else(PoisonError::into_inner);
            let link = links.remove(&(node, lane));
            drop(links);
            if let Some(link) = link {
                link.close();
            }
        }
        self.shared.conversations.end_all_of(node);
    }

    /// Opens a connection to an address, learns who lives there, and closes it.
    pub(crate) async fn introduce(&self, addr: &str) -> Result<Hello, DialError> {
        let established = link::dial(&self.shared, addr, Lane::Look, None).await?;
        self.hear_address(&established.peer.node);
        Ok(established.peer)
    }

    /// Opens a fresh connection to see whether the same node still lives at its address. Where that
    /// was only said and proves wrong, it looks where the view has the node, too.
    pub(crate) async fn verify(&self, node: NodeId) -> Result<(), MessageError> {
        let addr = self.shared.address(node)?;
        let Err(error) = self.look(node, &addr).await else { return Ok(()) };
        match self.shared.address(node) {
            Ok(other) if other != addr => {
                let looked = self.look(node, &other).await;
                looked.map_err(|later| if error.says_gone() { error } else { later })
            }
            Ok(_) | Err(_) => Err(error),
        }
    }

    /// Looks at one address.
    ///
    /// The kernel goes on taking connections for a process that is being killed until it comes to
    /// close the listener, and then resets them. So one that breaks in the handshake says that
    /// something is going on there, and another look a moment later says what.
    async fn look(&self, node: NodeId, addr: &str) -> Result<(), MessageError> {
        let mut pauses = LOOK_AGAIN_AFTER_MS.into_iter();
        loop {
            let error = match link::dial(&self.shared, addr, Lane::Look, Some(node)).await {
                Ok(_) => {
                    self.heard_from(node);
                    return Ok(());
                }
                Err(error) => error,
            };
            match pauses.next().filter(|_| error.is_broken()) {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => return Err(self.shared.failed(node, addr.to_owned(), &error)),
            }
        }
    }

    /// Why a node refuses to talk to this one, if it answers and does.
    pub(crate) async fn refusal_of(&self, node: NodeId) -> Option<Refusal> {
        let addr = self.shared.address(node).ok()?;
        match link::dial(&self.shared, &addr, Lane::Look, Some(node)).await {
            Err(DialError::Handshake(HandshakeError::RefusedByPeer(refusal))) => Some(refusal),
            Ok(_) | Err(_) => None,
        }
    }
}
