//! Packets for the layers of a pipeline.

use std::time::Duration;

use bytes::Bytes;

use super::{Decoder, pieces};
use crate::codec;
use crate::pipeline::{Event, Fingerprint, LayerConfig, Registry, agree};

pub(super) const DECODERS: [Decoder; 7] = [
    Decoder::new("checksum", |bytes| receive(&["checksum"], bytes)),
    Decoder::new("compress", |bytes| receive(&["compress"], bytes)),
    Decoder::new("flow", |bytes| receive(&["flow"], bytes)),
    Decoder::new("fragment", |bytes| receive(&["fragment"], bytes)),
    Decoder::new("reliable", |bytes| receive(&["reliable"], bytes)),
    Decoder::new("a whole stack", |bytes| {
        receive(&["flow", "compress", "fragment", "reliable"], bytes);
    }),
    Decoder::new("a fingerprint", |bytes| {
        if let Ok(theirs) = codec::decode::<Fingerprint>(bytes)
            && let Err(unequal) = agree(&Fingerprint::default(), &theirs)
        {
            let _ = unequal.to_string();
        }
    }),
];

/// The largest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 10_000;

/// What layers and queues may hold of what a peer sends: windows of some MiB, and a few messages.
const HELD_BYTES_MAX: usize = 8 << 20;

/// Gives a stack the packets of its other end.
fn receive(layers: &[&str], bytes: &[u8]) {
    let layers: Vec<LayerConfig> = layers.iter().map(|name| LayerConfig::new(*name)).collect();
    let Ok(plan) = Registry::default().plan(&layers, MESSAGE_BYTES_MAX) else {
        unreachable!("the layers are in their order")
    };
    let Ok(mut stack) = plan.stack(1, true) else { unreachable!("the settings are the defaults") };
    let mut now = Duration::ZERO;
    stack.connected(now);
    // Something that can be acknowledged.
    let _ = stack.send(now, Bytes::from_static(b"one"));
    let _ = stack.send(now, Bytes::from_static(&[b'x'; 5000]));
    while stack.next_write(now).is_some() {}
    for packet in pieces(bytes) {
        now += Duration::from_millis(40);
        stack.receive(now, Bytes::copy_from_slice(packet));
        let held = stack.bytes_held();
        assert!(held <= HELD_BYTES_MAX, "{held} bytes are held, at most {HELD_BYTES_MAX} may be");
        while let Some(event) = stack.next_event() {
            if let Event::Deliver(body) = event {
                assert!(body.len() <= MESSAGE_BYTES_MAX + 1024, "a message grew");
                stack.taken(now);
            }
        }
        if stack.wake_at().is_some_and(|at| at <= now) {
            stack.wake(now);
        }
        while stack.next_write(now).is_some() {}
    }
}
