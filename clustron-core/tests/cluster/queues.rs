//! Queues by kind, limits, and what becomes of what is not taken.

use std::time::Duration;

use clustron_core::{
    ClusterHandle, HandlerOptions, Message, MessageError, Outcome, Request, RequestOptions, Retry,
    WhenFull,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::world::{LONG, pair, within};

#[derive(Debug, Serialize, Deserialize)]
struct Slow(u64);

impl Message for Slow {
    const KIND: &'static str = "test.slow";
}

#[derive(Debug, Serialize, Deserialize)]
struct Quick(u64);

impl Message for Quick {
    const KIND: &'static str = "test.quick";
}

#[derive(Debug, Serialize, Deserialize)]
struct Work;

impl Message for Work {
    const KIND: &'static str = "test.work";
}

impl Request for Work {
    type Reply = u64;
}

/// A handler of slow messages that goes on while the door is open, and what it has handled.
fn behind_a_door(
    handle: &ClusterHandle,
    options: HandlerOptions,
) -> (watch::Sender<bool>, mpsc::Receiver<u64>) {
    let ((door, opened), (tx, rx)) = (watch::channel(false), mpsc::channel(4096));
    handle.on_message_with(options, move |_, Slow(number)| {
        let (mut opened, tx) = (opened.clone(), tx.clone());
        async move {
            let _ = opened.wait_for(|open| *open).await;
            let _ = tx.send(number).await;
        }
    });
    (door, rx)
}

fn queue(queue: u32, when_full: WhenFull) -> HandlerOptions {
    HandlerOptions {
        queue: queue.try_into().expect("not zero"),
        when_full,
        ..HandlerOptions::default()
    }
}

/// What a counter of the node shows; nothing is zero.
fn counter(handle: &ClusterHandle, name: &str) -> u64 {
    let (text, name) = (handle.metrics_text(), format!("clustron_core_{name} "));
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(0, |value| value.parse().expect("a number"))
}

/// Waits until a counter of the node has a value.
async fn counted(handle: &ClusterHandle, name: &str, value: u64) {
    let shown = async {
        while counter(handle, name) != value {
            tokio::task::yield_now().await;
        }
    };
    within(&format!("{name} {value}"), shown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_delays_its_own_kind_only_while_its_queue_has_room() {
    let (_world, a, b) = pair().await;
    let (door, mut slow) = behind_a_door(&b, queue(100, WhenFull::Wait));
    let (tx, mut quick) = mpsc::channel(4096);
    b.on_message(move |_, Quick(number)| {
        let tx = tx.clone();
        async move { tx.send(number).await.unwrap_or_default() }
    });
    for number in 0..100 {
        a.send(b.id(), &Slow(number)).await.unwrap();
    }
    for number in 0..100 {
        a.send(b.id(), &Quick(number)).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(within("a quick message", quick.recv()).await, Some(number));
    }
    assert!(slow.try_recv().is_err());
    // Beyond the queue they wait, and so does what comes after them; none is lost.
    for number in 100..300 {
        a.send(b.id(), &Slow(number)).await.unwrap();
    }
    a.send(b.id(), &Quick(100)).await.unwrap();
    door.send_replace(true);
    for number in 0..300 {
        assert_eq!(within("a slow message", slow.recv()).await, Some(number));
    }
    assert_eq!(within("the last one", quick.recv()).await, Some(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_drops_is_counted_at_both_ends_and_the_rest_stays_in_order() {
    let (_world, a, b) = pair().await;
    let (door, mut slow) = behind_a_door(&b, queue(10, WhenFull::DropNewest));
    for number in 0..50 {
        a.send(b.id(), &Slow(number)).await.unwrap();
    }
    // One may be handled already when the queue fills up.
    let kind = "messages_dropped_total{kind=\"test.slow\"}";
    let all = async {
        while counter(&b, kind) < 39 {
            tokio::task::yield_now().await;
        }
    };
    within("the drops", all).await;
    let told = async {
        // A notice speaks for all since the one before, so the number comes with the second one.
        while counter(&a, "messages_not_taken_total") < 39 {
            a.send(b.id(), &Slow(1000)).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    within("a notice of all that was dropped", told).await;
    door.send_replace(true);
    for number in 0..10 {
        assert_eq!(within("a message", slow.recv()).await, Some(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_handles_is_counted_by_its_sender() {
    let (_world, a, b) = pair().await;
    a.send(b.id(), &Quick(1)).await.unwrap();
    counted(&a, "messages_not_taken_total", 1).await;
    counted(&b, "messages_unhandled_total", 1).await;
    // To itself the sender learns it at once.
    let error = a.send(a.id(), &Quick(1)).await.unwrap_err();
    assert!(matches!(error, MessageError::NoHandler { kind: "test.quick", .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_requests_than_a_kind_allows_are_busy_and_retried_until_there_is_room() {
    let (_world, a, b) = pair().await;
    let (door, opened) = watch::channel(false);
    let (tx, mut begun) = mpsc::channel(100);
    let two = HandlerOptions { at_once: 2.try_into().unwrap(), ..HandlerOptions::default() };
    b.on_request_with(two, move |_, Work| {
        let (mut opened, tx) = (opened.clone(), tx.clone());
        async move {
            tx.send(()).await.unwrap();
            opened.wait_for(|open| *open).await.unwrap();
            7
        }
    });
    let waiting = [(); 2].map(|()| {
        let (a, to) = (a.handle(), b.id());
        tokio::spawn(async move { a.request(to, &Work, LONG).await })
    });
    for _ in 0..2 {
        within("a begin", begun.recv()).await.unwrap();
    }
    let error = a.request(b.id(), &Work, LONG).await.unwrap_err();
    assert!(matches!(error, MessageError::Busy { kind: "test.work", .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);

    let retry = Retry::NotApplied { first: Duration::from_millis(1), max: LONG / 100 };
    let brief = RequestOptions { deadline: Duration::from_millis(50), retry };
    let error = a.request_with(b.id(), &Work, &brief).await.unwrap_err();
    assert!(matches!(error, MessageError::Busy { .. }), "{error}");

    let (patient, handle, to) = (RequestOptions { deadline: LONG, retry }, a.handle(), b.id());
    let trying = tokio::spawn(async move { handle.request_with(to, &Work, &patient).await });
    door.send_replace(true);
    for waiting in waiting {
        assert_eq!(within("a reply", waiting).await.unwrap().unwrap(), 7);
    }
    assert_eq!(within("a reply", trying).await.unwrap().unwrap(), 7);
    assert!(b.metrics_text().contains("requests_turned_away_total{kind=\"test.work\"}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_waits_for_a_handler_and_never_repeats_what_may_have_been_done() {
    let (_world, a, b) = pair().await;
    let options = RequestOptions { deadline: LONG, retry: Retry::not_applied() };
    let (handle, to) = (a.handle(), b.id());
    let trying = tokio::spawn(async move { handle.request_with(to, &Work, &options).await });
    // Whether it was asked before or comes now: it is answered once there is a handler.
    let (tx, mut asked) = mpsc::channel(100);
    let tx2 = tx.clone();
    b.on_request(move |_, Work| {
        let tx = tx2.clone();
        async move {
            tx.send(()).await.unwrap();
            8
        }
    });
    assert_eq!(within("a reply", trying).await.unwrap().unwrap(), 8);
    within("the request", asked.recv()).await.unwrap();

    b.on_request(move |_, Work| {
        let tx = tx.clone();
        async move {
            tx.send(()).await.unwrap();
            panic!("as the test wants")
        }
    });
    let error = a.request_with(b.id(), &Work, &options).await.unwrap_err();
    assert!(matches!(error, MessageError::HandlerPanicked { .. }), "{error}");
    within("the request", asked.recv()).await.unwrap();
    assert!(asked.try_recv().is_err(), "it was asked again");
}
