//! A node that stands still while another sends to it: what the sender holds meanwhile, and whether
//! its other messages wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use clustron_benches::Latencies;
use clustron_core::{Cluster, NodeId};
use clustron_testkit::{free_addrs, resident_bytes};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer;
use super::ours::{self, Echo, Note};
use super::secured::Secured;
use crate::PATIENCE;

/// What is sent to the node that stands still, each time.
const NOTE_BYTES: usize = 16 << 10;

/// How many send.
const SENDERS: usize = 64;

/// For how long: shorter than it takes the others to give the node up.
const LENGTH: Duration = Duration::from_millis(1500);

/// What was found.
pub(super) struct Stopped {
    /// Requests to the other node before, and while the first one stood still.
    pub(super) before: Latencies,
    pub(super) meanwhile: Latencies,
    /// Memory of the sending process.
    pub(super) mib_before: f64,
    pub(super) mib_meanwhile: f64,
    /// What a connection took of its messages, for all that wanted to send more.
    pub(super) taken_mib: f64,
}

/// Measures.
pub(super) async fn measure(requests: u32) -> anyhow::Result<Stopped> {
    let addrs: Vec<String> = free_addrs(2)?.iter().map(ToString::to_string).collect();
    let seeds = addrs.join(",");
    let start = |at: usize, name| {
        answer::spawn(name, &["ours", "--name", name, "--listen", &addrs[at], "--seeds", &seeds])
    };
    // Neither is ready before it has met the other.
    let (mut stands, goes) = (start(0, "stands")?, start(1, "goes")?);
    for process in [&stands, &goes] {
        answer::wait_until_ready(process)?;
    }
    let cluster = Arc::new(ours::client(&addrs, &Secured::default()).await?);
    let (first, other) = (id_of(&cluster, "stands")?, id_of(&cluster, "goes")?);
    // So that there is a connection to it.
    echoes(&cluster, first, 100).await?;
    let before = echoes(&cluster, other, requests).await?;
    // Whatever the allocator keeps of that is there before.
    let mib_before = resident_mib()?;
    stands.stop()?;
    let taken = Arc::new(AtomicU64::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (cluster, taken) = (cluster.clone(), taken.clone());
        senders.spawn(async move {
            let note = Note(vec![7; NOTE_BYTES].into());
            while cluster.send(first, &note).await.is_ok() {
                taken.fetch_add(NOTE_BYTES as u64, Ordering::Relaxed);
            }
        });
    }
    let until = Instant::now() + LENGTH;
    let mut meanwhile = Latencies::default();
    while Instant::now() < until {
        meanwhile.add(&echoes(&cluster, other, 100).await?);
    }
    let mib_meanwhile = resident_mib()?;
    senders.shutdown().await;
    stands.cont()?;
    let taken_mib = taken.load(Ordering::Relaxed) as f64 / f64::from(1 << 20);
    Ok(Stopped { before, meanwhile, mib_before, mib_meanwhile, taken_mib })
}

async fn echoes(cluster: &Cluster, to: NodeId, times: u32) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    let echo = Echo(vec![7; 128].into());
    for _ in 0..times {
        let asked = Instant::now();
        cluster.request(to, &echo, PATIENCE).await?;
        latencies.record(asked.elapsed());
    }
    Ok(latencies)
}

fn id_of(cluster: &Cluster, name: &str) -> anyhow::Result<NodeId> {
    let view = cluster.view();
    let node = view.alive().find(|node| node.name.as_str() == name);
    Ok(node.with_context(|| format!("the view lacks {name}"))?.id)
}

/// Memory of this process that is in use.
fn resident_mib() -> anyhow::Result<f64> {
    Ok(resident_bytes(std::process::id())? as f64 / f64::from(1 << 20))
}
