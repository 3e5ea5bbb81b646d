//! The way to one peer on one lane: opened when first needed, shared by all who send.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::select_ok;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::backoff::{Backoff, STEADY_AFTER};
use super::conversation::{self, Opening};
use super::error::MessageError;
use super::frame::FrameError;
use super::handshake::{self, Established, HandshakeError, Hello, Lane, Refusal};
use super::session::{InUse, Session};
use super::{NodeId, Shared};

/// How long a dial under way is left alone when the peer shows itself. Two that call each other at
/// the same moment shall not both call twice.
const DIAL_AGAIN_AFTER: Duration = Duration::from_millis(50);

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

    /// Whether the node that was meant has answered, if only to refuse.
    fn is_answer(&self) -> bool {
        let refused = matches!(
            self,
            Self::Handshake(HandshakeError::RefusedByPeer(_) | HandshakeError::RefusedHere(_))
        );
        refused && !self.is_gone()
    }
}

type Dialled = Option<Result<Arc<Session>, MessageError>>;

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Dialling {
        dialled: watch::Receiver<Dialled>,
        /// The peer has shown itself.
        heard: Arc<Notify>,
    },
    Open {
        session: Arc<Session>,
        since: Instant,
    },
    /// Until then, senders get the error instead of dialling again.
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
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    state: State,
    backoff: Backoff,
}

impl Link {
    /// The open session, or the one that a dial under way brings, or a new dial's.
    pub(super) async fn session(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        to: NodeId,
        lane: Lane,
    ) -> Result<InUse, MessageError> {
        loop {
            let mut dialled = match self.open_or_dial(shared, to, lane)? {
                Way::Open(session) => return Ok(session),
                Way::Dialling(dialled) => dialled,
            };
            let session = match dialled.wait_for(Option::is_some).await {
                Ok(result) => match &*result {
                    Some(result) => result.clone()?,
                    None => return Err(MessageError::Disconnected { node: to }),
                },
                // The node is shutting down.
                Err(_) => return Err(MessageError::UnknownNode { node: to }),
            };
            // One that was closed for want of use while its first user came is dialled anew.
            if let Some(session) = session.enter() {
                return Ok(session);
            }
        }
    }

    fn open_or_dial(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        to: NodeId,
        lane: Lane,
    ) -> Result<Way, MessageError> {
        let mut inner = self.lock();
        let Inner { state, backoff } = &mut *inner;
        match &*state {
            State::Open { session, since } => {
                if !session.is_closed()
                    && let Some(session) = session.enter()
                {
                    return Ok(Way::Open(session));
                }
                if session.is_retired() || since.elapsed() >= STEADY_AFTER {
                    backoff.reset();
                } else {
                    // A peer that takes connections and drops them is not dialled in a loop either.
                    let retry_at = *since + backoff.failed(shared.jitter.seed());
                    if Instant::now() < retry_at {
                        let reason =
                            "the last connection broke soon after it was opened".to_owned();
                        let addr = shared.address(to)?;
                        let error =
                            MessageError::Unreachable { node: to, addr, reason, gone: false };
                        *state = State::Failed { error: error.clone(), retry_at };
                        return Err(error);
                    }
                }
            }
            State::Failed { error, retry_at } if Instant::now() < *retry_at => {
                return Err(error.clone());
            }
            State::Dialling { dialled, .. } => return Ok(Way::Dialling(dialled.clone())),
            State::Closed => return Err(MessageError::UnknownNode { node: to }),
            State::Idle | State::Failed { .. } => {}
        }
        let addr = shared.address(to)?;
        let heard = Arc::<Notify>::default();
        let dialled = self.clone().start_dial(shared.clone(), to, lane, addr, heard.clone());
        inner.state = State::Dialling { dialled: dialled.clone(), heard };
        Ok(Way::Dialling(dialled))
    }

    pub(super) fn close(&self) {
        if let State::Open { session, .. } =
            std::mem::replace(&mut self.lock().state, State::Closed)
        {
            session.close();
        }
    }

    /// The next sender dials, whatever failed before. A dial under way may have begun when nobody
    /// was there to hear it, so a second one is begun beside it.
    pub(super) fn wait_no_longer(&self) {
        let mut inner = self.lock();
        match &inner.state {
            State::Failed { .. } => inner.state = State::Idle,
            State::Dialling { heard, .. } => heard.notify_waiters(),
            // A conversation without a connection dials by itself.
            State::Open { session, .. } => return session.shown.notify_waiters(),
            State::Idle | State::Closed => return,
        }
        inner.backoff.reset();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_dial(
        self: Arc<Self>,
        shared: Arc<Shared>,
        to: NodeId,
        lane: Lane,
        addr: String,
        heard: Arc<Notify>,
    ) -> watch::Receiver<Dialled> {
        let (tx, rx) = watch::channel(None);
        let tasks = shared.tasks.clone();
        tasks.spawn("dial", async move {
            let result = match dial_persistently(&shared, &addr, lane, to, &heard).await {
                Ok(established) => Ok(conversation::opened(&shared, established)),
                Err(error) => {
                    tracing::debug!(%to, addr, %error, "no connection");
                    Err(shared.failed(to, addr, &error))
                }
            };
            self.dialled(&shared, &result);
            let _ = tx.send(Some(result));
        });
        rx
    }

    fn dialled(&self, shared: &Shared, result: &Result<Arc<Session>, MessageError>) {
        let mut inner = self.lock();
        let now = Instant::now();
        match (&inner.state, result) {
            (State::Closed, Ok(session)) => session.close(),
            (State::Closed, Err(_)) => {}
            (_, Ok(session)) => {
                inner.state = State::Open { session: session.clone(), since: now };
            }
            (_, Err(error)) => {
                let retry_at = now + inner.backoff.failed(shared.jitter.seed());
                inner.state = State::Failed { error: error.clone(), retry_at };
            }
        }
    }
}

/// What a sender finds.
enum Way {
    Open(InUse),
    Dialling(watch::Receiver<Dialled>),
}

/// Dials, and once more when the peer shows itself meanwhile. The first to come about wins; where
/// there are layers the second takes the place of the first.
async fn dial_persistently(
    shared: &Arc<Shared>,
    addr: &str,
    lane: Lane,
    to: NodeId,
    heard: &Notify,
) -> Result<Established, DialError> {
    let mut first = Box::pin(dial(shared, addr, lane, Some(to)));
    tokio::select! {
        biased;
        result = &mut first => return result,
        () = worth_another(heard) => {}
    }
    if !shared.plans.of(lane).is_empty() {
        // If both came about they would be two conversations, and at the other end the later one
        // would end the one that is used here.
        drop(first);
        return dial(shared, addr, lane, Some(to)).await;
    }
    let second = Box::pin(dial(shared, addr, lane, Some(to)));
    let (established, _later) = select_ok([first, second]).await?;
    Ok(established)
}

/// Resolves when the peer has shown itself since a dial began, and that is no mere coincidence.
pub(super) async fn worth_another(shown: &Notify) {
    let begun = Instant::now();
    shown.notified().await;
    tokio::time::sleep_until(begun + DIAL_AGAIN_AFTER).await;
}

/// Connects and shakes hands within the connect timeout.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    addr: &str,
    lane: Lane,
    expects: Option<NodeId>,
) -> Result<Established, DialError> {
    dial_for(shared, addr, lane, expects, shared.opening(lane)).await
}

/// The same for a connection of this conversation.
pub(super) async fn dial_for(
    shared: &Arc<Shared>,
    addr: &str,
    lane: Lane,
    expects: Option<NodeId>,
    conversation: Option<Opening>,
) -> Result<Established, DialError> {
    let pipeline = shared.plans.of(lane).fingerprint().clone();
    let hello = Hello { pipeline, conversation, ..shared.local.hello(lane, expects) };
    let attempt = async {
        let stream = match lane.is_patient() {
            true => shared.transport.connect_patiently(addr).await?,
            false => shared.transport.connect(addr).await?,
        };
        Ok(handshake::initiate(stream, &hello, shared.frame_bytes_max).await?)
    };
    let result = tokio::time::timeout(shared.connect_timeout, attempt)
        .await
        .unwrap_or(Err(HandshakeError::Timeout(shared.connect_timeout).into()));
    match &result {
        Err(DialError::Handshake(
            HandshakeError::RefusedByPeer(refusal) | HandshakeError::RefusedHere(refusal),
        )) => shared.refused(refusal),
        Err(DialError::Handshake(HandshakeError::Unproven(why))) => shared.unproven(addr, why),
        Err(DialError::Connect(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            shared.unproven(addr, &error.to_string());
        }
        Ok(_) | Err(_) => {}
    }
    result
}

impl Shared {
    pub(super) fn address(&self, node: NodeId) -> Result<String, MessageError> {
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        let known = addresses.address(node).map(str::to_owned);
        known.ok_or(MessageError::UnknownNode { node })
    }

    /// What a failed dial comes to, and what it says of the address.
    pub(super) fn failed(&self, node: NodeId, addr: String, error: &DialError) -> MessageError {
        let mut gone = error.is_gone();
        if !error.is_answer() {
            let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
            gone = addresses.failed(node, &addr, gone);
        }
        MessageError::Unreachable { node, addr, reason: error.to_string(), gone }
    }

    /// Counts and reports a refusal that a person should look at.
    pub(super) fn refused(&self, refusal: &Refusal) {
        match refusal {
            // A shared seed list and a restarted node make these a part of normal life.
            Refusal::Itself { .. } | Refusal::OtherNode { .. } => {
                tracing::debug!(%refusal, "no connection");
            }
            Refusal::TooManyConnections { .. } => {
                self.metrics.connections_over_limit.inc();
                if let Some(unsaid) = self.over_limit_said.says() {
                    tracing::warn!(%refusal, unsaid, "a connection was refused");
                }
            }
            Refusal::OtherCluster { .. }
            | Refusal::OtherClusterId { .. }
            | Refusal::Description { .. }
            | Refusal::OtherStorage { .. }
            | Refusal::OldState { .. }
            | Refusal::OtherModules { .. }
            | Refusal::OtherLayers(_) => {
                self.metrics.handshakes_refused.inc();
                tracing::warn!(%refusal, "a node was refused");
            }
        }
    }
}
