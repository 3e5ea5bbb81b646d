//! Buses that break a promise, and the suite that finds them.

use std::sync::atomic::{AtomicU64, Ordering};

use clustron_core::event_bus::{MemoryEventBus, PublishError};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Every third event is lost, and no number shows it.
    Loses,
    /// Every third event is sent once more.
    Repeats,
    /// The kind's digits are forgotten.
    MixesKinds,
    /// Subscriptions outlive the node.
    NeverEnds,
    /// An event that nobody reads holds its publisher up.
    Waits,
}

#[derive(Debug)]
struct Careless {
    bus: Arc<dyn EventBus>,
    flaw: Flaw,
    published: AtomicU64,
}

impl EventBus for Careless {
    fn publish<'a>(
        &'a self,
        kind: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        let count = self.published.fetch_add(1, Ordering::Relaxed);
        let third = count % 3 == 2;
        async move {
            match self.flaw {
                Flaw::Loses if third => return Ok(()),
                Flaw::Repeats if third => self.bus.publish(kind, event.clone()).await?,
                Flaw::MixesKinds => {
                    let kind = kind.trim_end_matches(char::is_numeric);
                    return self.bus.publish(kind, event).await;
                }
                Flaw::Waits if count > 2000 => return std::future::pending().await,
                Flaw::Loses | Flaw::Repeats | Flaw::NeverEnds | Flaw::Waits => {}
            }
            self.bus.publish(kind, event).await
        }
        .boxed()
    }

    fn subscribe(&self, kind: &str) -> RawSubscription {
        self.bus.subscribe(kind)
    }

    fn close(&self) {
        if self.flaw != Flaw::NeverEnds {
            self.bus.close();
        }
    }
}

async fn found(flaw: Flaw) -> BrokenPromise {
    let make = async || {
        let bus = MemoryEventBus::new();
        let node = |id| {
            let bus = bus.node(NodeId(id));
            let careless: Arc<dyn EventBus> =
                Arc::new(Careless { bus, flaw, published: AtomicU64::new(0) });
            (NodeId(id), careless)
        };
        EventBusFixture { nodes: vec![node(1), node(2)], keep: Box::new(()) }
    };
    event_bus_conformance(make).await.expect_err("a flaw passed the suite")
}

#[tokio::test(start_paused = true)]
async fn each_flaw_is_found_as_the_promise_that_it_breaks() {
    for (flaw, promise) in [
        (Flaw::Loses, "arrive once and in order"),
        (Flaw::Repeats, "arrive once and in order"),
        (Flaw::MixesKinds, "its own kind only"),
        (Flaw::NeverEnds, "subscriptions end"),
        (Flaw::Waits, "delays nobody"),
    ] {
        let broken = found(flaw).await;
        assert!(broken.promise.contains(promise), "{flaw:?}: {broken}");
    }
}
