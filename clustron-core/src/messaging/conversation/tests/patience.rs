//! Readers that stand still, connections on which nobody is left, and dials that were doubled.

use tokio::sync::watch;

use super::*;
use crate::messaging::conversation::Opening;
use crate::messaging::handshake::{self, Established, Hello};
use crate::messaging::tests::{Add, Big, local};
use crate::messaging::{Lane, SILENCE_MAX};
use crate::pipeline::{Input, Layer, Out, Packet};
use crate::transport::Transport;

const MESSAGES: usize = 40;

#[tokio::test(start_paused = true)]
async fn however_long_a_handler_takes_no_connection_is_given_up() {
    for names in [&["checksum"][..], &["flow", "reliable"]] {
        let network = MemoryNetwork::new();
        let [mut a, mut b] = Node::pair(&network, &layers(names)).await;
        let (door, opened) = watch::channel(false);
        let (through, mut came) = watch::channel(0);
        b.on_message(HandlerOptions { queue: 1.try_into().unwrap(), ..Default::default() }, {
            move |_, Big(_)| {
                let (mut opened, through) = (opened.clone(), through.clone());
                async move {
                    let _ = opened.wait_for(|open| *open).await;
                    through.send_modify(|count| *count += 1);
                }
            }
        });
        // More than all that may be under way takes.
        let send = async {
            for _ in 0..MESSAGES {
                a.send(b.id(), Lane::Data, &Big(vec![7; 256 << 10])).await.unwrap();
            }
        };
        let wait = async {
            later(60 * MINUTE).await;
            door.send(true).unwrap();
        };
        tokio::join!(send, wait);
        came.wait_for(|count| *count == MESSAGES).await.unwrap();
        assert!(a.news.try_recv().is_err() && b.news.try_recv().is_err(), "{names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_whose_other_end_nobody_is_left_is_given_up_whatever_the_layers() {
    for names in [&["compress"][..], &["flow", "reliable"]] {
        let network = MemoryNetwork::new();
        let [mut a, b] = Node::pair(&network, &layers(names)).await;
        b.on_request(|_, Add(x, y)| async move { x + y });
        let ask = |deadline| a.messenger.request(NodeId(2), Lane::Data, &Add(2, 3), deadline);
        assert_eq!(ask(SECOND).await.unwrap(), 5);
        // Long without a word is no reason: nobody has said anything.
        later(100 * SECOND).await;
        assert!(a.news.try_recv().is_err(), "{names:?}");
        network.cut("n1", "n2");
        let start = tokio::time::Instant::now();
        assert!(ask(SECOND).await.is_err());
        assert_eq!(a.news.recv().await.unwrap(), PeerNews::ConnectionLost(NodeId(2)));
        let took = start.elapsed();
        assert!(took >= SILENCE_MAX && took < SILENCE_MAX * 3 / 2, "{names:?}: {took:?}");
        network.heal("n1", "n2");
        let ask = a.messenger.request(NodeId(2), Lane::Data, &Add(2, 3), SECOND);
        assert_eq!(ask.await.unwrap(), 5, "{names:?}");
    }
}

/// Opens a conversation with node 2, as node 3.
async fn open(network: &MemoryNetwork, plans: &crate::pipeline::Plans, number: u32) -> Established {
    let (pipeline, conversation) =
        (plans.of(Lane::Data).fingerprint().clone(), Some(Opening { number, resumes: false }));
    let hello = local(lives(3, "n3:1", 1)).hello(Lane::Data, None);
    let hello = Hello { pipeline, conversation, ..hello };
    let stream = network.host("n3").connect("n2:1").await.unwrap();
    handshake::initiate(stream, &hello, 1 << 20).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn of_two_dials_the_one_that_was_given_up_does_not_end_the_conversation_of_the_other() {
    let network = MemoryNetwork::new();
    let names = layers(&["checksum"]);
    let b = Node::start(&network, 2, 1, &names).await;
    let plans = PipelineConfig::both(names).plans(&Registry::default(), 1 << 20).unwrap();
    // Numbers begin anew after the last.
    for (given_up, used) in [(7, 8), (u32::MAX, 0)] {
        let mut used = open(&network, &plans, used).await;
        let mut late = open(&network, &plans, given_up).await;
        assert!(late.reader.next().await.unwrap().is_none(), "it is closed");
        let more = tokio::time::timeout(MINUTE, used.reader.next());
        assert!(more.await.is_err(), "and the other is not");
        assert_eq!(b.shared.metrics.conversations_open.get(), 1);
        // A new one takes its place.
        let _newer = open(&network, &plans, 100).await;
        assert!(used.reader.next().await.unwrap().is_none());
        b.shared.conversations.end_all_of(NodeId(3));
    }
}

/// Sends a packet without a byte before each message.
#[derive(Debug)]
struct Empty;

impl Layer for Empty {
    fn handle(&mut self, _: Duration, input: Input, out: &mut Out) {
        match input {
            Input::Down(packet) => {
                out.down(Packet::new(&b""[..]));
                out.down(packet);
            }
            Input::Up(packet) => out.up(packet),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_gives_the_wire_an_empty_packet_ends_the_conversation_and_is_told_why() {
    let network = MemoryNetwork::new();
    let mut registry = Registry::default();
    registry.register("empty", |_, _| Ok(Box::new(Empty))).unwrap();
    let a = Node::start_of(&network, 1, 1, &layers(&["empty"]), &registry).await;
    let b = Node::start_of(&network, 2, 1, &layers(&["empty"]), &registry).await;
    a.meets(&b);
    b.on_request(|_, Add(x, y)| async move { x + y });
    assert!(a.request(b.id(), Lane::Data, &Add(2, 3), SECOND).await.is_err());
    assert_eq!(a.shared.metrics.conversations_failed.get(), 1);
}
