//! Who takes whom for a member: a chart on which each node's opinions are entered as they change.

/// The opinions of all nodes about all others.
#[derive(Debug)]
pub(super) struct Knowledge {
    nodes: usize,
    /// By observer, then by target.
    has: Vec<bool>,
    crashed: Vec<bool>,
    running: usize,
    /// By target: how many running others lack it.
    lacking: Vec<usize>,
    false_removals: u64,
}

impl Knowledge {
    /// Nobody knows anybody.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            has: vec![false; nodes * nodes],
            crashed: vec![false; nodes],
            running: nodes,
            lacking: vec![nodes - 1; nodes],
            false_removals: 0,
        }
    }

    /// `observer` takes `target` for a member, or does not any more. That a running node is given
    /// up counts once, however many follow, until all have it again.
    pub(super) fn set(&mut self, observer: usize, target: usize, has: bool) {
        if observer == target || target >= self.nodes || self.crashed[observer] {
            return;
        }
        let held = &mut self.has[observer * self.nodes + target];
        if *held == has {
            return;
        }
        *held = has;
        if has {
            self.lacking[target] -= 1;
        } else {
            let first = self.lacking[target] == 0;
            self.false_removals += u64::from(first && !self.crashed[target]);
            self.lacking[target] += 1;
        }
    }

    /// `node` has no opinion any more, and it is right to give it up.
    pub(super) fn crash(&mut self, node: usize) {
        for target in (0..self.nodes).filter(|target| *target != node) {
            self.set(node, target, true);
        }
        self.running -= usize::from(!self.crashed[node]);
        self.crashed[node] = true;
    }

    /// How many nodes there are, crashed ones among them.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Whether every running node has every other.
    pub(super) fn is_whole(&self) -> bool {
        self.lacking.iter().all(|lacking| *lacking == 0)
    }

    /// Whether no running node has that one.
    pub(super) fn is_removed(&self, node: usize) -> bool {
        self.lacking[node] == self.running - usize::from(!self.crashed[node])
    }

    /// How often a running node was given up since all had it.
    pub(super) fn false_removals(&self) -> u64 {
        self.false_removals
    }
}
