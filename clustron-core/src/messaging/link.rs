//! The way to one peer on one lane: opened when first needed, shared by all who send.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::error::MessageError;
use super::frame::FrameError;
use super::handshake::{self, Established, HandshakeError, Lane, Refusal};
use super::session::Session;
use super::{NodeId, Shared};

/// After a failed dial, senders get its error for this long instead of dialling again.
const REDIAL_AFTER: std::time::Duration = std::time::Duration::from_millis(50);

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{0}")]
    Connect(#[from] io::Error),
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
}

impl DialError {
    /// Whether this proves that the process that lived at the address is not there any more.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            Self::Handshake(HandshakeError::RefusedByPeer(refusal)) => {
                matches!(refusal, Refusal::OtherNode { .. })
            }
            Self::Handshake(_) => false,
        }
    }

    /// Whether the connection came about and then broke: the process is ending, or busy beyond its
    /// means.
    pub(super) fn is_broken(&self) -> bool {
        let error = match self {
            Self::Connect(error)
            | Self::Handshake(HandshakeError::Frame(FrameError::Io(error))) => error.kind(),
            Self::Handshake(
                HandshakeError::Closed | HandshakeError::Frame(FrameError::Damaged { .. }),
            ) => return true,
            Self::Handshake(_) => return false,
        };
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(error, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    }

    pub(super) fn into_message_error(self, node: NodeId, addr: String) -> MessageError {
        let gone = self.is_gone();
        MessageError::Unreachable { node, addr, reason: self.to_string(), gone }
    }
}

type Dialled = Option<Result<Arc<Session>, MessageError>>;

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Dialling(watch::Receiver<Dialled>),
    Open(Arc<Session>),
    Failed {
        error: MessageError,
        retry_at: Instant,
    },
    /// Forgotten; whoever still holds it is too late.
    Closed,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Link {
    state: Mutex<State>,
}

impl Link {
    /// The open session, or the one that a dial under way brings, or a new dial's.
    pub(super) async fn session(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        to: NodeId,
        lane: Lane,
    ) -> Result<Arc<Session>, MessageError> {
        let mut dialled = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match &*state {
                State::Open(session) if !session.is_closed() => return Ok(session.clone()),
                State::Failed { error, retry_at } if Instant::now() < *retry_at => {
                    return Err(error.clone());
                }
                State::Dialling(dialled) => dialled.clone(),
                State::Closed => return Err(MessageError::UnknownNode { node: to }),
                State::Idle | State::Open(_) | State::Failed { .. } => {
                    let addr = shared.address(to)?;
                    let dialled = self.clone().start_dial(shared.clone(), to, lane, addr);
                    *state = State::Dialling(dialled.clone());
                    dialled
                }
            }
        };
        match dialled.wait_for(Option::is_some).await {
            Ok(result) => match &*result {
                Some(result) => result.clone(),
                None => Err(MessageError::Disconnected { node: to }),
            },
            // The node is shutting down.
            Err(_) => Err(MessageError::UnknownNode { node: to }),
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(session) = std::mem::replace(&mut *state, State::Closed) {
            session.close();
        }
    }

    fn start_dial(
        self: Arc<Self>,
        shared: Arc<Shared>,
        to: NodeId,
        lane: Lane,
        addr: String,
    ) -> watch::Receiver<Dialled> {
        let (tx, rx) = watch::channel(None);
        let tasks = shared.tasks.clone();
        tasks.spawn("dial", async move {
            let result = match dial(&shared, &addr, lane, Some(to)).await {
                Ok(established) => Ok(Session::start(&shared, established)),
                Err(error) => {
                    tracing::debug!(%to, addr, %error, "no connection");
                    Err(error.into_message_error(to, addr))
                }
            };
            self.dialled(&result);
            let _ = tx.send(Some(result));
        });
        rx
    }

    fn dialled(&self, result: &Result<Arc<Session>, MessageError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*state, result) {
            (State::Closed, Ok(session)) => session.close(),
            (State::Closed, Err(_)) => {}
            (_, Ok(session)) => *state = State::Open(session.clone()),
            (_, Err(error)) => {
                let retry_at = Instant::now() + REDIAL_AFTER;
                *state = State::Failed { error: error.clone(), retry_at };
            }
        }
    }
}

/// Connects and shakes hands within the connect timeout.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    addr: &str,
    lane: Lane,
    expects: Option<NodeId>,
) -> Result<Established, DialError> {
    let hello = shared.local.hello(lane, expects);
    let attempt = async {
        let stream = shared.transport.connect(addr).await?;
        Ok(handshake::initiate(stream, &hello, shared.frame_bytes_max).await?)
    };
    let result = tokio::time::timeout(shared.connect_timeout, attempt)
        .await
        .unwrap_or(Err(HandshakeError::Timeout(shared.connect_timeout).into()));
    if let Err(DialError::Handshake(
        HandshakeError::RefusedByPeer(refusal) | HandshakeError::RefusedHere(refusal),
    )) = &result
    {
        shared.refused(refusal);
    }
    result
}

impl Shared {
    pub(super) fn address(&self, node: NodeId) -> Result<String, MessageError> {
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        let known = addresses.address(node).map(str::to_owned);
        known.ok_or(MessageError::UnknownNode { node })
    }

    /// Counts and reports a refusal that a person should look at.
    pub(super) fn refused(&self, refusal: &Refusal) {
        match refusal {
            // A shared seed list and a restarted node make these a part of normal life.
            Refusal::Itself { .. } | Refusal::OtherNode { .. } => {
                tracing::debug!(%refusal, "no connection");
            }
            Refusal::OtherCluster { .. }
            | Refusal::OtherClusterId { .. }
            | Refusal::Description { .. }
            | Refusal::OtherStorage { .. }
            | Refusal::OldState { .. }
            | Refusal::OtherModules { .. } => {
                self.metrics.handshakes_refused.inc();
                tracing::warn!(%refusal, "a node was refused");
            }
        }
    }
}
