//! Two nodes: one answers in a process of its own, the other is a client here.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use clustron_core::{Cluster, Message, NodeId, Request, Role};
use clustron_testkit::Process;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::secured::Secured;
use super::{Talk, answer};
use crate::PATIENCE;
use crate::node::CLUSTER;

/// Is sent back as it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Echo(pub(super) bytes::Bytes);

impl Message for Echo {
    const KIND: &'static str = "bench.echo";
}

impl Request for Echo {
    type Reply = bytes::Bytes;
}

/// Is counted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note(pub(super) bytes::Bytes);

impl Message for Note {
    const KIND: &'static str = "bench.note";
}

/// How many notes have arrived?
#[derive(Debug, Serialize, Deserialize)]
struct Count;

impl Message for Count {
    const KIND: &'static str = "bench.count";
}

impl Request for Count {
    type Reply = u64;
}

/// Runs a node that answers and counts.
pub(super) async fn answer(
    name: String,
    listen: String,
    seeds: Vec<String>,
    secured: &Secured,
) -> anyhow::Result<()> {
    let node = Cluster::builder(CLUSTER).name(name).listen(listen).seeds(seeds);
    let cluster = secured.secure(node).start().await?;
    let counted = Arc::new(AtomicU64::new(0));
    let counts = counted.clone();
    cluster.on_request(|_, Echo(body)| std::future::ready(body));
    cluster.on_message(move |_, Note(_)| {
        counts.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    });
    cluster.on_request(move |_, Count| std::future::ready(counted.load(Ordering::Relaxed)));
    cluster.wait_for_leader(PATIENCE).await.context("nobody leads")?;
    answer::say_ready(&cluster.node().addr);
    std::future::pending().await
}

/// A client of the cluster at these addresses.
pub(super) async fn client(seeds: &[String], secured: &Secured) -> anyhow::Result<Cluster> {
    let node = Cluster::builder(CLUSTER).name("caller").roles([Role::Client]).seeds(seeds);
    let started = tokio::time::timeout(PATIENCE, secured.secure(node).start()).await;
    Ok(started.context("the client found no cluster")??)
}

/// See the module's documentation.
pub(super) struct Pair {
    cluster: Cluster,
    other: NodeId,
    _process: Process,
    _secrets: TempDir,
}

impl Pair {
    /// With the secrets that are made in a folder.
    pub(super) async fn start(
        secured: impl FnOnce(&Path) -> anyhow::Result<Secured>,
    ) -> anyhow::Result<Self> {
        let secrets = tempfile::tempdir()?;
        let secured = secured(secrets.path())?;
        let said = secured.arguments();
        let mut arguments = vec!["ours", "--name", "answers"];
        arguments.extend(said.iter().map(String::as_str));
        let (process, addr) = answer::start("node", &arguments)?;
        let cluster = client(&[addr], &secured).await?;
        let view = cluster.view();
        let other = view.alive().find(|node| node.name.as_str() == "answers");
        let other = other.context("the view lacks the node that answers")?.id;
        Ok(Self { cluster, other, _process: process, _secrets: secrets })
    }
}

impl Talk for Pair {
    fn ask<'a>(&'a mut self, body: &'a [u8]) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            let echo = Echo(bytes::Bytes::copy_from_slice(body));
            let reply = self.cluster.request(self.other, &echo, PATIENCE).await?;
            ensure!(reply == body, "the reply is another");
            Ok(())
        }
        .boxed()
    }

    fn send<'a>(&'a mut self, body: &'a [u8], times: u64) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            let note = Note(bytes::Bytes::copy_from_slice(body));
            for _ in 0..times {
                self.cluster.send(self.other, &note).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn arrived(&mut self) -> BoxFuture<'_, anyhow::Result<u64>> {
        async move { Ok(self.cluster.request(self.other, &Count, PATIENCE).await?) }.boxed()
    }
}
