//! Nodes that are killed at random, again and again, and the verdict.

use std::time::{Duration, Instant};

use anyhow::Context;
use clustron_core::{Clock, SystemClock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::trio::{PATIENCE, Trio, Watcher};
use super::verdict::Verdict;

/// The most kills: what the jobs keep of their history is enough for them.
pub const KILLS_MAX: u64 = 500;

/// Whom to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Victims {
    /// Any of the three.
    Any,
    /// Whoever leads.
    Leader,
}

/// Kills one node after the other, so many times, each at a random moment once the cluster is whole
/// again. Gives whether the promise held.
///
/// # Errors
/// It could not be run to its end.
pub async fn run(kills: u64, victims: Victims, seed: u64) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir().context("no folder for the ledger")?;
    let mut trio = Trio::start(&folder.path().join("ledger.jsonl"))?;
    let result = with_nodes(&mut trio, kills, victims, seed).await;
    if result.is_err() {
        trio.show_last_lines();
    }
    result
}

async fn with_nodes(
    trio: &mut Trio,
    kills: u64,
    victims: Victims,
    seed: u64,
) -> anyhow::Result<bool> {
    let watcher = trio.watch().await?;
    let mut random = StdRng::seed_from_u64(seed);
    println!("{kills} kills, seed {seed}");
    let mut without_leader = vec![];
    for kill in 1..=kills {
        watcher.whole().await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..2_000))).await;
        without_leader.extend(kill_one(trio, &watcher, victims, &mut random, kill).await?);
    }
    watcher.whole().await?;

    let now = SystemClock.now();
    let verdict = Verdict::of(&watcher.scheduler, &trio.ledger, now, PATIENCE).await?;
    without_leader.sort_unstable();
    let longest = without_leader.last().copied().unwrap_or_default();
    let median = without_leader.get(without_leader.len() / 2).copied().unwrap_or_default();
    watcher.cluster.shutdown(PATIENCE).await?;
    trio.kill_all()?;
    let leaders = without_leader.len();
    println!("{kills} nodes killed, {leaders} led; median time without a leader {median:.0?}");
    let verdict = Verdict { without_leader: longest, ..verdict };
    println!("{verdict}");
    Ok(verdict.is_clean())
}

/// Kills a node and starts it again. Gives how long there was no leader, if it led.
async fn kill_one(
    trio: &mut Trio,
    watcher: &Watcher,
    victims: Victims,
    random: &mut StdRng,
    kill: u64,
) -> anyhow::Result<Option<Duration>> {
    let leader = watcher.cluster.wait_for_leader(PATIENCE).await.context("there is no leader")?;
    let leads = trio.place_of(&leader)?;
    let at = match victims {
        Victims::Any => random.random_range(0..trio.nodes.len()),
        Victims::Leader => leads,
    };
    let name = trio.nodes[at].name().to_owned();
    let view = watcher.cluster.view();
    let killed = view.alive().find(|node| node.name.as_str() == name).map(|node| node.id);
    let killed_at = Instant::now();
    trio.nodes[at].kill()?;
    let mut without_leader = None;
    if at == leads {
        watcher.leader_after(&leader).await?;
        without_leader = Some(killed_at.elapsed());
    }
    // One that came back before it was missed would be another case, which has its own tests.
    let gone = watcher
        .cluster
        .wait_for(PATIENCE, |status| killed.is_none_or(|killed| !status.view.is_alive(killed)));
    gone.await.with_context(|| format!("{name} stayed in the view"))?;
    trio.restart(at)?;
    let led = without_leader.map_or(String::new(), |gap| format!(", which led; {gap:.0?} without"));
    println!("{kill:>4}: killed {name}{led}");
    Ok(without_leader)
}
