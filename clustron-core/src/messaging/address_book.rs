//! Where nodes live, as far as this one has heard.
//!
//! Like a letter that was long under way: what it says of somebody's address may be older than what
//! is known already. Handshakes tell of a process that runs; the view, the log and what others pass
//! on may still tell of the one before it, which lived elsewhere. So each address is kept with the
//! number of the start that it belongs to, and a lower number never overwrites it.
//!
//! And like a letter it may be forged. Whoever shakes hands can say any number, so what was *said*
//! is kept apart from what is *agreed*, in the view and the log. A later start that was said is
//! where the node is looked for first; where a look finds that wrong, what is agreed counts again.

use std::collections::BTreeMap;

use crate::identity::{NodeId, NodeInfo};

/// Addresses that are remembered from what was said.
const SAID_MAX: usize = 16_384;

struct Home {
    addr: String,
    /// Which process of the node lives there: its [`NodeInfo::starts`].
    starts: u64,
}

struct Said {
    home: Home,
    /// Nobody answered there when it was last tried: any other word is as good.
    doubted: bool,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct AddressBook {
    /// No more than the log names; who is put out of the view is forgotten.
    agreed: BTreeMap<NodeId, Home>,
    /// Each of a later start than the agreed one, if there is one.
    said: BTreeMap<NodeId, Said>,
}

impl AddressBook {
    /// Notes where a process of a node lives by the view or the log, unless a later one is agreed
    /// already. Gives whether the node has moved: whatever leads to where it lived before leads to
    /// a process that has ended.
    pub(super) fn agree(&mut self, node: &NodeInfo) -> bool {
        self.change(node, |book, home| {
            if book.agreed.get(&node.id).is_none_or(|known| known.starts <= home.starts) {
                if book.said.get(&node.id).is_some_and(|said| said.home.starts <= home.starts) {
                    book.said.remove(&node.id);
                }
                book.agreed.insert(node.id, home);
            }
        })
    }

    /// The same for what somebody said, the node itself or another.
    pub(super) fn hear(&mut self, node: &NodeInfo) -> bool {
        self.change(node, |book, home| {
            if book.agreed.get(&node.id).is_some_and(|agreed| agreed.starts >= home.starts) {
                return;
            }
            let outdated = |known: &Said| known.doubted || known.home.starts <= home.starts;
            if book.said.get(&node.id).is_none_or(outdated) {
                // Whoever shakes hands is noted here, and most never come to be in the view.
                if book.said.len() >= SAID_MAX && !book.said.contains_key(&node.id) {
                    book.said.pop_first();
                }
                book.said.insert(node.id, Said { home, doubted: false });
            }
        })
    }

    /// Nobody answered for the node at an address; `gone`: because another lives there, or nobody
    /// can. Gives whether that says that the node's process is gone: what was only said of where it
    /// lives says nothing of the kind when it proves wrong.
    pub(super) fn failed(&mut self, node: NodeId, addr: &str, gone: bool) -> bool {
        let said = self.said.get_mut(&node);
        if self.agreed.get(&node).is_some_and(|agreed| agreed.addr == addr) {
            // It may have moved after all.
            if let Some(said) = said {
                said.doubted = false;
            }
            return gone;
        }
        match said {
            Some(said) if said.home.addr == addr && !gone => said.doubted = true,
            Some(said) if said.home.addr == addr => drop(self.said.remove(&node)),
            Some(_) | None => {}
        }
        false
    }

    pub(super) fn address(&self, node: NodeId) -> Option<&str> {
        self.home(node).map(|home| home.addr.as_str())
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.agreed.remove(&node);
        self.said.remove(&node);
    }

    fn home(&self, node: NodeId) -> Option<&Home> {
        match (self.agreed.get(&node), self.said.get(&node)) {
            (Some(agreed), Some(said)) if said.doubted => Some(agreed),
            (_, Some(said)) => Some(&said.home),
            (agreed, None) => agreed,
        }
    }

    /// Changes what is known of a node, and gives whether it has moved.
    fn change(&mut self, node: &NodeInfo, change: impl FnOnce(&mut Self, Home)) -> bool {
        let before = self.home(node.id).map(|home| (home.addr.clone(), home.starts));
        change(self, Home { addr: node.addr.clone(), starts: node.starts });
        let now = self.home(node.id);
        before.zip(now).is_some_and(|((addr, starts), now)| now.starts > starts && now.addr != addr)
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
        for learn in [AddressBook::agree, AddressBook::hear] {
            let mut book = AddressBook::default();
            assert!(!learn(&mut book, &node(1, "old:1", 3)));
            assert!(learn(&mut book, &node(1, "new:1", 4)), "it has moved");
            assert!(!learn(&mut book, &node(1, "old:1", 3)));
            assert_eq!(book.address(NodeId(1)), Some("new:1"));
            assert!(!learn(&mut book, &node(1, "new:1", 9)), "it has started again, same place");
            assert!(!learn(&mut book, &node(1, "other:1", 9)), "the latest word of one process");
            assert_eq!(book.address(NodeId(1)), Some("other:1"));
        }
    }

    #[test]
    fn a_later_process_that_was_heard_of_goes_before_what_is_agreed_until_that_is_as_late() {
        let mut book = AddressBook::default();
        book.agree(&node(1, "a:1", 3));
        assert!(!book.hear(&node(1, "x:1", 3)));
        assert_eq!(book.address(NodeId(1)), Some("a:1"), "of one process, what is agreed counts");
        assert!(book.hear(&node(1, "b:1", 4)));
        assert_eq!(book.address(NodeId(1)), Some("b:1"));
        assert!(!book.agree(&node(1, "b:1", 4)));
        assert!(book.failed(NodeId(1), "b:1", true), "now it is agreed, and gone is gone");
    }

    #[test]
    fn what_was_only_said_is_dropped_when_it_is_wrong_and_is_no_evidence() {
        let mut book = AddressBook::default();
        book.agree(&node(1, "a:1", 3));
        assert!(book.hear(&node(1, "lie:1", u64::MAX)));
        assert!(!book.failed(NodeId(1), "lie:1", true));
        assert_eq!(book.address(NodeId(1)), Some("a:1"));
        assert!(book.failed(NodeId(1), "a:1", true), "where the view has it, it is");
        assert!(!book.failed(NodeId(1), "before:1", true), "a look from before it moved");
    }

    #[test]
    fn where_nobody_answers_for_what_was_said_both_addresses_are_tried_in_turn() {
        let mut book = AddressBook::default();
        book.agree(&node(1, "a:1", 3));
        book.hear(&node(1, "b:1", 7));
        for _ in 0..2 {
            assert_eq!(book.address(NodeId(1)), Some("b:1"));
            assert!(!book.failed(NodeId(1), "b:1", false));
            assert_eq!(book.address(NodeId(1)), Some("a:1"));
            assert!(!book.failed(NodeId(1), "a:1", false));
        }
        // While it is doubted any later start than the agreed one will do.
        book.failed(NodeId(1), "b:1", false);
        book.hear(&node(1, "c:1", 4));
        assert_eq!(book.address(NodeId(1)), Some("c:1"));
    }

    #[test]
    fn who_is_forgotten_is_learnt_anew_from_anybody() {
        let mut book = AddressBook::default();
        book.agree(&node(1, "new:1", 4));
        book.hear(&node(1, "newer:1", 5));
        book.forget(NodeId(1));
        assert_eq!(book.address(NodeId(1)), None);
        book.hear(&node(1, "old:1", 3));
        assert_eq!(book.address(NodeId(1)), Some("old:1"));
    }

    #[test]
    fn the_book_is_bounded_and_strangers_drive_nobody_out_who_is_agreed() {
        let mut book = AddressBook::default();
        book.agree(&node(0, "a:1", 1));
        for id in 1..SAID_MAX as u64 + 10 {
            book.hear(&node(id, "x:1", 1));
        }
        assert_eq!(book.said.len(), SAID_MAX);
        assert_eq!(book.address(NodeId(0)), Some("a:1"));
        assert_eq!(book.address(NodeId(9)), None);
        assert!(book.address(NodeId(10)).is_some());
    }
}
