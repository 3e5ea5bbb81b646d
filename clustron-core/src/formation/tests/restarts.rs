//! A founder that is started again while it founds, on a slow disk.

use std::time::Duration;

use clustron_wal::SimDisk;
use tokio::time::Instant;

use crate::{Cluster, Config, MemoryNetwork, StartError};

const SEEDS: [&str; 3] = ["a:1", "b:1", "c:1"];

async fn start(
    network: MemoryNetwork,
    host: &'static str,
    disk: SimDisk,
    seed: u64,
) -> Result<Cluster, StartError> {
    let config = Config {
        name: Some(host.to_owned()),
        listen: format!("{host}:1"),
        seeds: SEEDS.map(str::to_owned).to_vec(),
        ..Config::local()
    };
    let builder = Cluster::builder("test").config(config).transport(network.host(host));
    builder.sim_disk(disk).seed(seed).start().await
}

/// A founder is cut off after so long, killed before it has written to which cluster it belongs,
/// and started again at once. Says what became of it, if that is not what should have.
async fn restarted_after(cut_at: Duration, busy: bool, seed: u64) -> Option<String> {
    let network = MemoryNetwork::new();
    let disks = [1, 2, 3].map(SimDisk::new);
    disks[2].set_latency(Duration::from_millis(40));
    let run =
        |at: usize, host, seed| tokio::spawn(start(network.clone(), host, disks[at].clone(), seed));
    let (a, b, mut c) = (run(0, "a", seed), run(1, "b", seed + 1), run(2, "c", seed + 2));
    let early = tokio::time::timeout(cut_at, &mut c).await;
    assert!(early.is_err(), "it is in before it is cut off");
    network.cut("c", "a");
    network.cut("c", "b");
    let _ = tokio::time::timeout(Duration::from_millis(5), &mut c).await;
    c.abort();
    let _ = c.await;
    network.heal("c", "a");
    network.heal("c", "b");
    let began = Instant::now();
    let c = run(2, "c", seed + 3);
    let worker = tokio::spawn(async move {
        let a = a.await.expect("it does not panic").expect("it is a founder");
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        for turn in 0u64.. {
            if busy {
                let change = |m: &mut crate::Metadata| {
                    m.tags.insert("turn".to_owned(), turn.to_string());
                };
                let _ = a.describe(change, Duration::from_secs(2)).await;
            }
            seconds.tick().await;
        }
    });
    let started = tokio::time::timeout(Duration::from_secs(120), c).await;
    worker.abort();
    b.abort();
    let Ok(node) = started else { return Some("it has not started in two minutes".to_owned()) };
    let node = node.expect("it does not panic").expect("it is let in");
    let view = node.view();
    let given_up = view.nodes().any(|r| r.info.name.as_str() == "c" && r.info.id != node.node().id);
    given_up.then(|| format!("it gave up its seat in a real cluster after {:?}", began.elapsed()))
}

async fn all(busy: bool) {
    let mut wrong = vec![];
    for (seed, ms) in (0..3).flat_map(|seed| (126..144).step_by(2).map(move |ms| (seed, ms))) {
        let what = restarted_after(Duration::from_millis(ms), busy, 10 + 4 * seed).await;
        wrong.extend(what.map(|what| (seed, ms, what)));
    }
    assert!(wrong.is_empty(), "seed, cut off after so many ms, what: {wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_founder_that_is_started_again_at_any_time_keeps_its_seat() {
    all(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_founder_that_is_started_again_is_in_also_while_the_cluster_is_busy() {
    all(true).await;
}
