//! A search of one source, whose looks a test can wait for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{Addresses, Discovery, DiscoveryError, Found, Search};

const LONG: Duration = Duration::from_secs(20);

/// How many looks have ended, and how the last one did.
type Looks = (u64, Option<Result<Found, DiscoveryError>>);

struct Watched<S> {
    source: S,
    looks: watch::Sender<Looks>,
    /// Makes the search look at once.
    hurry: Arc<Notify>,
}

impl<S: Discovery> fmt::Debug for Watched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl<S: Discovery> Discovery for Watched<S> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn find(&self) -> BoxFuture<'_, Result<Found, DiscoveryError>> {
        async {
            let outcome = self.source.find().await;
            self.looks.send_modify(|(count, last)| {
                *count += 1;
                *last = Some(outcome.clone());
            });
            outcome
        }
        .boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        async {
            tokio::select! {
                biased;
                () = self.hurry.notified() => {}
                () = self.source.changed() => {}
            }
        }
        .boxed()
    }
}

/// See the module's documentation.
pub(super) struct Searched {
    addresses: Addresses,
    looks: watch::Receiver<Looks>,
    hurry: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Searched {
    pub(super) fn of(source: impl Discovery) -> Self {
        let (looks, hurry) = (watch::Sender::default(), Arc::<Notify>::default());
        let receiver = looks.subscribe();
        let watched = Watched { source, looks, hurry: hurry.clone() };
        let (search, addresses) = Search::new(vec![], vec![Arc::new(watched)]);
        let task = AbortOnDropHandle::new(tokio::spawn(search.run()));
        Self { addresses, looks: receiver, hurry, _task: task }
    }

    /// Waits until exactly these are known.
    pub(super) async fn until(&mut self, wanted: &[&str]) {
        let known = tokio::time::timeout(LONG, self.addresses.until(wanted)).await;
        known.unwrap_or_else(|_| panic!("{wanted:?} is not found: {:?}", self.addresses.now()));
    }

    /// The same without waiting until the source is due.
    pub(super) async fn until_at_once(&mut self, wanted: &[&str]) {
        self.hurry.notify_one();
        self.until(wanted).await;
    }

    /// Looks until two looks in a row have failed, so that the first of them has been taken in, and
    /// gives why; what was known must be known still.
    pub(super) async fn fails_and_keeps(&mut self, known: &[&str]) -> String {
        let mut failed = None;
        loop {
            let before = self.looks.borrow().0;
            self.hurry.notify_one();
            let looking = self.looks.wait_for(|(count, _)| *count > before);
            let looked = tokio::time::timeout(LONG, looking).await.expect("it looks again");
            let (_, last) = looked.expect("the search runs").clone();
            match (last.expect("it has looked"), failed) {
                (Err(error), Some(before)) if error == before => break,
                (outcome, _) => failed = outcome.err(),
            }
        }
        assert_eq!(*self.addresses.now(), known);
        let (_, last) = self.looks.borrow().clone();
        last.expect("it has looked").expect_err("it failed").to_string()
    }
}
