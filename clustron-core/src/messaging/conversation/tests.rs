//! Two messengers with layers between them, on a network that breaks.

mod bounds;
mod dialling;
mod ends;
mod leaving;
mod passing;
mod patience;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::identity::NodeId;
use crate::messaging::tests::{Note, later, lives, start_with};
use crate::messaging::{HandlerOptions, Messenger, PeerNews};
use crate::pipeline::{LayerConfig, PipelineConfig, Registry};
use crate::transport::{MemoryNetwork, Transport};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A node, which is called `n` and its id.
struct Node {
    messenger: Messenger,
    news: mpsc::Receiver<PeerNews>,
}

impl std::ops::Deref for Node {
    type Target = Messenger;

    fn deref(&self) -> &Messenger {
        &self.messenger
    }
}

impl Node {
    /// Starts one with layers on both lanes.
    async fn start(network: &MemoryNetwork, id: u64, starts: u64, layers: &[LayerConfig]) -> Self {
        Self::start_of(network, id, starts, layers, &Registry::default()).await
    }

    async fn start_of(
        network: &MemoryNetwork,
        id: u64,
        starts: u64,
        layers: &[LayerConfig],
        registry: &Registry,
    ) -> Self {
        let transport = Arc::new(network.host(&format!("n{id}")));
        Self::start_over(transport, id, starts, layers, registry).await
    }

    async fn start_over(
        transport: Arc<dyn Transport>,
        id: u64,
        starts: u64,
        layers: &[LayerConfig],
        registry: &Registry,
    ) -> Self {
        let name = format!("n{id}");
        let plans = PipelineConfig::both(layers.iter().cloned()).plans(registry, 1 << 20).unwrap();
        let (messenger, news) = start_with(transport, &name, id, starts, plans).await;
        Self { messenger, news }
    }

    /// Two that know each other.
    async fn pair(network: &MemoryNetwork, layers: &[LayerConfig]) -> [Self; 2] {
        let a = Self::start(network, 1, 1, layers).await;
        let b = Self::start(network, 2, 1, layers).await;
        a.meets(&b);
        b.meets(&a);
        [a, b]
    }

    fn id(&self) -> NodeId {
        self.shared.local.id
    }

    fn meets(&self, other: &Self) {
        let id = other.id().0;
        self.learn_address(&lives(id, &format!("n{id}:1"), other.shared.local.starts));
    }

    /// What the layers on the lane of messages have counted under this name.
    fn counted(&self, layer: &str, name: &'static str) -> u64 {
        self.shared.metrics.layer_counts.of(crate::messaging::Lane::Data, layer, name).get()
    }

    /// Takes notes, and tells of them in their order.
    fn notes(&self) -> mpsc::Receiver<u32> {
        let (tx, rx) = mpsc::channel(10_000);
        self.on_message(HandlerOptions::default(), move |_, Note(n)| {
            let tx = tx.clone();
            async move { tx.send(n).await.unwrap() }
        });
        rx
    }

    /// Waits until this holds, in virtual time.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if holds(self) {
                return;
            }
            later(Duration::from_millis(1)).await;
        }
        panic!("{what} did not come about");
    }

    async fn until_unconnected(&self) {
        let gauge = &self.shared.metrics.conversations_unconnected;
        self.until("the end of the connection", |_| gauge.get() > 0).await;
    }
}

fn layers(names: &[&str]) -> Vec<LayerConfig> {
    names.iter().map(|name| LayerConfig::new(*name)).collect()
}

/// A wire that does everything wrong, below layers that mend it.
fn bad_wire(above: &[&str]) -> Vec<LayerConfig> {
    let fault = LayerConfig::new("fault").with("i_know", "yes").with("seed", 7);
    let fault = fault.with("drop", 0.1).with("double", 0.1).with("corrupt", 0.1);
    let mut layers = layers(above);
    layers.push(fault.with("delay", 0.3).with("delay_ms_max", 30));
    layers
}
