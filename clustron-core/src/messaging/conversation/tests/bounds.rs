//! What a slow handler costs, and whom it holds up.

use tokio::sync::Semaphore;

use super::*;
use crate::messaging::tests::Big;
use crate::messaging::{Lane, WhenFull};

const WINDOW: u64 = 64 << 10;
const MESSAGE: usize = 4096;

/// Sends until nothing more is taken for a while, and says how much was.
async fn fill(from: &Node, to: NodeId) -> usize {
    let mut taken = 0;
    let body = || Big(vec![0; MESSAGE]);
    while let Ok(sent) = tokio::time::timeout(SECOND, from.send(to, Lane::Data, &body())).await {
        sent.unwrap();
        taken += MESSAGE;
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_costs_its_sender_no_more_than_the_credit_and_holds_up_nobody_else() {
    let network = MemoryNetwork::new();
    let flow = LayerConfig::new("flow").with("window_bytes", WINDOW);
    let layers = [flow, LayerConfig::new("reliable")];
    let [a, b] = Node::pair(&network, &layers).await;
    let c = Node::start(&network, 3, 1, &layers).await;
    c.meets(&b);
    let mut notes = b.notes();
    let gate = Arc::new(Semaphore::new(0));
    let (opened, (tx, mut handled)) = (gate.clone(), mpsc::channel(10_000));
    let options = HandlerOptions { when_full: WhenFull::Wait, ..HandlerOptions::default() };
    b.on_message(options, move |_, Big(body)| {
        let (opened, tx) = (opened.clone(), tx.clone());
        async move {
            opened.acquire().await.unwrap().forget();
            tx.send(body.len()).await.unwrap();
        }
    });

    let taken = fill(&a, b.id()).await;
    let most = WINDOW as usize + super::super::super::outgoing::TRAY_BYTES + 3 * MESSAGE;
    assert!(taken > WINDOW as usize && taken <= most, "{taken} bytes were taken, {most} may be");
    assert_eq!(a.shared.metrics.conversations_waiting.get(), 1);
    // For ever, and nobody gives up: what was sent is acknowledged.
    later(10 * MINUTE).await;
    assert_eq!(a.shared.metrics.conversations_failed.get(), 0);
    for n in 0..1000 {
        c.send(b.id(), Lane::Data, &Note(n)).await.unwrap();
        assert_eq!(notes.recv().await, Some(n));
    }

    gate.add_permits(taken / MESSAGE + 1);
    for _ in 0..taken / MESSAGE {
        assert_eq!(handled.recv().await, Some(MESSAGE));
    }
    a.send(b.id(), Lane::Data, &Big(vec![])).await.unwrap();
    assert_eq!(handled.recv().await, Some(0));
    a.until("room", |a| a.shared.metrics.conversations_waiting.get() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn without_flow_a_slow_reader_is_not_read_and_still_bounded() {
    let network = MemoryNetwork::new();
    let [a, b] = Node::pair(&network, &layers(&["checksum"])).await;
    b.on_message_inline(|_, Big(_)| std::future::pending());
    let taken = fill(&a, b.id()).await;
    // The stack, and what the wire and its buffers hold.
    let in_between = 2 << 20;
    assert!(taken < super::super::DELIVERED_BYTES + in_between, "{taken}");
}
