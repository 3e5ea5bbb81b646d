//! How old a copy of the replicated state may be.
//!
//! A copy does not know what it lacks. But now and then a node learns that at some instant
//! everything that was acknowledged to anybody stood in the log up to some index. Once it has
//! applied that far, its copy is as the cluster was at that instant, or newer. It is like milk: the
//! date on the bottle is not that of today, but it is one to rely on.

use std::collections::VecDeque;
use std::time::Duration;

/// Instants that wait for their index to be applied. With more of them, those in between go.
const AWAITED_MAX: usize = 16;

/// See the module's documentation. Instants are counted from any beginning, the same for all of
/// them.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    current_as_of: Option<Duration>,
    /// Up to which index the log has to be applied, and as of when the copy is current then. Both
    /// rise.
    awaited: VecDeque<(u64, Duration)>,
}

impl Freshness {
    /// At `as_of` nothing was acknowledged that stands in the log after `index`.
    pub(super) fn learn(&mut self, index: u64, as_of: Duration) {
        if self.awaited.back().is_some_and(|(_, known)| as_of <= *known) {
            return;
        }
        // What asks for no more and says more takes the place of what came before.
        while self.awaited.back().is_some_and(|(awaited, _)| index <= *awaited) {
            self.awaited.pop_back();
        }
        if self.awaited.len() == AWAITED_MAX {
            // The oldest is reached soonest; the one that goes is the next youngest.
            self.awaited.pop_back();
        }
        self.awaited.push_back((index, as_of));
    }

    /// As of when a copy that has applied the log up to `applied` is current at least. It never
    /// falls. `None` while nothing is known.
    pub(super) fn as_of(&mut self, applied: u64) -> Option<Duration> {
        while let Some((_, as_of)) = self.awaited.pop_front_if(|(index, _)| *index <= applied) {
            self.current_as_of = self.current_as_of.max(Some(as_of));
        }
        self.current_as_of
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_copy_is_current_as_of_what_it_has_applied() {
        let mut freshness = Freshness::default();
        assert_eq!(freshness.as_of(100), None, "nobody has said anything yet");
        freshness.learn(10, s(1));
        freshness.learn(20, s(2));
        assert_eq!(freshness.as_of(9), None);
        assert_eq!(freshness.as_of(10), Some(s(1)));
        assert_eq!(freshness.as_of(19), Some(s(1)));
        assert_eq!(freshness.as_of(20), Some(s(2)));
        freshness.learn(15, s(1));
        assert_eq!(freshness.as_of(20), Some(s(2)), "old news takes nothing back");
    }

    #[test]
    fn a_quiet_log_stays_current_with_every_word_of_the_leader() {
        let mut freshness = Freshness::default();
        for second in 1..100 {
            freshness.learn(5, s(second));
            assert_eq!(freshness.as_of(5), Some(s(second)));
        }
    }

    #[test]
    fn a_copy_that_is_always_behind_gets_on_all_the_same() {
        let mut freshness = Freshness::default();
        for second in 1..1000 {
            freshness.learn(second * 10, s(second));
        }
        assert!(freshness.awaited.len() <= AWAITED_MAX);
        assert_eq!(freshness.as_of(15), Some(s(1)));
        assert_eq!(freshness.as_of(9_990), Some(s(999)));
    }

    proptest! {
        /// It never says that a copy is newer than it is, and never falls.
        #[test]
        fn no_copy_is_called_newer_than_it_is(
            steps in proptest::collection::vec((0u64..5, 0u64..8), 0..80)
        ) {
            let mut freshness = Freshness::default();
            let (mut index, mut applied, mut told) = (0, 0, None);
            let mut truth = vec![];
            for (second, (grows, applies)) in steps.into_iter().enumerate() {
                index += grows;
                truth.push((index, s(second as u64)));
                freshness.learn(index, s(second as u64));
                applied = index.min(applied + applies);
                let as_of = freshness.as_of(applied);
                prop_assert!(as_of >= told);
                told = as_of;
                if let Some(as_of) = as_of {
                    prop_assert!(truth.iter().any(|(needs, at)| *at == as_of && *needs <= applied));
                }
            }
        }
    }
}
