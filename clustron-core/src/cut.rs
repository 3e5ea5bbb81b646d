//! Whom the leader takes out of the view, and when, as a pure decision.
//!
//! Think of a teacher who calls the roll in a train. Somebody who does not answer may sit in a
//! tunnel of noise, so a name is struck off only when its silence has *lasted*. And when half a
//! carriage has been uncoupled, the names are struck off together, in one line of the register:
//! whoever reads it sees one thing that happened, not twelve.
//!
//! The detector says who failed; this file only adds the patience. A node that was Alive in
//! between, for however short a time, starts anew: so flapping changes nothing, whichever way the
//! detector came to its verdicts. Taking nodes out together is the idea of Suresh et al., "Stable
//! and Consistent Membership at Scale with Rapid", 2018, §4.2.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::identity::{Incarnation, NodeId};
use crate::view::{GONE_REMEMBERED, NodeState, View};

/// How long a node that is due waits for others that are down and nearly due. Nodes that die
/// together are found within this; it is added to nobody's time who dies alone.
const GATHER: Duration = Duration::from_millis(250);

/// The most nodes that are taken out by one entry of the log, so that the entry is bounded. The
/// rest follows in the next.
pub(crate) const CUT_MAX: usize = GONE_REMEMBERED;

/// A peer that the leader's detector does not take for Alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The incarnation that it is about.
    pub(crate) incarnation: Incarnation,
    /// Whether it is Down, and not only Suspect.
    pub(crate) down: bool,
    /// For how long it has been, without a break, not Alive.
    pub(crate) lasted: Duration,
}

/// The nodes to take out now, with the incarnations that failed; empty when it is nobody's time.
/// Only nodes that are alive in `view` and Down in `doubts` for the same or a later incarnation are
/// named, each of them doubted for at least `stable_after`.
pub(crate) fn next_cut(
    view: &View,
    doubts: &BTreeMap<NodeId, Doubt>,
    stable_after: Duration,
) -> Vec<(NodeId, Incarnation)> {
    let fits = |id: &NodeId, doubt: &Doubt| {
        let record = view.node(*id).filter(|record| record.state == NodeState::Alive);
        doubt.down && record.is_some_and(|record| record.info.incarnation <= doubt.incarnation)
    };
    let down: Vec<(NodeId, &Doubt)> = doubts
        .iter()
        .filter(|(id, doubt)| fits(id, doubt))
        .map(|(id, doubt)| (*id, doubt))
        .collect();
    let due = |doubt: &Doubt| doubt.lasted >= stable_after;
    let longest = down.iter().map(|(_, doubt)| doubt.lasted).max().unwrap_or_default();
    // Whoever becomes due while the first one waits goes with it.
    let company = down.iter().any(|(_, d)| !due(d) && d.lasted + GATHER >= longest);
    if longest < stable_after || (company && longest < stable_after + GATHER) {
        return Vec::new();
    }
    let cut = down.into_iter().filter(|(_, doubt)| due(doubt));
    cut.map(|(id, doubt)| (id, doubt.incarnation)).take(CUT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{NodeInfo, NodeName, Role};
    use crate::time::Timestamp;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const STABLE: Duration = Duration::from_secs(2);

    fn view(ids: &[u64]) -> View {
        let mut view = View::default();
        for id in ids {
            let info = NodeInfo {
                id: NodeId(*id),
                name: NodeName::new(format!("n{id}")).unwrap(),
                incarnation: Incarnation(5),
                addr: format!("n{id}:1"),
                roles: BTreeSet::from([Role::Member]),
                tags: BTreeMap::new(),
                revision: 0,
                starts: 1,
                process: 0,
            };
            view.admit(1, Timestamp::default(), info);
        }
        view
    }

    fn doubts(doubts: &[(u64, bool, u64)]) -> BTreeMap<NodeId, Doubt> {
        let doubt = |down, ms| Doubt {
            incarnation: Incarnation(5),
            down,
            lasted: Duration::from_millis(ms),
        };
        doubts.iter().map(|(id, down, ms)| (NodeId(*id), doubt(*down, *ms))).collect()
    }

    fn cut(list: &[(u64, bool, u64)]) -> Vec<u64> {
        let cut = next_cut(&view(&[1, 2, 3, 4]), &doubts(list), STABLE);
        cut.into_iter().map(|(id, _)| id.0).collect()
    }

    #[test]
    fn a_node_goes_when_it_has_been_away_for_long_enough_and_not_before() {
        assert_eq!(cut(&[(2, true, 1999)]), [0; 0]);
        assert_eq!(cut(&[(2, true, 2000)]), [2]);
    }

    #[test]
    fn a_suspect_stays_however_long_the_suspicion_lasts() {
        assert_eq!(cut(&[(2, false, 60_000)]), [0; 0]);
        assert_eq!(cut(&[(2, false, 60_000), (3, true, 2000)]), [3]);
    }

    #[test]
    fn nodes_that_die_within_a_moment_go_in_one_cut() {
        assert_eq!(cut(&[(2, true, 2050), (3, true, 1900)]), [0; 0], "the second is nearly due");
        assert_eq!(cut(&[(2, true, 2150), (3, true, 2000)]), [2, 3]);
    }

    #[test]
    fn nobody_waits_for_one_that_came_much_later_or_keeps_coming() {
        assert_eq!(cut(&[(2, true, 2050), (3, true, 1000)]), [2]);
        assert_eq!(cut(&[(2, true, 2250), (3, true, 1999), (4, true, 1990)]), [2]);
    }

    #[test]
    fn only_nodes_that_the_view_has_as_alive_in_that_life_or_an_earlier_one_are_cut() {
        let mut list = doubts(&[(2, true, 9000), (9, true, 9000)]);
        assert_eq!(next_cut(&view(&[1, 2]), &list, STABLE), [(NodeId(2), Incarnation(5))]);
        list.insert(
            NodeId(2),
            Doubt { incarnation: Incarnation(4), down: true, lasted: 2 * STABLE },
        );
        assert_eq!(next_cut(&view(&[1, 2]), &list, STABLE), [], "it is back since the verdict");
    }

    proptest! {
        /// Whatever flaps: nobody goes who was alive within the time, everybody goes who was down
        /// for that time and a little more.
        #[test]
        fn patience_is_neither_cut_short_nor_endless(
            list in proptest::collection::vec((any::<bool>(), 0u64..3000), 4)
        ) {
            let list: Vec<_> = (1..).zip(list).map(|(id, (down, ms))| (id, down, ms)).collect();
            let cut = cut(&list);
            for (id, down, ms) in list {
                let gone = cut.contains(&id);
                prop_assert!(!gone || (down && ms >= 2000));
                prop_assert!(gone || !down || ms < 2250);
            }
        }
    }
}
