//! What a process has printed: a bounded buffer that reader threads fill and tests wait on.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many lines of one process are kept; the oldest go first.
pub const LINES_MAX: usize = 20_000;

/// The longest line kept whole, in bytes; a longer one is split.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// How many of the last lines an error shows.
const TAIL_LINES: usize = 50;

/// A place in the output of one process: the number of lines that were captured before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(u64);

/// The awaited line did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is over. The process may still print the line; waiting again is safe.
    #[error("{name} did not print the awaited line within {timeout:?}{tail}")]
    Timeout {
        /// The process.
        name: String,
        /// How long was waited.
        timeout: Duration,
        /// Its last lines, as text to show.
        tail: String,
    },
    /// Both outputs are closed, so the line never comes: the process has ended or is ending.
    #[error("{name} closed its output without printing the awaited line{tail}")]
    Closed {
        /// The process.
        name: String,
        /// Its last lines, as text to show.
        tail: String,
    },
}

/// The captured output of one process.
#[derive(Debug)]
pub(super) struct Output {
    name: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    captured: Mutex<Captured>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Captured {
    lines: VecDeque<String>,
    /// How many lines were dropped at the front: the number of the first one kept.
    dropped: u64,
    open_pipes: usize,
}

impl Output {
    /// Starts one reader thread for each output pipe of `child`. They end with the pipe.
    pub(super) fn capture(name: &str, child: &mut Child) -> io::Result<Output> {
        let shared = Arc::new(Shared::default());
        if let Some(stdout) = child.stdout.take() {
            shared.read_in_background(format!("{name} stdout"), stdout)?;
        }
        if let Some(stderr) = child.stderr.take() {
            shared.read_in_background(format!("{name} stderr"), stderr)?;
        }
        Ok(Output { name: name.to_owned(), shared })
    }

    pub(super) fn wait_for_line<T>(
        &self,
        mark: Mark,
        mut matches: impl FnMut(&str) -> Option<T>,
        timeout: Duration,
    ) -> Result<T, WaitError> {
        let start = Instant::now();
        let mut next = mark;
        loop {
            let (fresh, end, closed) = self.shared.lock().since(next);
            // Without the lock: what the caller does for a line is the caller's affair.
            if let Some(found) = fresh.iter().find_map(|line| matches(line)) {
                return Ok(found);
            }
            next = end;
            let name = || self.name.clone();
            if closed {
                return Err(WaitError::Closed { name: name(), tail: self.tail() });
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(WaitError::Timeout { name: name(), timeout, tail: self.tail() });
            }
            self.shared.wait_while(left, |captured| captured.end() == next && captured.is_open());
        }
    }

    /// Waits at most `timeout` until both pipes are closed and read to their end.
    pub(super) fn wait_for_end(&self, timeout: Duration) {
        self.shared.wait_while(timeout, Captured::is_open);
    }

    pub(super) fn mark(&self) -> Mark {
        self.shared.lock().end()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.shared.lock().since(Mark::default()).0
    }

    /// The last lines, as a message that is put behind another.
    pub(super) fn tail(&self) -> String {
        let captured = self.shared.lock();
        if captured.lines.is_empty() {
            return "; it has printed nothing".to_owned();
        }
        let skipped = captured.lines.len().saturating_sub(TAIL_LINES);
        let mut text = format!("; its last lines, {} in all:", captured.end().0);
        for line in captured.lines.iter().skip(skipped) {
            text.push_str("\n    ");
            text.push_str(line);
        }
        text
    }
}

impl Shared {
    fn read_in_background(
        self: &Arc<Self>,
        thread_name: String,
        pipe: impl Read + Send + 'static,
    ) -> io::Result<()> {
        self.lock().open_pipes += 1;
        let shared = Arc::clone(self);
        // Not joined: a grandchild that inherited the pipe could keep it open for ever.
        thread::Builder::new().name(thread_name).spawn(move || {
            let mut pipe = BufReader::new(pipe);
            while let Some(line) = read_line(&mut pipe) {
                shared.lock().push(line);
                shared.changed.notify_all();
            }
            shared.lock().open_pipes -= 1;
            shared.changed.notify_all();
        })?;
        Ok(())
    }

    /// A panicking reader or test leaves the lines as they are, so poison means nothing here.
    fn lock(&self) -> MutexGuard<'_, Captured> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, timeout: Duration, unchanged: impl Fn(&Captured) -> bool) {
        let guard = self.lock();
        drop(self.changed.wait_timeout_while(guard, timeout, |captured| unchanged(captured)));
    }
}

impl Captured {
    fn push(&mut self, line: String) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    /// The lines kept from `mark` on, where they end, and whether more can come.
    fn since(&self, mark: Mark) -> (Vec<String>, Mark, bool) {
        let skip = usize::try_from(mark.0.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        (self.lines.iter().skip(skip).cloned().collect(), self.end(), !self.is_open())
    }

    fn end(&self) -> Mark {
        Mark(self.dropped + self.lines.len() as u64)
    }

    fn is_open(&self) -> bool {
        self.open_pipes > 0
    }
}

/// Reads up to the next line end, or to the length limit. `None` at the end of the pipe; an error,
/// which a pipe does not give in practice, ends it too.
fn read_line(pipe: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    let read = pipe.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes).ok()?;
    if read == 0 {
        return None;
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_keeps_the_newest_lines() {
        let mut captured = Captured::default();
        for number in 0..LINES_MAX + 3 {
            captured.push(number.to_string());
        }
        let (lines, end, _) = captured.since(Mark::default());
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[0], "3");
        assert_eq!(end, Mark(LINES_MAX as u64 + 3));
        assert_eq!(captured.since(Mark(end.0 - 1)).0, [(LINES_MAX + 2).to_string()]);
        assert!(captured.since(end).0.is_empty());
    }

    #[test]
    fn an_endless_line_is_split() {
        let text = "x".repeat(LINE_BYTES_MAX + 5) + "\nlast without end";
        let mut pipe = text.as_bytes();
        assert_eq!(read_line(&mut pipe).map(|line| line.len()), Some(LINE_BYTES_MAX));
        assert_eq!(read_line(&mut pipe).as_deref(), Some("xxxxx"));
        assert_eq!(read_line(&mut pipe).as_deref(), Some("last without end"));
        assert_eq!(read_line(&mut pipe), None);
    }
}
