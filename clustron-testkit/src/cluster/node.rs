//! A running node of a simulated cluster, and whoever watches it.

use std::fmt;
use std::ops::Deref;

use clustron_core::ClusterHandle;

use super::record::{Record, Seen};
use super::watched::Watched;

/// A running node: a [`ClusterHandle`] with a name and what the test installed. It does not keep
/// the node alive, so after a crash its calls fail as those to any ended node do.
#[derive(Clone)]
pub struct Node<H> {
    /// The node's name, which is its host's too.
    pub name: String,
    /// Which start of the host's node it is, from 1.
    pub life: u32,
    /// What the test's `install` gave for this start.
    pub app: H,
    pub(super) cluster: ClusterHandle,
}

impl<H> Deref for Node<H> {
    type Target = ClusterHandle;

    fn deref(&self) -> &ClusterHandle {
        &self.cluster
    }
}

impl<H> fmt::Debug for Node<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("life", &self.life)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// Records what a node shows until it ends by itself, and gives the reason. The observer of one
/// that is killed is ended first.
pub(super) async fn observe(
    record: Record,
    host: &str,
    life: u32,
    cluster: ClusterHandle,
    mut watched: Option<Watched>,
) -> String {
    let (mut statuses, mut events) = (cluster.watch(), cluster.events());
    loop {
        let status = statuses.borrow_and_update().clone();
        record.see(&Seen {
            host,
            life,
            status: &status,
            applied_index: cluster.applied_index(),
            history: &cluster.leader_history(),
            voters: &cluster.agreed_voters(),
            state: watched.as_ref().map(Watched::now),
        });
        tokio::select! {
            biased;
            () = cluster.closing() => break,
            Some(event) = events.next() => record.event(host, life, &event),
            changed = statuses.changed() => if changed.is_err() { break },
            () = changed(&mut watched) => {}
        }
    }
    match cluster.ended() {
        Some(Err(why)) => why,
        Some(Ok(())) | None => "without a reason".to_owned(),
    }
}

async fn changed(watched: &mut Option<Watched>) {
    match watched {
        Some(watched) => watched.changed().await,
        None => std::future::pending().await,
    }
}
