//! A leader that is asked for more than it can do says so, and takes nothing that it does not do.

use std::sync::LazyLock;
use std::time::Duration;

use clustron_core::{
    Applied, Backlog, Cluster, Config, Installer, Module, Outcome, ProposeError, Replicated,
    ReplicatedState,
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::world::{LONG, World, address, within};

/// A gate for each test. While it is closed, nothing is applied.
static OPEN: LazyLock<[watch::Sender<bool>; 2]> =
    LazyLock::new(|| [(); 2].map(|()| watch::Sender::new(true)));

/// Opens a gate also where the test fails, or the runtime would wait for what waits at it.
struct Opens(usize);

impl Drop for Opens {
    fn drop(&mut self) {
        OPEN[self.0].send_replace(true);
    }
}

/// Remembers the first numbers of what it was given.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Gated<const GATE: usize>(Vec<u64>);

impl<const GATE: usize> ReplicatedState for Gated<GATE> {
    type Command = (u64, Vec<u8>);
    type Reply = ();

    fn apply(&mut self, _at: Applied, (number, _load): (u64, Vec<u8>)) {
        let mut open = OPEN[GATE].subscribe();
        tokio::task::block_in_place(|| {
            let opened = tokio::runtime::Handle::current().block_on(open.wait_for(|open| *open));
            assert!(opened.is_ok());
        });
        self.0.push(number);
    }
}

struct GatedModule<const GATE: usize>;

impl<const GATE: usize> Module for GatedModule<GATE> {
    const NAME: &'static str = "gated";
    type Handle = Replicated<Gated<GATE>>;

    fn install(self, installer: &mut Installer<'_>) -> Self::Handle {
        installer.replicate()
    }
}

/// As much as a queue takes and more, each within a second and with a number. Gives what was
/// certainly not applied.
async fn too_much<const GATE: usize>(gated: &Replicated<Gated<GATE>>) -> Vec<(u64, ProposeError)> {
    let load = vec![0; 1_000_000];
    let brief = Duration::from_secs(1);
    let calls = (0..20).map(|number| {
        let (gated, load) = (gated.clone(), load.clone());
        tokio::spawn(async move { (number, gated.propose(&(number, load), brief).await) })
    });
    let called =
        join_all(calls.collect::<Vec<_>>()).await.into_iter().map(|call| call.expect("no panic"));
    let errors = called.map(|(number, called)| (number, called.expect_err("nothing is applied")));
    errors.filter(|(_, error)| error.outcome() == Outcome::NotApplied).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_overloaded_leader_names_what_waits_and_does_nothing_of_what_it_refused() {
    let mut builder = Cluster::builder("test");
    let gated = builder.install(GatedModule::<0>);
    let cluster = within("the start", builder.start()).await.unwrap();
    cluster.wait_for_leader(LONG).await.expect("a node of its own");

    let _opens = Opens(0);
    OPEN[0].send_replace(false);
    let refused = too_much(&gated).await;
    for (_, error) in &refused {
        assert!(matches!(error, ProposeError::Overloaded { .. }), "{error}");
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
    OPEN[0].send_replace(true);
    gated.propose(&(100, vec![]), LONG).await.unwrap();
    let there = gated.read_local(|gated| gated.0.clone());
    assert!(refused.iter().all(|(number, _)| !there.contains(number)), "{refused:?} in {there:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_elsewhere_learns_that_the_leader_has_too_much_to_do_and_not_that_there_is_none() {
    const THREE: [&str; 3] = ["a", "b", "c"];
    let world = World::new(&THREE);
    let start = |host| {
        let (name, listen) = (Some(String::from(host)), address(host));
        let config = Config { name, listen, ..world.config.clone() };
        let transport = world.network.host(host);
        async move {
            let mut builder = Cluster::builder("test").config(config).transport(transport);
            let gated = builder.install(GatedModule::<1>);
            (within("the start", builder.start()).await.unwrap(), gated)
        }
    };
    let nodes = join_all(THREE.map(start)).await;
    let leader = nodes[0].0.wait_for_leader(LONG).await.expect("three nodes elect one");
    let mut others = nodes.iter().filter(|(cluster, _)| cluster.node().id != leader.node);
    let (_, gated) = others.next().expect("two do not lead");
    gated.propose(&(100, vec![]), LONG).await.unwrap();

    let _opens = Opens(1);
    OPEN[1].send_replace(false);
    let refused = too_much(gated).await;
    assert!(!refused.is_empty(), "there was room for all");
    for (_, error) in &refused {
        assert!(matches!(error, ProposeError::Overloaded { .. }), "{error}");
    }
    OPEN[1].send_replace(true);
    gated.propose(&(101, vec![]), LONG).await.unwrap();
    let there = gated.read_local(|gated| gated.0.clone());
    assert!(refused.iter().all(|(number, _)| !there.contains(number)), "{refused:?} in {there:?}");
}
