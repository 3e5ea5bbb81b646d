//! Where nodes live, as far as this one has heard.
//!
//! Like a letter that was long under way: what it says of somebody's address may be older than what
//! is known already. Handshakes tell of a process that runs; the view, the log and what others pass
//! on may still tell of the one before it, which lived elsewhere. So each address is kept with the
//! number of the start that it belongs to, and a lower number never overwrites it.

use std::collections::BTreeMap;

use crate::identity::{NodeId, NodeInfo};

/// Addresses that are remembered. The view teaches those of its nodes anew with every change.
const ADDRESSES_MAX: usize = 16_384;

struct Home {
    addr: String,
    /// Which process of the node lives there: its [`NodeInfo::starts`].
    starts: u64,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct AddressBook {
    homes: BTreeMap<NodeId, Home>,
}

impl AddressBook {
    /// Notes where a process of a node lives, unless a later one is known. Gives whether the node
    /// has moved: whatever leads to where it lived before leads to a process that has ended.
    pub(super) fn learn(&mut self, node: &NodeInfo) -> bool {
        let (addr, starts) = (node.addr.clone(), node.starts);
        match self.homes.get_mut(&node.id) {
            Some(known) if known.starts > starts => false,
            Some(known) => {
                let moved = known.starts < starts && known.addr != addr;
                *known = Home { addr, starts };
                moved
            }
            None => {
                // Whoever shakes hands is noted here, and most never come to be in the view.
                if self.homes.len() >= ADDRESSES_MAX {
                    self.homes.pop_first();
                }
                self.homes.insert(node.id, Home { addr, starts });
                false
            }
        }
    }

    pub(super) fn address(&self, node: NodeId) -> Option<&str> {
        self.homes.get(&node).map(|home| home.addr.as_str())
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.homes.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Incarnation, NodeName};

    fn node(id: u64, addr: &str, starts: u64) -> NodeInfo {
        NodeInfo {
            id: NodeId(id),
            name: NodeName::new("n").unwrap(),
            incarnation: Incarnation(1),
            addr: addr.to_owned(),
            roles: [crate::Role::Member].into(),
            tags: BTreeMap::new(),
            revision: 0,
            starts,
            process: 0,
        }
    }

    #[test]
    fn an_earlier_process_never_takes_the_place_of_a_later_one() {
        let mut book = AddressBook::default();
        assert!(!book.learn(&node(1, "old:1", 3)));
        assert!(book.learn(&node(1, "new:1", 4)), "it has moved");
        assert!(!book.learn(&node(1, "old:1", 3)));
        assert_eq!(book.address(NodeId(1)), Some("new:1"));
        assert!(!book.learn(&node(1, "new:1", 9)), "it has started again in the same place");
        assert!(!book.learn(&node(1, "other:1", 9)), "the latest word of one process counts");
        assert_eq!(book.address(NodeId(1)), Some("other:1"));
    }

    #[test]
    fn who_is_forgotten_is_learnt_anew_from_anybody() {
        let mut book = AddressBook::default();
        book.learn(&node(1, "new:1", 4));
        book.forget(NodeId(1));
        assert_eq!(book.address(NodeId(1)), None);
        book.learn(&node(1, "old:1", 3));
        assert_eq!(book.address(NodeId(1)), Some("old:1"));
    }

    #[test]
    fn the_book_is_bounded() {
        let mut book = AddressBook::default();
        for id in 0..ADDRESSES_MAX as u64 + 10 {
            book.learn(&node(id, "a:1", 1));
        }
        assert_eq!(book.homes.len(), ADDRESSES_MAX);
        assert_eq!(book.address(NodeId(9)), None);
        assert!(book.address(NodeId(10)).is_some());
    }
}
