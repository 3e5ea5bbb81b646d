//! What passes through layers arrives: all, once and in order, over one connection or several.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::*;
use crate::messaging::tests::{Add, Big};
use crate::messaging::{Lane, Message, StreamOptions, StreamRequest};
use crate::pipeline::{Input, Layer, Out};

#[tokio::test(start_paused = true)]
async fn messages_and_requests_pass_through_all_layers() {
    let network = MemoryNetwork::new();
    let all = layers(&["flow", "compress", "fragment", "reliable", "checksum"]);
    let [a, b] = Node::pair(&network, &all).await;
    let mut notes = b.notes();
    b.on_request(|_, Add(x, y)| async move { x + y });
    let (tx, mut large) = mpsc::channel(1);
    b.on_message(HandlerOptions::default(), move |_, Big(bytes)| {
        let tx = tx.clone();
        async move { tx.send(bytes).await.unwrap() }
    });
    assert_eq!(a.request(b.id(), Lane::Data, &Add(2, 3), SECOND).await.unwrap(), 5);
    for n in 0..500 {
        a.send(b.id(), Lane::Data, &Note(n)).await.unwrap();
    }
    for n in 0..500 {
        assert_eq!(notes.recv().await, Some(n));
    }
    let body = vec![7; 900_000];
    a.send(b.id(), Lane::Data, &Big(body.clone())).await.unwrap();
    assert_eq!(large.recv().await, Some(body));
    let [before, after] = ["bytes_before", "bytes_after"].map(|name| a.counted("compress", name));
    assert!(before > 900_000 && after < 100_000, "{before} became {after}");
    assert_eq!(a.counted("reliable", "resent_packets"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wire_that_loses_doubles_and_damages_loses_nothing_with_reliable() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &bad_wire(&["reliable", "checksum"])).await;
    let mut notes = b.notes();
    let handled = Arc::new(AtomicU32::new(0));
    let counter = handled.clone();
    b.on_request(move |_, Add(x, y)| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { x + y }
    });
    for n in 0..300 {
        a.send(b.id(), Lane::Data, &Note(n)).await.unwrap();
        if n % 10 == 0 {
            let sum = a.request(b.id(), Lane::Data, &Add(n, 1), MINUTE).await.unwrap();
            assert_eq!(sum, n + 1);
        }
    }
    for n in 0..300 {
        assert_eq!(notes.recv().await, Some(n));
    }
    later(MINUTE).await;
    assert!(notes.try_recv().is_err(), "nothing came twice");
    assert_eq!(handled.load(Ordering::Relaxed), 30);
    assert!(a.counted("reliable", "resent_packets") > 0);
    assert!(b.counted("reliable", "repeated_packets") > 0);
    assert!(b.counted("checksum", "damaged_packets") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_once_although_its_connection_breaks_on_the_way() {
    let network = MemoryNetwork::new();
    let [mut a, mut b] = Node::pair(&network, &layers(&["reliable"])).await;
    let mut notes = b.notes();
    let (gate, handled) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let (opened, counter) = (gate.clone(), handled.clone());
    b.on_request(move |_, Add(x, y)| {
        let opened = opened.clone();
        counter.fetch_add(1, Ordering::Relaxed);
        async move {
            opened.acquire().await.unwrap().forget();
            x + y
        }
    });
    let asked = a.request(b.id(), Lane::Data, &Add(2, 3), MINUTE);
    let breaks = async {
        b.until("the request", |_| handled.load(Ordering::Relaxed) == 1).await;
        network.refuse("n1", "n2");
        // Only who says something finds out.
        for n in 0..3 {
            a.send(b.id(), Lane::Data, &Note(n)).await.unwrap();
        }
        a.until_unconnected().await;
        gate.add_permits(1);
        later(2 * SECOND).await;
        network.heal("n1", "n2");
    };
    assert_eq!(tokio::join!(asked, breaks).0.unwrap(), 5);
    for n in 0..3 {
        assert_eq!(notes.recv().await, Some(n));
    }
    assert_eq!(handled.load(Ordering::Relaxed), 1);
    assert_eq!(a.shared.metrics.conversations_failed.get(), 0);
    // The detector hears of the connection all the same.
    assert_eq!(a.news.recv().await, Some(PeerNews::ConnectionLost(b.id())));
    assert_eq!(b.news.recv().await, Some(PeerNews::ConnectionLost(a.id())));
}

/// The far side is silent for a while, and nothing breaks.
#[tokio::test(start_paused = true)]
async fn a_cut_link_delays_and_loses_nothing() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &layers(&["flow", "reliable"])).await;
    let mut notes = b.notes();
    a.send(b.id(), Lane::Data, &Note(0)).await.unwrap();
    assert_eq!(notes.recv().await, Some(0));
    network.cut("n1", "n2");
    for n in 1..50 {
        a.send(b.id(), Lane::Data, &Note(n)).await.unwrap();
    }
    later(10 * SECOND).await;
    assert!(notes.try_recv().is_err());
    network.heal("n1", "n2");
    for n in 1..50 {
        assert_eq!(notes.recv().await, Some(n));
    }
    later(MINUTE).await;
    assert!(notes.try_recv().is_err());
}

#[derive(Debug, Serialize, Deserialize)]
struct Count(u32);
impl Message for Count {
    const KIND: &'static str = "test.count";
}
impl StreamRequest for Count {
    type Item = u32;
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_over_the_next_connection() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &layers(&["compress", "fragment", "reliable"])).await;
    b.on_stream_request(HandlerOptions::default(), |_, Count(to), mut sink| async move {
        for n in 0..to {
            sink.send(n).await?;
        }
        Ok::<(), crate::SinkError>(())
    });
    let options = StreamOptions { idle: MINUTE, ..StreamOptions::default() };
    let mut numbers = a.request_stream(b.id(), Lane::Bulk, &Count(500), &options).await.unwrap();
    for n in 0..100 {
        assert_eq!(numbers.next().await.unwrap().unwrap(), n);
    }
    network.refuse("n1", "n2");
    let healing = async {
        a.until_unconnected().await;
        network.heal("n1", "n2");
    };
    let rest = async {
        for n in 100..500 {
            assert_eq!(numbers.next().await.unwrap().unwrap(), n);
        }
        assert!(numbers.next().await.is_none());
    };
    tokio::join!(healing, rest);
}

/// Turns every byte over.
#[derive(Debug)]
struct Mirror;

impl Layer for Mirror {
    fn handle(&mut self, _: Duration, input: Input, out: &mut Out) {
        let turned = |packet: &crate::pipeline::Packet| {
            let mut bytes = BytesMut::new();
            packet.to_bytes().iter().for_each(|byte| bytes.put_u8(!byte));
            bytes.freeze()
        };
        match input {
            Input::Down(mut packet) => {
                packet.replace(turned(&packet));
                out.down(packet);
            }
            Input::Up(mut packet) => {
                packet.replace(turned(&packet));
                out.up(packet);
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_ones_own_is_a_layer_like_any_other() {
    let network = MemoryNetwork::new();
    let mut registry = Registry::default();
    registry.register("mirror", |_, _| Ok(Box::new(Mirror))).unwrap();
    let own = layers(&["mirror", "reliable"]);
    let a = Node::start_of(&network, 1, 1, &own, &registry).await;
    let b = Node::start_of(&network, 2, 1, &own, &registry).await;
    a.meets(&b);
    b.on_request(|_, Add(x, y)| async move { x + y });
    assert_eq!(a.request(b.id(), Lane::Data, &Add(2, 3), SECOND).await.unwrap(), 5);
}
