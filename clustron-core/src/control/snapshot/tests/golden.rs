//! The bytes of snapshots: a file outlives the program that wrote it, and nodes of two versions
//! send them to each other.

use super::*;
use crate::control::command::{Command, Removed};
use crate::golden::{self, AT};
use crate::identity::{Epoch, Incarnation, NodeId, NodeInfo};

fn node(id: u64) -> NodeInfo {
    NodeInfo { id: NodeId(id), addr: format!("{id}:1"), ..golden::node() }
}

/// With all that a state can have: nodes that are there, that failed and that left.
fn agreed() -> Agreed {
    let mut agreed = Agreed::default();
    let (cluster, incarnation, at) = (golden::cluster(), Incarnation(2), AT);
    let (why, opinion) = ("no".to_owned(), golden::opinion());
    let node_id = NodeId(2);
    let cut = vec![Removed { node: node_id, incarnation, why, missed_since: at, opinion }];
    for (index, command) in (1..).zip([
        Command::Bootstrap { cluster, nodes: vec![node(1), node(2), node(3)], at },
        Command::Activate { node: NodeId(1), incarnation, at },
        Command::MarkDown { epoch: Epoch(2), cut, at },
        Command::Leave { node: NodeId(3), incarnation, at },
    ]) {
        assert_eq!(agreed.apply(index, command), crate::control::Response::Done);
    }
    agreed.forgot(5, [NodeId(4)]);
    agreed.losses.push_back(golden::loss());
    agreed
}

#[test]
fn the_bytes_of_snapshots_are_frozen() {
    let mut table = golden::file("snapshot.txt");
    table.add("state of the core", &agreed());
    let sections = [("cache", Some(vec![1, 2, 3])), ("topics", None), ("empty", Some(vec![]))];
    let bytes = write(&sections);
    table.add_bytes("snapshot", &(Agreed::default(), &sections), &bytes);
    let (agreed, told) = read(&bytes).unwrap();
    assert_eq!(agreed, Agreed::default());
    let sections = sections.map(|(name, state)| (name.to_owned(), state));
    assert_eq!(told, sections);
    table.check();
}
