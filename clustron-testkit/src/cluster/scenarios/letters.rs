//! Nodes that write to each other through layers, on a wire and a network that break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clustron_core::pipeline::{LayerConfig, PipelineConfig};
use clustron_core::simulation::NodeBug;
use clustron_core::{Config, Installer, Message, Module, NodeId, Outcome, Request};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Run;
use crate::cluster::{Failure, Node, SimCluster, simulate};

/// Letters from each host to each other one, while faults come and go.
const LETTERS: u64 = 60;

/// The same when all is well again.
const LAST_LETTERS: u64 = 20;

/// How long a writer waits until a letter is taken, or a question answered.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the last letters may take when all is well again: longer than any conversation that
/// cannot go on needs to find that out.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// From one process to another: ids are never used again where there are no disks.
type Way = (NodeId, NodeId);

/// One way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    from: NodeId,
    number: u64,
}

impl Message for Letter {
    const KIND: &'static str = "letters.letter";
}

/// To be answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked(u64);

impl Message for Asked {
    const KIND: &'static str = "letters.asked";
}

impl Request for Asked {
    type Reply = u64;
}

/// What became of everything.
#[derive(Debug, Default)]
struct Book {
    /// What was taken to be sent.
    taken: BTreeMap<Way, Vec<u64>>,
    /// What may have been: the writer lost patience.
    perhaps: BTreeSet<u64>,
    /// What handlers got, in their order.
    handled: BTreeMap<Way, Vec<u64>>,
    /// How often each question was handled, and what its asker was told.
    asked: BTreeMap<u64, u32>,
    told: BTreeMap<u64, Result<(), Outcome>>,
    next: u64,
}

#[derive(Debug, Clone, Default)]
struct Post(Arc<Mutex<Book>>);

impl Post {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        let mut book = self.book();
        book.next += 1;
        book.next
    }
}

impl Module for Post {
    const NAME: &'static str = "letters";
    type Handle = ();

    fn install(self, installer: &mut Installer<'_>) {
        installer.service("letters", move |cluster| async move {
            let (me, post) = (cluster.node().id, self.clone());
            cluster.on_message(move |_, letter: Letter| {
                post.book().handled.entry((letter.from, me)).or_default().push(letter.number);
                std::future::ready(())
            });
            cluster.on_request(move |_, Asked(number)| {
                *self.book().asked.entry(number).or_default() += 1;
                std::future::ready(number)
            });
        });
    }
}

/// Layers over a bad wire, and now and then no connection at all, no peer, or another one.
pub(super) fn run(seed: u64, bug: Option<NodeBug>) -> Run {
    let fault = LayerConfig::new("fault").with("i_know", "yes").with("seed", seed);
    let fault = fault.with("drop", 0.05).with("double", 0.05).with("corrupt", 0.02);
    let layers = [
        LayerConfig::new("flow").with("window_bytes", 4096),
        LayerConfig::new("compress").with("above_bytes", 8),
        LayerConfig::new("fragment").with("piece_bytes", 64),
        LayerConfig::new("reliable").with("give_up_after_ms", 10_000),
        LayerConfig::new("checksum"),
        fault.with("delay", 0.2).with("delay_ms_max", 100),
    ];
    let config = Config { pipeline: PipelineConfig::data(layers), ..Config::local() };
    let builder = SimCluster::builder(seed).nodes(3).config(config).bug(bug);
    let post = Post::default();
    let installed = post.clone();
    simulate(seed, async {
        match builder.start(move |node| node.install(installed.clone())).await {
            Ok(cluster) => {
                let outcome = play(&cluster, &post).await;
                Run { trace: cluster.trace(), outcome }
            }
            Err(failure) => Run { trace: failure.trace.join("\n"), outcome: Err(failure) },
        }
    })
}

async fn play(cluster: &SimCluster<()>, post: &Post) -> Result<String, Failure> {
    let pause = Duration::from_millis(800);
    cluster.under_chaos(all_write(cluster, post, LETTERS, pause)).await?;
    cluster.converge().await?;
    all_write(cluster, post, LAST_LETTERS, Duration::from_millis(50)).await;
    let settled = tokio::time::timeout(SETTLED_WITHIN, until_settled(cluster, post)).await;
    if let Err(why) = judge(cluster, &post.book()) {
        return cluster.fail("letters_arrive_once_and_in_order", &why);
    }
    if settled.is_err() {
        return cluster.fail("letters_arrive", "the last ones did not");
    }
    let book = post.book();
    let taken: usize = book.taken.values().map(Vec::len).sum();
    let handled: usize = book.handled.values().map(Vec::len).sum();
    let answered = book.told.values().filter(|told| told.is_ok()).count();
    let summary = format!(
        "{taken} letters were taken, {handled} handled, {answered} of {} questions answered",
        book.told.len()
    );
    cluster.note(&summary);
    Ok(summary)
}

/// Each host writes to each other one, one letter after the other.
async fn all_write(cluster: &SimCluster<()>, post: &Post, letters: u64, pause: Duration) {
    let hosts = cluster.hosts();
    let pairs = hosts.iter().flat_map(|from| hosts.iter().map(move |to| (from, to)));
    let writers = pairs.filter(|(from, to)| from != to).enumerate().map(|(at, (from, to))| {
        let rng = StdRng::seed_from_u64(cluster.seed().rotate_left(23) ^ (at as u64) ^ letters);
        write(cluster, post, (from, to), letters, pause, rng)
    });
    futures::future::join_all(writers).await;
}

async fn write(
    cluster: &SimCluster<()>,
    post: &Post,
    (from, to): (&str, &str),
    letters: u64,
    pause: Duration,
    mut rng: StdRng,
) {
    for _ in 0..letters {
        tokio::time::sleep(pause.mul_f64(rng.random())).await;
        let (Some(from), Some(to)) = (cluster.node(from), cluster.node(to)) else { continue };
        let (way, number) = ((from.node().id, to.node().id), post.number());
        if rng.random_bool(0.3) {
            let told = from.request(way.1, &Asked(number), PATIENCE).await;
            let told = told.map(drop).map_err(|error| error.outcome());
            post.book().told.insert(number, told);
            continue;
        }
        let letter = Letter { from: way.0, number };
        match tokio::time::timeout(PATIENCE, from.send(way.1, &letter)).await {
            Ok(Ok(())) => post.book().taken.entry(way).or_default().push(number),
            Ok(Err(error)) if error.outcome() == Outcome::NotApplied => {}
            Ok(Err(_)) | Err(_) => drop(post.book().perhaps.insert(number)),
        }
    }
}

/// Waits until all letters are there that must be.
async fn until_settled(cluster: &SimCluster<()>, post: &Post) {
    while missing(&cluster.nodes(), &post.book()).is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A letter between two nodes that both run, of which nobody has said that it may be lost, and
/// that is not there.
fn missing(nodes: &[Node<()>], book: &Book) -> Option<(Way, u64)> {
    let lost = |node: &Node<()>| node.metrics().total("clustron_core_messages_lost");
    let runs: BTreeMap<NodeId, bool> =
        nodes.iter().map(|node| (node.node().id, lost(node) == Some(0.0))).collect();
    book.taken.iter().find_map(|(way, taken)| {
        let due = runs.get(&way.0) == Some(&true) && runs.contains_key(&way.1);
        let handled = book.handled.get(way).map_or(&[][..], Vec::as_slice);
        let missing = taken.iter().find(|number| due && !handled.contains(number));
        missing.map(|number| (*way, *number))
    })
}

fn judge(cluster: &SimCluster<()>, book: &Book) -> Result<(), String> {
    for (way, handled) in &book.handled {
        if let Some(pair) = handled.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("{way:?}: {} came after {}", pair[1], pair[0]));
        }
        let taken = book.taken.get(way).map_or(&[][..], Vec::as_slice);
        let sent = |number: &&u64| taken.contains(number) || book.perhaps.contains(number);
        if let Some(number) = handled.iter().find(|number| !sent(number)) {
            return Err(format!(
                "{way:?}: {number} was handled, and its writer told it was not sent"
            ));
        }
    }
    if let Some((way, number)) = missing(&cluster.nodes(), book) {
        return Err(format!("{way:?}: {number} is missing, and nobody said that it may be lost"));
    }
    for (number, told) in &book.told {
        let handled = book.asked.get(number).copied().unwrap_or(0);
        let fits = match told {
            Ok(()) => handled == 1,
            Err(Outcome::NotApplied) => handled == 0,
            Err(Outcome::Unknown) => handled <= 1,
        };
        if !fits {
            return Err(format!(
                "question {number} was handled {handled} times, told was {told:?}"
            ));
        }
    }
    Ok(())
}
