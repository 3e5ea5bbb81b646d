//! Takes in connections from whoever comes, and keeps only those who prove to be peers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::conversation;
use super::handshake::{self, HandshakeError, Hello, Lane, Refusal};
use super::knocks::Knocks;
use super::places::{Full, Place};
use super::{Messenger, Shared};
use crate::transport::{Incoming, Listener};

/// Connections that may be in their handshake at the same time, that of the transport included;
/// more wait to be accepted.
const HANDSHAKES_AT_ONCE: usize = 256;

/// How many of them may be from one host. More than that are turned away at once, and come again.
const HANDSHAKES_PER_HOST: usize = 64;

impl Messenger {
    /// Accepts connections until the node ends.
    pub(crate) fn listen(&self, mut listener: Box<dyn Listener>) {
        let shared = self.shared.clone();
        let slots = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
        let knocks = Knocks::new(HANDSHAKES_PER_HOST);
        self.shared.tasks.spawn("listener", async move {
            loop {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                match listener.accept().await {
                    Ok(incoming) => {
                        let Some(knock) = knocks.take(incoming.from()) else {
                            shared.turned_away(incoming.from());
                            continue;
                        };
                        let shared2 = shared.clone();
                        shared.tasks.spawn("handshake", async move {
                            take_in(&shared2, incoming).await;
                            drop((slot, knock));
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

async fn take_in(shared: &Arc<Shared>, incoming: Incoming) {
    let from = incoming.from().to_owned();
    let shaking = async {
        let stream = incoming.open().await.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => HandshakeError::Unproven(error.to_string()),
            _ => error.into(),
        })?;
        let answer = |peer: &Hello| shared.answer(peer);
        let admit = |ours: &Hello, peer: &Hello| shared.admit(ours, peer);
        handshake::accept(stream, answer, admit, shared.frame_bytes_max).await
    };
    let result = tokio::time::timeout(shared.connect_timeout, shaking)
        .await
        .unwrap_or(Err(HandshakeError::Timeout(shared.connect_timeout)));
    match result {
        Ok(established) => {
            let messenger = Messenger { shared: shared.clone() };
            let peer = established.peer.node.id;
            messenger.hear_address(&established.peer.node);
            messenger.heard_from(peer);
            if established.peer.lane != Lane::Look {
                conversation::taken_in(shared, established);
            }
        }
        Err(HandshakeError::RefusedHere(refusal)) => shared.refused(&refusal),
        Err(HandshakeError::Unproven(why)) => shared.unproven(&from, &why),
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

impl Shared {
    /// Takes a place for a peer's connection, if it needs one.
    fn admit(&self, ours: &Hello, peer: &Hello) -> Result<Option<Place>, Refusal> {
        if peer.lane == Lane::Look {
            return Ok(None);
        }
        let taken = self.places.take(peer.node.id, peer.lane);
        let (place, older_goes) = taken.map_err(|Full { most }| {
            let (acceptor, setting) = (ours.node.to_string(), "connections_max".to_owned());
            Refusal::TooManyConnections { acceptor, setting, most: most as u64 }
        })?;
        if older_goes {
            self.metrics.connections_over_limit.inc();
            tracing::warn!(
                peer = %peer.node, lane = ?peer.lane,
                "a peer opened more connections than connections_per_peer_max, and its oldest was \
                 closed: most likely a slow handler keeps it from being read"
            );
        }
        Ok(Some(place))
    }

    /// Counts and reports somebody from whose host too many are here already.
    fn turned_away(&self, from: &str) {
        self.metrics.connections_over_limit.inc();
        if let Some(unsaid) = self.over_limit_said.says() {
            tracing::warn!(
                from,
                unsaid,
                "{HANDSHAKES_PER_HOST} connections from this host have not said yet who they are, and \
                 another was closed: look who connects from there and says nothing"
            );
        }
    }

    /// Counts and reports somebody who did not prove to belong here, or to whom this node did not.
    pub(super) fn unproven(&self, peer: &str, why: &str) {
        self.metrics.handshakes_unproven.inc();
        if let Some(unsaid) = self.unproven_said.says() {
            tracing::warn!(peer, unsaid, "no connection: {why}");
        }
    }
}
