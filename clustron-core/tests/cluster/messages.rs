//! Messages and events, through the handle.

use std::collections::BTreeSet;
use std::time::Duration;

use clustron_core::{
    Cluster, ClusterEvent, ClusterHandle, Message, MessageError, NodeId, Outcome, Request,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::world::{LONG, Member, World, part, settled, within};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note(u64);

impl Message for Note {
    const KIND: &'static str = "test.note";
}

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    Double(u64),
    Panic,
    Never,
    Megabytes(usize),
}

impl Message for Ask {
    const KIND: &'static str = "test.ask";
}

impl Request for Ask {
    type Reply = Vec<u8>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Unheard;

impl Message for Unheard {
    const KIND: &'static str = "test.unheard";
}

impl Request for Unheard {
    type Reply = ();
}

async fn three() -> (World, Vec<Member>) {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    (world, members)
}

/// Shows the notes that a node receives.
fn notes(cluster: &Cluster) -> mpsc::Receiver<(NodeId, u64)> {
    let (tx, rx) = mpsc::channel(4096);
    cluster.on_message(move |from, Note(number)| {
        let tx = tx.clone();
        async move { tx.send((from, number)).await.unwrap_or_default() }
    });
    rx
}

fn answer(handle: &ClusterHandle) {
    handle.on_request(|_, ask| async move {
        match ask {
            Ask::Double(number) => (2 * number).to_be_bytes().to_vec(),
            Ask::Panic => panic!("as asked"),
            Ask::Never => std::future::pending().await,
            Ask::Megabytes(count) => vec![7; count << 20],
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_in_order_and_broadcasts_reach_all_others() {
    let (_world, members) = three().await;
    let [a, b, c] = &members[..] else { panic!("three") };
    let (mut at_a, mut at_b, mut at_c) = (notes(a), notes(b), notes(c));
    for number in 0..1000 {
        a.send(b.id(), &Note(number)).await.unwrap();
    }
    // A node reaches itself too.
    a.send(a.id(), &Note(9)).await.unwrap();
    for number in 0..1000 {
        assert_eq!(within("a note", at_b.recv()).await, Some((a.id(), number)));
    }
    assert_eq!(within("a note", at_a.recv()).await, Some((a.id(), 9)));

    assert_eq!(c.broadcast(&Note(77)).await.len(), 0);
    assert_eq!(within("a note", at_a.recv()).await, Some((c.id(), 77)));
    assert_eq!(within("a note", at_b.recv()).await, Some((c.id(), 77)));
    assert!(at_c.try_recv().is_err(), "a broadcast came back to its sender");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_or_fail_with_what_is_known() {
    let (_world, members) = three().await;
    let [a, b, _] = &members[..] else { panic!("three") };
    answer(b);
    let ask = |ask, deadline| async move { a.request(b.id(), &ask, deadline).await };
    for number in 0..100u64 {
        let reply = ask(Ask::Double(number), LONG).await.unwrap();
        assert_eq!(reply, (2 * number).to_be_bytes());
    }
    assert_eq!(ask(Ask::Megabytes(4), LONG).await.unwrap(), vec![7; 4 << 20]);

    let brief = Duration::from_millis(200);
    let error = ask(Ask::Never, brief).await.unwrap_err();
    assert!(matches!(error, MessageError::Timeout { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let error = ask(Ask::Panic, LONG).await.unwrap_err();
    assert!(matches!(error, MessageError::HandlerPanicked { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(b.ended().is_none(), "a handler that panics does not end its node");
    // A reply beyond the frame limit is an error, not a broken connection.
    let error = ask(Ask::Megabytes(9), LONG).await.unwrap_err();
    assert!(error.to_string().contains("frame"), "{error}");
    let error = a.request(b.id(), &Unheard, LONG).await.unwrap_err();
    assert!(matches!(error, MessageError::NoHandler { kind: "test.unheard", .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let nobody = NodeId(12345);
    let error = a.send(nobody, &Note(1)).await.unwrap_err();
    assert!(matches!(error, MessageError::UnknownNode { node } if node == nobody), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_node_that_crashes_learns_so_before_the_deadline() {
    let (world, mut members) = three().await;
    let crashing = members.pop().unwrap();
    let (asked, mut arrived) = mpsc::channel(1);
    crashing.on_request(move |_, _: Ask| {
        let asked = asked.clone();
        async move {
            asked.send(()).await.unwrap();
            std::future::pending().await
        }
    });
    let (asking, gone) = (members[0].handle(), crashing.id());
    let waiting = tokio::spawn(async move { asking.request(gone, &Ask::Never, 10 * LONG).await });
    within("the arrival of the request", arrived.recv()).await.unwrap();
    world.crash(crashing).await;
    let error = within("the end of the request", waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, MessageError::Disconnected { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_tell_of_joins_leaders_crashes_and_departures() {
    let (world, mut members) = three().await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let watcher = members.iter().position(|member| member.id() != first.node).unwrap();
    let watcher = members.swap_remove(watcher);
    let mut events = watcher.events();
    let mut next = async |what: &str, wanted: &dyn Fn(&ClusterEvent) -> bool| {
        within(what, async {
            loop {
                let event = events.next().await.expect("the node lives");
                if wanted(&event) {
                    return event;
                }
            }
        })
        .await
    };

    let new = world.start("d").await;
    let id = new.id();
    next("a join", &|e| matches!(e, ClusterEvent::NodeJoined(node) if node.id == id)).await;
    new.cluster.shutdown(LONG).await.unwrap();
    next("a departure", &|e| matches!(e, ClusterEvent::NodeLeft(node) if node.id == id)).await;

    let (leader, others) = part(&first, members);
    world.crash(leader).await;
    // In this order: the connection breaks, the leader is given up, the next one puts it out.
    let gone = first.node;
    next("a suspicion or loss", &|e| {
        matches!(e, ClusterEvent::NodeSuspected { node, .. } if *node == gone)
            || matches!(e, ClusterEvent::LeaderLost(epoch) if *epoch == first.epoch)
    })
    .await;
    next("a leader", &|e| matches!(e, ClusterEvent::LeaderElected(l) if l.epoch > first.epoch))
        .await;
    let is_down =
        |e: &ClusterEvent| matches!(e, ClusterEvent::NodeDown { node, .. } if node.id == gone);
    let ClusterEvent::NodeDown { reason, .. } = next("a crash", &is_down).await else { panic!() };
    assert!(reason.contains("as seen by"), "{reason}");
    settled(&[&watcher, &others[0]]).await;
    let new = world.start("e").await;
    let voters: BTreeSet<NodeId> = [watcher.id(), others[0].id(), new.id()].into();
    next("new voters", &|e| matches!(e, ClusterEvent::VotersChanged(now) if *now == voters)).await;
}
