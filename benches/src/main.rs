//! Measures what a cluster of Clustron nodes does and costs, on real processes on this machine.
//!
//! Each measurement is a subcommand that starts what it needs, prints a small table and ends. See
//! the README beside this crate for what each one means.

#![expect(clippy::print_stdout, reason = "the result is a table for people")]

mod callers;
mod commits;
mod counter;
mod etcd;
mod failover;
mod hand_over;
mod idle;
mod join;
mod messages;
mod node;
mod nodes;
mod process;
mod proposals;
mod quiet;
mod registers;
mod said;
mod scheduler;
mod starts;
mod watcher;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// How long anything that should happen soon may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Failover, hand-over, proposals, messages, joins, idle cost, false alarms and starts of real
/// nodes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How many commands and linearizable reads three nodes serve in a second.
    Commits(commits::Arguments),
    /// Kill the leader again and again: how long until the next one leads, beside etcd.
    Failover(failover::Arguments),
    /// Have the leader leave, and hand over by command: how long callers wait.
    HandOver(hand_over::Arguments),
    /// What three nodes cost that have nothing to do.
    Idle(idle::Arguments),
    /// How much memory a node takes that joins a cluster with a large state, and how long.
    Join(join::Arguments),
    /// What requests and one-way messages cost, beside a bare TCP connection and NATS.
    Messages(messages::Arguments),
    /// Commands that three processes acknowledge in a second, in memory and on disk, beside etcd.
    Proposals(proposals::Arguments),
    /// Whether a cluster without faults stays as it is, also on a busy machine.
    Quiet(quiet::Arguments),
    /// How many jobs and claims the scheduler carries, in how much memory, and how late it is.
    Scheduler(scheduler::Arguments),
    /// Three nodes started at once: how long until they have one leader.
    Starts(starts::Arguments),
    /// Run one node, for the other commands.
    #[command(hide = true)]
    Node(node::Arguments),
    /// Answer and count messages, for `messages`.
    #[command(hide = true)]
    Answer(messages::Answer),
    /// Use up one core until standard input ends.
    #[command(hide = true)]
    Spin,
    /// Become another program that dies with the one that started it.
    #[command(hide = true)]
    Tied(process::Tied),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,openraft=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs a command. Gives whether what must hold held.
fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Commits(arguments) => with_runtime(commits::run(&arguments)),
        Command::Failover(arguments) => with_runtime(failover::run(&arguments)),
        Command::HandOver(arguments) => with_runtime(hand_over::run(&arguments)),
        Command::Idle(arguments) => with_runtime(idle::run(&arguments)),
        Command::Join(arguments) => with_runtime(join::run(&arguments)),
        Command::Proposals(arguments) => with_runtime(proposals::run(&arguments)),
        Command::Quiet(arguments) => with_runtime(quiet::run(&arguments)),
        Command::Scheduler(arguments) => with_runtime(scheduler::run(&arguments)),
        Command::Starts(arguments) => starts::run(&arguments),
        Command::Messages(arguments) => with_runtime(messages::run(&arguments)),
        Command::Answer(arguments) => with_runtime(messages::answer_until_stdin_ends(arguments)),
        Command::Node(arguments) => with_runtime(node::run(arguments)),
        Command::Tied(tied) => match tied.exec()? {},
        Command::Spin => {
            process::spin();
            Ok(true)
        }
    }
}

fn with_runtime(measurement: impl Future<Output = anyhow::Result<bool>>) -> anyhow::Result<bool> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(measurement);
    // A node that has left may still be waiting for its standard input to end.
    runtime.shutdown_background();
    measured
}
