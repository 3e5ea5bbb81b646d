//! Where events wait for one subscriber.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::Stream;

use super::{Origin, Received};
use crate::identity::NodeId;

/// Events that wait for one subscriber; then the oldest go.
pub(super) const EVENTS_MAX: usize = 1024;

/// Their bytes together.
const BYTES_MAX: usize = 16 << 20;

/// Publishers whose numbers are remembered. Of another one the gap that it begins with is not seen.
const PUBLISHERS_MAX: usize = 4096;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Feed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Dropped before what waits.
    lagged: u64,
    /// The latest event of each publisher.
    latest: BTreeMap<NodeId, Origin>,
    closed: bool,
    reader: Option<Waker>,
}

#[derive(Debug)]
enum Waiting {
    Event { from: NodeId, event: Bytes },
    Gap { from: NodeId, missed: u64 },
}

impl Waiting {
    fn bytes(&self) -> usize {
        match self {
            Self::Event { event, .. } => event.len(),
            Self::Gap { .. } => 0,
        }
    }
}

impl Feed {
    /// Takes in an event, and never waits for its reader.
    pub(super) fn put(&self, origin: Origin, event: Bytes) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = origin.from;
        let expected = match state.latest.get(&from) {
            Some(latest) if latest.process == origin.process => latest.number.saturating_add(1),
            // Known before, so it would have been heard of from its first one on.
            Some(_) => 1,
            None => origin.number,
        };
        // Out of turn, as after a connection that was given up and delivers after all.
        let Some(missed) = origin.number.checked_sub(expected) else { return };
        if state.latest.len() >= PUBLISHERS_MAX && !state.latest.contains_key(&from) {
            state.latest.pop_first();
        }
        state.latest.insert(from, origin);
        if missed > 0 {
            state.push(Waiting::Gap { from, missed });
        }
        state.push(Waiting::Event { from, event });
        state.wake();
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.wake();
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Received<Bytes>>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lagged > 0 {
            return Poll::Ready(Some(Received::Lagged(std::mem::take(&mut state.lagged))));
        }
        if let Some(waiting) = state.waiting.pop_front() {
            state.bytes -= waiting.bytes();
            return Poll::Ready(Some(match waiting {
                Waiting::Event { from, event } => Received::Event { from, event },
                Waiting::Gap { from, missed } => Received::Gap { from, missed },
            }));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl State {
    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes();
        self.waiting.push_back(waiting);
        while self.waiting.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.waiting.len() > 1)
        {
            let Some(oldest) = self.waiting.pop_front() else { return };
            self.bytes -= oldest.bytes();
            let missed = match oldest {
                Waiting::Event { .. } => 1,
                Waiting::Gap { missed, .. } => missed,
            };
            // A peer can say any number.
            self.lagged = self.lagged.saturating_add(missed);
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Events of one kind, as bytes. It ends when the node does.
pub struct RawSubscription {
    pub(super) feed: Arc<Feed>,
}

impl RawSubscription {
    /// What comes next; `None` when the node has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Received<Bytes>> {
        std::future::poll_fn(|context| self.feed.poll(context)).await
    }
}

impl Stream for RawSubscription {
    type Item = Received<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.feed.poll(context)
    }
}

impl fmt::Debug for RawSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSubscription").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: NodeId = NodeId(1);

    fn put(feed: &Feed, from: NodeId, process: u64, number: u64) {
        feed.put(Origin { from, process, number }, Bytes::from(number.to_string()));
    }

    fn drain(feed: &Feed) -> Vec<Received<Bytes>> {
        let context = Context::from_waker(Waker::noop());
        std::iter::from_fn(|| match feed.poll(&context) {
            Poll::Ready(received) => received,
            Poll::Pending => None,
        })
        .collect()
    }

    fn event(number: u64) -> Received<Bytes> {
        Received::Event { from: A, event: Bytes::from(number.to_string()) }
    }

    #[test]
    fn a_number_that_is_left_out_is_a_gap_and_one_that_comes_late_is_dropped() {
        let feed = Feed::default();
        // Whoever comes in the middle has missed nothing.
        for number in [5, 6, 9, 7, 9, 10] {
            put(&feed, A, 1, number);
        }
        let gap = Received::Gap { from: A, missed: 2 };
        assert_eq!(drain(&feed), [event(5), event(6), gap, event(9), event(10)]);
    }

    #[test]
    fn a_publisher_that_starts_anew_counts_from_one_again() {
        let feed = Feed::default();
        for (process, number) in [(1, 5), (2, 1), (3, 3)] {
            put(&feed, A, process, number);
        }
        let gap = Received::Gap { from: A, missed: 2 };
        assert_eq!(drain(&feed), [event(5), event(1), gap, event(3)]);
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_missed_and_goes_on_with_the_latest() {
        let feed = Feed::default();
        let more = EVENTS_MAX as u64 + 10;
        (1..=more).for_each(|number| put(&feed, A, 1, number));
        let received = drain(&feed);
        assert_eq!(received[..2], [Received::Lagged(10), event(11)]);
        assert_eq!(received.last(), Some(&event(more)));
    }

    #[test]
    fn large_events_make_room_by_their_bytes() {
        let feed = Feed::default();
        for number in 1..=5 {
            let event = Bytes::from(vec![0; BYTES_MAX / 2]);
            feed.put(Origin { from: A, process: 1, number }, event);
        }
        assert_eq!(drain(&feed)[0], Received::Lagged(3));
    }

    #[test]
    fn what_waits_is_still_read_after_the_end() {
        let feed = Feed::default();
        put(&feed, A, 1, 1);
        feed.close();
        assert_eq!(drain(&feed), [event(1)]);
        let context = Context::from_waker(Waker::noop());
        assert_eq!(feed.poll(&context), Poll::Ready(None));
    }

    #[test]
    fn numbers_that_no_publisher_counts_to_are_not_added_up_beyond_what_there_is() {
        let feed = Feed::default();
        for process in 1..=EVENTS_MAX as u64 {
            put(&feed, A, process, u64::MAX);
        }
        assert!(matches!(drain(&feed)[0], Received::Lagged(_)));
    }

    proptest! {
        /// Whatever is lost and wherever: each number is an event, in a gap, or lagged behind.
        #[test]
        fn every_event_is_accounted_for(kept in prop::collection::vec(any::<bool>(), 1..3000)) {
            let feed = Feed::default();
            put(&feed, A, 1, 1);
            for (number, _) in (2u64..).zip(&kept).filter(|(_, kept)| **kept) {
                put(&feed, A, 1, number);
            }
            let last = kept.iter().rposition(|kept| *kept).map_or(1, |at| at as u64 + 2);
            let total: u64 = drain(&feed).into_iter().map(|received| match received {
                Received::Event { .. } => 1,
                Received::Gap { missed, .. } => missed,
                Received::Lagged(missed) => missed,
                Received::Unreadable { .. } => 0,
            }).sum();
            prop_assert_eq!(total, last);
        }
    }
}
