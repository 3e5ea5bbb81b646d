//! Readers that stand still, and connections on which nobody is left.

use super::*;
use crate::transport::TcpTransport;
use tokio::sync::watch;

#[derive(Debug, Serialize, Deserialize)]
struct Large(Vec<u8>);
impl Message for Large {
    const KIND: &'static str = "test.large";
}

/// A handler of large messages that waits at a door, and how many have come through.
fn behind_a_door(messenger: &Messenger) -> (watch::Sender<bool>, watch::Receiver<usize>) {
    let (door, opened) = watch::channel(false);
    let (through, came) = watch::channel(0);
    let options = HandlerOptions { queue: 1.try_into().unwrap(), ..HandlerOptions::default() };
    messenger.on_message(options, move |_, Large(_)| {
        let (mut opened, through) = (opened.clone(), through.clone());
        async move {
            let _ = opened.wait_for(|open| *open).await;
            through.send_modify(|count| *count += 1);
        }
    });
    (door, came)
}

const MESSAGES: usize = 80;

/// More than all that may be under way takes, sent while nobody reads.
async fn send_all(from: &Messenger, lane: Lane) {
    for _ in 0..MESSAGES {
        from.send(NodeId(2), lane, &Large(vec![7; 256 << 10])).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn however_long_a_handler_takes_nothing_that_waits_for_it_is_lost() {
    let network = MemoryNetwork::new();
    let (a, mut news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    a.learn_address(&lives(2, "b:1", 1));
    for lane in [Lane::Data, Lane::Modules] {
        let (door, mut came) = behind_a_door(&b);
        let wait = async {
            later(Duration::from_secs(3600)).await;
            door.send(true).unwrap();
        };
        tokio::join!(send_all(&a, lane), wait);
        came.wait_for(|count| *count == MESSAGES).await.unwrap();
    }
    assert!(news.try_recv().is_err(), "no connection broke");
}

/// With the kernel's own timeouts, and ones of this crate that are passed many times over.
#[tokio::test]
async fn a_reader_that_stands_still_loses_nothing_on_real_sockets() {
    let silence_max = Duration::from_millis(200);
    let [(a, mut news), (b, _news)] = futures::future::join_all([1, 2].map(|id| {
        start_at(Arc::new(TcpTransport), "127.0.0.1:0", id, 1, silence_max, Plans::default())
    }))
    .await
    .try_into()
    .ok()
    .unwrap();
    a.learn_address(&lives(2, &b.shared.local.node().addr, 1));
    let (door, mut came) = behind_a_door(&b);
    let wait = async {
        later(8 * silence_max).await;
        door.send(true).unwrap();
    };
    tokio::join!(send_all(&a, Lane::Data), wait);
    came.wait_for(|count| *count == MESSAGES).await.unwrap();
    assert!(news.try_recv().is_err(), "no connection broke");
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_whose_other_end_nobody_is_left_is_given_up() {
    let network = MemoryNetwork::new();
    let (a, mut news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    a.learn_address(&lives(2, "b:1", 1));
    let ask = || a.request(NodeId(2), Lane::Data, &Add(2, 3), SECOND);
    assert_eq!(ask().await.unwrap(), 5);
    // Long without a word is no reason: nobody has said anything.
    later(Duration::from_secs(100)).await;
    assert!(news.try_recv().is_err());
    network.cut("a", "b");
    let start = tokio::time::Instant::now();
    assert!(matches!(ask().await, Err(MessageError::Timeout { .. })));
    assert_eq!(news.recv().await.unwrap(), PeerNews::ConnectionLost(NodeId(2)));
    let took = start.elapsed();
    assert!(took >= SILENCE_MAX && took < SILENCE_MAX * 3 / 2, "{took:?}");
    network.heal("a", "b");
    assert_eq!(ask().await.unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn one_way_messages_alone_keep_a_connection_that_works() {
    let network = MemoryNetwork::new();
    let (a, mut news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    b.on_message(HandlerOptions::default(), |_, Note(_)| async {});
    a.learn_address(&lives(2, "b:1", 1));
    for n in 0..1000 {
        a.send(NodeId(2), Lane::Data, &Note(n)).await.unwrap();
        later(Duration::from_millis(333)).await;
    }
    assert!(news.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_the_application_that_is_stuck_does_not_hold_up_modules() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    let (b, _news) = node(&network, "b", 2).await;
    b.on_request(|_, Add(x, y)| async move { x + y });
    let (_door, _came) = behind_a_door(&b);
    a.learn_address(&lives(2, "b:1", 1));
    for _ in 0..3 {
        a.send(NodeId(2), Lane::Data, &Large(vec![7])).await.unwrap();
    }
    let ask = |lane| a.request(NodeId(2), lane, &Add(2, 3), SECOND);
    assert_eq!(ask(Lane::Modules).await.unwrap(), 5);
    assert!(ask(Lane::Data).await.is_err(), "or this test shows nothing");
}
