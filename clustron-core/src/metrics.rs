//! The counters of one node's core, in a registry of its own so that several nodes in a process do
//! not collide. Exported names begin with `clustron_core_`; METRICS.md lists them all and says how
//! they relate.
//!
//! Where messages pass, counting is one atomic addition, and a time is one entry in a histogram.
//! What can be looked up when somebody asks is looked up then ([`sampled`]).

mod exposed;
mod listener;
mod parts;
mod sampled;
mod snapshot;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use exposed::Exposed;
pub use listener::MetricsListener;
pub(crate) use parts::{ByKind, ByLane, ByLayer, Times};
pub(crate) use sampled::Sampled;
pub use snapshot::{Metric, MetricFamily, MetricValue, MetricsSnapshot};

/// What all names of the core's metrics begin with.
const PREFIX: &str = "clustron_core";

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
    pub(crate) bytes_sent: ByLane,
    pub(crate) bytes_received: ByLane,
    pub(crate) frames_waiting: Gauge,
    pub(crate) conversations_open: Gauge,
    pub(crate) conversations_waiting: Gauge,
    pub(crate) conversations_unconnected: Gauge,
    pub(crate) conversations_failed: Counter,
    pub(crate) messages_lost: Counter,
    pub(crate) layer_counts: ByLayer,
    pub(crate) messages_sent: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) messages_unhandled: Counter,
    pub(crate) messages_not_taken: Counter,
    pub(crate) messages_dropped: Family<Kind, Counter>,
    pub(crate) requests_sent: Counter,
    pub(crate) requests_turned_away: Family<Kind, Counter>,
    pub(crate) events_published: Counter,
    pub(crate) events_dropped: Counter,
    pub(crate) requests_received: Counter,
    pub(crate) request_seconds: ByKind,
    pub(crate) probes_sent: Counter,
    pub(crate) probes_answered: Counter,
    pub(crate) probe_seconds: Times,
    pub(crate) detector_inputs_waiting: Gauge,
    pub(crate) view_changes: Counter,
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
    pub(crate) commit_seconds: Times,
    pub(crate) log_write_seconds: Times,
    pub(crate) listener_skips: Counter,
    pub(crate) snapshots_taken: Counter,
    pub(crate) snapshots_sent: Counter,
    pub(crate) snapshots_installed: Counter,
}

/// Registers the metrics of a module, of the application or of the core.
pub(crate) type Register = dyn Fn(&mut Registry) + Send + Sync;

impl CoreMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix(PREFIX);
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
        counter(
            "conversations_failed",
            "Conversations through layers that ended although somebody might have used them",
            &self.conversations_failed,
        );
        counter(
            "messages_lost",
            "One-way messages that a conversation had taken and that may be lost with its end",
            &self.messages_lost,
        );
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
        counter(
            "requests_received",
            "Requests of other nodes that came here",
            &self.requests_received,
        );
        counter("probes_sent", "Pings of the failure detector that were sent", &self.probes_sent);
        counter(
            "probes_answered",
            "Answers to pings that came; those missing from probes_sent were lost or too late",
            &self.probes_answered,
        );
        counter("view_changes", "Versions of the view that this node has seen", &self.view_changes);
        counter(
            "listener_skips",
            "Calls of metrics listeners that were left out because the one before still ran",
            &self.listener_skips,
        );
        counter("snapshots_taken", "Snapshots that this node has made", &self.snapshots_taken);
        counter(
            "snapshots_sent",
            "Snapshots that this node, as leader, has sent to the end",
            &self.snapshots_sent,
        );
        counter(
            "snapshots_installed",
            "Snapshots of a leader that this node has taken in",
            &self.snapshots_installed,
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
        let (sent, received) = (self.bytes_sent.family.clone(), self.bytes_received.family.clone());
        registry.register("sent_bytes", "Bytes written to connections, by lane", sent);
        registry.register("received_bytes", "Bytes read from connections, by lane", received);
        registry.register(
            "request_seconds",
            "How long this node's requests took to their replies, by kind",
            self.request_seconds.family.clone(),
        );
        for (name, help, times) in [
            ("probe_seconds", "How long pings took to their answers", &self.probe_seconds),
            (
                "commit_seconds",
                "How long this node, as leader, took from a command's coming to its answer",
                &self.commit_seconds,
            ),
            (
                "log_write_seconds",
                "How long writes of the log or vote to disk took, their syncs counted in",
                &self.log_write_seconds,
            ),
        ] {
            registry.register(name, help, Histogram::clone(times));
        }
        registry.register(
            "frames_waiting",
            "Frames that wait to be written to connections",
            self.frames_waiting.clone(),
        );
        registry.register(
            "layer_counts",
            "What the layers of the pipeline have counted, by lane, layer and what it is",
            self.layer_counts.family.clone(),
        );
        for (name, help, gauge) in [
            ("conversations_open", "Conversations through layers", &self.conversations_open),
            (
                "conversations_waiting",
                "Conversations whose senders wait, for credit or for what is not confirmed",
                &self.conversations_waiting,
            ),
            (
                "conversations_unconnected",
                "Conversations that wait for their next connection",
                &self.conversations_unconnected,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "detector_inputs_waiting",
            "Messages that wait for the failure detector, when it last took one",
            self.detector_inputs_waiting.clone(),
        );
        registry.register(
            "proposals_waiting",
            "Commands that wait here to be put into the log, or to be handed on to the leader",
            self.proposals_waiting.clone(),
        );
        registry.register(
            "connections_open",
            "Connections with a completed handshake",
            self.connections_open.clone(),
        );
    }
}
