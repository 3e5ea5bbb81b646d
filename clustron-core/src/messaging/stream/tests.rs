//! A peer that does not keep to the rules of streams.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use super::*;
use crate::identity::NodeId;
use crate::messaging::envelope::{self, Header, NotReplied, StreamEnd};
use crate::messaging::frame::{FrameReader, put_frame};
use crate::messaging::handshake::{self, Established, Hello};
use crate::messaging::tests::{lives, local, node};
use crate::messaging::{HandlerOptions, Lane, MessageError, Messenger, StreamOptions};
use crate::transport::{MemoryNetwork, Stream, Transport};

#[derive(Debug, Serialize, Deserialize)]
struct Ask;

impl Message for Ask {
    const KIND: &'static str = "test.ask";
}

impl StreamRequest for Ask {
    type Item = ();
}

/// A peer that is played by the test.
struct Peer {
    reader: FrameReader<ReadHalf<Box<dyn Stream>>>,
    writer: WriteHalf<Box<dyn Stream>>,
}

impl Peer {
    /// One that a node connects to.
    async fn accepts(network: &MemoryNetwork, connecting: impl Future<Output = ()>) -> Self {
        let mut listener = network.host("peer").listen("peer:1").await.unwrap();
        let shaking = async {
            let stream = listener.accept().await.unwrap().open().await.unwrap();
            let me = local(lives(9, "peer:1", 1));
            let hello = |_: &Hello| me.hello(Lane::Bulk, None);
            handshake::accept(stream, hello, |_, _| Ok(None), 1 << 20).await.unwrap()
        };
        let (established, ()) = tokio::join!(shaking, connecting);
        Self::from(established)
    }

    /// One that connects to a node.
    async fn connects(network: &MemoryNetwork, to: &str) -> Self {
        let stream = network.host("peer").connect(to).await.unwrap();
        let hello = local(lives(9, "peer:1", 1)).hello(Lane::Bulk, None);
        Self::from(handshake::initiate(stream, &hello, 1 << 20).await.unwrap())
    }

    fn from(established: Established) -> Self {
        Self { reader: established.reader, writer: established.writer }
    }

    async fn says(&mut self, header: Header, body: &[u8]) {
        let mut out = BytesMut::new();
        put_frame(&mut out, &envelope::seal(&header, body).unwrap());
        // The node may have hung up already.
        let _ = self.writer.write_all(&out).await;
        let _ = self.writer.flush().await;
    }

    /// The next that it is told, beside that the node is there.
    async fn hears(&mut self) -> Option<(Header, Bytes)> {
        loop {
            let frame = self.reader.next().await.ok().flatten()?;
            let heard = envelope::open(frame).unwrap();
            if heard.0 != Header::Here {
                return Some(heard);
            }
        }
    }
}

async fn asked(a: &Messenger) -> ReplyStream<()> {
    let options = StreamOptions { items: NonZeroU32::new(3).unwrap(), ..StreamOptions::default() };
    a.request_stream(NodeId(9), Lane::Bulk, &Ask, &options).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_overruns_its_credit_is_disconnected() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    a.learn_address(&lives(9, "peer:1", 1));
    let mut stream = None;
    let mut peer = Peer::accepts(&network, async { stream = Some(asked(&a).await) }).await;
    let Some((Header::StreamRequest { id, items, .. }, _)) = peer.hears().await else { panic!() };
    assert_eq!(items, 3);
    for _ in 0..4 {
        peer.says(Header::Item { id }, b"").await;
    }
    assert!(peer.hears().await.is_none(), "the node hung up");
    let stream = stream.unwrap();
    let read: Vec<_> = stream.collect().await;
    assert!(read[..3].iter().all(Result::is_ok), "{read:?}");
    assert!(matches!(read[3..], [Err(MessageError::Disconnected { .. })]), "{read:?}");
    assert_eq!(a.shared.metrics.protocol_errors.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_in_order_without_the_end_of_a_stream_is_an_error() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    a.learn_address(&lives(9, "peer:1", 1));
    let mut stream = None;
    let mut peer = Peer::accepts(&network, async { stream = Some(asked(&a).await) }).await;
    let Some((Header::StreamRequest { id, .. }, _)) = peer.hears().await else { panic!() };
    peer.says(Header::Item { id }, b"").await;
    peer.writer.shutdown().await.unwrap();
    let read: Vec<_> = stream.unwrap().collect().await;
    assert!(matches!(read[..], [Ok(()), Err(MessageError::Disconnected { .. })]), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_streams_that_are_over_is_no_error() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    a.learn_address(&lives(9, "peer:1", 1));
    let mut stream = None;
    let mut peer = Peer::accepts(&network, async { stream = Some(asked(&a).await) }).await;
    let Some((Header::StreamRequest { id, .. }, _)) = peer.hears().await else { panic!() };
    drop(stream);
    assert_eq!(peer.hears().await, Some((Header::Cancel { id }, Bytes::new())));
    for header in [
        Header::Item { id },
        Header::StreamEnd { id, how: StreamEnd::Done },
        Header::Credit { id: 77, items: u32::MAX, bytes: u32::MAX },
        Header::Cancel { id: 77 },
    ] {
        peer.says(header, b"").await;
    }
    // The connection still serves.
    peer.says(Header::Request { id: 1, kind: "test.none".to_owned() }, b"").await;
    let answer = peer.hears().await;
    assert!(matches!(answer, Some((Header::Refused { id: 1, .. }, _))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_used_twice_ends_the_connection_and_its_handlers() {
    let network = MemoryNetwork::new();
    let (a, _news) = node(&network, "a", 1).await;
    a.on_stream_request(HandlerOptions::default(), |_, Ask, mut sink| async move {
        loop {
            sink.send(()).await?;
        }
        #[expect(unreachable_code, reason = "tells the error's type")]
        Ok::<(), SinkError>(())
    });
    let mut peer = Peer::connects(&network, "a:1").await;
    let ask = || Header::StreamRequest {
        trace: None,
        id: 5,
        kind: Ask::KIND.to_owned(),
        items: 2,
        bytes: 100,
    };
    peer.says(ask(), b"").await;
    for _ in 0..2 {
        assert_eq!(peer.hears().await, Some((Header::Item { id: 5 }, Bytes::new())));
    }
    let silent = tokio::time::timeout(Duration::from_secs(60), peer.hears()).await;
    assert!(silent.is_err(), "an item beyond the credit: {silent:?}");
    peer.says(Header::Credit { id: 5, items: 1, bytes: 0 }, b"").await;
    assert_eq!(peer.hears().await, Some((Header::Item { id: 5 }, Bytes::new())));
    peer.says(ask(), b"").await;
    assert!(peer.hears().await.is_none(), "the node hung up");
    assert_eq!(a.shared.metrics.protocol_errors.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_an_unknown_kind_is_answered_once_a_second() {
    let network = MemoryNetwork::new();
    let (_a, _news) = node(&network, "a", 1).await;
    let mut peer = Peer::connects(&network, "a:1").await;
    let mut notices = vec![];
    for _ in 0..3 {
        for _ in 0..10 {
            peer.says(Header::Message { kind: "test.none".to_owned() }, b"").await;
        }
        // Whatever the node has to say is said before time passes.
        while let Ok(heard) = tokio::time::timeout(Duration::from_secs(1), peer.hears()).await {
            let Some((Header::NotTaken { kind, count, .. }, _)) = heard else {
                panic!("{heard:?}")
            };
            assert_eq!(kind, "test.none");
            notices.push(count);
        }
    }
    assert_eq!(notices, [1, 10, 10]);
}

/// Any header with few ids, so that they meet.
fn any_header() -> impl Strategy<Value = Header> {
    let kinds = prop_oneof![Just(Ask::KIND.to_owned()), Just("test.none".to_owned())];
    (0..10u8, 0..3u64, kinds, any::<u32>(), any::<u32>()).prop_map(
        |(which, id, kind, items, bytes)| match which {
            0 => Header::Message { kind },
            1 => Header::Request { id, kind },
            2 => Header::Reply { id },
            3 => Header::NotTaken { kind, count: u64::MAX, why: NotReplied::Busy },
            4 => Header::StreamRequest { trace: None, id, kind, items, bytes },
            5 => Header::Item { id },
            6 => Header::StreamEnd { id, how: StreamEnd::Done },
            7 => Header::Credit { id, items, bytes },
            8 => Header::Here,
            _ => Header::Cancel { id },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_peer_says_the_node_goes_on(
        headers in prop::collection::vec((any_header(), any::<Vec<u8>>()), 1..40)
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let network = MemoryNetwork::new();
            let (a, _news) = node(&network, "a", 1).await;
            a.on_stream_request(HandlerOptions::default(), |_, Ask, mut sink| async move {
                for _ in 0..10 {
                    sink.send(()).await?;
                }
                Ok::<(), SinkError>(())
            });
            let mut peer = Peer::connects(&network, "a:1").await;
            for (header, body) in headers {
                peer.says(header, &body).await;
            }
            // A later one of the same node is served as if nothing had been.
            let mut peer = Peer::connects(&network, "a:1").await;
            let kind = Ask::KIND.to_owned();
            let ask = Header::StreamRequest { trace: None, id: 1, kind, items: 10, bytes: 10 };
            peer.says(ask, b"").await;
            for _ in 0..10 {
                assert_eq!(peer.hears().await, Some((Header::Item { id: 1 }, Bytes::new())));
            }
            let end = Header::StreamEnd { id: 1, how: StreamEnd::Done };
            assert_eq!(peer.hears().await, Some((end, Bytes::new())));
            assert_eq!(a.shared.tasks.panicked(), None);
        });
    }
}
