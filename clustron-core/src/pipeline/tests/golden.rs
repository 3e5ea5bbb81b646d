//! The bytes of each layer are frozen: a change here needs a new version of the protocol, because
//! nodes of two versions talk to each other while a service is being updated.

use std::time::Duration;

use bytes::Bytes;

use crate::pipeline::{LayerConfig, Registry, Stack};

const NOW: Duration = Duration::ZERO;

/// Two connected ends of conversation 0x01020304.
fn ends(layer: LayerConfig) -> (Stack, Stack) {
    let plan = Registry::default().plan(&[layer], 1 << 20).unwrap();
    let [mut a, mut b] = [true, false].map(|opener| plan.stack(0x0102_0304, opener).unwrap());
    a.connected(NOW);
    b.connected(NOW);
    (a, b)
}

/// What an end has to write.
fn written(end: &mut Stack) -> Vec<Bytes> {
    std::iter::from_fn(|| end.next_write(NOW)).map(|packet| packet.to_bytes()).collect()
}

#[test]
fn checksum_puts_the_crc_32_of_the_rest_in_front() {
    let (mut a, _) = ends(LayerConfig::new("checksum"));
    a.send(NOW, "123456789".into()).unwrap();
    a.send(NOW, "".into()).unwrap();
    assert_eq!(written(&mut a), [&b"\xcb\xf4\x39\x26123456789"[..], b"\0\0\0\0"]);
}

#[test]
fn compress_says_whether_and_from_which_size() {
    let (mut a, mut b) = ends(LayerConfig::new("compress").with("above_bytes", 8));
    a.send(NOW, "short".into()).unwrap();
    a.send(NOW, Bytes::from_static(&[b'a'; 40])).unwrap();
    let packets = written(&mut a);
    assert_eq!(packets[0], b"\x00short"[..]);
    assert_eq!(packets[1][..5], *b"\x01\x00\x00\x00\x28");
    // The block is what LZ4 makes of it, which may change; what it means may not: one literal, a
    // match of 34 at distance 1, and five literals.
    b.receive(NOW, Bytes::from_static(b"\x01\x00\x00\x00\x28\x1fa\x01\x00\x0f\x50aaaaa"));
    let delivered = crate::pipeline::Event::Deliver(Bytes::from_static(&[b'a'; 40]));
    assert_eq!(b.next_event(), Some(delivered));
}

#[test]
fn flow_marks_messages_and_gives_totals() {
    let (mut a, mut b) = ends(LayerConfig::new("flow").with("window_bytes", 1024));
    a.send(NOW, Bytes::from_static(&[b'a'; 200])).unwrap();
    let packets = written(&mut a);
    assert_eq!(packets[0][..2], *b"\x00a");
    b.receive(NOW, packets[0].clone());
    b.next_event();
    b.taken(NOW);
    // 1024 + 200 + 64.
    assert_eq!(written(&mut b), [&b"\x01\x00\x00\x00\x00\x00\x00\x05\x08"[..]]);
}

#[test]
fn fragment_says_which_message_and_its_size_once() {
    let (mut a, _) = ends(LayerConfig::new("fragment").with("piece_bytes", 64));
    a.send(NOW, "small".into()).unwrap();
    a.send(NOW, Bytes::from_static(&[b'a'; 130])).unwrap();
    let packets = written(&mut a);
    assert_eq!(packets[0], b"\x00small"[..]);
    assert_eq!(packets[1][..10], *b"\x01\x00\x00\x00\x00\x00\x00\x00\x82a");
    assert_eq!((packets[1].len(), packets[2].len()), (9 + 64, 5 + 64));
    assert_eq!(packets[2][..6], *b"\x02\x00\x00\x00\x00a");
    assert_eq!(packets[3], b"\x02\x00\x00\x00\x00aa"[..]);
}

#[test]
fn reliable_numbers_packets_and_names_what_has_arrived() {
    let (mut a, mut b) = ends(LayerConfig::new("reliable").with("ack_delay_ms", 0));
    let hello = b"\x01\x01\x02\x03\x04\0\0\0\0\0\0\0\0\0";
    assert_eq!(written(&mut a), [&hello[..]]);
    for text in ["0", "1", "2", "3"] {
        a.send(NOW, text.into()).unwrap();
    }
    let packets = written(&mut a);
    assert_eq!(packets[2], b"\0\x01\x02\x03\x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x002"[..]);
    for arrived in [0, 2, 3] {
        b.receive(NOW, packets[arrived].clone());
    }
    // Number 1 is expected, and 2 and 3 are there: from 2 to before 4.
    let receipt = b"\x01\x01\x02\x03\x04\0\0\0\0\0\0\0\x01\x01\
                    \0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x04";
    assert_eq!(written(&mut b), [&receipt[..]]);
}
