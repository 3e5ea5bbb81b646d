//! Small programs that this one runs beside the nodes, by starting itself.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, ensure};
use clustron_testkit::Process;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Uses up one core until standard input ends.
pub(crate) fn spin() {
    let reader = std::thread::spawn(|| {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(n) if n > 0) {}
    });
    while !reader.is_finished() {
        std::hint::spin_loop();
    }
}

/// Starts a process that uses up one core at the lowest priority.
pub(crate) fn start_spinning(at: usize) -> anyhow::Result<Process> {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(std::env::current_exe()?).arg("spin");
    Process::spawn(&mut command, format!("load {at}")).context("the load needs the program `nice`")
}

/// A program that does not watch its standard input and must not outlive this one.
#[derive(Debug, clap::Args)]
pub(crate) struct Tied {
    /// The process that starts it.
    #[arg(long)]
    parent: i32,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

impl Tied {
    /// The command that starts `program` tied to this process. The thread that spawns it must live
    /// as long as it is needed.
    pub(crate) fn command(program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["tied", "--parent", &std::process::id().to_string(), "--", program]);
        Ok(command)
    }

    /// Becomes the program, which the kernel kills when the parent ends.
    pub(crate) fn exec(self) -> anyhow::Result<Infallible> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
        ensure!(parent == Some(self.parent), "the parent has ended already");
        let (program, arguments) = self.command.split_first().context("no program is named")?;
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("cannot run {}", program.to_string_lossy()))
    }
}
