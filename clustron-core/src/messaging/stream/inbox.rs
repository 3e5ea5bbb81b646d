//! Where the items of a stream wait for their reader.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::allowance::{Allowance, Overrun};
use crate::messaging::envelope::StreamEnd;

/// How a stream ended, as far as its reader knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The other side said so.
    Said(StreamEnd),
    /// Whoever served it is gone.
    Lost,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Item(Bytes),
    End(End),
}

/// See the module's documentation. It holds as much as was allowed to come, and never more.
#[derive(Debug)]
pub(in super::super) struct Inbox(Mutex<State>);

#[derive(Debug)]
struct State {
    items: VecDeque<Bytes>,
    allowance: Allowance,
    /// After the items.
    end: Option<End>,
    reader: Option<Waker>,
}

impl Inbox {
    /// An empty one, into which so much may come.
    pub(super) fn new(items: u32, bytes: u32) -> Self {
        let allowance = Allowance::new(items, bytes);
        Self(Mutex::new(State { items: VecDeque::new(), allowance, end: None, reader: None }))
    }

    /// Takes in an item.
    pub(super) fn put(&self, item: Bytes) -> Result<(), Overrun> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.allowance.spend(item.len())?;
        state.items.push_back(item);
        state.wake();
        Ok(())
    }

    /// Nothing more comes; the first end counts.
    pub(super) fn end(&self, end: End) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.end.get_or_insert(end);
        state.wake();
    }

    /// Lets so much more come.
    pub(super) fn grant(&self, items: u32, bytes: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).allowance.grant(items, bytes);
    }

    /// The next item, or the end, which stays.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Next> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(item) = state.items.pop_front() {
            return Poll::Ready(Next::Item(item));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Next::End(end.clone()));
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(inbox: &Inbox) -> Poll<Next> {
        inbox.poll(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_inbox_takes_what_was_allowed_and_not_an_item_more() {
        let inbox = Inbox::new(2, 100);
        let item = Bytes::from_static(b"item");
        assert_eq!(inbox.put(item.clone()), Ok(()));
        assert_eq!(inbox.put(item.clone()), Ok(()));
        assert_eq!(inbox.put(item.clone()), Err(Overrun));
        // That an item was read is no permission yet.
        assert_eq!(next(&inbox), Poll::Ready(Next::Item(item.clone())));
        assert_eq!(inbox.put(item.clone()), Err(Overrun));
        inbox.grant(1, 4);
        assert_eq!(inbox.put(item), Ok(()));
    }

    #[test]
    fn the_end_comes_after_the_items_and_the_first_one_counts() {
        let inbox = Inbox::new(2, 100);
        inbox.put(Bytes::from_static(b"item")).unwrap();
        inbox.end(End::Said(StreamEnd::Done));
        inbox.end(End::Lost);
        assert!(matches!(next(&inbox), Poll::Ready(Next::Item(_))));
        assert_eq!(next(&inbox), Poll::Ready(Next::End(End::Said(StreamEnd::Done))));
        assert_eq!(next(&inbox), Poll::Ready(Next::End(End::Said(StreamEnd::Done))));
    }
}
