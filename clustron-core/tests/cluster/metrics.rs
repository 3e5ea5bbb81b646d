//! Metrics of all nodes at one.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clustron_core::{
    Cluster, CollectedMetrics, Config, Installer, METRICS_BYTES_MAX, Module, Role,
};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::world::{World, address, within};

/// How often the tests' collectors collect.
const INTERVAL: Duration = Duration::from_millis(100);

/// A module that only counts.
struct Gauged(u64);

impl Module for Gauged {
    const NAME: &'static str = "gauged";
    type Handle = ();

    fn install(self, installer: &mut Installer<'_>) {
        installer.metrics(move |registry: &mut Registry| {
            let level = Gauge::<u64, AtomicU64>::default();
            level.set(self.0);
            registry.register("clustron_gauged_level", "A level", level);
        });
    }
}

async fn start(world: &World, host: &str, roles: &[Role], level: u64) -> Cluster {
    let (name, listen) = (Some(host.to_owned()), address(host));
    let roles = roles.iter().cloned().collect();
    let metrics_interval = INTERVAL;
    let config = Config { name, listen, roles, metrics_interval, ..world.config.clone() };
    let transport = world.network.host(host);
    let mut builder = Cluster::builder("test").config(config).transport(transport);
    builder.install(Gauged(level));
    let cluster = within(&format!("the start of {host}"), builder.start()).await;
    cluster.unwrap_or_else(|error| panic!("{host} did not start: {error}"))
}

/// Waits until what was collected is as wanted.
async fn until(
    collector: &Cluster,
    what: &str,
    wanted: impl Fn(&CollectedMetrics) -> bool,
) -> CollectedMetrics {
    let mut looks = tokio::time::interval(INTERVAL / 4);
    within(what, async {
        loop {
            looks.tick().await;
            let collected = collector.collected_metrics().expect("it collects");
            if wanted(&collected) {
                return collected;
            }
        }
    })
    .await
}

fn whole(collected: &CollectedMetrics, nodes: &[&Cluster]) -> bool {
    let ids: BTreeSet<_> = nodes.iter().map(|node| node.node().id).collect();
    collected.nodes.keys().copied().collect::<BTreeSet<_>>() == ids
        && collected.nodes.values().all(|node| node.latest.is_some() && node.error.is_none())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_shows_the_metrics_of_every_node_and_says_who_does_not_answer() {
    let world = World::new(&["a", "b", "c"]);
    let member = |host, level| start(&world, host, &[Role::Member], level);
    let (a, b, c) = tokio::join!(member("a", 1), member("b", 2), member("c", 3));
    let collector = start(&world, "m", &[Role::MetricsCollector], 4).await;
    let all = [&a, &b, &c, &collector];
    let collected = until(&collector, "all four", |found| whole(found, &all)).await;
    let text = collected.exposition();
    for (node, level) in [("a", 1), ("b", 2), ("c", 3), ("m", 4)] {
        for line in [
            format!("clustron_gauged_level{{node=\"{node}\"}} {level}"),
            format!("clustron_collected_up{{node=\"{node}\"}} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let sent = format!("clustron_core_requests_sent_total{{node=\"{node}\"}} ");
        assert!(text.contains(&sent), "{sent} is not in\n{text}");
    }
    assert_eq!(text.matches("# TYPE clustron_core_requests_sent counter").count(), 1);
    let labelled = |line: &&str| !line.starts_with('#') && !line.contains("{node=\"");
    assert_eq!(text.lines().find(labelled), None);

    // What comes later is collected too, and what an application adds.
    let level = Gauge::<u64, AtomicU64>::default();
    a.add_metrics(|registry| registry.register("app_level", "The application's", level.clone()));
    level.set(7);
    assert!(a.metrics_text().contains("app_level 7"));
    let has = |text: &'static str| move |c: &CollectedMetrics| c.exposition().contains(text);
    until(&collector, "the application's", has("app_level{node=\"a\"} 7")).await;
    level.set(8);
    until(&collector, "its change", has("app_level{node=\"a\"} 8")).await;

    // One that says too much is named with what it said.
    let long = "x".repeat(METRICS_BYTES_MAX);
    b.add_metrics(|registry| registry.register("long", long, Gauge::<u64, AtomicU64>::default()));
    let (id, limit) = (b.node().id, METRICS_BYTES_MAX.to_string());
    let refused = until(&collector, "the error", |c| c.nodes[&id].error.is_some()).await;
    let error = refused.nodes[&id].error.clone().unwrap();
    assert!(error.contains(&limit) && error.contains("bytes"), "{error}");
    assert!(has("clustron_collected_up{node=\"b\"} 0")(&refused));

    // One that is cut off grows old, and is gone with the view.
    world.cut_off("m", &["c"]);
    let id = c.node().id;
    let old = until(&collector, "an age", |collected| {
        let node = &collected.nodes[&id];
        node.error.is_some() && node.latest.as_ref().is_some_and(|l| l.age > 3 * INTERVAL)
    })
    .await;
    assert!(has("clustron_gauged_level{node=\"c\"} 3")(&old));
    drop(c);
    until(&collector, "the end of c", |collected| !collected.nodes.contains_key(&id)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_collector_collects_and_a_member_may_be_one() {
    let world = World::new(&["a", "b"]);
    let both = [Role::Member, Role::MetricsCollector];
    let (a, b) = tokio::join!(start(&world, "a", &[Role::Member], 1), start(&world, "b", &both, 2));
    let error = a.collected_metrics().unwrap_err().to_string();
    for part in ["a (", "role member", "metrics-collector"] {
        assert!(error.contains(part), "{error}");
    }
    until(&b, "both", |collected| whole(collected, &[&a, &b])).await;
}
