//! What was said leaves before the node does.

use super::*;
use crate::messaging::Lane;

const NOTES: u32 = 300;

async fn say_all(from: &Messenger) {
    for n in 0..NOTES {
        from.send(NodeId(2), Lane::Data, &Note(n)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_has_left_when_the_node_ends_and_is_confirmed_where_layers_do() {
    for layers in [vec![], layers(&["checksum"]), bad_wire(&["reliable", "checksum"])] {
        let network = MemoryNetwork::new();
        let [a, b] = Node::pair(&network, &layers).await;
        let mut notes = b.notes();
        say_all(&a).await;
        a.flush().await;
        a.shared.tasks.cancel();
        for n in 0..NOTES {
            assert_eq!(notes.recv().await, Some(n), "{layers:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_nothing_to_say_leaves_at_once() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &layers(&["flow", "reliable"])).await;
    let mut notes = b.notes();
    let start = tokio::time::Instant::now();
    a.flush().await;
    assert_eq!(start.elapsed(), Duration::ZERO, "without any connection");
    let [a, c] = [a, Node::start(&network, 3, 1, &layers(&["flow", "reliable"])).await];
    c.meets(&b);
    c.send(b.id(), Lane::Data, &Note(1)).await.unwrap();
    assert_eq!(notes.recv().await, Some(1));
    later(SECOND).await;
    let start = tokio::time::Instant::now();
    c.flush().await;
    b.flush().await;
    assert_eq!(start.elapsed(), Duration::ZERO, "with one in which all is said");
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_confirms_is_waited_for_as_long_as_one_likes() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &layers(&["reliable"])).await;
    let mut notes = b.notes();
    a.send(b.id(), Lane::Data, &Note(1)).await.unwrap();
    assert_eq!(notes.recv().await, Some(1));
    network.cut("n1", "n2");
    a.send(b.id(), Lane::Data, &Note(2)).await.unwrap();
    assert!(tokio::time::timeout(SECOND, a.flush()).await.is_err());
    network.heal("n1", "n2");
    a.flush().await;
    assert_eq!(notes.recv().await, Some(2));
}
