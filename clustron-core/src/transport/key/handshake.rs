//! How both sides prove that they hold the key.
//!
//! ```text
//! initiator                                 acceptor
//!     | -- "CLUSKEY" 1, psk e ---------------> |  tries each of its keys
//!     | <- "CLUSKEY" 1, e ee | notice -------- |  now the initiator knows
//!     | -- a first, empty record ------------> |  now the acceptor knows
//! ```
//!
//! Somebody without the key hears eight bytes, or nothing. Whoever plays an old first message again
//! hears 56, which mean nothing to him, and cannot go on.

use std::io;

use snow::{Builder, HandshakeState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::records::Records;
use super::stream::KeyStream;
use crate::security::{ClusterKey, KeyRing};
use crate::transport::Stream;
use crate::transport::greeting::{Greeting, KEYED, Notice, denied, mismatch};
use crate::transport::peeked::{FIRST_BYTES, Peeked};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

/// What both sides must agree on besides the key: which protocol this is a part of.
const PROLOGUE: &[u8] = b"clustron cluster key 1";

/// A message of the handshake: a public key of 32 bytes, and a tag of 16.
pub(super) const MESSAGE_BYTES: usize = 48;

/// Runs the connecting side.
pub(super) async fn initiate(stream: Box<dyn Stream>, key: &ClusterKey) -> io::Result<KeyStream> {
    let mut stream = Peeked::new(stream);
    let mut noise = noise(key, Side::Initiator)?;
    let mut message = [0; FIRST_BYTES + MESSAGE_BYTES];
    message[..FIRST_BYTES].copy_from_slice(KEYED);
    noise.write_message(&[], &mut message[FIRST_BYTES..]).map_err(unexpected)?;
    stream.write_all(&message).await?;
    stream.flush().await?;
    let greeting = Greeting::of(&stream.peek().await?);
    if greeting != Greeting::Key {
        return Err(mismatch(greeting, Notice::Key).unwrap_or_else(|| {
            denied("the peer does not answer as a node with a cluster key does: look who listens there")
        }));
    }
    let answer = read_message(&mut stream).await?;
    if noise.read_message(&answer, &mut []).is_err() {
        return Err(denied(
            "the peer does not hold the cluster key with which this node called: look who listens there",
        ));
    }
    let mut stream = KeyStream::new(stream, Records::new(noise)?);
    stream.confirm().await?;
    Ok(stream)
}

/// Runs the accepting side.
pub(super) async fn accept(stream: Box<dyn Stream>, ring: &KeyRing) -> io::Result<KeyStream> {
    let mut stream = Peeked::new(stream);
    let greeting = Greeting::of(&stream.peek().await?);
    if greeting != Greeting::Key {
        return match mismatch(greeting, Notice::Key) {
            Some(error) => {
                Notice::Key.tell(&mut stream).await;
                Err(error)
            }
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it does not begin as a connection of a node does",
            )),
        };
    }
    let first = read_message(&mut stream).await?;
    for key in ring.keys() {
        let mut noise = noise(key, Side::Acceptor)?;
        if noise.read_message(&first, &mut []).is_err() {
            continue;
        }
        let mut message = [0; FIRST_BYTES + MESSAGE_BYTES];
        message[..FIRST_BYTES].copy_from_slice(KEYED);
        noise.write_message(&[], &mut message[FIRST_BYTES..]).map_err(unexpected)?;
        stream.write_all(&message).await?;
        stream.flush().await?;
        let mut stream = KeyStream::new(stream, Records::new(noise)?);
        stream.confirmed().await?;
        tracing::debug!(key = key.name(), "a peer showed a cluster key");
        return Ok(stream);
    }
    Notice::OtherKey.tell(&mut stream).await;
    Err(denied(
        "the peer called with a key that is not in this node's ring: if it belongs to this cluster, \
         give it the ring's first key, or add its key to the rings of all nodes",
    ))
}

async fn read_message(stream: &mut Peeked) -> io::Result<[u8; MESSAGE_BYTES]> {
    let mut message = [0; FIRST_BYTES + MESSAGE_BYTES];
    stream.read_exact(&mut message).await?;
    let mut noise = [0; MESSAGE_BYTES];
    noise.copy_from_slice(&message[FIRST_BYTES..]);
    Ok(noise)
}

#[derive(Clone, Copy)]
pub(super) enum Side {
    Initiator,
    Acceptor,
}

pub(super) fn noise(key: &ClusterKey, side: Side) -> io::Result<HandshakeState> {
    let builder = builder(key)?;
    let built = match side {
        Side::Initiator => builder.build_initiator(),
        Side::Acceptor => builder.build_responder(),
    };
    built.map_err(unexpected)
}

/// What both sides begin with.
pub(super) fn builder(key: &ClusterKey) -> io::Result<Builder<'_>> {
    let params = PATTERN.parse().map_err(unexpected)?;
    let builder = Builder::new(params).prologue(PROLOGUE).map_err(unexpected)?;
    builder.psk(0, key.bytes()).map_err(unexpected)
}

/// An error of the library that only a bug, or a system without random numbers, can cause.
pub(super) fn unexpected(error: snow::Error) -> io::Error {
    io::Error::other(format!("the Noise protocol failed: {error}"))
}
