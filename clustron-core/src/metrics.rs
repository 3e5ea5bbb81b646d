//! The counters of one node's core, in a registry of its own so that several nodes in a process do
//! not collide. Exported names begin with `clustron_core_`.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The label `kind`. Only kinds that have a handler here become labels, so no peer can make some
/// up.
type Kind = [(&'static str, &'static str); 1];

/// See the module's documentation. Every dial and every accepted connection ends in exactly one of
/// open, refused, unproven, over the limit or dropped.
#[derive(Debug, Default)]
pub(crate) struct CoreMetrics {
    pub(crate) connections_open: Gauge,
    pub(crate) connections_dropped: Counter,
    pub(crate) handshakes_refused: Counter,
    pub(crate) handshakes_unproven: Counter,
    pub(crate) connections_over_limit: Counter,
    pub(crate) connections_idle_closed: Counter,
    pub(crate) credentials_renewed: Counter,
    pub(crate) credentials_refused: Counter,
    pub(crate) protocol_errors: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) messages_unhandled: Counter,
    pub(crate) messages_not_taken: Counter,
    pub(crate) messages_dropped: Family<Kind, Counter>,
    pub(crate) requests_sent: Counter,
    pub(crate) requests_turned_away: Family<Kind, Counter>,
    pub(crate) events_published: Counter,
    pub(crate) events_dropped: Counter,
    pub(crate) elections_started: Counter,
    pub(crate) epochs_led: Counter,
    pub(crate) suspicions: Counter,
    pub(crate) view_cuts: Counter,
    pub(crate) nodes_cut: Counter,
    pub(crate) nodes_described: Counter,
    pub(crate) hand_overs: Counter,
    pub(crate) proposals_waiting: Gauge,
    pub(crate) batches_proposed: Counter,
    pub(crate) commands_proposed: Counter,
    pub(crate) overloads: Counter,
    pub(crate) read_rounds: Counter,
}

/// Registers the metrics of a module, of the application or of the core.
pub(crate) type Register = dyn Fn(&mut Registry) + Send + Sync;

/// All that one node shows: the core's metrics, its modules' and the application's.
pub(crate) struct Exposed {
    registry: Mutex<Registry>,
}

impl Exposed {
    pub(crate) fn new(core: &CoreMetrics) -> Self {
        let mut registry = Registry::default();
        core.register(&mut registry);
        Self { registry: Mutex::new(registry) }
    }

    pub(crate) fn add(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// As OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = encode(&mut text, &registry) {
            tracing::error!(%error, "a metric cannot be written");
        }
        text
    }
}

impl fmt::Debug for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposed").finish_non_exhaustive()
    }
}

impl CoreMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("clustron_core");
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter(
            "connections_dropped",
            "Accepted connections that were no peer: garbage, or no handshake in time",
            &self.connections_dropped,
        );
        counter(
            "handshakes_refused",
            "Handshakes refused on either side for another cluster, version or module set",
            &self.handshakes_refused,
        );
        counter(
            "handshakes_unproven",
            "Handshakes in which a side did not prove with key or certificate that it belongs here",
            &self.handshakes_unproven,
        );
        counter(
            "connections_over_limit",
            "Connections that were not taken because there were as many as may be",
            &self.connections_over_limit,
        );
        counter(
            "connections_idle_closed",
            "Connections for bulk that this node closed because nothing used them",
            &self.connections_idle_closed,
        );
        counter(
            "credentials_renewed",
            "Times that changed certificates or keys came into use",
            &self.credentials_renewed,
        );
        counter(
            "credentials_refused",
            "Times that changed certificates or keys could not be used, and the old ones were",
            &self.credentials_refused,
        );
        counter(
            "protocol_errors",
            "Connections of peers dropped because a frame could not be decoded",
            &self.protocol_errors,
        );
        counter("sent_bytes", "Bytes written to connections", &self.bytes_sent);
        counter("received_bytes", "Bytes read from connections", &self.bytes_received);
        counter("messages_sent", "One-way messages sent", &self.messages_sent);
        counter("messages_received", "One-way messages received", &self.messages_received);
        counter(
            "messages_unhandled",
            "Received messages that no handler took",
            &self.messages_unhandled,
        );
        counter(
            "messages_not_taken",
            "One-way messages that their receivers said to have dropped, or to have no handler for",
            &self.messages_not_taken,
        );
        counter("requests_sent", "Requests sent", &self.requests_sent);
        counter("events_published", "Events that this node published", &self.events_published);
        counter(
            "events_dropped",
            "Events that could not be sent to a node because it is too slow or not reached",
            &self.events_dropped,
        );
        counter(
            "elections_started",
            "Elections in which this node stood, won or lost",
            &self.elections_started,
        );
        counter("epochs_led", "Leader activations of this node", &self.epochs_led);
        counter("suspicions", "Peers that this node came to suspect", &self.suspicions);
        counter(
            "view_cuts",
            "Entries with which this node, as leader, took failed nodes out of the view",
            &self.view_cuts,
        );
        counter(
            "nodes_cut",
            "Failed nodes that it took out; at least one with each of its view_cuts",
            &self.nodes_cut,
        );
        counter(
            "nodes_described",
            "Changes of nodes' roles or tags that this node, as leader, had heard of and committed",
            &self.nodes_described,
        );
        counter("hand_overs", "Attempts of this node to let another voter lead", &self.hand_overs);
        counter(
            "batches_proposed",
            "Entries that this node, as leader, made of modules' commands",
            &self.batches_proposed,
        );
        counter(
            "commands_proposed",
            "Commands in them; divided by batches_proposed, how many go together",
            &self.commands_proposed,
        );
        counter(
            "overloads",
            "Commands that this node, as leader, did not take because too much waited already",
            &self.overloads,
        );
        counter(
            "read_rounds",
            "Rounds with which this node confirmed linearizable reads, each for all who waited",
            &self.read_rounds,
        );
        let mut by_kind = |name: &str, help: &str, counters: &Family<Kind, Counter>| {
            registry.register(name, help, counters.clone());
        };
        by_kind(
            "messages_dropped",
            "Received messages that found the queue of their kind full; also in messages_unhandled",
            &self.messages_dropped,
        );
        by_kind(
            "requests_turned_away",
            "Requests that were answered with Busy because too many of their kind were handled",
            &self.requests_turned_away,
        );
        registry.register(
            "proposals_waiting",
            "Commands that wait here to be put into the log",
            self.proposals_waiting.clone(),
        );
        registry.register(
            "connections_open",
            "Connections with a completed handshake",
            self.connections_open.clone(),
        );
    }
}
