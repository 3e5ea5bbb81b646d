//! A leader that is asked for more than it can do says so, and takes nothing that it does not do.

use std::sync::LazyLock;
use std::time::Duration;

use clustron_core::{
    Applied, Backlog, Cluster, Installer, Module, Outcome, ProposeError, Replicated,
    ReplicatedState,
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::world::{LONG, within};

/// While it is closed, nothing is applied.
static OPEN: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(true));

/// Opens the gate also where the test fails, or the runtime would wait for what waits at it.
struct Opens;

impl Drop for Opens {
    fn drop(&mut self) {
        OPEN.send_replace(true);
    }
}

/// Remembers the first numbers of what it was given.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Gated(Vec<u64>);

impl ReplicatedState for Gated {
    type Command = (u64, Vec<u8>);
    type Reply = ();

    fn apply(&mut self, _at: Applied, (number, _load): (u64, Vec<u8>)) {
        let mut open = OPEN.subscribe();
        tokio::task::block_in_place(|| {
            let opened = tokio::runtime::Handle::current().block_on(open.wait_for(|open| *open));
            assert!(opened.is_ok());
        });
        self.0.push(number);
    }
}

struct GatedModule;

impl Module for GatedModule {
    const NAME: &'static str = "gated";
    type Handle = Replicated<Gated>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Gated> {
        installer.replicate()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_overloaded_leader_names_what_waits_and_does_nothing_of_what_it_refused() {
    let mut builder = Cluster::builder("test");
    let gated = builder.install(GatedModule);
    let cluster = within("the start", builder.start()).await.unwrap();
    cluster.wait_for_leader(LONG).await.expect("a node of its own");

    // As much as the queue takes, and more.
    let _opens = Opens;
    OPEN.send_replace(false);
    let load = vec![0; 1_000_000];
    let brief = Duration::from_secs(1);
    let calls = (0..20).map(|number| {
        let (gated, load) = (gated.clone(), load.clone());
        tokio::spawn(async move { (number, gated.propose(&(number, load), brief).await) })
    });
    let mut refused = vec![];
    for called in join_all(calls.collect::<Vec<_>>()).await {
        let (number, error) = called.map(|(number, called)| (number, called.unwrap_err())).unwrap();
        if error.outcome() == Outcome::NotApplied {
            assert!(matches!(error, ProposeError::Overloaded { .. }), "{error}");
            refused.push((number, error));
        }
    }
    assert!(refused.len() >= 10, "{refused:?}");
    let error = refused.iter().find_map(|(_, error)| match error {
        ProposeError::Overloaded { of: Backlog::CommandBytes, waiting, limit } => {
            assert!(waiting <= limit);
            Some(error.to_string())
        }
        _ => None,
    });
    let error = error.unwrap_or_else(|| panic!("no lack of room in {refused:?}"));
    assert!(error.contains("try again after a pause"), "{error}");
    OPEN.send_replace(true);
    gated.propose(&(100, vec![]), LONG).await.unwrap();
    let there = gated.read_local(|gated| gated.0.clone());
    assert!(refused.iter().all(|(number, _)| !there.contains(number)), "{refused:?} in {there:?}");
}
