//! What somebody who does not belong here says, and how little comes of it.

use super::*;

#[tokio::test]
async fn what_one_stranger_says_of_its_starts_does_not_hide_a_node_for_ever() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    let (_other, _news) = node(&network, "c", 3).await;
    b.introduce("a:1").await.unwrap();
    a.verify(NodeId(2)).await.unwrap();
    // Somebody who reaches the port, knows the cluster's name and says that it is node 2, once.
    let stranger = Arc::new(local(lives(2, "c:1", u64::MAX)));
    let hello = stranger.hello(Lane::Look, None);
    let stream = network.host("d").connect("a:1").await.unwrap();
    drop(handshake::initiate(stream, &hello, 1 << 20).await.unwrap());
    while a.address(NodeId(2)).as_deref() == Some("b:1") {
        tokio::task::yield_now().await;
    }
    // The node itself, and the view.
    b.introduce("a:1").await.unwrap();
    a.learn_address(&lives(2, "b:1", 1));
    a.verify(NodeId(2)).await.unwrap();
    assert_eq!(a.address(NodeId(2)).as_deref(), Some("b:1"));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_was_only_said_is_no_evidence_whoever_refuses_there_or_is_silent() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    let (_silent, _news) = node(&network, "silent", 3).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    network.cut("a", "silent");
    for (starts, lie) in [(7, "nowhere:1"), (8, "silent:1")] {
        a.forget(NodeId(2));
        a.hear_address(&lives(2, lie, starts));
        let error = a.verify(NodeId(2)).await.unwrap_err();
        assert!(matches!(error, MessageError::Unreachable { gone: false, .. }), "{error}");
        a.learn_address(&lives(2, "b:1", 1));
        a.hear_address(&lives(2, lie, starts));
        a.verify(NodeId(2)).await.unwrap();
        let asked = a.request(NodeId(2), Lane::Control, &Add(2, 3), SECOND).await;
        assert_eq!(asked.unwrap(), 5);
    }
    // And where the view has it, gone is gone, whatever somebody says.
    a.forget(NodeId(2));
    a.learn_address(&lives(2, "nowhere:1", 1));
    a.hear_address(&lives(2, "silent:1", 9));
    let error = a.verify(NodeId(2)).await.unwrap_err();
    assert!(matches!(error, MessageError::Unreachable { gone: true, .. }), "{error}");
}

#[tokio::test]
async fn strangers_drive_no_node_out_of_the_address_book() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    // One is in the view, one has only shaken hands and has a connection.
    let (c, _news) = node(&network, "c", 3).await;
    c.on_request(|_, Add(x, y)| async move { x + y });
    a.learn_address(&lives(2, "b:1", 1));
    a.hear_address(&lives(3, "c:1", 1));
    let ask = |id| a.request(NodeId(id), Lane::Control, &Add(2, 3), SECOND);
    assert_eq!(ask(3).await.unwrap(), 5);
    // What is noted of each who shakes hands.
    for id in 0..17_000 {
        a.hear_address(&lives(1000 + id, "x:1", 1));
    }
    assert_eq!(a.address(NodeId(3)), None);
    assert_eq!(ask(2).await.unwrap(), 5);
    assert_eq!(ask(3).await.unwrap(), 5, "its connection is open");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_says_nothing_however_often_it_comes_keeps_nobody_else_waiting() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    let mut held = vec![];
    for _ in 0..300 {
        held.push(network.host("silent").connect("a:1").await.unwrap());
    }
    let start = tokio::time::Instant::now();
    b.introduce("a:1").await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(a.shared.metrics.connections_over_limit.get(), 300 - 64);
    // Once they are given up, others from there are heard.
    later(2 * SECOND).await;
    let (c, _news) = node(&network, "silent", 3).await;
    c.introduce("a:1").await.unwrap();
}
