//! How long a caller waits while the leadership is handed over: because the leader leaves, and by
//! command.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clustron_core::{Activation, Cluster, Outcome, Replicated, Role};

use crate::PATIENCE;
use crate::counter::{Counter, CounterModule};
use crate::node::{CLUSTER, Leave};
use crate::nodes::Nodes;
use crate::watcher::settled;
use clustron_benches::{Figures, Table};

/// Between two calls.
const PACE: Duration = Duration::from_millis(2);

/// How long one call may take.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// How long calls go on around each hand-over.
const AROUND: Duration = Duration::from_millis(300);

/// How many hand-overs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often the leader leaves, and as often hands over by command.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    times: u32,
}

/// Measures and prints. Gives whether no call failed.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut nodes = Nodes::start_with(&["--counter"])?;
    let mut builder = Cluster::builder(CLUSTER)
        .name("caller")
        .roles([Role::Client])
        .seeds(nodes.addrs().iter().cloned());
    let counter = builder.install(CounterModule);
    let started = tokio::time::timeout(PATIENCE, builder.start()).await;
    let caller = started.context("the caller found no cluster")??;
    let (mut leaving, mut ordered) = (vec![], vec![]);
    for time in 1..=arguments.times {
        let leader = settled(&caller, &nodes).await?;
        let calls = Calls::start(&counter);
        let next = leave(&mut nodes, &caller, &leader).await?;
        let left = calls.finish().await?;
        nodes.replace(nodes.place_of(leader.name.as_str())?)?;
        settled(&caller, &nodes).await?;

        let calls = Calls::start(&counter);
        tokio::time::sleep(AROUND).await;
        caller.hand_over(None, PATIENCE).await?;
        tokio::time::sleep(AROUND).await;
        let by_command = calls.finish().await?;
        println!(
            "hand-over {time}: {} left, {} led: {} ms; by command: {} ms",
            leader.name,
            next.name,
            left.as_millis(),
            by_command.as_millis()
        );
        leaving.push(left);
        ordered.push(by_command);
    }
    let mut table = Table::new(["longest wait of a caller, ms", "median", "min", "max", "times"]);
    for (name, gaps) in [("the leader left", leaving), ("by command", ordered)] {
        let figures = Figures::ms(gaps);
        table.row(name, figures.cells(1).into_iter().chain([figures.len().to_string()]));
    }
    println!("\n{table}\nno call failed");
    Ok(true)
}

/// Has the leader's process leave in order, and waits until it has ended and another one leads.
async fn leave(
    nodes: &mut Nodes,
    caller: &Cluster,
    leader: &Activation,
) -> anyhow::Result<Activation> {
    tokio::time::sleep(AROUND).await;
    caller.send(leader.node, &Leave).await?;
    let next = caller.wait_for(PATIENCE, |status| {
        status.leader.as_ref().is_some_and(|next| next.epoch > leader.epoch)
    });
    let next = next.await.and_then(|status| status.leader).context("nobody took over")?;
    tokio::time::sleep(AROUND).await;
    let place = nodes.place_of(leader.name.as_str())?;
    let ended = tokio::task::block_in_place(|| nodes.process_mut(place).wait(PATIENCE))?;
    ensure!(ended.success(), "{} did not leave in order", leader.name);
    Ok(next)
}

/// A caller that counts on, one call after the other.
struct Calls {
    stop: Arc<Mutex<bool>>,
    calling: tokio::task::JoinHandle<anyhow::Result<Duration>>,
}

impl Calls {
    fn start(counter: &Replicated<Counter>) -> Self {
        let (stop, counter) = (Arc::<Mutex<bool>>::default(), counter.clone());
        let calling = tokio::spawn(call(counter, stop.clone()));
        Self { stop, calling }
    }

    /// Ends the calls. Gives the longest time between two that were answered.
    async fn finish(self) -> anyhow::Result<Duration> {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.calling.await?
    }
}

async fn call(counter: Replicated<Counter>, stop: Arc<Mutex<bool>>) -> anyhow::Result<Duration> {
    let (mut longest, mut answered) = (Duration::ZERO, None::<Instant>);
    let mut pace = tokio::time::interval(PACE);
    while !*stop.lock().unwrap_or_else(PoisonError::into_inner) {
        pace.tick().await;
        let until = Instant::now() + CALL_DEADLINE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match counter.propose(&1, left).await {
                Ok(_) => break,
                Err(error) if error.outcome() == Outcome::NotApplied && !left.is_zero() => {}
                Err(error) => return Err(error).context("a call failed"),
            }
        }
        let now = Instant::now();
        longest = longest.max(answered.map_or(Duration::ZERO, |before| now - before));
        answered = Some(now);
    }
    Ok(longest)
}
