//! How the opener of a conversation comes to its next connection.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Line, Opening};
use crate::identity::NodeId;
use crate::messaging::Shared;
use crate::messaging::backoff::Backoff;
use crate::messaging::handshake::{Established, HandshakeError, Hello, Lane, Process, Refusal};
use crate::messaging::link::{self, DialError};
use crate::messaging::session::Session;

/// See the module's documentation.
pub(super) struct Redial {
    shared: Arc<Shared>,
    session: Arc<Session>,
    node: NodeId,
    process: Process,
    lane: Lane,
    number: u32,
    backoff: Backoff,
    pub(super) attempt: Option<BoxFuture<'static, Result<Established, DialError>>>,
}

/// What came of an attempt.
pub(super) enum Redialled {
    Line(Box<Line>),
    /// It failed, and the next one is under way.
    Again,
    /// There is no use in trying again.
    Never(String),
}

impl Redial {
    /// For a conversation with the process that has answered so.
    pub(super) fn new(
        shared: Arc<Shared>,
        session: Arc<Session>,
        peer: &Hello,
        number: u32,
    ) -> Self {
        let (node, process, lane) = (peer.node.id, Process::of(&peer.node), peer.lane);
        let backoff = Backoff::default();
        Self { shared, session, node, process, lane, number, backoff, attempt: None }
    }

    /// Begins to dial, after a pause or when the peer shows itself.
    pub(super) fn begin(&mut self) {
        let pause = self.backoff.failed(self.shared.jitter.seed());
        let (shared, node, lane) = (self.shared.clone(), self.node, self.lane);
        let opening = Opening { number: self.number, resumes: true };
        let session = self.session.clone();
        let attempt = async move {
            tokio::select! {
                biased;
                () = session.shown.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let addr = shared.address(node).map_err(std::io::Error::other)?;
            let dial = || link::dial_for(&shared, &addr, lane, Some(node), Some(opening));
            let result = tokio::select! {
                biased;
                result = dial() => result,
                // It may have begun when nobody was there to hear it.
                () = link::worth_another(&session.shown) => dial().await,
            };
            if let Err(error) = &result {
                // The next attempt goes where the view has the node, if this was only said.
                let _ = shared.failed(node, addr, error);
            }
            result
        };
        self.attempt = Some(attempt.boxed());
    }

    /// What an attempt has come to.
    pub(super) fn dialled(&mut self, result: Result<Established, DialError>) -> Redialled {
        self.attempt = None;
        match result {
            Ok(established) if Process::of(&established.peer.node) != self.process => {
                Redialled::Never("the other end is another process now".to_owned())
            }
            Ok(established) if established.conversation.is_none_or(|ours| !ours.resumes) => {
                Redialled::Never("the other end does not know the conversation any more".to_owned())
            }
            Ok(established) => {
                self.backoff.reset();
                Redialled::Line(Box::new(Line::new(&self.shared, established)))
            }
            Err(error) if is_final(&error) => Redialled::Never(error.to_string()),
            Err(_) => {
                self.begin();
                Redialled::Again
            }
        }
    }
}

/// Whether the same attempt will fail again. Where nobody answers, somebody may a moment later: a
/// network that refuses is no proof that the process has ended.
fn is_final(error: &DialError) -> bool {
    match error {
        DialError::Connect(_) => false,
        DialError::Handshake(
            HandshakeError::RefusedByPeer(refusal) | HandshakeError::RefusedHere(refusal),
        ) => !matches!(refusal, Refusal::TooManyConnections { .. }),
        DialError::Handshake(_) => false,
    }
}
