//! How a conversation comes to its next connection.

use super::*;
use crate::messaging::Lane;
use crate::messaging::tests::dialling::Silent;

#[tokio::test(start_paused = true)]
async fn a_peer_that_shows_itself_is_dialled_at_once() {
    let network = MemoryNetwork::new();
    let silent = Silent::of(network.host("n1"), false);
    let layers = layers(&["reliable"]);
    let a = Node::start_over(silent.clone(), 1, 1, &layers, &Registry::default()).await;
    let b = Node::start(&network, 2, 1, &layers).await;
    a.meets(&b);
    b.meets(&a);
    let mut notes = b.notes();
    a.send(b.id(), Lane::Data, &Note(1)).await.unwrap();
    assert_eq!(notes.recv().await, Some(1));
    silent.set(true);
    network.cut("n1", "n2");
    a.send(b.id(), Lane::Data, &Note(2)).await.unwrap();
    a.until_unconnected().await;
    a.send(b.id(), Lane::Data, &Note(3)).await.unwrap();
    // The dial that begins now is heard by nobody.
    later(Duration::from_millis(300)).await;
    network.heal("n1", "n2");
    silent.set(false);
    let start = tokio::time::Instant::now();
    a.heard_from(b.id());
    // What the old connection still held comes in any case.
    assert_eq!((notes.recv().await, notes.recv().await), (Some(2), Some(3)));
    assert!(start.elapsed() <= Duration::from_millis(60), "{:?}", start.elapsed());
}
