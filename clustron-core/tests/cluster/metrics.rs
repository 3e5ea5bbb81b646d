//! Metrics of all nodes at one.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clustron_core::{
    Cluster, CollectedMetrics, Config, Installer, METRICS_BYTES_MAX, MetricValue, MetricsListener,
    MetricsSnapshot, Module, Role,
};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

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

const METRICS: &str = include_str!("../../../METRICS.md");

/// The names and kinds that a text shows of the core.
fn shown(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE clustron_core_"));
    let shown = types.filter_map(|line| line.split_once(' '));
    shown.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_lists_what_a_node_shows_and_nothing_else() {
    let world = World::new(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    crate::world::settled(&members.iter().collect::<Vec<_>>()).await;
    members[0].add(1).await;
    let rows = METRICS.lines().filter_map(|line| line.strip_prefix("| `"));
    // Those of modules stand there with their whole names.
    let rows = rows.filter(|row| !row.starts_with("clustron_"));
    let row = |line: &str| {
        let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        (cells.next().unwrap(), cells.next().unwrap())
    };
    let listed: Vec<(String, String)> = rows.map(row).collect();
    let texts = members.iter().map(|member| shown(&member.metrics_text()));
    let shown: BTreeSet<(String, String)> = texts.flatten().collect();
    let mut known: BTreeSet<(String, String)> = listed.iter().cloned().collect();
    assert_eq!(known.len(), listed.len(), "a name stands twice");
    // Counted by kind or layer, and so not shown before any was.
    for name in ["messages_dropped", "requests_turned_away", "layer_counts"] {
        assert!(known.remove(&(name.to_owned(), "counter".to_owned())), "{name} is not listed");
    }
    assert_eq!(known, shown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_has_the_values_of_what_has_happened() {
    let world = World::new(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    let leader = crate::world::settled(&members.iter().collect::<Vec<_>>()).await;
    for number in 0..10 {
        members[0].add(number).await;
    }
    let leading = members.iter().find(|member| member.id() == leader.node).unwrap();
    let metrics = leading.metrics();
    let total = |name: &str| metrics.total(&format!("clustron_core_{name}")).unwrap();
    assert_eq!(total("epochs_led"), 1.0);
    assert_eq!(total("epoch"), leader.epoch.0 as f64);
    assert_eq!(total("view_nodes"), 2.0);
    assert_eq!(total("commands_proposed"), 10.0);
    assert_eq!(total("commit_seconds"), 10.0);
    assert!(total("applied_index") >= total("log_entries") - 1.0 && total("log_bytes") > 0.0);
    let sent = metrics.metric("clustron_core_sent_bytes", &[("lane", "control")]);
    assert!(matches!(sent, Some(MetricValue::Counter(bytes)) if *bytes > 0.0), "{sent:?}");
    let asked = metrics.metric("clustron_core_request_seconds", &[("kind", "core.append")]);
    assert!(asked.is_none_or(|asked| matches!(asked, MetricValue::Histogram { .. })), "{asked:?}");
}

/// Tells what it gets, waits for a word each time, and panics when told to.
struct Listens {
    heard: mpsc::UnboundedSender<(f64, bool)>,
    go_on: std::sync::mpsc::Receiver<bool>,
}

impl MetricsListener for Listens {
    fn on_metrics(&mut self, snapshot: &MetricsSnapshot, last: bool) {
        let skips = snapshot.total("clustron_core_listener_skips");
        let skips = skips.expect("every node counts them");
        // The test that has ended wants nothing more.
        let _ = self.heard.send((skips, last));
        let panics = !last && self.go_on.recv().unwrap_or(false);
        assert!(!panics, "as told");
    }
}

async fn one_node() -> Cluster {
    within("the start", Cluster::builder("test").start()).await.expect("a node alone starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_blocks_is_passed_over_and_called_once_at_the_end() {
    // Bounded by the calls that the test lets the listener make.
    let (heard, mut calls) = mpsc::unbounded_channel();
    let (word, go_on) = std::sync::mpsc::channel();
    let cluster = one_node().await;
    cluster.add_metrics_listener(INTERVAL / 10, Listens { heard, go_on });
    assert_eq!(within("the first call", calls.recv()).await, Some((0.0, false)));
    // It blocks; what falls due meanwhile is counted, and the node goes on.
    let mut looks = tokio::time::interval(INTERVAL / 10);
    within("a skipped call", async {
        while cluster.metrics().total("clustron_core_listener_skips") < Some(3.0) {
            looks.tick().await;
        }
    })
    .await;
    word.send(false).unwrap();
    let second = within("the second call", calls.recv()).await.unwrap();
    assert!(second.0 >= 3.0 && !second.1, "{second:?}");
    drop(word);
    within("the shutdown", cluster.shutdown(Duration::from_secs(10))).await.unwrap();
    let mut last: Option<(f64, bool)> = None;
    while let Some(call) = within("the last calls", calls.recv()).await {
        assert!(last.is_none_or(|(_, last)| !last), "nothing comes after the last");
        last = Some(call);
    }
    assert!(last.is_some_and(|(_, last)| last), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_panics_ends_alone() {
    // Bounded by the one call after which the listener ends.
    let (heard, mut calls) = mpsc::unbounded_channel();
    let (word, go_on) = std::sync::mpsc::channel();
    let cluster = one_node().await;
    cluster.add_metrics_listener(INTERVAL / 10, Listens { heard, go_on });
    word.send(true).unwrap();
    within("the call", calls.recv()).await.unwrap();
    assert_eq!(within("the end of the listener", calls.recv()).await, None);
    assert_eq!(cluster.ended(), None);
    within("the shutdown", cluster.shutdown(Duration::from_secs(10))).await.unwrap();
}
