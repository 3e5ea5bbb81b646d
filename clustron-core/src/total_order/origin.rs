//! The numbers under which one process broadcasts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::UNDER_WAY_MAX;
use crate::identity::FencingToken;

/// This process as an origin of broadcasts, as long as the log knows it.
#[derive(Debug)]
pub(super) struct Origin {
    /// What the log calls it.
    pub(super) name: FencingToken,
    numbers: Mutex<Numbers>,
    /// One for each number that may be taken: it comes back when nobody asks any more for the
    /// number nor for any below it. So those that the log has to know are a few in a row.
    free: Semaphore,
}

#[derive(Debug, Default)]
struct Numbers {
    next: u64,
    under_way: BTreeSet<u64>,
}

impl Numbers {
    fn done_below(&self) -> u64 {
        self.under_way.first().copied().unwrap_or(self.next)
    }
}

/// A number that somebody broadcasts under. Nobody asks for it any more once it is dropped.
#[derive(Debug)]
pub(super) struct Number {
    pub(super) origin: Arc<Origin>,
    pub(super) number: u64,
}

impl Origin {
    pub(super) fn new(name: FencingToken) -> Self {
        Self { name, numbers: Mutex::default(), free: Semaphore::new(UNDER_WAY_MAX) }
    }

    /// Waits until a number is free, and takes it.
    pub(super) async fn take(self: &Arc<Self>) -> Number {
        match self.free.acquire().await {
            Ok(free) => free.forget(),
            Err(_) => unreachable!("it is never closed"),
        }
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.next;
        numbers.next += 1;
        numbers.under_way.insert(number);
        drop(numbers);
        Number { origin: self.clone(), number }
    }
}

impl Number {
    /// Nobody asks for those below it any more; at most the number itself.
    pub(super) fn done_below(&self) -> u64 {
        self.origin.numbers.lock().unwrap_or_else(PoisonError::into_inner).done_below()
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let mut numbers = self.origin.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = numbers.done_below();
        numbers.under_way.remove(&self.number);
        let done = numbers.done_below() - before;
        // At most as many as were taken.
        self.origin.free.add_permits(usize::try_from(done).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn numbers_under_way_are_a_few_in_a_row() {
        let origin = Arc::new(Origin::new(FencingToken(1)));
        let mut taken: Vec<Number> =
            (0..UNDER_WAY_MAX).map(|_| origin.take().now_or_never().unwrap()).collect();
        assert!(origin.take().now_or_never().is_none());
        // All but the first are done: the log has to know them as long as the first is under way.
        taken.truncate(1);
        assert!(origin.take().now_or_never().is_none());
        assert_eq!(taken[0].done_below(), 0);
        taken.clear();
        let next = origin.take().now_or_never().unwrap();
        assert_eq!((next.number, next.done_below()), (256, 256));
        let more: Vec<_> = std::iter::from_fn(|| origin.take().now_or_never()).collect();
        assert_eq!(more.len(), UNDER_WAY_MAX - 1);
        assert_eq!(more[0].done_below(), 256);
    }

    #[test]
    fn who_gives_up_waiting_takes_no_number() {
        let origin = Arc::new(Origin::new(FencingToken(1)));
        let taken: Vec<Number> =
            (0..UNDER_WAY_MAX).map(|_| origin.take().now_or_never().unwrap()).collect();
        let mut waiting = Box::pin(origin.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        // It gets its turn and goes away instead.
        drop(taken);
        drop(waiting);
        assert_eq!(origin.take().now_or_never().unwrap().number, 256);
    }
}
