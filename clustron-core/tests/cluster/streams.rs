//! Streams of replies, through the handle.

use std::time::Duration;

use clustron_core::{
    ClusterHandle, HandlerOptions, Message, MessageError, NodeId, Outcome, ReplyStream, Request,
    SinkError, StreamOptions, StreamRequest,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::world::{LONG, pair, within};

/// Asks for items of some bytes each, the first of which are their number.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Items {
    count: u64,
    bytes: usize,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Then {
    End,
    Fail,
    Panic,
    Hang,
}

impl Message for Items {
    const KIND: &'static str = "test.items";
}

impl StreamRequest for Items {
    type Item = Vec<u8>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Ping;

impl Message for Ping {
    const KIND: &'static str = "test.ping";
}

impl Request for Ping {
    type Reply = ();
}

fn items(count: u64, bytes: usize, then: Then) -> Items {
    Items { count, bytes, then }
}

fn item(number: u64, bytes: usize) -> Vec<u8> {
    let mut item = number.to_be_bytes().to_vec();
    item.resize(bytes.max(8), 7);
    item
}

/// Serves items, and shows how many have been sent and when a handler ends.
fn serve(handle: &ClusterHandle) -> (watch::Receiver<u64>, mpsc::Receiver<()>) {
    let ((sent, shown), (end, ended)) = (watch::channel(0), mpsc::channel(16));
    handle.on_stream_request(move |_, asked: Items, mut sink| {
        let (sent, running) = (sent.clone(), Running(end.clone()));
        async move {
            let _running = running;
            for number in 0..asked.count {
                sink.send(item(number, asked.bytes)).await.map_err(|error| error.to_string())?;
                sent.send_modify(|sent| *sent += 1);
            }
            match asked.then {
                Then::End => Ok(()),
                Then::Fail => Err("the shelf is empty".to_owned()),
                Then::Panic => panic!("as asked"),
                Then::Hang => std::future::pending().await,
            }
        }
    });
    (shown, ended)
}

/// Says when a handler's future is dropped.
struct Running(mpsc::Sender<()>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

async fn open(
    from: &ClusterHandle,
    to: NodeId,
    asked: &Items,
    options: &StreamOptions,
) -> ReplyStream<Vec<u8>> {
    within("a stream", from.request_stream(to, asked, options)).await.expect("a stream")
}

fn window(items: u32, bytes: u32) -> StreamOptions {
    let not_zero = |number: u32| number.try_into().expect("not zero");
    StreamOptions { items: not_zero(items), bytes: not_zero(bytes), idle: LONG }
}

async fn read_all(
    mut stream: ReplyStream<Vec<u8>>,
    from: u64,
    asked: &Items,
) -> Option<MessageError> {
    let mut number = from;
    let end = loop {
        match within("an item", stream.next()).await {
            Some(Ok(found)) => assert_eq!(found, item(number, asked.bytes)),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
        number += 1;
    };
    assert_eq!(number, asked.count, "{end:?}");
    assert!(stream.next().await.is_none(), "an end is an end");
    end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_brings_all_items_in_order_and_then_its_end() {
    let (_world, a, b) = pair().await;
    serve(&b);
    let (many, large) = (items(10_000, 16, Then::End), items(40, 1 << 20, Then::End));
    for to in [b.id(), a.id()] {
        serve(&a);
        for asked in [&many, &large, &items(0, 0, Then::End)] {
            let stream = open(&a, to, asked, &StreamOptions::default()).await;
            assert!(read_all(stream, 0, asked).await.is_none());
        }
        // The smallest window that there is: one item at a time.
        let few = items(100, 100, Then::End);
        let stream = open(&a, to, &few, &window(1, 1)).await;
        assert!(read_all(stream, 0, &few).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_bounds_the_sender_and_delays_nobody_else() {
    let (_world, a, b) = pair().await;
    let (mut sent, _) = serve(&b);
    b.on_request(|_, Ping| async {});
    for (asked, options, held) in [
        // By number, and by bytes: an item goes while anything is left.
        (items(5000, 8, Then::End), window(8, 1 << 20), 8),
        (items(100, 100 << 10, Then::End), window(64, 256 << 10), 3),
    ] {
        let before = *sent.borrow();
        let stopped = open(&a, b.id(), &asked, &options).await;
        within("a full window", sent.wait_for(|sent| *sent == before + held)).await.unwrap();
        // Another stream on the same connection, and requests beside it.
        let other = items(3000, 1000, Then::End);
        let reading = open(&a, b.id(), &other, &StreamOptions::default()).await;
        for _ in 0..100 {
            a.request(b.id(), &Ping, LONG).await.unwrap();
        }
        assert!(read_all(reading, 0, &other).await.is_none());
        assert_eq!(*sent.borrow_and_update(), before + held + other.count, "beyond the window");
        assert!(read_all(stopped, 0, &asked).await.is_none());
        within("the rest", sent.wait_for(|s| *s == before + asked.count + other.count))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_stream_cancels_its_handler() {
    let (_world, a, b) = pair().await;
    for to in [&b, &a] {
        let (_, mut ended) = serve(to);
        // One that waits for credit, and one that waits for something else.
        for asked in [items(1000, 8, Then::Hang), items(1, 8, Then::Hang)] {
            let mut stream = open(&a, to.id(), &asked, &window(4, 1000)).await;
            assert_eq!(within("an item", stream.next()).await.unwrap().unwrap(), item(0, 8));
            assert!(ended.try_recv().is_err());
            drop(stream);
            within("the end of the handler", ended.recv()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_stream_too_early_is_named_after_the_items_before() {
    let (_world, a, b) = pair().await;
    let options = StreamOptions::default();
    for to in [&b, &a] {
        let asked = items(1, 8, Then::End);
        let none = a.request_stream(to.id(), &asked, &options).await;
        let error = match none {
            Ok(stream) => read_all(stream, 1, &asked).await.unwrap(),
            Err(error) => error,
        };
        assert!(matches!(error, MessageError::NoHandler { kind: "test.items", .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::NotApplied);

        serve(to);
        let failed = items(3, 8, Then::Fail);
        let stream = open(&a, to.id(), &failed, &options).await;
        let error = read_all(stream, 0, &failed).await.unwrap();
        assert!(matches!(&error, MessageError::StreamFailed { .. }), "{error}");
        assert!(error.to_string().contains("the shelf is empty"), "{error}");

        let panics = items(3, 8, Then::Panic);
        let stream = open(&a, to.id(), &panics, &options).await;
        let error = read_all(stream, 0, &panics).await.unwrap();
        assert!(matches!(error, MessageError::HandlerPanicked { .. }), "{error}");

        let hangs = items(3, 8, Then::Hang);
        let brief = StreamOptions { idle: Duration::from_millis(100), ..options };
        let stream = open(&a, to.id(), &hangs, &brief).await;
        let error = read_all(stream, 0, &hangs).await.unwrap();
        assert!(matches!(error, MessageError::StreamIdle { .. }), "{error}");

        // Larger than a frame: the handler's own error, which it may also handle.
        let huge = items(1, 9 << 20, Then::End);
        let stream = open(&a, to.id(), &huge, &options).await;
        let error = read_all(stream, 1, &huge).await.unwrap();
        assert!(error.to_string().contains("in smaller parts"), "{error}");
        assert!(to.ended().is_none(), "a handler that panics does not end its node");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_is_an_error_and_never_an_end() {
    let (world, a, b) = pair().await;
    serve(&b);
    let asked = items(3, 8, Then::Hang);
    let mut stream = open(&a, b.id(), &asked, &StreamOptions::default()).await;
    let first = within("an item", stream.next()).await.unwrap().unwrap();
    assert_eq!(first, item(0, 8));
    world.crash(b).await;
    let error = read_all(stream, 1, &asked).await.unwrap();
    assert!(matches!(error, MessageError::Disconnected { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_a_kind_allows_are_turned_away() {
    let (_world, a, b) = pair().await;
    let one = HandlerOptions { at_once: 1.try_into().unwrap(), ..HandlerOptions::default() };
    b.on_stream_request_with(one, |_, asked: Items, mut sink| async move {
        sink.send(item(0, asked.bytes)).await?;
        std::future::pending::<Result<(), SinkError>>().await
    });
    let (asked, options) = (items(1, 8, Then::Hang), StreamOptions::default());
    let mut first = open(&a, b.id(), &asked, &options).await;
    within("an item", first.next()).await.unwrap().unwrap();
    let second = open(&a, b.id(), &asked, &options).await;
    let error = read_all(second, 1, &asked).await.unwrap();
    assert!(matches!(error, MessageError::Busy { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    drop(first);
    // Its place becomes free when the other node has heard of it.
    let free = async {
        loop {
            let mut next = open(&a, b.id(), &asked, &options).await;
            if next.next().await.unwrap().is_ok() {
                return;
            }
        }
    };
    within("a free place", free).await;
}
