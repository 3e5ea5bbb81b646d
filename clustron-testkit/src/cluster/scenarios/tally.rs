//! Clients count together while the cluster suffers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clustron_core::{Applied, Epoch, Installer, Module, Replicated, ReplicatedState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Run;
use crate::cluster::{Failure, SimBuilder, SimCluster, simulate};

/// The numbers of one client begin with its own number times this.
const OF_CLIENT: u64 = 1000;

/// From here on a number is leader work: the epoch that it was meant for.
const LEADER_WORK: u64 = 1_000_000;

/// What the clients do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// How many count at the same time, fewer than 1,000.
    pub(super) clients: u64,
    /// How many numbers each of them has to say, fewer than 1,000.
    pub(super) numbers: u64,
    /// The longest pause between two of them.
    pub(super) pause: Duration,
    /// Whether a number is said only on the full quarter of a second, by all clients whose pause is
    /// over, so that many commands are under way at once.
    pub(super) in_step: bool,
    /// Whether leader work is proposed too, some of it late.
    pub(super) leads: bool,
}

impl Default for Load {
    fn default() -> Self {
        let pause = Duration::from_millis(1500);
        Self { clients: 3, numbers: 30, pause, in_step: false, leads: false }
    }
}

/// When clients that keep step say their numbers.
const STEP: Duration = Duration::from_millis(250);

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Replicated numbers, in the order in which they were applied.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The numbers.
    pub numbers: Vec<u64>,
    /// Leader work that took effect in another epoch than the one that it was meant for, which must
    /// never be: the two epochs.
    pub stale: Vec<(u64, u64)>,
}

impl ReplicatedState for Tally {
    type Command = u64;
    type Reply = ();

    fn apply(&mut self, at: Applied, number: u64) {
        match number.checked_sub(LEADER_WORK) {
            None => self.numbers.push(number),
            Some(epoch) if epoch == at.epoch.0 => {}
            Some(epoch) => self.stale.push((epoch, at.epoch.0)),
        }
    }
}

/// Installs a [`Tally`].
#[derive(Debug, Clone, Copy, Default)]
pub struct TallyModule;

impl Module for TallyModule {
    const NAME: &'static str = "tally";
    type Handle = Replicated<Tally>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Tally> {
        installer.replicate()
    }
}

pub(super) type Tallies = SimCluster<Replicated<Tally>>;
pub(super) type TallyBuilder = SimBuilder<Replicated<Tally>>;

/// Every number that was acknowledged so far, by all clients.
pub(super) type Acknowledged = RefCell<Vec<u64>>;

/// A run in which clients count while faults come and go.
pub(super) fn run(seed: u64, builder: TallyBuilder, load: Load) -> Run {
    play(seed, builder, async |cluster| count(cluster, load).await)
}

/// A run of a cluster that keeps a tally.
pub(super) fn play(
    seed: u64,
    builder: TallyBuilder,
    story: impl AsyncFnOnce(&Tallies) -> Result<String, Failure>,
) -> Run {
    simulate(seed, async {
        let builder = builder.watch_state(Replicated::clone);
        match builder.start(|node| node.install(TallyModule)).await {
            Ok(cluster) => {
                let outcome = story(&cluster).await;
                Run { trace: cluster.trace(), outcome }
            }
            Err(failure) => Run { trace: failure.trace.join("\n"), outcome: Err(failure) },
        }
    })
}

async fn count(cluster: &Tallies, load: Load) -> Result<String, Failure> {
    let acknowledged = Acknowledged::default();
    let counted = cluster.under_chaos(count_together(cluster, load, 0, &acknowledged)).await?;
    counted?;
    settle(cluster, load.clients * load.numbers, &acknowledged).await
}

/// All clients at once, each with its numbers from `first` on.
pub(super) async fn count_together(
    cluster: &Tallies,
    load: Load,
    first: u64,
    acknowledged: &Acknowledged,
) -> Result<(), Failure> {
    let clients =
        (0..load.clients).map(|client| count_alone(cluster, load, client, first, acknowledged));
    futures::future::join_all(clients).await.into_iter().collect()
}

/// Waits until the cluster is whole, and judges its tally; `all` is how many numbers the clients
/// have had to say so far.
pub(super) async fn settle(
    cluster: &Tallies,
    all: u64,
    acknowledged: &Acknowledged,
) -> Result<String, Failure> {
    cluster.converge().await?;
    let Some(node) = cluster.pick() else { return cluster.fail("converges", "no node runs") };
    let (numbers, stale) =
        node.app.read_local(|tally| (tally.numbers.clone(), tally.stale.clone()));
    if let Some((meant, then)) = stale.first() {
        let detail = format!("work of epoch {meant} took effect in epoch {then}");
        return cluster.fail("leader_work_is_fenced", &detail);
    }
    let acknowledged = acknowledged.borrow().clone();
    judge(&acknowledged, &numbers).or_else(|why| cluster.fail("acknowledged_once", &why))?;
    let (said, kept) = (acknowledged.len(), numbers.len());
    let summary = format!(
        "{said} of {all} acknowledged, {kept} applied, {:?} of virtual time",
        cluster.now()
    );
    cluster.note(&summary);
    Ok(summary)
}

/// One client: says a number, waits for the answer, says the next. Now and then it reads, and must
/// find what anybody was answered before it asked.
async fn count_alone(
    cluster: &Tallies,
    load: Load,
    client: u64,
    first: u64,
    acknowledged: &Acknowledged,
) -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(cluster.seed().rotate_left(17) ^ client ^ (first << 32));
    let pause_ms = u64::try_from(load.pause.as_millis()).unwrap_or(u64::MAX);
    for turn in first..first + load.numbers {
        let pause = rng.random_range(0..pause_ms);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if load.in_step {
            let now = cluster.now().as_millis();
            let left = STEP.as_millis() - now % STEP.as_millis();
            tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0))).await;
        }
        let Some(node) = cluster.pick() else { continue };
        if load.leads && rng.random_bool(0.2) {
            lead_late(cluster, node.leader().map(|leader| leader.epoch), &mut rng).await;
        }
        let number = client * OF_CLIENT + turn;
        match node.app.propose(&number, PATIENCE).await {
            Ok(_) => acknowledged.borrow_mut().push(number),
            Err(error) => {
                cluster.note(&format!("{number} by {}: {:?}: {error}", node.name, error.outcome()));
            }
        }
        if rng.random_bool(0.3)
            && let Some(node) = cluster.pick()
        {
            let before = acknowledged.borrow().clone();
            if node.barrier(PATIENCE).await.is_ok() {
                let read: BTreeSet<u64> =
                    node.app.read_local(|tally| tally.numbers.iter().copied().collect());
                let lacking: Vec<u64> = before.into_iter().filter(|n| !read.contains(n)).collect();
                if !lacking.is_empty() {
                    let detail = format!("{} read without {lacking:?}", node.name);
                    return cluster.fail("reads_are_linearizable", &detail);
                }
            }
        }
    }
    Ok(())
}

/// Proposes work of an epoch, at once or when it may have passed. Whether it is applied is for the
/// core to say.
async fn lead_late(cluster: &Tallies, epoch: Option<Epoch>, rng: &mut StdRng) {
    let (Some(epoch), wait) = (epoch, rng.random_range(0..3000)) else { return };
    tokio::time::sleep(Duration::from_millis(wait)).await;
    let Some(node) = cluster.pick() else { return };
    let work = LEADER_WORK + epoch.0;
    if let Err(error) = node.app.propose_as_leader(epoch, &work, PATIENCE).await {
        cluster.note(&format!("work of epoch {epoch} by {}: {error}", node.name));
    }
}

/// Every acknowledged number is there, none is there twice, and what one client was answered stands
/// in the order in which it said it.
fn judge(acknowledged: &[u64], numbers: &[u64]) -> Result<(), String> {
    let mut places = BTreeMap::new();
    for (place, number) in numbers.iter().enumerate() {
        if let Some(before) = places.insert(*number, place) {
            return Err(format!("{number} was applied at {before} and at {place}"));
        }
    }
    let mut last: BTreeMap<u64, usize> = BTreeMap::new();
    for number in acknowledged {
        let Some(place) = places.get(number) else {
            return Err(format!("{number} was acknowledged and is lost"));
        };
        let client = number / OF_CLIENT;
        if last.insert(client, *place).is_some_and(|before| before > *place) {
            return Err(format!("{number} was applied before what its client had said before"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_caught() {
        assert_eq!(judge(&[1, 1001, 2], &[1001, 1, 7, 2]), Ok(()));
        assert!(judge(&[1, 2], &[1]).unwrap_err().contains("2 was acknowledged and is lost"));
        assert!(judge(&[1], &[1, 2, 2]).unwrap_err().contains("2 was applied at 1 and at 2"));
        assert!(judge(&[1, 2], &[2, 1]).unwrap_err().contains("before what its client"));
    }
}
