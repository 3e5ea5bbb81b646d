//! Conversations: what two nodes say to each other on a lane that has layers.
//!
//! Like a telephone call that is cut off and taken up again: what was being said goes on where it
//! stopped, because both still know each other's last word. A conversation is what one process has
//! opened with another on one lane; both directions pass through it. Each end has one stack of
//! [layers](crate::pipeline), and one task that drives it.
//!
//! Whoever opens one gives it a number and tells it in the handshake. Where no layer outlives its
//! connection, it ends with it, and the next connection is another conversation. Otherwise the
//! opener dials anew, and names the same number: the other end goes on if it still knows it, of
//! the same process, and says so. If it does not, the opener ends the conversation, and what was
//! not confirmed is unknown.
//!
//! # How long one is kept
//!
//! Without a connection for [`KEPT_FOR`] at most, and no longer than `reliable` waits for an
//! answer. It ends at once when the peer is put out of the view or comes back as another process.
//! The opener does not dial for one that nobody uses and in which all is confirmed; the next word
//! opens another. Of those that others have opened [`KEPT_MAX`] at most wait for a connection; the
//! one that has waited longest makes room.
//!
//! # Back-pressure
//!
//! What has arrived waits here for its handlers, one after the other. With the layer `flow`, the
//! credit of the other end bounds it, and reading goes on, whatever handlers do. Without it,
//! reading stops from [`DELIVERED_BYTES`] on, as it does on a connection without layers. Then
//! acknowledgements are not read either: with `reliable` and without `flow`, a handler that stands
//! still for longer than `give_up_after_ms` ends the conversation.
//!
//! A connection is not ended for it: whoever does not read says that it is there, as on one without
//! layers, and past all of them (see [`pulse`](super::pulse)).

mod counted;
mod driver;
mod inbox;
mod line;
mod redial;
mod taken;
mod unconfirmed;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::connection;
use super::handshake::{Established, Hello, Lane, Process};
use super::outgoing;
use super::session::Session;
use crate::identity::NodeId;
use crate::pipeline::{HEADERS_BYTES_MAX, Plan, Plans};
use driver::Driver;
use line::Line;
use redial::Redial;
pub(super) use taken::Taken;

/// How long a conversation waits for its next connection.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// Conversations of others that may wait for a connection.
const KEPT_MAX: usize = 1024;

/// From so many bytes on that wait for handlers, a conversation without `flow` is not read.
const DELIVERED_BYTES: usize = 1 << 20;

/// Connections that may come for one conversation before its task has taken the first.
const LINES_AT_ONCE: usize = 2;

/// Which conversation a connection is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opening {
    /// What its opener calls it: another number each time.
    pub(crate) number: u32,
    /// Of the opener: whether it goes on with one that it has begun. Of the other end: whether it
    /// knows that one still.
    pub(crate) resumes: bool,
}

/// Where the next connection of a conversation comes from.
enum Way {
    /// This node has opened it, and dials.
    Opened(Redial),
    /// The peer has, and dials.
    Taken(mpsc::Receiver<Line>),
}

/// Those that others have opened with this node: one of each peer and lane.
#[derive(Default)]
pub(super) struct Conversations(Mutex<BTreeMap<(NodeId, Lane), Kept>>);

struct Kept {
    number: u32,
    process: Process,
    session: Arc<Session>,
    /// For its next connections. When this is dropped, the conversation is over.
    lines: mpsc::Sender<Line>,
    alone: Arc<Alone>,
}

/// Since when a conversation has had no connection.
#[derive(Debug, Default)]
struct Alone(Mutex<Option<Instant>>);

impl Alone {
    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Conversations {
    /// Ends all that a node has opened: it is not in the view any more, or has moved.
    pub(super) fn end_all_of(&self, node: NodeId) {
        let mut kept = self.lock();
        for lane in Lane::CARRYING {
            if let Some(conversation) = kept.remove(&(node, lane)) {
                conversation.session.close();
            }
        }
    }

    /// Whether it can be gone on with.
    fn knows(&self, key: (NodeId, Lane), process: Process, number: u32) -> bool {
        self.lock().get(&key).is_some_and(|kept| {
            kept.number == number && kept.process == process && !kept.session.is_closed()
        })
    }

    /// Gives a connection to the conversation that it is of.
    fn go_on(&self, key: (NodeId, Lane), number: u32, line: Line) {
        // Where it cannot be given the connection ends, and the opener dials again.
        if let Some(kept) = self.lock().get(&key).filter(|kept| kept.number == number) {
            let _ = kept.lines.try_send(line);
        }
    }

    /// Keeps a new one in the place of that peer's last one, which ends. False if it is the older
    /// one of the two: its opener has given it up, and it came late.
    fn keep(&self, key: (NodeId, Lane), conversation: Kept) -> bool {
        let mut kept = self.lock();
        let is_late = |last: &Kept| {
            // Numbers of one process go up, and begin anew after the last.
            let ahead = last.number.wrapping_sub(conversation.number);
            last.process == conversation.process && (1..=u32::MAX / 2).contains(&ahead)
        };
        if kept.get(&key).is_some_and(is_late) {
            return false;
        }
        kept.insert(key, conversation);
        let alone = || kept.iter().filter_map(|(key, kept)| Some((kept.alone.since()?, *key)));
        if alone().count() > KEPT_MAX
            && let Some((_, longest)) = alone().min()
        {
            kept.remove(&longest);
        }
        true
    }

    /// This one has ended.
    fn forget(&self, key: (NodeId, Lane), session: &Arc<Session>) {
        let mut kept = self.lock();
        if kept.get(&key).is_some_and(|kept| Arc::ptr_eq(&kept.session, session)) {
            kept.remove(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(NodeId, Lane), Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that this node has opened: what is said over it.
pub(super) fn opened(shared: &Arc<Shared>, established: Established) -> Arc<Session> {
    let lane = established.peer.lane;
    let idle = (lane != Lane::Control).then_some(shared.data_idle_timeout);
    let Some(Opening { number, .. }) = established.conversation else {
        return connection::start(shared, established, idle);
    };
    let (outgoing, frames) = outgoing::tray(shared.metrics.frames_waiting.clone());
    let session = Session::new(established.peer.node.id, outgoing);
    let redial = Redial::new(shared.clone(), session.clone(), &established.peer, number);
    let way = Way::Opened(redial);
    let driver = Driver::new(shared, established, session.clone(), frames, way, Arc::default());
    match driver {
        Ok(driver) => shared.tasks.spawn("conversation", driver.run(idle)),
        Err(error) => {
            tracing::error!(%error, "a layer that could be made at the start cannot be made now");
            session.close();
        }
    }
    session
}

/// A connection that a peer has opened: begins a conversation, or goes on with one.
pub(super) fn taken_in(shared: &Arc<Shared>, established: Established) {
    let Some(Opening { number, resumes }) = established.conversation else {
        connection::start(shared, established, None);
        return;
    };
    let key = (established.peer.node.id, established.peer.lane);
    if resumes {
        return shared.conversations.go_on(key, number, Line::new(shared, established));
    }
    if established.peer.conversation.is_some_and(|theirs| theirs.resumes) {
        // The opener has been told that this end knows nothing of it, and ends it.
        return;
    }
    let process = Process::of(&established.peer.node);
    let (outgoing, frames) = outgoing::tray(shared.metrics.frames_waiting.clone());
    let session = Session::new(key.0, outgoing);
    let (lines, coming) = mpsc::channel(LINES_AT_ONCE);
    let alone = Arc::<Alone>::default();
    let way = Way::Taken(coming);
    let driver = Driver::new(shared, established, session.clone(), frames, way, alone.clone());
    match driver {
        Ok(driver) => {
            let kept = Kept { number, process, session, lines, alone };
            if shared.conversations.keep(key, kept) {
                shared.tasks.spawn("conversation", driver.run(None));
            }
        }
        Err(error) => {
            tracing::error!(%error, "a layer that could be made at the start cannot be made now");
        }
    }
}

impl Shared {
    /// What to call a new conversation on this lane, if it has layers.
    pub(super) fn opening(&self, lane: Lane) -> Option<Opening> {
        let layers = !self.plans.of(lane).is_empty();
        layers.then(|| {
            let number = self.conversation_next.fetch_add(1, Ordering::Relaxed);
            Opening { number, resumes: false }
        })
    }

    /// What to answer to a node that has connected.
    pub(super) fn answer(&self, peer: &Hello) -> Hello {
        let pipeline = self.plans.of(peer.lane).fingerprint().clone();
        let conversation = peer.conversation.filter(|_| !pipeline.is_empty()).map(|theirs| {
            let (key, process) = ((peer.node.id, peer.lane), Process::of(&peer.node));
            let known = || self.conversations.knows(key, process, theirs.number);
            Opening { resumes: theirs.resumes && known(), ..theirs }
        });
        Hello { pipeline, conversation, ..self.local.answer(peer) }
    }
}

impl Plans {
    /// The layers of a lane.
    pub(super) fn of(&self, lane: Lane) -> &Plan {
        match lane {
            Lane::Control | Lane::Modules | Lane::Look => &self.none,
            Lane::Data => &self.data,
            Lane::Bulk => &self.bulk,
        }
    }
}

/// The largest packet on the wire, where messages may be so large.
fn packet_bytes_max(shared: &Shared) -> usize {
    shared.frame_bytes_max + HEADERS_BYTES_MAX
}

#[cfg(test)]
mod tests;
