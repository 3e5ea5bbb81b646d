use super::*;
use crate::identity::{ClusterName, Incarnation, NodeInfo, NodeName, Role};
use crate::pipeline::Plans;
use crate::transport::{Listener, MemoryNetwork, Stream, Transport};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

pub(super) mod dialling;
mod patience;
mod strangers;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Add(pub(super) u32, pub(super) u32);
impl Message for Add {
    const KIND: &'static str = "test.add";
}
impl Request for Add {
    type Reply = u32;
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note(pub(super) u32);
impl Message for Note {
    const KIND: &'static str = "test.note";
}

pub(super) async fn node(
    network: &MemoryNetwork,
    name: &str,
    id: u64,
) -> (Messenger, mpsc::Receiver<PeerNews>) {
    node_over(Arc::new(network.host(name)), name, id).await
}

/// What a node says of itself.
pub(super) fn local(info: NodeInfo) -> Local {
    Local::new(ClusterName::new("test").unwrap(), None, info, BTreeSet::new(), false)
}

async fn node_over(
    transport: Arc<dyn Transport>,
    name: &str,
    id: u64,
) -> (Messenger, mpsc::Receiver<PeerNews>) {
    let starts = 1;
    start(transport, name, id, starts).await
}

/// A node of this number of starts, which is also the number of its process.
async fn start(
    transport: Arc<dyn Transport>,
    name: &str,
    id: u64,
    starts: u64,
) -> (Messenger, mpsc::Receiver<PeerNews>) {
    start_at(transport, &format!("{name}:1"), id, starts, SILENCE_MAX, Plans::default()).await
}

/// The same with layers.
pub(super) async fn start_with(
    transport: Arc<dyn Transport>,
    name: &str,
    id: u64,
    starts: u64,
    plans: Plans,
) -> (Messenger, mpsc::Receiver<PeerNews>) {
    start_at(transport, &format!("{name}:1"), id, starts, SILENCE_MAX, plans).await
}

pub(super) async fn start_at(
    transport: Arc<dyn Transport>,
    addr: &str,
    id: u64,
    starts: u64,
    silence_max: Duration,
    plans: Plans,
) -> (Messenger, mpsc::Receiver<PeerNews>) {
    let listener = transport.listen(addr).await.unwrap();
    let local = local(lives(id, &listener.local_addr(), starts));
    let config = MessengerConfig {
        connect_timeout: Duration::from_secs(1),
        frame_bytes_max: 1 << 20,
        connections_max: 16,
        connections_per_peer_max: 4,
        data_idle_timeout: Duration::from_secs(300),
        silence_max,
        plans,
    };
    let (messenger, news) = Messenger::new(
        &config,
        Arc::new(local),
        transport,
        Handlers::default(),
        Arc::new(Chance::seeded(id)),
        Arc::default(),
        Tasks::default(),
    );
    messenger.listen(listener);
    (messenger, news)
}

pub(super) fn lives(id: u64, addr: &str, starts: u64) -> NodeInfo {
    NodeInfo {
        id: NodeId(id),
        name: NodeName::new(format!("n{id}")).unwrap(),
        incarnation: Incarnation(1),
        addr: addr.to_owned(),
        roles: BTreeSet::from([Role::Member]),
        tags: BTreeMap::new(),
        revision: 0,
        starts,
        process: starts,
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_request_is_answered_and_a_message_arrives_in_order() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    let (tx, mut rx) = mpsc::channel(1000);
    b.on_message(HandlerOptions::default(), move |from, Note(n)| {
        let tx = tx.clone();
        async move { tx.send((from, n)).await.unwrap() }
    });
    a.learn_address(&lives(2, "b:1", 1));
    assert_eq!(a.request(NodeId(2), Lane::Data, &Add(2, 3), SECOND).await.unwrap(), 5);
    for n in 0..500 {
        a.send(NodeId(2), Lane::Data, &Note(n)).await.unwrap();
    }
    for n in 0..500 {
        assert_eq!(rx.recv().await.unwrap(), (NodeId(1), n));
    }
}

#[tokio::test]
async fn what_was_not_processed_is_told_apart_from_what_may_have_been() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    let ask = |deadline| a.request(NodeId(2), Lane::Data, &Add(1, 1), deadline);

    let unknown = ask(SECOND).await.unwrap_err();
    assert!(matches!(unknown, MessageError::UnknownNode { .. }), "{unknown}");
    assert_eq!(unknown.outcome(), Outcome::NotApplied);

    a.learn_address(&lives(2, "nowhere:1", 1));
    let unreachable = ask(SECOND).await.unwrap_err();
    assert!(matches!(unreachable, MessageError::Unreachable { gone: true, .. }), "{unreachable}");
    assert_eq!(unreachable.outcome(), Outcome::NotApplied);
    a.forget(NodeId(2));

    a.learn_address(&lives(2, "b:1", 1));
    let unhandled = ask(SECOND).await.unwrap_err();
    assert!(matches!(unhandled, MessageError::NoHandler { .. }), "{unhandled}");

    b.on_request(|_, Add(..)| async { std::future::pending::<u32>().await });
    let late = ask(Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(late, MessageError::Timeout { .. }), "{late}");
    assert_eq!(late.outcome(), Outcome::Unknown);

    b.on_request(|_, Add(..)| async { panic!("on purpose") });
    let panicked = ask(SECOND).await.unwrap_err();
    assert!(matches!(panicked, MessageError::HandlerPanicked { .. }), "{panicked}");

    let large = a.send(NodeId(2), Lane::Data, &Big(vec![0; 2 << 20])).await.unwrap_err();
    assert!(matches!(large, MessageError::TooLarge { max: 1048576, .. }), "{large}");
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Big(pub(super) Vec<u8>);
impl Message for Big {
    const KIND: &'static str = "test.big";
}

#[tokio::test]
async fn a_lost_connection_is_news_and_the_next_request_opens_a_new_one() {
    let network = MemoryNetwork::new();
    let (a, mut news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    a.learn_address(&lives(2, "b:1", 1));
    a.request(NodeId(2), Lane::Control, &Add(2, 3), SECOND).await.unwrap();
    b.shared.tasks.cancel();
    b.shared.tasks.join().await;
    assert_eq!(news.recv().await.unwrap(), PeerNews::ConnectionLost(NodeId(2)));
    let gone = a.verify(NodeId(2)).await.unwrap_err();
    assert!(matches!(gone, MessageError::Unreachable { gone: true, .. }), "{gone}");

    // Another process takes over the address: the old identity is gone from there.
    let (_c, _news) = node(&network, "b", 3).await;
    let gone = a.verify(NodeId(2)).await.unwrap_err();
    assert!(matches!(gone, MessageError::Unreachable { gone: true, .. }), "{gone}");
    let hello = a.introduce("b:1").await.unwrap();
    assert_eq!(hello.node.id, NodeId(3));
}

#[tokio::test]
async fn a_look_at_a_peer_is_no_lost_connection_for_it() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, mut news) = node(&network, "b", 2).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    for _ in 0..10 {
        a.introduce("b:1").await.unwrap();
        a.verify(NodeId(2)).await.unwrap();
    }
    // A real connection afterwards, whose end is the first and only news.
    a.request(NodeId(2), Lane::Control, &Add(2, 3), SECOND).await.unwrap();
    assert_eq!(b.shared.metrics.connections_open.get(), 1);
    a.forget(NodeId(2));
    assert_eq!(news.recv().await.unwrap(), PeerNews::ConnectionLost(NodeId(1)));
    assert!(news.try_recv().is_err());
}

/// A process that is being killed: its listener still takes connections, and resets them, until it
/// is closed.
#[derive(Debug)]
struct Dying {
    network: MemoryNetwork,
    resets: AtomicUsize,
}

impl Transport for Dying {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move { self.network.host("a").listen(addr).await }.boxed()
    }

    fn connect<'a>(&'a self, _addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let left =
            self.resets.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        let stream = match left {
            Ok(_) => Ok(Box::new(tokio::io::duplex(64).0) as Box<dyn Stream>),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        std::future::ready(stream).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_about_to_close_is_looked_at_again_until_it_has() {
    for (resets, expected) in [(0, true), (1, true), (4, true), (5, false)] {
        let dying = Dying { network: MemoryNetwork::new(), resets: AtomicUsize::new(resets) };
        let (a, _news) = node_over(Arc::new(dying), "a", 1).await;
        a.learn_address(&lives(2, "b:1", 1));
        let error = a.verify(NodeId(2)).await.unwrap_err();
        let MessageError::Unreachable { gone, .. } = error else { panic!("{error}") };
        assert_eq!(gone, expected, "after {resets} resets");
    }
}

/// The host of the process before may be gone without a word, and then nothing ever breaks.
#[tokio::test]
async fn a_node_that_has_moved_is_talked_to_where_it_lives_now() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (before, _news) = start(Arc::new(network.host("old")), "old", 2, 1).await;
    before.on_request(|_, Add(..)| async { 1 });
    a.learn_address(&lives(2, "old:1", 1));
    let ask = || a.request(NodeId(2), Lane::Data, &Add(0, 0), SECOND);
    assert_eq!(ask().await.unwrap(), 1);

    let (after, _news) = start(Arc::new(network.host("new")), "new", 2, 2).await;
    after.on_request(|_, Add(..)| async { 2 });
    after.introduce("a:1").await.unwrap();
    assert_eq!(ask().await.unwrap(), 2);
    // What the view still says does not lead back.
    a.learn_address(&lives(2, "old:1", 1));
    a.hang_up(NodeId(2));
    assert_eq!(ask().await.unwrap(), 2);
}

/// Lets that much of virtual time go by.
pub(super) async fn later(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_for_bulk_that_nobody_uses_is_closed_and_that_is_no_evidence() {
    let network = MemoryNetwork::new();
    let (a, mut news_a) = node(&network, "a", 1).await;
    let (b, mut news_b) = node(&network, "b", 2).await;
    let gate = Arc::new(Semaphore::new(1));
    let served = gate.clone();
    b.on_request(move |_, Add(x, y)| {
        let served = served.clone();
        async move {
            served.acquire().await.unwrap().forget();
            x + y
        }
    });
    a.learn_address(&lives(2, "b:1", 1));
    let open =
        || (a.shared.metrics.connections_open.get(), b.shared.metrics.connections_open.get());
    let day = Duration::from_secs(86_400);
    let ask = |lane| a.request(NodeId(2), lane, &Add(2, 3), day);
    assert_eq!(ask(Lane::Data).await.unwrap(), 5);
    assert_eq!(open(), (1, 1));
    // Long without use, and somebody waits for a reply: it stays.
    let late = async {
        later(Duration::from_secs(3600)).await;
        assert_eq!(open(), (1, 1));
        gate.add_permits(1);
    };
    assert_eq!(tokio::join!(ask(Lane::Data), late).0.unwrap(), 5);
    later(Duration::from_secs(299)).await;
    assert_eq!(open(), (1, 1));
    later(Duration::from_secs(2)).await;
    assert_eq!(open(), (0, 0));
    assert_eq!(a.shared.metrics.connections_idle_closed.get(), 1);
    assert!(news_a.try_recv().is_err() && news_b.try_recv().is_err());
    // The next one opens another; that of the core stays open.
    gate.add_permits(2);
    assert_eq!(ask(Lane::Data).await.unwrap(), 5);
    assert_eq!(ask(Lane::Control).await.unwrap(), 5);
    later(day).await;
    assert_eq!(open(), (1, 1));
    assert!(news_a.try_recv().is_err() && news_b.try_recv().is_err());
}

#[tokio::test]
async fn a_peer_with_too_many_connections_loses_its_oldest_and_is_never_locked_out() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    a.learn_address(&lives(2, "b:1", 1));
    let dial = |lane| link::dial(&a.shared, "b:1", lane, None);
    let mut held = vec![];
    for _ in 0..4 {
        held.push(dial(Lane::Data).await.unwrap());
    }
    let control = dial(Lane::Control).await.unwrap();
    assert_eq!(b.shared.metrics.connections_over_limit.get(), 1);
    a.verify(NodeId(2)).await.unwrap();
    // The oldest ends, and none of the others.
    assert!(held.remove(0).reader.next().await.unwrap().is_none());
    held.push(control);
    for mut connection in held {
        assert!(futures::poll!(std::pin::pin!(connection.reader.next())).is_pending());
    }
}

/// Counts what is dialled. Nobody is there until somebody is.
#[derive(Debug)]
struct Counting {
    inner: crate::transport::MemoryTransport,
    dials: AtomicUsize,
    /// Whether the next dials time out instead of reaching anybody.
    silent: std::sync::atomic::AtomicBool,
}

impl Transport for Counting {
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.inner.listen(addr)
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        match self.silent.load(Ordering::SeqCst) {
            true => std::future::ready(Err(io::ErrorKind::ConnectionReset.into())).boxed(),
            false => self.inner.connect(addr),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dials_back_off_and_a_sign_of_life_ends_the_wait_and_looks_never_wait() {
    let network = MemoryNetwork::new();
    let counting = Arc::new(Counting {
        inner: network.host("a"),
        dials: AtomicUsize::new(0),
        silent: true.into(),
    });
    let (a, _news) = node_over(counting.clone(), "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    a.learn_address(&lives(2, "b:1", 1));
    b.learn_address(&lives(1, "a:1", 1));
    let ask = || a.request(NodeId(2), Lane::Control, &Add(2, 3), SECOND);
    // Somebody who asks every millisecond for ten seconds.
    for _ in 0..10_000 {
        assert!(matches!(ask().await, Err(MessageError::Unreachable { gone: false, .. })));
        later(Duration::from_millis(1)).await;
    }
    let dials = counting.dials.load(Ordering::SeqCst);
    assert!((40..=85).contains(&dials), "{dials} dials");
    // A look is not kept waiting.
    let before = counting.dials.load(Ordering::SeqCst);
    a.refusal_of(NodeId(2)).await;
    assert_eq!(counting.dials.load(Ordering::SeqCst), before + 1);
    counting.silent.store(false, Ordering::SeqCst);
    assert!(ask().await.is_err(), "it waits");
    b.verify(NodeId(1)).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(ask().await.unwrap(), 5);
}
