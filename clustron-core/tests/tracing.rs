//! One request is one trace, on whichever nodes it goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clustron_core::{
    Cluster, MemoryNetwork, Message, NodeId, Request, StreamOptions, StreamRequest, TraceContext,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const LONG: Duration = Duration::from_secs(20);

/// Remembers the fields of each handler's span, and nothing else.
struct Spans {
    next: AtomicU64,
}

static SEEN: Mutex<Vec<BTreeMap<String, String>>> = Mutex::new(vec![]);

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "handler"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(fields.0);
        Id::from_u64(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Goes on to the next of these nodes, and gives the traces that each of them saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Relay(Vec<NodeId>);

impl Message for Relay {
    const KIND: &'static str = "test.relay";
}

impl Request for Relay {
    type Reply = Vec<Option<String>>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Note;

impl Message for Note {
    const KIND: &'static str = "test.note";
}

#[derive(Debug, Serialize, Deserialize)]
struct Look;

impl Message for Look {
    const KIND: &'static str = "test.look";
}

impl StreamRequest for Look {
    type Item = Option<String>;
}

fn current() -> Option<String> {
    TraceContext::current().map(|context| context.to_string())
}

async fn node(network: &MemoryNetwork, host: &'static str) -> Cluster {
    let node = Cluster::builder("test")
        .config(clustron_core::Config::local())
        .name(host)
        .transport(network.host(host))
        .listen(format!("{host}:1"))
        .seeds(["a:1", "b:1", "c:1"]);
    let cluster =
        tokio::time::timeout(LONG, node.start()).await.expect("in time").expect("a start");
    let handle = cluster.handle();
    cluster.on_request(move |_, Relay(mut way)| {
        let handle = handle.clone();
        async move {
            let mut seen = vec![current()];
            if let Some(next) = way.pop() {
                seen.extend(handle.request(next, &Relay(way), LONG).await.expect("a reply"));
            }
            seen
        }
    });
    cluster.on_stream_request(|_, Look, mut sink| async move { sink.send(current()).await });
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_over_three_nodes_is_one_trace_and_without_a_trace_there_is_none() {
    let spans = Spans { next: AtomicU64::new(1) };
    tracing::subscriber::set_global_default(spans).unwrap();
    let network = MemoryNetwork::new();
    let start = |host| Box::pin(node(&network, host));
    let (a, b, c) = tokio::join!(start("a"), start("b"), start("c"));
    let (id_a, id_b, id_c) = (a.node().id, b.node().id, c.node().id);
    let context = a.begin_trace();

    // From a to b, from there to c, and from there to itself.
    let way = Relay(vec![id_c, id_c]);
    let seen = context.scope(a.request(id_b, &way, LONG)).await.unwrap();
    let seen: Vec<TraceContext> =
        seen.into_iter().map(|text| text.unwrap().parse().unwrap()).collect();
    assert!(seen.iter().all(|seen| seen.trace_id() == context.trace_id()), "{seen:?}");
    let mut spans: Vec<_> = seen.iter().map(TraceContext::span_id).collect();
    spans.push(context.span_id());
    spans.sort();
    spans.dedup();
    assert_eq!(spans.len(), 4, "each handler has a span of its own: {seen:?}");

    // Messages and streams likewise.
    let (tx, mut rx) = mpsc::channel(10);
    b.on_message(move |_, Note| {
        let tx = tx.clone();
        async move { tx.send(TraceContext::current()).await.unwrap() }
    });
    context.scope(a.send(id_b, &Note)).await.unwrap();
    let seen = tokio::time::timeout(LONG, rx.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(seen.trace_id(), context.trace_id());
    for to in [id_c, id_a] {
        let options = StreamOptions::default();
        let mut stream = context.scope(a.request_stream(to, &Look, &options)).await.unwrap();
        let seen = tokio::time::timeout(LONG, stream.next()).await.unwrap().unwrap().unwrap();
        let seen: TraceContext = seen.unwrap().parse().unwrap();
        assert_eq!(seen.trace_id(), context.trace_id());
        assert_ne!(seen.span_id(), context.span_id());
    }

    // All of them logged the one trace, each with its own node.
    let text = context.to_string();
    let logged = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(logged.iter().all(|span| text.contains(&span["trace_id"])), "{logged:?}");
    let nodes: Vec<&str> = logged.iter().map(|span| span["node"].as_str()).collect();
    let [on_a, on_b, on_c] =
        [id_a, id_b, id_c].map(|id| nodes.iter().filter(|node| **node == id.to_string()).count());
    assert_eq!([on_a, on_b, on_c], [1, 2, 3], "{logged:?}");

    // Without a trace nothing is carried, nothing is logged.
    let seen = a.request(id_b, &way, LONG).await.unwrap();
    assert_eq!(seen, [None, None, None]);
    a.send(id_b, &Note).await.unwrap();
    assert_eq!(tokio::time::timeout(LONG, rx.recv()).await.unwrap().unwrap(), None);
    assert!(SEEN.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
}
