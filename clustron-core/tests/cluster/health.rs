//! Live, ready and started: on both sides of a cut, while a node starts and when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clustron_core::{
    Cluster, ClusterHandle, Config, Health, Installer, Module, NotReady, Question,
};

use crate::world::{World, address, hosts, part, settled, within};

/// Waits until the health is as wanted.
async fn until(node: &ClusterHandle, what: &str, wanted: impl FnMut(&Health) -> bool) -> Health {
    let mut health = node.watch_health();
    let found = within(what, health.wait_for(wanted)).await;
    found.expect("the node has not ended").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_minority_of_a_cut_is_not_ready_but_live_and_started_and_ready_again_afterwards() {
    let mut world = World::new(&["a", "b", "c"]);
    world.config.ready_staleness_max = Duration::from_secs(1);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    for member in &members {
        until(member, "readiness", Health::is_ready).await;
    }
    let (cut_off, others) = part(&first, members);
    world.cut_off(&cut_off.host, &hosts(&others));
    let has = |name: &'static str| move |health: &Health| health.reason(name).is_some();
    let health = until(&cut_off, "the old copy", has("old-copy")).await;
    assert!(!health.is_ready() && health.is_live() && health.is_started(), "{health}");
    let health = until(&cut_off, "the missing leader", has("no-leader")).await;
    let reason = health.reason("no-leader").expect("it was there");
    assert_eq!(reason.question, Question::Ready);
    assert!(reason.remedy.contains("majority of the voters"), "{reason}");
    assert!(health.to_string().starts_with("live, not ready, started\n"), "{health}");
    // It is the same trouble as long as it lasts.
    let now = cut_off.health();
    assert_eq!(now.reason("no-leader").map(|it| it.since), Some(reason.since), "{now}");

    // The others elect, and stay or get ready.
    for member in &others {
        until(member, "the majority", Health::is_ready).await;
    }
    world.heal(&cut_off.host, &hosts(&others));
    until(&cut_off, "readiness after the cut", Health::is_ready).await;
}

/// A module whose readiness a test decides.
struct Warm(Arc<AtomicBool>);

impl Module for Warm {
    const NAME: &'static str = "warm";
    type Handle = ();

    fn install(self, installer: &mut Installer<'_>) {
        installer.health("warm", move || match self.0.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(NotReady::new("its caches are cold", "wait a little")),
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_and_applications_have_a_say_in_readiness_and_in_nothing_else() {
    let warm = Arc::new(AtomicBool::new(false));
    let mut builder = Cluster::builder("test").config(Config::local());
    builder.install(Warm(warm.clone()));
    let cluster = within("the start", builder.start()).await.unwrap();
    let cold = |health: &Health| health.reason("warm").is_some_and(|it| it.what.contains("cold"));
    let health =
        until(&cluster, "the module's word", |health| health.is_started() && cold(health)).await;
    assert!(health.is_live() && health.is_started() && !health.is_ready(), "{health}");
    warm.store(true, Ordering::Relaxed);
    until(&cluster, "the caches", Health::is_ready).await;

    cluster.add_health("app", || panic!("a bad check"));
    let health = until(&cluster, "the panic", |health| {
        health.reason("app").is_some_and(|it| it.what.contains("a bad check"))
    })
    .await;
    assert!(health.is_live(), "{health}");
    assert_eq!(cluster.ended(), None, "the node goes on");
    // A check may hold on to the node without keeping it alive.
    let handle = cluster.handle();
    cluster.add_health("app", move || {
        handle.is_closing().then_some(()).map_or(Ok(()), |()| Err(NotReady::new("it ends", "none")))
    });
    until(&cluster, "the better check", Health::is_ready).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_for_others_is_live_and_not_started_and_one_that_ended_is_not_live() {
    let world = World::new(&["a", "b"]);
    let config = Config { listen: address("a"), ..world.config.clone() };
    let builder = Cluster::builder("test").config(config).transport(world.network.host("a"));
    let late = builder.late();
    let health = late.health();
    assert!(health.is_live() && !health.is_started() && !health.is_ready(), "{health}");
    assert!(health.reason("not-let-in").is_some(), "{health}");
    let config = Config { listen: address("b"), ..world.config.clone() };
    let other = Cluster::builder("test").config(config).transport(world.network.host("b"));
    let both = Box::pin(async { tokio::join!(builder.start(), other.start()) });
    let (a, b) = within("the start", both).await;
    let (a, _b) = (a.unwrap(), b.unwrap());
    until(&a, "the start", Health::is_started).await;
    assert!(late.health().is_started());

    let handle = a.handle();
    let mut watch = a.watch_health();
    drop(a);
    let health = handle.health();
    assert!(!health.is_live() && !health.is_ready() && health.is_started(), "{health}");
    within("the news of the end", watch.wait_for(|health| !health.is_live())).await.unwrap();
    drop(handle);
    within("the end", async {
        while late.get().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!late.health().is_live(), "{}", late.health());
}
