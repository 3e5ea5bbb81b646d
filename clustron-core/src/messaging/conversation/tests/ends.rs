//! How conversations end, and what everybody is told of it.

use tokio::sync::Semaphore;

use super::*;
use crate::messaging::tests::Add;
use crate::messaging::{Lane, MessageError, Outcome};

#[tokio::test(start_paused = true)]
async fn unequal_layers_are_refused_with_both_lists_on_both_sides() {
    let network = MemoryNetwork::new();
    let a = Node::start(&network, 1, 1, &layers(&["compress", "reliable"])).await;
    let b = Node::start(&network, 2, 1, &layers(&["flow"])).await;
    a.meets(&b);
    let error = a.request(b.id(), Lane::Data, &Add(2, 3), SECOND).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    for part in ["lane data", "compress > reliable(", "flow(window_bytes=1048576)", "n1", "n2"] {
        assert!(error.to_string().contains(part), "{part:?} is missing: {error}");
    }
    for node in [&a, &b] {
        assert_eq!(node.shared.metrics.handshakes_refused.get(), 1);
    }
    // They still see each other, and the core's own lane has no layers.
    a.verify(b.id()).await.unwrap();
    b.on_request(|_, Add(x, y)| async move { x + y });
    assert_eq!(a.request(b.id(), Lane::Control, &Add(2, 3), SECOND).await.unwrap(), 5);
}

/// A request that is being handled and one that never left, when `b` comes back as another process.
#[tokio::test(start_paused = true)]
async fn what_never_left_is_told_apart_from_what_nobody_knows() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &layers(&["reliable"])).await;
    let begun = Arc::new(Semaphore::new(0));
    let begins = begun.clone();
    b.on_request(move |_, Add(..)| {
        begins.add_permits(1);
        std::future::pending::<u32>()
    });
    let ask = || a.request(b.id(), Lane::Data, &Add(2, 3), 10 * MINUTE);
    let id = b.id();
    let restart = async {
        begun.acquire().await.unwrap().forget();
        network.refuse("n1", "n2");
        a.send(id, Lane::Data, &Note(0)).await.unwrap();
        a.until_unconnected().await;
        let late = async {
            let error = ask().await.unwrap_err();
            assert!(matches!(error, MessageError::Unreachable { gone: false, .. }), "{error}");
            assert_eq!(error.outcome(), Outcome::NotApplied);
        };
        let comes_back = async {
            later(SECOND).await;
            b.shared.tasks.cancel();
            b.shared.tasks.join().await;
            network.heal("n1", "n2");
            Node::start(&network, 2, 2, &layers(&["reliable"])).await
        };
        tokio::join!(late, comes_back).1
    };
    let (early, after) = tokio::join!(ask(), restart);
    let error = early.unwrap_err();
    assert!(matches!(error, MessageError::Disconnected { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    // The note had been taken, and nobody knows of it either.
    assert_eq!(a.shared.metrics.messages_lost.get(), 1);
    assert_eq!(a.shared.metrics.conversations_failed.get(), 1);
    // The next one is with the process that is there now.
    after.on_request(|_, Add(x, y)| async move { x + y });
    a.meets(&after);
    a.until("a new conversation", |a| a.shared.metrics.conversations_open.get() == 0).await;
    later(SECOND).await;
    assert_eq!(a.request(id, Lane::Data, &Add(2, 3), MINUTE).await.unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn when_reliable_gives_up_callers_and_counters_are_told() {
    let network = MemoryNetwork::new();
    let reliable = LayerConfig::new("reliable").with("give_up_after_ms", 2000);
    let [a, b] = Node::pair(&network, &[reliable]).await;
    let mut notes = b.notes();
    a.send(b.id(), Lane::Data, &Note(0)).await.unwrap();
    assert_eq!(notes.recv().await, Some(0));
    // The receipt for it, too.
    later(SECOND).await;
    network.cut("n1", "n2");
    a.send(b.id(), Lane::Data, &Note(1)).await.unwrap();
    let error = a.request(b.id(), Lane::Data, &Add(2, 3), MINUTE).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert_eq!(a.shared.metrics.messages_lost.get(), 1);
    assert_eq!(a.shared.metrics.conversations_failed.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_nobody_uses_is_closed_and_that_is_no_evidence() {
    let network = MemoryNetwork::new();
    for names in [&["flow", "reliable"][..], &["compress"]] {
        let [mut a, mut b] = Node::pair(&network, &layers(names)).await;
        b.on_request(|_, Add(x, y)| async move { x + y });
        let open = |node: &Node| {
            let metrics = &node.shared.metrics;
            (metrics.connections_open.get(), metrics.conversations_open.get())
        };
        assert_eq!(a.request(b.id(), Lane::Data, &Add(2, 3), SECOND).await.unwrap(), 5);
        later(Duration::from_secs(290)).await;
        assert_eq!((open(&a), open(&b)), ((1, 1), (1, 1)), "{names:?}");
        later(Duration::from_secs(20)).await;
        assert_eq!((open(&a), open(&b)), ((0, 0), (0, 0)), "{names:?}");
        assert!(a.news.try_recv().is_err() && b.news.try_recv().is_err(), "{names:?}");
        assert_eq!(a.request(b.id(), Lane::Data, &Add(3, 3), SECOND).await.unwrap(), 6);
        assert_eq!((open(&a), open(&b)), ((1, 1), (1, 1)), "{names:?}");
        for node in [a, b] {
            node.shared.tasks.cancel();
            node.shared.tasks.join().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_forgotten_leaves_no_conversation_behind() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &layers(&["reliable"])).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    assert_eq!(a.request(b.id(), Lane::Data, &Add(2, 3), SECOND).await.unwrap(), 5);
    b.forget(a.id());
    let open = |node: &Node| node.shared.metrics.conversations_open.get();
    b.until("the end", |b| open(b) == 0).await;
    // Its opener needs it no more, and the next request opens another.
    a.until("the end", |a| open(a) == 0).await;
    later(SECOND).await;
    assert_eq!(a.request(b.id(), Lane::Data, &Add(2, 4), SECOND).await.unwrap(), 6);
}

/// The peer dials no more; with nothing to say, nothing else would end it.
#[tokio::test(start_paused = true)]
async fn a_conversation_without_a_connection_is_kept_for_five_minutes() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &layers(&["reliable"])).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    assert_eq!(a.request(b.id(), Lane::Data, &Add(2, 3), SECOND).await.unwrap(), 5);
    // Until the reply is confirmed: for one that is not, `reliable` would give up sooner.
    later(SECOND).await;
    a.shared.tasks.cancel();
    a.shared.tasks.join().await;
    b.until_unconnected().await;
    let kept = || b.shared.conversations.lock().len();
    later(super::super::KEPT_FOR - SECOND).await;
    assert_eq!((kept(), b.shared.metrics.conversations_open.get()), (1, 1));
    later(2 * SECOND).await;
    assert_eq!((kept(), b.shared.metrics.conversations_open.get()), (0, 0));
}
