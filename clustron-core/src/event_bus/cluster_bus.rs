//! The cluster's own bus: events go straight to the nodes of the view that want them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::interest::{Interest, Wants};
use super::outbox::{Outbox, Put};
use super::{EventBus, Origin, PublishError, RawSubscription, Subscribers};
use crate::codec;
use crate::control::Control;
use crate::identity::NodeId;
use crate::messaging::{HEADER_BYTES, KIND_BYTES_MAX, Lane, Messenger};
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;

/// The kind of the messages that carry events.
const EVENT: &str = "core.event";

/// What [`Head`] takes at most: two numbers, and the kind with its length.
const HEAD_BYTES: usize = 9 + 9 + 9 + KIND_BYTES_MAX;

/// How long a node may take to answer what this one wants.
const TELL_DEADLINE: Duration = Duration::from_secs(1);

/// The pauses before those who did not hear it are told again: they double up to the longest.
const TELL_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What stands before an event on the wire.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    process: u64,
    number: u64,
    kind: String,
}

/// See the module's documentation. Its state has two owners: whoever publishes, for whom order
/// counts, and the word about what is wanted.
struct ClusterBus {
    me: NodeId,
    process: u64,
    frame_bytes_max: usize,
    started: Instant,
    control: Arc<Control>,
    messenger: Messenger,
    subscribers: Subscribers,
    publishing: Mutex<Publishing>,
    interest: Mutex<Interest>,
    /// Somebody has to be told what this node wants.
    owed: Notify,
}

#[derive(Default)]
struct Publishing {
    /// The latest number of each kind. The program's types, so no peer makes it grow.
    numbers: BTreeMap<String, u64>,
    outbox: Outbox,
}

/// Begins to take in events, and gives what the node uses the bus through.
pub(crate) fn start(
    control: &Arc<Control>,
    messenger: &Messenger,
    frame_bytes_max: usize,
) -> Arc<dyn EventBus> {
    let node = control.local.node();
    let bus = Arc::new(ClusterBus {
        me: node.id,
        process: node.process,
        frame_bytes_max,
        started: Instant::now(),
        control: control.clone(),
        messenger: messenger.clone(),
        subscribers: Subscribers::new(),
        publishing: Mutex::default(),
        interest: Mutex::default(),
        owed: Notify::new(),
    });
    let this = bus.clone();
    messenger.on_bytes(EVENT, move |from, body| this.receive(from, &body));
    let this = bus.clone();
    messenger.on_request(move |from, wants: Wants| {
        this.learn(from, wants);
        std::future::ready(())
    });
    control.tasks.spawn("event interest", bus.clone().tell());
    Arc::new(Handle(bus))
}

impl ClusterBus {
    /// Numbers an event, puts it into the trays of those who want it, and gives it to those here.
    /// Says whether so much waits that others should run.
    fn publish_now(self: &Arc<Self>, kind: &str, event: &Bytes) -> Result<bool, PublishError> {
        if kind.len() > KIND_BYTES_MAX {
            return Err(PublishError::Kind { kind: kind.to_owned() });
        }
        let max = self.frame_bytes_max.saturating_sub(HEADER_BYTES + EVENT.len() + HEAD_BYTES);
        if event.len() > max {
            return Err(PublishError::TooLarge { bytes: event.len(), max });
        }
        if self.control.tasks.is_cancelled() {
            return Err(PublishError::Closed("the node has ended".to_owned()));
        }
        let others = self.others_who_want(kind);
        self.control.metrics.events_published.inc();
        // Held until all have it, so that all have the events of a kind in the same order.
        let mut publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match publishing.numbers.get_mut(kind) {
            Some(number) => {
                *number += 1;
                *number
            }
            None => {
                publishing.numbers.insert(kind.to_owned(), 1);
                1
            }
        };
        let origin = Origin { from: self.me, process: self.process, number };
        let mut many = false;
        if !others.is_empty() {
            let head = Head { process: self.process, number, kind: kind.to_owned() };
            let body = sealed(&head, event)?;
            for other in others {
                match publishing.outbox.put(other, body.clone()) {
                    Put::First => {
                        let sending = self.clone().send_to(other);
                        self.control.tasks.spawn("events to a node", sending);
                    }
                    Put::Behind { many: waiting } => many |= waiting,
                    Put::Dropped => {
                        self.control.metrics.events_dropped.inc();
                        many = true;
                    }
                }
            }
        }
        self.subscribers.deliver(kind, origin, event);
        Ok(many)
    }

    fn others_who_want(&self, kind: &str) -> Vec<NodeId> {
        let agreed = self.control.agreed_now();
        let mut interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
        let others: Vec<NodeId> = agreed
            .view
            .alive()
            .filter(|node| node.id != self.me && interest.wants(node, kind))
            .map(|node| node.id)
            .collect();
        if interest.len() > agreed.view.nodes().count() {
            interest.keep(|id| agreed.view.node(id).is_some());
        }
        others
    }

    /// Empties a node's tray.
    async fn send_to(self: Arc<Self>, to: NodeId) {
        loop {
            let next = {
                let mut publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
                publishing.outbox.take(to)
            };
            let Some(event) = next else { return };
            if let Err(error) = self.messenger.send_bytes(to, Lane::Modules, EVENT, &event).await {
                self.control.metrics.events_dropped.inc();
                tracing::debug!(%to, %error, "an event was not sent");
            }
        }
    }

    fn receive(&self, from: NodeId, body: &Bytes) -> Result<(), String> {
        let (head, event) = opened(body)?;
        let origin = Origin { from, process: head.process, number: head.number };
        if self.subscribers.deliver(&head.kind, origin, &event) {
            return Ok(());
        }
        // Nobody outside of the view is remembered.
        if self.control.agreed_now().view.is_alive(from) {
            let now = self.started.elapsed();
            let mut interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
            if interest.in_vain(from, now) {
                self.owed.notify_one();
            }
        }
        Ok(())
    }

    fn learn(&self, from: NodeId, wants: Wants) {
        if self.control.agreed_now().view.is_alive(from) {
            self.interest.lock().unwrap_or_else(PoisonError::into_inner).learn(from, wants);
        }
    }

    /// Tells those who have to be told what this node wants, until they have heard it.
    async fn tell(self: Arc<Self>) {
        let (first, longest) = TELL_AGAIN;
        let mut pause = first;
        loop {
            let owed = {
                let agreed = self.control.agreed_now();
                let mut interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
                interest.keep(|id| agreed.view.node(id).is_some());
                interest.owed()
            };
            if owed.is_empty() {
                pause = first;
                self.owed.notified().await;
                continue;
            }
            let wants = {
                let mut interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
                // Under the lock: what is subscribed to after this look is owed again.
                interest.speak(self.control.local.starts, self.subscribers.kinds())
            };
            let telling = owed.into_iter().map(|node| self.tell_one(node, &wants));
            let heard = futures::future::join_all(telling).await;
            if heard.into_iter().all(|heard| heard) {
                continue;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause) => pause = (2 * pause).min(longest),
                () = self.owed.notified() => {}
            }
        }
    }

    async fn tell_one(&self, node: NodeId, wants: &Wants) -> bool {
        let asked = self.messenger.request(node, Lane::Modules, wants, TELL_DEADLINE);
        if let Err(error) = asked.await {
            tracing::debug!(%node, %error, "a node does not know yet which events are wanted here");
            return false;
        }
        let now = self.started.elapsed();
        self.interest.lock().unwrap_or_else(PoisonError::into_inner).heard(node, wants, now);
        true
    }
}

/// The bus as a node uses it. The bus itself is behind its handlers and tasks, too.
#[derive(Debug)]
struct Handle(Arc<ClusterBus>);

impl EventBus for Handle {
    fn publish<'a>(
        &'a self,
        kind: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        async move {
            if self.0.publish_now(kind, &event)? {
                // Whoever publishes in a loop gives those who send a turn.
                tokio::task::yield_now().await;
            }
            Ok(())
        }
        .boxed()
    }

    fn subscribe(&self, kind: &str) -> RawSubscription {
        let subscription = self.0.subscribers.subscribe(kind);
        let mut interest = self.0.interest.lock().unwrap_or_else(PoisonError::into_inner);
        if interest.subscribed(kind) {
            self.0.owed.notify_one();
        }
        subscription
    }

    fn close(&self) {
        self.0.subscribers.close();
    }
}

impl fmt::Debug for ClusterBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterBus").field("node", &self.me).finish_non_exhaustive()
    }
}

fn sealed(head: &Head, event: &Bytes) -> Result<Bytes, PublishError> {
    let head = codec::encode(head).map_err(|error| PublishError::Encode(error.to_string()))?;
    Ok([&head, &event[..]].concat().into())
}

fn opened(body: &Bytes) -> Result<(Head, Bytes), String> {
    let (head, used) = codec::decode_prefix::<Head>(body).map_err(|error| error.to_string())?;
    if head.kind.len() > KIND_BYTES_MAX {
        return Err(format!("a kind of {} bytes, at most {KIND_BYTES_MAX}", head.kind.len()));
    }
    Ok((head, body.slice(used..)))
}

#[cfg(feature = "simulation")]
pub(super) const EVENTS: Decoder = Decoder::new(EVENT, |bytes| {
    let _ = opened(&Bytes::copy_from_slice(bytes));
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_of_an_event_are_frozen() {
        let head = || Head { process: 300, number: 7, kind: "k".to_owned() };
        let event = Bytes::from_static(b"event");
        let body = sealed(&head(), &event).unwrap();
        let mut table = golden::file("event.txt");
        table.add_bytes("event", &(head(), &event), &body);
        table.check();
        assert_eq!(opened(&body).unwrap(), (head(), event));
        let largest =
            Head { process: u64::MAX, number: u64::MAX, kind: "k".repeat(KIND_BYTES_MAX) };
        assert!(codec::encode(&largest).unwrap().len() <= HEAD_BYTES);
    }

    #[test]
    fn a_kind_longer_than_is_allowed_is_no_event() {
        let head = Head { process: 1, number: 1, kind: "k".repeat(KIND_BYTES_MAX + 1) };
        let error = opened(&sealed(&head, &Bytes::new()).unwrap()).unwrap_err();
        assert!(error.contains("65 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = opened(&bytes.into());
        }
    }
}
