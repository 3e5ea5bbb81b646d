//! How many voters a cluster can lose, and saying so when it is none.
//!
//! Two people who only act together are stopped by the absence of either: two voters survive no
//! more than one does, and there are two that can fail. Whoever starts two nodes for safety has to
//! be told.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::identity::NodeId;

/// What a leader of two voters says.
pub(crate) const TWO_VOTERS: &str = "the cluster has two voters: if either is lost, nothing can be decided any more, and \
     there is no leader; start a third member, or a node with the role Witness, on another machine";

/// How many more of the voters may fail while the rest still decide, given who is live. Each group
/// needs a majority of its own.
pub(crate) fn tolerates<'a>(
    groups: impl IntoIterator<Item = &'a BTreeSet<NodeId>>,
    is_live: impl Fn(NodeId) -> bool,
) -> usize {
    let spare = |group: &BTreeSet<NodeId>| {
        let live = group.iter().filter(|id| is_live(**id)).count();
        live.saturating_sub(group.len() / 2 + 1)
    };
    groups.into_iter().map(spare).min().unwrap_or(0)
}

/// Notices that a group has come to rest with two voters, once each time.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    since: Option<Duration>,
    said: bool,
}

impl Pairs {
    /// Takes in how many vote at the moment `now`. Gives whether it has been two for `settled`, for
    /// the first time since it was another number.
    pub(crate) fn noticed(&mut self, now: Duration, voters: usize, settled: Duration) -> bool {
        if voters != 2 {
            *self = Self::default();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let news = !self.said && now >= since + settled;
        self.said |= news;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    #[test]
    fn a_majority_of_each_group_has_to_stay() {
        let of =
            |voters: &[u64], live: &[u64]| tolerates(&[ids(voters)], |id| live.contains(&id.0));
        assert_eq!(of(&[1], &[1]), 0);
        assert_eq!(of(&[1, 2], &[1, 2]), 0);
        assert_eq!(of(&[1, 2, 3], &[1, 2, 3]), 1);
        assert_eq!(of(&[1, 2, 3], &[1, 2]), 0);
        assert_eq!(of(&[1, 2, 3], &[1]), 0, "it is lost already");
        assert_eq!(of(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5, 6]), 2);
        let changing = [ids(&[1, 2, 3, 4, 5]), ids(&[1, 2, 3])];
        assert_eq!(tolerates(&changing, |_| true), 1);
        assert_eq!(tolerates(&[], |_| true), 0);
    }

    #[test]
    fn two_voters_are_noticed_once_when_they_have_settled() {
        let ms = Duration::from_millis;
        let mut pairs = Pairs::default();
        let mut noticed = |now, voters| pairs.noticed(ms(now), voters, ms(100));
        assert!(!noticed(0, 3));
        assert!(!noticed(10, 2));
        assert!(!noticed(109, 2));
        assert!(noticed(110, 2));
        assert!(!noticed(111, 2) && !noticed(9000, 2), "once");
        assert!(!noticed(9001, 3) && !noticed(9002, 2));
        assert!(noticed(9102, 2), "it came to that again");
    }

    #[test]
    fn the_warning_names_the_remedies() {
        assert!(TWO_VOTERS.contains("third member") && TWO_VOTERS.contains("Witness"));
    }
}
