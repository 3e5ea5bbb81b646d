use super::*;
use crate::cluster::Cluster;
use crate::control::{Applied, ReplicatedState};
use crate::golden;
use crate::identity::{Epoch, NodeId};

#[test]
fn the_bytes_of_commands_and_of_the_state_are_frozen() {
    let mut table = golden::file("total_order.txt");
    let open = || Command::Open { node: NodeId(300) };
    let (origin, place) = (FencingToken(10_000), FencingToken(20_001));
    let (kind, body) = (|| "k".to_owned(), || bytes::Bytes::from_static(b"body"));
    let broadcast =
        || Command::Broadcast { origin, number: 3, done_below: 2, kind: kind(), body: body() };
    table.add("open", &open());
    table.add("broadcast", &broadcast());
    table.add("opened", &Reply::Opened(origin));
    table.add("placed", &Reply::Placed(place));
    table.add("forgotten", &Reply::Forgotten);
    table.add("given up", &Reply::GivenUp);
    table.add("refused", &Reply::Refused("no".to_owned()));
    let mut state = Broadcasts::default();
    state.apply(Applied { index: 1, place: 0, epoch: Epoch(1) }, open());
    state.apply(Applied { index: 2, place: 1, epoch: Epoch(1) }, broadcast());
    table.add("state", &state);
    table.check();
}

#[tokio::test]
async fn a_node_that_does_not_run_broadcasts_nothing() {
    let mut builder = Cluster::builder("test");
    let order = builder.install(TotalOrder);
    let mut news = order.subscribe::<News>();
    let error = order.broadcast(&News(vec![]), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, BroadcastError::NotApplied(ProposeError::NotRunning)), "{error}");
    // And its subscriptions end when it is known that it never will.
    drop(builder);
    assert_eq!(news.next().await, None);
}

#[tokio::test]
async fn what_is_too_large_is_named_with_its_limit() {
    let mut builder = Cluster::builder("test");
    let order = builder.install(TotalOrder);
    let large = News(vec![0; BODY_BYTES_MAX]);
    let error = order.broadcast(&large, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let text = error.to_string();
    assert!(text.starts_with("a test.news of 65541 bytes is more than the 65536"), "{text}");
}

#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct News(Vec<u8>);

impl Message for News {
    const KIND: &'static str = "test.news";
}
