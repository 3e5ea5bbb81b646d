//! What somebody sends to a node with a cluster key, for fuzzing: see
//! [`crate::simulation::decoders`].

use std::io;

use tokio::io::AsyncReadExt;

use super::handshake::{self, MESSAGE_BYTES, Side, noise, unexpected};
use super::records::Records;
use super::stream::KeyStream;
use crate::security::{ClusterKey, KeyRing, SecurityError};
use crate::simulation::{Decoder, ScriptedPeer};
use crate::transport::greeting::KEYED;
use crate::transport::peeked::Peeked;

pub(crate) const DECODERS: [Decoder; 3] = [
    Decoder::new("a key handshake as it comes", shake),
    Decoder::new("a key handshake that begins well", |bytes| {
        let (step, rest) = bytes.split_at(bytes.len().min(1));
        shake(&[step, KEYED, rest].concat());
    }),
    Decoder::new("records", |bytes| {
        let Ok(ring) = ring() else { unreachable!("the key is valid") };
        let near = match records(ring.calling()) {
            Ok(records) => records,
            Err(error) => panic!("both have the key: {error}"),
        };
        ScriptedPeer::of(bytes).run(async |peer| {
            let mut stream = KeyStream::new(Peeked::new(Box::new(peer)), near);
            let mut heard = vec![];
            let read = stream.read_to_end(&mut heard).await;
            assert!(read.is_err() && heard.is_empty(), "bytes without the key were believed");
        });
    }),
];

/// Both sides hear the same, and believe none of it.
fn shake(said: &[u8]) {
    let Ok(ring) = ring() else { unreachable!("the key is valid") };
    let check = |opened: io::Result<KeyStream>| {
        assert!(opened.is_err(), "somebody without the key got in");
    };
    ScriptedPeer::of(said).run(async |peer| check(handshake::accept(Box::new(peer), &ring).await));
    ScriptedPeer::of(said)
        .run(async |peer| check(handshake::initiate(Box::new(peer), ring.calling()).await));
}

/// One end's machinery for records, after a handshake with somebody who has the key.
fn records(key: &ClusterKey) -> io::Result<Records> {
    let mut near = noise(key, Side::Initiator)?;
    let mut far = noise(key, Side::Acceptor)?;
    let (mut message, mut nothing) = ([0; MESSAGE_BYTES], []);
    near.write_message(&[], &mut message).map_err(unexpected)?;
    far.read_message(&message, &mut nothing).map_err(unexpected)?;
    far.write_message(&[], &mut message).map_err(unexpected)?;
    near.read_message(&message, &mut nothing).map_err(unexpected)?;
    Records::new(near)
}

fn ring() -> Result<KeyRing, SecurityError> {
    KeyRing::new([ClusterKey::new("fuzz", [7; 32])?])
}
