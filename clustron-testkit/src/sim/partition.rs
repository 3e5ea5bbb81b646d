//! Who cannot reach whom.

use std::fmt;

use super::NodeIndex;

/// A cut through the network. Each node stands on the left, on the right or on the bridge, and
/// nothing passes between left and right, at least not in one direction. The bridge reaches
/// everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// By node; who is missing stands on the right.
    sides: Vec<Side>,
    one_way: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Bridge,
}

impl Partition {
    /// These nodes on one side, all others on the other.
    pub fn apart(left: impl IntoIterator<Item = NodeIndex>) -> Partition {
        let mut partition = Partition { sides: Vec::new(), one_way: false };
        left.into_iter().for_each(|node| partition.put(node, Side::Left));
        partition
    }

    /// As [`apart`](Partition::apart), but one node still reaches both sides.
    pub fn bridged(left: impl IntoIterator<Item = NodeIndex>, bridge: NodeIndex) -> Partition {
        let mut partition = Partition::apart(left);
        partition.put(bridge, Side::Bridge);
        partition
    }

    /// What these nodes send to the others is lost; what the others send them arrives.
    pub fn one_way(from: impl IntoIterator<Item = NodeIndex>) -> Partition {
        Partition { one_way: true, ..Partition::apart(from) }
    }

    /// One link of `nodes` nodes is cut in both directions, everybody else reaches everybody.
    pub fn between(a: NodeIndex, b: NodeIndex, nodes: usize) -> Partition {
        let mut partition = Partition { sides: vec![Side::Bridge; nodes], one_way: false };
        partition.put(a, Side::Left);
        partition.put(b, Side::Right);
        partition
    }

    /// Whether it stops what `from` sends to `to`.
    pub fn cuts(&self, from: NodeIndex, to: NodeIndex) -> bool {
        match (self.side(from), self.side(to)) {
            (Side::Left, Side::Right) => true,
            (Side::Right, Side::Left) => !self.one_way,
            _ => false,
        }
    }

    fn put(&mut self, node: NodeIndex, side: Side) {
        if self.sides.len() <= node.0 {
            self.sides.resize(node.0 + 1, Side::Right);
        }
        self.sides[node.0] = side;
    }

    fn side(&self, node: NodeIndex) -> Side {
        self.sides.get(node.0).copied().unwrap_or(Side::Right)
    }
}

impl fmt::Display for Partition {
    /// Names the smaller lists only: who is not named stands on the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |side| {
            let nodes = self.sides.iter().enumerate().filter(move |(_, s)| **s == side);
            nodes.map(|(at, _)| NodeIndex(at).to_string()).collect::<Vec<_>>().join(" ")
        };
        let arrow = if self.one_way { "-/->" } else { "</>" };
        write!(f, "{} {arrow} others", named(Side::Left))?;
        match named(Side::Bridge) {
            bridge if bridge.is_empty() => Ok(()),
            bridge => write!(f, ", not cut off: {bridge}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For every ordered pair of four nodes, those that are cut.
    fn cut(partition: &Partition) -> Vec<(usize, usize)> {
        let pairs = (0..4).flat_map(|from| (0..4).map(move |to| (from, to)));
        pairs.filter(|(from, to)| partition.cuts(NodeIndex(*from), NodeIndex(*to))).collect()
    }

    #[test]
    fn halves_are_cut_both_ways() {
        let partition = Partition::apart([NodeIndex(0), NodeIndex(2)]);
        let expected = [(0, 1), (0, 3), (1, 0), (1, 2), (2, 1), (2, 3), (3, 0), (3, 2)];
        assert_eq!(cut(&partition), expected);
    }

    #[test]
    fn a_bridge_reaches_both_sides() {
        let partition = Partition::bridged([NodeIndex(0)], NodeIndex(3));
        assert_eq!(cut(&partition), [(0, 1), (0, 2), (1, 0), (2, 0)]);
    }

    #[test]
    fn one_way_leaves_the_other_way() {
        assert_eq!(cut(&Partition::one_way([NodeIndex(1)])), [(1, 0), (1, 2), (1, 3)]);
    }

    #[test]
    fn one_link_leaves_all_others() {
        assert_eq!(cut(&Partition::between(NodeIndex(1), NodeIndex(2), 4)), [(1, 2), (2, 1)]);
    }
}
