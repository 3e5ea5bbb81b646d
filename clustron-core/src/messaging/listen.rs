//! Takes in connections from whoever comes, and keeps only those who prove to be peers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::handshake::{self, HandshakeError, Lane};
use super::session::Session;
use super::{Messenger, Shared};
use crate::transport::{Listener, Stream};

/// Connections that may be in their handshake at the same time; more wait to be accepted.
const HANDSHAKES_AT_ONCE: usize = 256;

impl Messenger {
    /// Accepts connections until the node ends.
    pub(crate) fn listen(&self, mut listener: Box<dyn Listener>) {
        let shared = self.shared.clone();
        let slots = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
        self.shared.tasks.spawn("listener", async move {
            loop {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, from)) => {
                        let shared2 = shared.clone();
                        shared.tasks.spawn("handshake", async move {
                            take_in(&shared2, stream, &from).await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: let go of the core for a while.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        });
    }
}

async fn take_in(shared: &Arc<Shared>, stream: Box<dyn Stream>, from: &str) {
    let answer = |peer: &handshake::Hello| shared.local.answer(peer);
    let shaking = handshake::accept(stream, answer, shared.frame_bytes_max);
    let result = tokio::time::timeout(shared.connect_timeout, shaking)
        .await
        .unwrap_or(Err(HandshakeError::Timeout(shared.connect_timeout)));
    match result {
        Ok(established) => {
            Messenger { shared: shared.clone() }.learn_address(&established.peer.node);
            if established.peer.lane != Lane::Look {
                Session::start(shared, established);
            }
        }
        Err(HandshakeError::RefusedHere(refusal)) => shared.refused(&refusal),
        Err(HandshakeError::Version { ours, theirs }) => {
            shared.metrics.handshakes_refused.inc();
            tracing::warn!(
                from,
                "a node that speaks protocol version {theirs} was refused, this one speaks {ours}"
            );
        }
        Err(error) => {
            shared.metrics.connections_dropped.inc();
            tracing::info!(from, %error, "dropped a connection that is no peer");
        }
    }
}
