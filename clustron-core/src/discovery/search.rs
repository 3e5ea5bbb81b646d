//! Asks all sources of a node beside each other, and shows what they know together.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;

use super::answers::Answers;
use super::{Discovery, DiscoveryError, FIND_DEADLINE, Found};

/// The least time before a source is asked again, however often it says that it has changed.
const GAP: Duration = Duration::from_millis(50);

/// The most addresses that a node dials at the same time, so that a round of looking takes no
/// longer than one of them takes to fail.
const DIALS_AT_ONCE: usize = 128;

/// The addresses where others may be found, as far as is known now. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    shown: watch::Receiver<Arc<Vec<String>>>,
    may_change: bool,
}

impl Addresses {
    /// Addresses that never change.
    pub(crate) fn fixed(addresses: Vec<String>) -> Self {
        Self { shown: watch::channel(Arc::new(addresses)).1, may_change: false }
    }

    /// The addresses now.
    pub(crate) fn now(&self) -> Arc<Vec<String>> {
        self.shown.borrow().clone()
    }

    /// As many of the addresses that are wanted as may be dialled at the same time; where there are
    /// more, the next ones at each turn.
    pub(crate) fn some(&self, turn: &mut usize, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let now = self.now();
        let mut some: Vec<String> = now.iter().filter(|addr| wanted(addr)).cloned().collect();
        if some.len() > DIALS_AT_ONCE {
            let first = *turn % some.len();
            some.rotate_left(first);
            some.truncate(DIALS_AT_ONCE);
            *turn = turn.wrapping_add(DIALS_AT_ONCE);
        }
        some
    }

    /// Whether a source may give others later.
    pub(crate) fn may_change(&self) -> bool {
        self.may_change
    }
}

/// One node's search. See the module's documentation.
pub(crate) struct Search {
    sources: Vec<Arc<dyn Discovery>>,
    answers: Answers,
    shown: watch::Sender<Arc<Vec<String>>>,
}

impl Search {
    /// A search that begins with what the node was configured with, and where its outcome is shown.
    pub(crate) fn new(fixed: Vec<String>, sources: Vec<Arc<dyn Discovery>>) -> (Self, Addresses) {
        let answers = Answers::new(fixed, sources.len());
        let (shown, receiver) = watch::channel(Arc::new(answers.addresses()));
        (Self { sources, answers, shown }, Addresses { shown: receiver, may_change: true })
    }

    /// Searches until the node ends.
    pub(crate) async fn run(mut self) {
        let sources = self.sources.clone();
        // Never more futures than sources: each that ends is the only reason for another.
        let mut asking = FuturesUnordered::new();
        for (at, source) in sources.iter().enumerate() {
            asking.push(look(at, &**source, None));
        }
        while let Some((at, answer)) = asking.next().await {
            let again_in = self.take_in(at, answer);
            asking.push(look(at, &*sources[at], Some(again_in)));
        }
    }

    fn take_in(&mut self, at: usize, answer: Result<Found, DiscoveryError>) -> Option<Duration> {
        let source = self.sources[at].name();
        let outcome = answer.as_ref().map(|found| found.addresses.len()).map_err(Clone::clone);
        let next = self.answers.heard(at, answer);
        match outcome {
            Ok(addresses) if next.is_news => tracing::info!(source, addresses, "found addresses"),
            Err(error) if next.is_news => {
                tracing::warn!(%error, "cannot look for nodes, going on with what was known");
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "still cannot look for nodes"),
        }
        let addresses = self.answers.addresses();
        self.shown.send_if_modified(|shown| {
            let changed = **shown != addresses;
            if changed {
                *shown = Arc::new(addresses);
            }
            changed
        });
        next.again_in
    }
}

/// Waits until a source is to be asked, asks it, and gives its place with what it says.
/// `again_in` is `None` for a source that has not been asked yet.
async fn look(
    at: usize,
    source: &dyn Discovery,
    again_in: Option<Option<Duration>>,
) -> (usize, Result<Found, DiscoveryError>) {
    if let Some(again_in) = again_in {
        tokio::time::sleep(GAP).await;
        let due = async {
            match again_in {
                Some(pause) => tokio::time::sleep(pause.saturating_sub(GAP)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = source.changed() => {}
            () = due => {}
        }
    }
    let found = tokio::time::timeout(FIND_DEADLINE, source.find()).await.unwrap_or_else(|_| {
        let reason = format!("it did not answer within {FIND_DEADLINE:?}");
        Err(DiscoveryError::new(source.name(), reason, "see whether it can be reached"))
    });
    (at, found.and_then(|found| found.check(&source.name()).map(|()| found)))
}

#[cfg(test)]
mod tests;
