//! Confirmation rounds that callers share.
//!
//! To confirm that a node still leads costs a message to every voter. Many readers who ask at the
//! same time need only one such round, as many passengers need only one bus: whoever comes while
//! it is under way takes the next one, never the one that has left already. That it may not be: a
//! round that began before a read was asked for may have seen the log as it was before a write that
//! was acknowledged meanwhile.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, watch};

/// Rounds with results of type `T`, one at a time.
#[derive(Debug)]
pub(super) struct Rounds<T> {
    /// How many rounds have begun. Rounds are numbered from 1.
    begun: Mutex<u64>,
    wanted: Notify,
    /// The number of the last round that has ended, and what it gave.
    ended: watch::Sender<(u64, Option<T>)>,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        let ended = watch::Sender::new((0, None));
        Self { begun: Mutex::default(), wanted: Notify::new(), ended }
    }
}

impl<T: Clone> Rounds<T> {
    /// Waits for a round that begins after this call, and gives its result or that of a later one;
    /// `None` where the round failed. Waits for ever if nobody [runs](Self::run) the rounds.
    pub(super) async fn join(&self) -> Option<T> {
        let next = *self.begun.lock().unwrap_or_else(PoisonError::into_inner) + 1;
        let mut ended = self.ended.subscribe();
        // The permit is kept while a round runs. So the next one begins after it.
        self.wanted.notify_one();
        let ended = ended.wait_for(|(number, _)| *number >= next).await;
        ended.ok().and_then(|ended| ended.1.clone())
    }

    /// Runs a round whenever somebody waits for one, for as long as it is polled.
    pub(super) async fn run<F: Future<Output = Option<T>>>(&self, mut round: impl FnMut() -> F) {
        loop {
            self.wanted.notified().await;
            let number = {
                let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                *begun += 1;
                *begun
            };
            let result = round().await;
            self.ended.send_replace((number, result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::future::{BoxFuture, join_all};
    use std::cell::Cell;
    use tokio::sync::Semaphore;

    /// Polls once, as if everybody else had had their turn.
    fn poll<T>(future: &mut BoxFuture<'_, T>) -> Option<T> {
        future.now_or_never()
    }

    #[test]
    fn who_comes_while_a_round_is_under_way_takes_the_next() {
        let (rounds, gate, begun) = (Rounds::default(), Semaphore::new(0), Cell::new(0));
        let mut running = Box::pin(rounds.run(|| {
            begun.set(begun.get() + 1);
            let number = begun.get();
            let gate = &gate;
            async move {
                gate.acquire().await.unwrap().forget();
                Some(number)
            }
        }));
        let mut early = rounds.join().boxed();
        assert_eq!(poll(&mut early), None);
        assert!((&mut running).now_or_never().is_none());
        assert_eq!(begun.get(), 1);
        // The first round is under way: these two share the second.
        let mut late = [rounds.join().boxed(), rounds.join().boxed()];
        for late in &mut late {
            assert_eq!(poll(late), None);
        }
        gate.add_permits(1);
        assert!((&mut running).now_or_never().is_none());
        assert_eq!(poll(&mut early), Some(Some(1)));
        for late in &mut late {
            assert_eq!(poll(late), None);
        }
        gate.add_permits(1);
        assert!((&mut running).now_or_never().is_none());
        for late in &mut late {
            assert_eq!(poll(late), Some(Some(2)));
        }
        assert_eq!(begun.get(), 2, "nobody waits for a third");
    }

    #[test]
    fn a_round_that_failed_is_told_to_those_who_waited_for_it() {
        let (rounds, begun) = (Rounds::<u64>::default(), Cell::new(0));
        let mut running = Box::pin(rounds.run(|| {
            begun.set(begun.get() + 1);
            std::future::ready((begun.get() > 1).then_some(7))
        }));
        let mut first = rounds.join().boxed();
        assert_eq!(poll(&mut first), None);
        assert!((&mut running).now_or_never().is_none());
        assert_eq!(poll(&mut first), Some(None));
        let mut second = rounds.join().boxed();
        assert_eq!(poll(&mut second), None);
        assert!((&mut running).now_or_never().is_none());
        assert_eq!(poll(&mut second), Some(Some(7)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_result_is_newer_than_the_call_whoever_calls_when() {
        let rounds = std::sync::Arc::new(Rounds::default());
        let clock = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let tick = |clock: &std::sync::atomic::AtomicU64| {
            clock.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
        };
        let (run, run_clock) = (rounds.clone(), clock.clone());
        let runner = tokio::spawn(async move {
            run.run(|| {
                let began = tick(&run_clock);
                async move {
                    tokio::task::yield_now().await;
                    Some(began)
                }
            })
            .await;
        });
        let callers = (0..16).map(|_| {
            let (rounds, clock) = (rounds.clone(), clock.clone());
            tokio::spawn(async move {
                for _ in 0..200 {
                    let called = tick(&clock);
                    let began = rounds.join().await.unwrap();
                    assert!(began > called, "a round of {began} for a call of {called}");
                }
            })
        });
        for caller in join_all(callers).await {
            caller.unwrap();
        }
        runner.abort();
    }
}
