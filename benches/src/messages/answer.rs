//! The other process of a pair.

use std::process::Command;

use clustron_testkit::Process;

use super::secured::Secured;
use super::{bare, nats, ours};
use crate::PATIENCE;

/// What a process that answers prints when it can be talked to, before its address.
const READY: &str = "ready ";

/// Answers requests and counts messages.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    how: How,
}

#[derive(Debug, clap::Subcommand)]
enum How {
    /// On a bare TCP connection.
    Bare,
    /// As a node, a cluster of its own or together with others.
    Ours {
        /// Its name.
        #[arg(long)]
        name: String,
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: String,
        /// Where the others are.
        #[arg(long, value_delimiter = ',')]
        seeds: Vec<String>,
        #[command(flatten)]
        secured: Secured,
    },
    /// As a client of the NATS server at an address.
    Nats {
        /// The address.
        addr: String,
    },
}

/// Answers until standard input ends.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    // As a task, as what answers in a service is: this thread would have to be woken each time.
    let answering = tokio::spawn(async {
        match arguments.how {
            How::Bare => bare::answer().await,
            How::Ours { name, listen, seeds, secured } => {
                ours::answer(name, listen, seeds, &secured).await
            }
            How::Nats { addr } => nats::answer(&addr).await,
        }
    });
    tokio::select! {
        biased;
        () = crate::node::stdin_ends() => Ok(true),
        answered = answering => answered?.map(|()| true),
    }
}

/// Says that this process can be talked to at an address.
pub(super) fn say_ready(addr: &str) {
    println!("{READY}{addr}");
}

/// Starts a process that answers, and gives the address that it says.
pub(super) fn start(name: &str, arguments: &[&str]) -> anyhow::Result<(Process, String)> {
    let process = spawn(name, arguments)?;
    let addr = wait_until_ready(&process)?;
    Ok((process, addr))
}

/// Starts a process that will answer.
pub(super) fn spawn(name: &str, arguments: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(Process::spawn(command.arg("answer").args(arguments), name)?)
}

/// Waits until a process can be talked to, and gives the address that it says.
pub(super) fn wait_until_ready(process: &Process) -> anyhow::Result<String> {
    let ready = |line: &str| line.strip_prefix(READY).map(str::to_owned);
    Ok(tokio::task::block_in_place(|| process.wait_for_line(ready, PATIENCE))?)
}
