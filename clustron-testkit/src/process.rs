//! One real process under test.

mod output;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid,
};

use output::Output;
pub use output::{LINE_BYTES_MAX, LINES_MAX, Mark, WaitError};

/// How long the end of the output is awaited after the process has ended. It comes at once unless a
/// child of the process has inherited the pipe and lives on.
const DRAIN: Duration = Duration::from_secs(1);

/// A running program that a test can listen to, freeze, thaw, end and kill.
///
/// Signals go to this process alone, not to children that it started. Dropping the value kills the
/// process, also a frozen one, and reaps it, so that a failing test leaves nothing behind.
///
/// Linux only.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    /// Becomes readable when the process ends: waiting for that with a limit needs no polling.
    ended: OwnedFd,
    output: Output,
}

impl Process {
    /// Starts `command` and captures both its outputs. Its standard input stays open and empty as
    /// long as this value and the test's own process live, so that a program may end with it.
    /// `name` stands in error messages.
    ///
    /// # Errors
    ///
    /// What [`Command::spawn`] says, with the name and the program; nothing is left running.
    pub fn spawn(command: &mut Command, name: impl Into<String>) -> io::Result<Process> {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let program = command.get_program().to_string_lossy();
                io::Error::new(error.kind(), format!("cannot start {name} ({program}): {error}"))
            })?;
        let pid = Pid::from_child(&child);
        let prepared = pidfd_open(pid, PidfdFlags::empty())
            .map_err(io::Error::from)
            .and_then(|ended| Ok((ended, Output::capture(&name, &mut child)?)));
        match prepared {
            Ok((ended, output)) => Ok(Process { name, child, pid, ended, output }),
            Err(error) => {
                // The first error is the one to report; these two only clean up.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Kills the process at once (SIGKILL), as a crash does, and reaps it. On return everything
    /// that it printed is in [`Process::lines`]. Killing an ended process does nothing.
    ///
    /// # Errors
    ///
    /// What the operating system says; not expected for one's own child.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        let status = self.child.wait()?;
        self.output.wait_for_end(DRAIN);
        Ok(status)
    }

    /// Asks the process to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    ///
    /// `TimedOut` when it still runs after `timeout`; it is then left running. A frozen process
    /// takes the signal only after [`Process::cont`].
    pub fn terminate(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(timeout)
    }

    /// Waits until the process ends by itself, and reaps it. On return everything that it printed
    /// is in [`Process::lines`].
    ///
    /// # Errors
    ///
    /// `TimedOut` when it still runs after `timeout`; it is then left running.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        if !self.ended_within(timeout)? {
            let message = format!("{self} still runs after {timeout:?}{}", self.output.tail());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        let status = self.child.wait()?;
        self.output.wait_for_end(DRAIN);
        Ok(status)
    }

    /// Freezes the process (SIGSTOP): it keeps its memory and connections and answers nothing, like
    /// a machine that is starved or paused. Returns once it is frozen or has ended.
    ///
    /// # Errors
    ///
    /// What the operating system says; not expected for one's own child.
    pub fn stop(&mut self) -> io::Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        self.signal(Signal::STOP)?;
        // NOWAIT leaves the process to be reaped in the one place that records its status.
        let either = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid), either))?;
        Ok(())
    }

    /// Thaws a frozen process (SIGCONT).
    ///
    /// # Errors
    ///
    /// What the operating system says; not expected for one's own child.
    pub fn cont(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether the process has not ended. A frozen process counts as running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The process id, for `/proc`. It may belong to another process once this one has ended.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the first captured line, of either output, that `matches` turns into a value.
    /// Lines that came before the call count too, so nothing is missed between two calls.
    ///
    /// # Errors
    ///
    /// After `timeout`, or as soon as both outputs are closed, with the last 50 lines. A frozen
    /// process closes nothing.
    pub fn wait_for_line<T>(
        &self,
        matches: impl FnMut(&str) -> Option<T>,
        timeout: Duration,
    ) -> Result<T, WaitError> {
        self.wait_for_line_since(Mark::default(), matches, timeout)
    }

    /// As [`Process::wait_for_line`], but looks only at lines captured after `mark`: for what a
    /// process says a second time.
    ///
    /// # Errors
    ///
    /// As [`Process::wait_for_line`].
    pub fn wait_for_line_since<T>(
        &self,
        mark: Mark,
        matches: impl FnMut(&str) -> Option<T>,
        timeout: Duration,
    ) -> Result<T, WaitError> {
        self.output.wait_for_line(mark, matches, timeout)
    }

    /// The present end of the captured output, for [`Process::wait_for_line_since`].
    pub fn mark(&self) -> Mark {
        self.output.mark()
    }

    /// The captured lines of both outputs, oldest first: at most the last [`LINES_MAX`]. Lines of
    /// one output are in order; between the two outputs the order is that of reading.
    pub fn lines(&self) -> Vec<String> {
        self.output.lines()
    }

    /// Sends a signal unless the process was reaped, when its id may already be another's.
    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.is_running() {
            kill_process(self.pid, signal)?;
        }
        Ok(())
    }

    fn ended_within(&self, timeout: Duration) -> io::Result<bool> {
        let start = Instant::now();
        loop {
            let left = Timespec::try_from(timeout.saturating_sub(start.elapsed())).ok();
            match poll(&mut [PollFd::new(&self.ended, PollFlags::IN)], left.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell; for one's own child neither call is expected to fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
