//! Whatever the other end sends: no layer panics, and none holds more than its bound.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::ends;
use crate::pipeline::{Event, LayerConfig, Stack};

const MESSAGE_BYTES_MAX: usize = 10_000;
const CONVERSATION: u32 = 1;

/// A stack that has sent a little, so that there is something to be acknowledged.
fn stack(layers: &[LayerConfig]) -> Stack {
    let [mut stack, _] = ends(layers, MESSAGE_BYTES_MAX);
    for body in [&b"one"[..], b"two", &[b'x'; 5000]] {
        let _ = stack.send(Duration::ZERO, Bytes::from_static(body));
        while stack.next_write(Duration::ZERO).is_some() {}
    }
    stack
}

/// Bytes that are like those of some layer, so that they get beyond its first look.
fn likely() -> impl Strategy<Value = Bytes> {
    let small = prop_oneof![0u64..8, Just(u64::MAX), any::<u64>()];
    let body = prop::collection::vec(any::<u8>(), 0..300);
    let reliable = (0u8..3, prop::collection::vec(small, 0..8), body.clone(), any::<bool>());
    let reliable = reliable.prop_map(|(kind, numbers, body, counts)| {
        let mut bytes = BytesMut::new();
        bytes.put_u8(kind);
        bytes.put_u32(CONVERSATION);
        for (place, number) in numbers.iter().enumerate() {
            bytes.put_u64(*number);
            if place == 0 && counts {
                bytes.put_u8((numbers.len() as u8 - 1) / 2);
            }
        }
        bytes.put_slice(&body);
        bytes.freeze()
    });
    let words = prop::collection::vec(prop_oneof![0u32..3, 0u32..20_000, any::<u32>()], 0..3);
    let fragment = (0u8..4, words, body.clone()).prop_map(|(kind, words, body)| {
        let mut bytes = BytesMut::new();
        bytes.put_u8(kind);
        words.iter().for_each(|word| bytes.put_u32(*word));
        bytes.put_slice(&body);
        bytes.freeze()
    });
    prop_oneof![body.prop_map(Bytes::from), reliable, fragment]
}

fn checked(mut bytes: Bytes) -> Bytes {
    let sum = crc32fast::hash(&bytes);
    let mut checked = BytesMut::new();
    checked.put_u32(sum);
    checked.put(&mut bytes);
    checked.freeze()
}

/// Gives packets to a stack, takes and writes now and then, and looks at what it holds.
fn feed(layers: &[LayerConfig], packets: &[Bytes], bytes_max: usize) {
    let mut stack = stack(layers);
    for (place, packet) in packets.iter().enumerate() {
        let now = Duration::from_millis(40 * place as u64);
        stack.receive(now, packet.clone());
        let held = stack.bytes_held();
        assert!(held <= bytes_max, "{held} bytes are held, at most {bytes_max} may be");
        while let Some(event) = stack.next_event() {
            if let Event::Deliver(body) = event {
                assert!(body.len() <= MESSAGE_BYTES_MAX + 1024);
                stack.taken(now);
            }
        }
        if stack.wake_at().is_some_and(|at| at <= now) {
            stack.wake(now);
        }
        while stack.next_write(now).is_some() {}
    }
}

fn reliable() -> LayerConfig {
    LayerConfig::new("reliable").with("window_packets", 16).with("window_bytes", 4096)
}

proptest! {
    #[test]
    fn any_bytes_leave_every_layer_whole(
        packets in prop::collection::vec(likely(), 1..40),
        at_once in 1usize..4,
    ) {
        let message = MESSAGE_BYTES_MAX + 2048;
        let fragment = LayerConfig::new("fragment").with("at_once", at_once);
        feed(&[LayerConfig::new("checksum")], &packets, message);
        feed(&[LayerConfig::new("compress")], &packets, 2 * message);
        feed(&[LayerConfig::new("flow")], &packets, 2 * message);
        feed(std::slice::from_ref(&fragment), &packets, (at_once + 3) * message);
        feed(&[reliable()], &packets, 4 * message);
        let checked: Vec<Bytes> = packets.into_iter().map(checked).collect();
        let both = [LayerConfig::new("flow"), fragment, reliable(), LayerConfig::new("checksum")];
        feed(&both, &checked, (at_once + 7) * message);
    }
}

/// The one packet ends the conversation, for a reason that says this.
fn refuses(layer: LayerConfig, packet: &[u8], reason: &str) {
    let mut stack = stack(&[layer]);
    stack.receive(Duration::ZERO, Bytes::copy_from_slice(packet));
    assert_eq!(stack.bytes_held(), 0);
    let events: Vec<Event> = std::iter::from_fn(|| stack.next_event()).collect();
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert!(failure.reason.contains(reason), "{failure}");
}

#[test]
fn a_size_that_is_merely_claimed_is_refused_before_anything_is_allocated() {
    let huge = b"\x01\xff\xff\xff\xff\x10";
    refuses(LayerConfig::new("compress"), huge, "claims to have been 4294967295");
    // Within the limit for messages, and more than one byte can give.
    let much = b"\x01\x00\x00\x20\x00\x10";
    refuses(LayerConfig::new("compress"), much, "claims to have been 8192, at most 255 can be");
    let huge = b"\x01\x00\x00\x00\x00\xff\xff\xff\xffx";
    refuses(LayerConfig::new("fragment"), huge, "a message of 4294967295 bytes was begun");
}

#[test]
fn one_that_breaks_the_rules_is_told_which() {
    let sent_too_much = b"\0\0\0\0\x01\0\0\0\0\0\0\xff\xff\0\0\0\0\0\0\0\0";
    refuses(reliable(), sent_too_much, "packet 65535 came, at most 15 may");
    let never_sent = b"\x01\0\0\0\x01\0\0\0\0\0\0\0\x09\0";
    refuses(reliable(), never_sent, "has received 9 packets, only 3 were sent");
    let credit = b"\x01\xff\xff\xff\xff\xff\xff\xff\xff";
    refuses(LayerConfig::new("flow"), credit, "a credit is for 18446744073709551615 bytes");
    refuses(LayerConfig::new("fragment"), b"\x02\0\0\0\x07x", "message 7 was never begun");
}
