//! Whole clusters whose messages pass through layers.

use std::sync::Arc;
use std::time::Duration;

use clustron_core::pipeline::{LayerConfig, PipelineConfig};
use clustron_core::{
    Cluster, Config, Message, MessageError, Outcome, Request, StartError, StreamOptions,
    StreamRequest,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::world::{LONG, Member, World, address, settled, within};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line(String);
impl Message for Line {
    const KIND: &'static str = "test.line";
}
impl Request for Line {
    type Reply = usize;
}

#[derive(Debug, Serialize, Deserialize)]
struct Letters(String);
impl Message for Letters {
    const KIND: &'static str = "test.letters";
}
impl StreamRequest for Letters {
    type Item = char;
}

fn world(seeds: &[&str], layers: &[&str]) -> World {
    let layers = layers.iter().map(|name| LayerConfig::new(*name));
    let mut world = World::new(seeds);
    world.config.pipeline = PipelineConfig::both(layers);
    world
}

/// What a counter of a layer on the lane of messages shows.
fn counted(member: &Member, layer: &str, count: &str) -> f64 {
    let labels = [("lane", "data"), ("layer", layer), ("count", count)];
    match member.metrics().metric("clustron_core_layer_counts", &labels) {
        Some(clustron_core::MetricValue::Counter(value)) => *value,
        other => panic!("{layer} {count} is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_messages_pass_through_layers_does_what_any_other_does() {
    let hosts = ["a", "b", "c"];
    let world = world(&hosts, &["compress", "fragment", "reliable", "checksum"]);
    let members = world.start_all(&hosts).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    members[0].add(1).await;
    assert_eq!(members[2].numbers_now().await, [1]);

    let (tx, mut lines) = mpsc::channel(1000);
    for member in &members {
        let tx = tx.clone();
        member.on_request(|_, Line(text)| async move { text.len() });
        member.on_stream_request(|_, Letters(of), mut sink| async move {
            for letter in of.chars() {
                sink.send(letter).await?;
            }
            Ok::<(), clustron_core::SinkError>(())
        });
        let id = member.id();
        member.on_message(move |from, Word(text)| {
            let tx = tx.clone();
            async move { tx.send((from, id, text)).await.unwrap() }
        });
    }
    let [a, b, c] = &members[..] else { panic!("three were started") };
    let large = Line("la".repeat(500_000));
    assert_eq!(a.request(b.id(), &large, LONG).await.unwrap(), 1_000_000);
    for n in 0..100 {
        a.send(c.id(), &Word(n)).await.unwrap();
    }
    for n in 0..100 {
        assert_eq!(within("a word", lines.recv()).await, Some((a.id(), c.id(), n)));
    }
    assert!(b.broadcast(&Word(7)).await.is_empty());
    for _ in 0..2 {
        let (from, _, word) = within("a word for all", lines.recv()).await.unwrap();
        assert_eq!((from, word), (b.id(), 7));
    }
    let letters = Letters("abc".repeat(100));
    let options = StreamOptions::default();
    let letters = c.request_stream(a.id(), &letters, &options).await.unwrap();
    assert_eq!(letters.filter_map(|letter| async { letter.ok() }).count().await, 300);
    assert!(counted(a, "compress", "bytes_before") > 1_000_000.0);
    assert!(counted(a, "compress", "bytes_after") < 100_000.0);
    assert_eq!(counted(b, "checksum", "damaged_packets"), 0.0);

    // Who leaves is missed by nobody's conversation for long.
    let mut members = members;
    let gone = members.pop().unwrap();
    let id = gone.id();
    gone.cluster.shutdown(LONG).await.unwrap();
    members[0].until("the goodbye", |status| !status.view.is_alive(id)).await;
    let error = members[0].request(id, &Line("x".into()), LONG).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert_eq!(members[0].request(members[1].id(), &Line("x".into()), LONG).await.unwrap(), 1);
}

#[derive(Debug, Serialize, Deserialize)]
struct Word(u32);
impl Message for Word {
    const KIND: &'static str = "test.word";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_ends_what_waits_and_the_next_process_begins_anew() {
    let hosts = ["a", "b", "c"];
    let world = world(&hosts, &["flow", "reliable"]);
    let members = world.start_all(&hosts).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    let [a, b, c] = members.try_into().ok().expect("three were started");
    let begun = Arc::new(tokio::sync::Semaphore::new(0));
    let begins = begun.clone();
    b.on_request(move |_, Line(_)| {
        begins.add_permits(1);
        std::future::pending::<usize>()
    });
    let id = b.id();
    let line = Line("x".into());
    let ask = a.request(id, &line, LONG);
    let crash = async {
        within("the request", begun.acquire()).await.unwrap().forget();
        world.crash(b).await;
    };
    let (answer, ()) = tokio::join!(ask, crash);
    // Not before its deadline, but when it is known that `b` is gone.
    let error = answer.unwrap_err();
    assert!(matches!(error, MessageError::Disconnected { .. }), "{error}");
    let again = world.start("b").await;
    again.on_request(|_, Line(text)| async move { text.len() });
    settled(&[&a, &again, &c]).await;
    assert_eq!(a.request(again.id(), &Line("xyz".into()), LONG).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_other_layers_are_one_cluster_and_exchange_no_messages() {
    let (plain, mut other) = (World::new(&["a", "b"]), World::new(&["a", "b"]));
    other.network = plain.network.clone();
    other.config.pipeline = PipelineConfig::data([LayerConfig::new("compress")]);
    let (a, b) = tokio::join!(plain.start("a"), other.start("b"));
    settled(&[&a, &b]).await;
    a.add(1).await;
    let error = a.request(b.id(), &Line("x".into()), Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    for part in ["lane data", "no layers", "compress"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn layers_that_cannot_be_used_stop_the_start_with_setting_and_remedy() {
    let listen = address("a");
    let start = |layers: &[&str]| {
        let layers = layers.iter().map(|name| LayerConfig::new(*name));
        let config = Config { listen: listen.clone(), ..Config::local() };
        Cluster::builder("test").config(config).pipeline(PipelineConfig::data(layers)).start()
    };
    for (layers, parts) in [
        (&["compres"][..], &["pipeline.data", "\"compress\" may be meant", "register it"][..]),
        (&["reliable", "flow"], &["pipeline.data", "must stand after it"]),
        (&["order"], &["pipeline.data", "\"order\" cannot be a layer"]),
    ] {
        let error = start(layers).await.expect_err("it does not start");
        assert!(matches!(error, StartError::Config(_)), "{error:?}");
        for part in parts {
            assert!(error.to_string().contains(part), "{part:?} is missing: {error}");
        }
    }
}
