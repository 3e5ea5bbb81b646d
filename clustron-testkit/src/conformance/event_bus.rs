//! The suite for [`EventBus`].

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clustron_core::NodeId;
use clustron_core::event_bus::{EventBus, RawSubscription, Received};

use super::{BrokenPromise, Checked, While, ensure};

/// How long one case may take. Only a bus that loses subscriptions comes near.
const CASE_DEADLINE: Duration = Duration::from_secs(60);

/// Far more than a subscription holds.
const FLOOD: u64 = 5000;

const KIND: &str = "test.kind";

/// A bus under test, as several nodes use it.
pub struct EventBusFixture {
    /// At least two nodes, all of which have found each other.
    pub nodes: Vec<(NodeId, Arc<dyn EventBus>)>,
    /// What has to live as long as the bus is used.
    pub keep: Box<dyn Any + Send>,
}

impl fmt::Debug for EventBusFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBusFixture").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// Checks everything that [`EventBus`] promises, each promise with a fixture of its own.
///
/// ```
/// use clustron_core::NodeId;
/// use clustron_core::event_bus::MemoryEventBus;
/// use clustron_testkit::conformance::{EventBusFixture, event_bus_conformance};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
///
/// event_bus_conformance(async || {
///     let bus = MemoryEventBus::new();
///     let nodes = [1, 2, 3].map(|id| (NodeId(id), bus.node(NodeId(id)))).to_vec();
///     EventBusFixture { nodes, keep: Box::new(()) }
/// })
/// .await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// The first promise that is broken, and what was seen.
pub async fn event_bus_conformance(
    make: impl AsyncFn() -> EventBusFixture,
) -> Result<(), BrokenPromise> {
    check(
        "an event reaches every subscription to its kind at every node, the publisher's included",
        every_subscription_is_reached(make().await),
    )
    .await?;
    check(
        "events of one publisher arrive once and in order, also under load",
        order_is_kept(make().await),
    )
    .await?;
    check("a subscription hears its own kind only", kinds_do_not_mix(make().await)).await?;
    check(
        "who subscribes when events have been sent in vain is heard soon, and then for good",
        late_subscriptions_are_heard(make().await),
    )
    .await?;
    check(
        "a slow subscription delays nobody, and each event that it missed is accounted for",
        slow_subscriptions_lag(make().await),
    )
    .await?;
    check("after `close` subscriptions end", a_closed_bus_ends(make().await)).await
}

async fn check(
    promise: &'static str,
    case: impl Future<Output = Checked>,
) -> Result<(), BrokenPromise> {
    let checked = tokio::time::timeout(CASE_DEADLINE, case)
        .await
        .unwrap_or_else(|_| Err(format!("nothing came of it within {CASE_DEADLINE:?}")));
    checked.map_err(|detail| BrokenPromise { promise, detail })
}

async fn publish(bus: &Arc<dyn EventBus>, kind: &str, number: u64) -> Checked {
    let event = Bytes::from(number.to_be_bytes().to_vec());
    bus.publish(kind, event).await.while_doing(format!("publish event {number}"))
}

async fn next(subscription: &mut RawSubscription) -> Result<Received<Bytes>, String> {
    subscription.next().await.ok_or_else(|| "the subscription ended".to_owned())
}

/// The next event, which must be one, as its publisher and number.
async fn event(subscription: &mut RawSubscription) -> Result<(NodeId, u64), String> {
    match next(subscription).await? {
        Received::Event { from, event } => Ok((from, number(&event)?)),
        other => Err(format!("{other:?} came instead of an event")),
    }
}

fn number(event: &Bytes) -> Result<u64, String> {
    let bytes = event[..].try_into().while_doing("read an event's eight bytes")?;
    Ok(u64::from_be_bytes(bytes))
}

async fn every_subscription_is_reached(fixture: EventBusFixture) -> Checked {
    let nodes = &fixture.nodes;
    let mut subscriptions: Vec<_> =
        nodes.iter().chain(nodes).map(|(_, bus)| bus.subscribe(KIND)).collect();
    for (at, (_, bus)) in nodes.iter().enumerate() {
        publish(bus, KIND, at as u64).await?;
    }
    for subscription in &mut subscriptions {
        let mut heard = BTreeMap::new();
        for _ in nodes {
            let (from, number) = event(subscription).await?;
            ensure(heard.insert(number, from).is_none(), || format!("event {number} came twice"))?;
        }
        for (at, (id, _)) in nodes.iter().enumerate() {
            let from = heard.get(&(at as u64));
            ensure(from == Some(id), || format!("the event of {id} came from {from:?}"))?;
        }
    }
    Ok(())
}

async fn order_is_kept(fixture: EventBusFixture) -> Checked {
    let nodes = &fixture.nodes;
    let mut subscriptions: Vec<_> = nodes.iter().map(|(_, bus)| bus.subscribe(KIND)).collect();
    // In portions, so that nobody has reason to lag.
    for portion in 0..10u64 {
        let numbers = portion * 100..(portion + 1) * 100;
        let publishing = nodes.iter().map(async |(_, bus)| {
            for number in numbers.clone() {
                publish(bus, KIND, number).await?;
            }
            Ok::<(), String>(())
        });
        futures::future::try_join_all(publishing).await?;
        for subscription in &mut subscriptions {
            let mut expected: BTreeMap<NodeId, u64> =
                nodes.iter().map(|(id, _)| (*id, numbers.start)).collect();
            for _ in 0..100 * nodes.len() {
                let (from, number) = event(subscription).await?;
                let expected = expected.entry(from).or_default();
                ensure(number == *expected, || format!("{number} came instead of {expected}"))?;
                *expected += 1;
            }
        }
    }
    Ok(())
}

async fn kinds_do_not_mix(fixture: EventBusFixture) -> Checked {
    let (_, publisher) = &fixture.nodes[0];
    let mut subscriptions: Vec<_> =
        fixture.nodes.iter().map(|(_, bus)| bus.subscribe(KIND)).collect();
    for number in 0..100 {
        publish(publisher, "test.kind2", 1000 + number).await?;
        publish(publisher, KIND, number).await?;
    }
    for subscription in &mut subscriptions {
        for expected in 0..100 {
            let (_, number) = event(subscription).await?;
            ensure(number == expected, || format!("{number} came instead of {expected}"))?;
        }
    }
    Ok(())
}

async fn late_subscriptions_are_heard(fixture: EventBusFixture) -> Checked {
    let ((_, publisher), (_, other)) = (&fixture.nodes[0], &fixture.nodes[1]);
    let mut sent = 0;
    for _ in 0..3 {
        for _ in 0..200 {
            sent += 1;
            publish(publisher, KIND, sent).await?;
            tokio::task::yield_now().await;
        }
        let mut subscription = other.subscribe(KIND);
        // That nobody wanted the kind may be heard by the publisher only now; so there may be a gap
        // at the beginning, but then everything comes.
        let (mut expected, mut in_a_row) = (None, 0);
        while in_a_row < 100 {
            sent += 1;
            publish(publisher, KIND, sent).await?;
            tokio::select! {
                biased;
                received = next(&mut subscription) => {
                    let missed = match received? {
                        Received::Event { event, .. } => {
                            let number = number(&event)?;
                            let wanted = expected.unwrap_or(number);
                            ensure(number == wanted, || {
                                format!("{number} came instead of {wanted}")
                            })?;
                            expected = Some(number + 1);
                            in_a_row += 1;
                            continue;
                        }
                        Received::Gap { missed, .. } => missed,
                        other => return Err(format!("{other:?}")),
                    };
                    expected = expected.map(|expected| expected + missed);
                    in_a_row = 0;
                }
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
    }
    Ok(())
}

async fn slow_subscriptions_lag(fixture: EventBusFixture) -> Checked {
    let ((_, publisher), (_, other)) = (&fixture.nodes[0], &fixture.nodes[1]);
    for bus in [publisher, other] {
        let (mut slow, mut quick) = (bus.subscribe(KIND), bus.subscribe(KIND));
        // Both have heard of the publisher when it begins to count.
        let begun = async |subscription: &mut RawSubscription| loop {
            publish(publisher, KIND, 0).await?;
            tokio::select! {
                biased;
                first = event(subscription) => return first.map(drop),
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        };
        begun(&mut slow).await?;
        begun(&mut quick).await?;
        let accounting = async {
            // The quick one reads all the while, and must not have to wait for the slow one.
            let mut last = 0;
            while last < FLOOD {
                if let Received::Event { event, .. } = next(&mut quick).await? {
                    last = number(&event)?;
                }
            }
            Ok::<(), String>(())
        };
        let flooding = async {
            for number in 1..=FLOOD {
                publish(publisher, KIND, number).await?;
            }
            // Should the last of the flood be lost, the next one shows it.
            loop {
                publish(publisher, KIND, FLOOD).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let flooding: Checked = tokio::select! {
            biased;
            accounted = accounting => accounted,
            ended = flooding => ended,
        };
        flooding?;
        let (mut accounted, mut lagged, mut last) = (0, 0, 0);
        while last < FLOOD {
            match next(&mut slow).await? {
                Received::Event { event, .. } => {
                    let number = number(&event)?;
                    // The first ones may be of before the flood, which are all numbered 0.
                    accounted += u64::from(number > 0);
                    ensure(number >= last, || format!("{number} came after {last}"))?;
                    last = number;
                }
                Received::Gap { missed, .. } => accounted += missed,
                Received::Lagged(missed) => (accounted, lagged) = (accounted + missed, missed),
                other => return Err(format!("{other:?}")),
            }
        }
        ensure(lagged > 0, || format!("{FLOOD} events waited for a subscription"))?;
        ensure(accounted >= FLOOD, || format!("{accounted} of {FLOOD} events are accounted for"))?;
    }
    Ok(())
}

async fn a_closed_bus_ends(fixture: EventBusFixture) -> Checked {
    let (_, bus) = &fixture.nodes[0];
    let mut before = bus.subscribe(KIND);
    bus.close();
    ensure(before.next().await.is_none(), || "an open subscription did not end".to_owned())?;
    let mut after = bus.subscribe(KIND);
    ensure(after.next().await.is_none(), || "a later subscription did not end".to_owned())
}

#[cfg(test)]
mod tests;
