//! Which jobs the last commands changed, for the leader that plans on this copy of the state.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use crate::job::JobName;

/// How many changes are remembered: more than are applied while a leader looks elsewhere.
const RECENT_MAX: usize = 1 << 16;

/// The jobs of the last changes of one copy of the state, in their order. It is no part of what the
/// nodes agree on: it is not sent, and makes no two states different.
#[derive(Clone, Default)]
pub(crate) struct Recent {
    names: VecDeque<JobName>,
    count: u64,
}

impl Recent {
    pub(crate) fn push(&mut self, name: &JobName) {
        if self.names.len() == RECENT_MAX {
            self.names.pop_front();
        }
        self.names.push_back(name.clone());
        self.count += 1;
    }

    /// How many changes there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The jobs that were changed after so many changes; `None` if that is not known any more.
    pub(crate) fn after(&self, count: u64) -> Option<BTreeSet<&JobName>> {
        let missed = usize::try_from(self.count.checked_sub(count)?).ok()?;
        let known = self.names.len().checked_sub(missed)?;
        Some(self.names.range(known..).collect())
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

impl PartialEq for Recent {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Recent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_is_told_as_long_as_it_is_remembered() {
        let name = |n: usize| JobName::new(n.to_string()).unwrap();
        let mut recent = Recent::default();
        assert_eq!(recent.after(0), Some(BTreeSet::new()));
        (0..RECENT_MAX).for_each(|n| recent.push(&name(n % 3)));
        assert_eq!(recent.after(0).map(|names| names.len()), Some(3));
        recent.push(&name(7));
        assert_eq!(recent.after(0), None, "the first is forgotten");
        assert_eq!(recent.after(recent.count() - 1), Some(BTreeSet::from([&name(7)])));
        assert_eq!(recent.after(recent.count()), Some(BTreeSet::new()));
        assert_eq!(recent.after(recent.count() + 1), None, "of another copy");
    }
}
