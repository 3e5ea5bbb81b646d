//! Clients count together while the cluster suffers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use clustron_core::{Applied, Installer, Module, Replicated, ReplicatedState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Run;
use crate::cluster::{Failure, SimBuilder, SimCluster, simulate};

/// How many count at the same time.
const CLIENTS: u64 = 3;

/// How many numbers each of them has to say.
const NUMBERS: u64 = 30;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Replicated numbers, in the order in which they were applied.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The numbers.
    pub numbers: Vec<u64>,
}

impl ReplicatedState for Tally {
    type Command = u64;
    type Reply = ();

    fn apply(&mut self, _at: Applied, number: u64) {
        self.numbers.push(number);
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

type Tallies = SimCluster<Replicated<Tally>>;

/// Every number that was acknowledged so far, by all clients.
type Acknowledged = RefCell<Vec<u64>>;

pub(super) fn run(seed: u64, builder: SimBuilder<Replicated<Tally>>) -> Run {
    simulate(seed, async {
        let builder = builder.watch_state(Replicated::clone);
        match builder.start(|node| node.install(TallyModule)).await {
            Ok(cluster) => {
                let outcome = count(&cluster).await;
                Run { trace: cluster.trace(), outcome }
            }
            Err(failure) => Run { trace: failure.trace.join("\n"), outcome: Err(failure) },
        }
    })
}

async fn count(cluster: &Tallies) -> Result<String, Failure> {
    let acknowledged = Acknowledged::default();
    let clients = (0..CLIENTS).map(|client| count_alone(cluster, client, &acknowledged));
    let counted = cluster.under_chaos(futures::future::join_all(clients)).await?;
    counted.into_iter().collect::<Result<Vec<()>, Failure>>()?;
    cluster.converge().await?;
    let Some(node) = cluster.pick() else { return cluster.fail("converges", "no node runs") };
    let numbers = node.app.read_local(|tally| tally.numbers.clone());
    let acknowledged = acknowledged.take();
    judge(&acknowledged, &numbers).or_else(|why| cluster.fail("acknowledged_once", &why))?;
    let (said, kept) = (acknowledged.len(), numbers.len());
    let all = CLIENTS * NUMBERS;
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
    client: u64,
    acknowledged: &Acknowledged,
) -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(cluster.seed().rotate_left(17) ^ client);
    for turn in 0..NUMBERS {
        let pause = rng.random_range(0..1500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let Some(node) = cluster.pick() else { continue };
        let number = client * 1000 + turn;
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
                let read = node.app.read_local(|tally| tally.numbers.clone());
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
        let client = number / 1000;
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
