//! How often something may be said of one kind of message: like a night porter who reports what
//! went wrong once an hour with a number, and not each time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// At most one notice per kind and connection in this time.
const EVERY: Duration = Duration::from_secs(1);

/// Kinds that are told apart on one connection. The names come from the peer; of further kinds
/// nothing is said, they are only counted.
const KINDS_MAX: usize = 64;

/// What was said when, by kind.
#[derive(Debug, Default)]
pub(super) struct Notices {
    by_kind: Mutex<BTreeMap<String, Said>>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    /// Since then.
    unsaid: u64,
}

impl Notices {
    /// Notes `count` more of a kind. Gives how many there are to speak of, if it is time to.
    pub(super) fn due(&self, kind: &str, count: u64, now: Instant) -> Option<u64> {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = by_kind.get_mut(kind) {
            said.unsaid = said.unsaid.saturating_add(count);
            if now.saturating_duration_since(said.at) < EVERY {
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.unsaid));
        }
        if by_kind.len() >= KINDS_MAX {
            return None;
        }
        by_kind.insert(kind.to_owned(), Said { at: now, unsaid: 0 });
        Some(count)
    }

    /// What was due could not be said after all.
    pub(super) fn put_back(&self, kind: &str, count: u64) {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = by_kind.get_mut(kind) {
            said.unsaid = said.unsaid.saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_notice_a_second_speaks_for_all_since_the_one_before() {
        let (notices, start) = (Notices::default(), Instant::now());
        assert_eq!(notices.due("a", 1, start), Some(1));
        assert_eq!(notices.due("a", 1, start), None);
        assert_eq!(notices.due("a", 5, start + EVERY / 2), None);
        assert_eq!(notices.due("b", 1, start), Some(1));
        assert_eq!(notices.due("a", 1, start + EVERY), Some(7));
        assert_eq!(notices.due("a", 1, start + EVERY), None);
        notices.put_back("a", 7);
        assert_eq!(notices.due("a", 1, start + 2 * EVERY), Some(9));
    }

    #[test]
    fn a_peer_that_makes_up_kinds_fills_no_memory() {
        let (notices, now) = (Notices::default(), Instant::now());
        let said = (0..1000).filter(|n| notices.due(&format!("k{n}"), 1, now).is_some());
        assert_eq!(said.count(), KINDS_MAX);
        assert_eq!(notices.by_kind.lock().unwrap().len(), KINDS_MAX);
    }
}
