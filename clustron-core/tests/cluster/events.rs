//! Events on the bus, through the handle.

use std::any::Any;
use std::sync::Arc;

use clustron_core::event_bus::{Event, EventBus, MemoryEventBus, Received, Subscription};
use clustron_core::{Cluster, Config, Message, NodeId};
use clustron_testkit::conformance::{EventBusFixture, event_bus_conformance};
use futures::FutureExt;
use serde::{Deserialize, Serialize};

use crate::world::{Member, World, address, settled, within};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Price(u64);

impl Message for Price {
    const KIND: &'static str = "test.price";
}

impl Event for Price {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Other;

impl Message for Other {
    const KIND: &'static str = "test.other";
}

impl Event for Other {}

async fn three() -> (World, Vec<Member>) {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    (world, members)
}

async fn next(prices: &mut Subscription<Price>) -> Received<Price> {
    within("an event", prices.next()).await.expect("the node lives")
}

fn price(from: NodeId, number: u64) -> Received<Price> {
    Received::Event { from, event: Price(number) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clusters_own_bus_passes_the_suite() {
    event_bus_conformance(async || {
        let (world, members) = three().await;
        let nodes: Vec<(NodeId, Arc<dyn EventBus>)> =
            members.iter().map(|member| (member.id(), member.event_bus())).collect();
        let keep: Box<dyn Any + Send> = Box::new((world, members));
        EventBusFixture { nodes, keep }
    })
    .await
    .unwrap_or_else(|broken| panic!("{broken}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_reach_all_who_subscribe_in_the_order_of_each_publisher() {
    let (_world, members) = three().await;
    let [a, b, c] = &members[..] else { panic!("three") };
    let mut prices: Vec<_> = members.iter().map(|m| m.subscribe::<Price>()).collect();
    for number in 0..200 {
        a.publish(&Price(number)).await.unwrap();
        b.publish(&Price(number)).await.unwrap();
        c.publish(&Other).await.unwrap();
    }
    for prices in &mut prices {
        let mut expected = [0; 2];
        while expected != [200, 200] {
            let Received::Event { from, event } = next(prices).await else { panic!("lost") };
            let at = usize::from(from == b.id());
            assert_eq!(event, Price(expected[at]));
            expected[at] += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_no_events_is_sent_none_until_it_does() {
    let (_world, members) = three().await;
    let [a, b, _] = &members[..] else { panic!("three") };
    let received = |member: &Member| {
        let text = member.metrics_text();
        let line =
            text.lines().find_map(|l| l.strip_prefix("clustron_core_messages_received_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    // Sent in vain until the others have said so. They take part in gossip meanwhile, so that there
    // is a limit to look below.
    let mut others = b.subscribe::<Other>();
    let quiet = async {
        loop {
            let before = received(b);
            for number in 0..100 {
                a.publish(&Price(number)).await.unwrap();
            }
            // What is sent to a node stays in order, so nothing of it is on its way after this.
            a.publish(&Other).await.unwrap();
            let marker = others.next().await;
            assert!(matches!(marker, Some(Received::Event { .. })), "{marker:?}");
            if received(b) - before < 50 {
                return;
            }
        }
    };
    within("the end of events sent in vain", quiet).await;
    let mut prices = b.subscribe::<Price>();
    let mut number = 1000;
    let first = async {
        loop {
            number += 1;
            a.publish(&Price(number)).await.unwrap();
            a.publish(&Other).await.unwrap();
            // Never more under way than this, however slow the other node is.
            let marker = others.next().await;
            assert!(matches!(marker, Some(Received::Event { .. })), "{marker:?}");
            if let Some(received) = prices.next().now_or_never() {
                return received.unwrap();
            }
        }
    };
    let first = within("the first event", first).await;
    let Received::Event { event: Price(mut expected), .. } = first else { panic!("{first:?}") };
    assert!(expected > 1000, "an event from before the subscription");
    // And from then on every one.
    for _ in 0..100 {
        number += 1;
        a.publish(&Price(number)).await.unwrap();
    }
    while expected < number {
        expected += 1;
        assert_eq!(next(&mut prices).await, price(a.id(), expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_end_with_their_node() {
    let (world, mut members) = three().await;
    let last = members.pop().unwrap();
    let mut prices = last.subscribe::<Price>();
    world.crash(last).await;
    assert_eq!(within("the end", prices.next()).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_bus_takes_the_place_of_the_clusters_own() {
    let (world, bus) = (World::new(&["a", "b"]), MemoryEventBus::new());
    let start = async |host: &str| {
        let config =
            Config { name: Some(host.to_owned()), listen: address(host), ..world.config.clone() };
        let bus = bus.clone();
        let builder = Cluster::builder("test").config(config).transport(world.network.host(host));
        within("a start", builder.event_bus(move |id| bus.node(id)).start()).await.unwrap()
    };
    let (a, b) = tokio::join!(Box::pin(start("a")), Box::pin(start("b")));
    let (mut at_a, mut at_b) = (a.subscribe::<Price>(), b.subscribe::<Price>());
    a.publish(&Price(7)).await.unwrap();
    assert_eq!(next(&mut at_a).await, price(a.node().id, 7));
    assert_eq!(next(&mut at_b).await, price(a.node().id, 7));
    assert!(a.metrics_text().contains("clustron_core_events_published_total 0"));
}
