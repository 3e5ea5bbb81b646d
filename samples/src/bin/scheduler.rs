//! Jobs that run on through the death of the leader.
//!
//! Without arguments it starts three nodes of itself on loopback, shows every run, kills the leader
//! with SIGKILL, and in the end judges whether every due tick was claimed and recorded once.
//! With `--chaos N` it kills N times, at random.
//! `scheduler node` runs one node by hand, `scheduler next` shows when a schedule is due.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use clustron_samples::scheduler::{chaos, demo, next, node, recover};

/// Jobs that run on through the death of the leader.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Without a command: how long the demonstration runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = seconds())]
    seconds: u64,

    /// Without a command: when the leader is killed; not at all if not before the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 6)]
    kill_after: u64,

    /// Without a command: instead of all that, kill nodes at random so many times, each of which
    /// comes back, and judge the ticks of all the time. A kill takes about eight seconds.
    #[arg(long, value_name = "N", value_parser = kills())]
    chaos: Option<u64>,

    /// With --chaos: whom to kill.
    #[arg(long, value_enum, default_value_t = chaos::Victims::Any)]
    victims: chaos::Victims,

    /// With --chaos: the seed of the choices, which decides whom and when [default: another one
    /// each time].
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node until it is interrupted.
    Node(node::Arguments),
    /// Show when a schedule is due next.
    Next(next::Arguments),
    /// Look at a data directory at rest and, when the majority is lost for good, make its node a
    /// cluster of its own.
    Recover(recover::Arguments),
}

fn kills() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=chaos::KILLS_MAX)
}

fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=3600)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,openraft=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(async {
            match arguments.command {
                Some(Command::Node(arguments)) => node::run(arguments).await.map(|()| true),
                Some(Command::Next(arguments)) => next::run(&arguments).map(|()| true),
                Some(Command::Recover(arguments)) => recover::run(&arguments).map(|()| true),
                None if arguments.chaos.is_some() => {
                    let kills = arguments.chaos.unwrap_or_default();
                    let seed = arguments.seed.unwrap_or_else(rand::random);
                    chaos::run(kills, arguments.victims, seed).await
                }
                None => {
                    let seconds = Duration::from_secs(arguments.seconds);
                    demo::run(seconds, Duration::from_secs(arguments.kill_after)).await
                }
            }
        });
        // A read of standard input that is under way cannot be ended, and need not be waited for.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}
