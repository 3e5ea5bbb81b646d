//! The subscriptions of one node, by kind: what every bus needs at its receiving end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::feed::{Feed, RawSubscription};
use crate::identity::NodeId;

/// Where an event comes from. The numbers of one process and kind rise by one from event to event,
/// beginning with 1, so that whoever misses some sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The publisher.
    pub from: NodeId,
    /// Tells its process apart from an earlier one of the same node, which counted for itself.
    pub process: u64,
    /// The event's number.
    pub number: u64,
}

/// See the module's documentation. It sees to order, gaps and slow subscribers; a bus has to bring
/// the events.
#[derive(Debug, Default)]
pub struct Subscribers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_kind: BTreeMap<String, Vec<Weak<Feed>>>,
    closed: bool,
}

impl Subscribers {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears events of a kind from now on.
    pub fn subscribe(&self, kind: &str) -> RawSubscription {
        let feed = Arc::new(Feed::default());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            feed.close();
        } else {
            state.forget_dropped();
            state.by_kind.entry(kind.to_owned()).or_default().push(Arc::downgrade(&feed));
        }
        RawSubscription { feed }
    }

    /// Gives an event to all subscriptions of its kind; says whether there is any. The events of
    /// one publisher must come one after the other; one whose number is not higher than the one
    /// before is dropped.
    pub fn deliver(&self, kind: &str, origin: Origin, event: &Bytes) -> bool {
        let feeds: Vec<Arc<Feed>> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(feeds) = state.by_kind.get(kind) else { return false };
            feeds.iter().filter_map(Weak::upgrade).collect()
        };
        feeds.iter().for_each(|feed| feed.put(origin, event.clone()));
        !feeds.is_empty()
    }

    /// The kinds that somebody subscribes to.
    pub fn kinds(&self) -> BTreeSet<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_dropped();
        state.by_kind.keys().cloned().collect()
    }

    /// Ends all subscriptions, and those that come later.
    pub fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        let feeds = std::mem::take(&mut state.by_kind);
        for feed in feeds.values().flatten().filter_map(Weak::upgrade) {
            feed.close();
        }
    }
}

impl State {
    fn forget_dropped(&mut self) {
        self.by_kind.retain(|_, feeds| {
            feeds.retain(|feed| feed.strong_count() > 0);
            !feeds.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_wanted_as_long_as_a_subscription_to_it_lives() {
        let subscribers = Subscribers::new();
        let (a, also_a) = (subscribers.subscribe("a"), subscribers.subscribe("a"));
        let b = subscribers.subscribe("b");
        drop((a, b));
        assert_eq!(subscribers.kinds(), BTreeSet::from(["a".to_owned()]));
        let origin = Origin { from: NodeId(1), process: 1, number: 1 };
        assert!(subscribers.deliver("a", origin, &Bytes::new()));
        assert!(!subscribers.deliver("b", origin, &Bytes::new()));
        drop(also_a);
        assert!(subscribers.kinds().is_empty());
        assert!(!subscribers.deliver("a", origin, &Bytes::new()));
    }

    #[tokio::test]
    async fn after_the_end_subscriptions_have_ended() {
        let subscribers = Subscribers::new();
        let mut before = subscribers.subscribe("a");
        subscribers.close();
        assert_eq!(before.next().await, None);
        assert_eq!(subscribers.subscribe("a").next().await, None);
    }
}
