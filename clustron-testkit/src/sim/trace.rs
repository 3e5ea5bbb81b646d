//! The story of a run, line by line. The same seed tells the same story, byte for byte.

mod line;

pub(super) use line::{Line, What};

use std::collections::VecDeque;
use std::fmt::{self, Debug, Write};

/// How many lines a failure shows unless told otherwise.
pub const TAIL_LINES: usize = 50;

/// Takes each line of a trace, without a line break.
pub type LineSink = Box<dyn FnMut(&str)>;

/// What is kept of the story of a run. What is not wanted costs nothing.
pub struct Tracing {
    tail: usize,
    fingerprint: bool,
    sink: Option<LineSink>,
}

impl Tracing {
    /// Nothing is kept: for many seeds, of which those that fail are run again.
    pub fn off() -> Tracing {
        Tracing { tail: 0, fingerprint: false, sink: None }
    }

    /// The last [`TAIL_LINES`] lines are kept for a failure, unformatted and so at the price of a
    /// copied message per line. This is the default.
    pub fn tail() -> Tracing {
        Tracing { tail: TAIL_LINES, ..Tracing::off() }
    }

    /// Every line goes to `sink` as it happens, so that it is there even if a node panics; the last
    /// lines are kept too.
    pub fn full(sink: impl FnMut(&str) + 'static) -> Tracing {
        Tracing { sink: Some(Box::new(sink)), ..Tracing::tail() }
    }

    /// How many lines are kept for a failure.
    pub fn lines(self, tail: usize) -> Tracing {
        Tracing { tail, ..self }
    }

    /// For a scenario that is not a [`Simulation`](super::Simulation) and has a story of its own:
    /// hands the lines to whoever wants them, and gives their fingerprint if it is wanted.
    pub fn tell<'a>(mut self, story: impl IntoIterator<Item = &'a str>) -> Option<u64> {
        let mut hash = Fnv::new();
        for line in story {
            if self.fingerprint {
                hash.add(line.as_bytes());
                hash.add(b"\n");
            }
            if let Some(sink) = &mut self.sink {
                sink(line);
            }
        }
        self.fingerprint.then_some(hash.0)
    }

    /// Also computes a fingerprint of all lines, by which two runs are compared. It costs what
    /// writing the lines costs.
    pub fn fingerprint(self) -> Tracing {
        Tracing { fingerprint: true, ..self }
    }
}

impl Default for Tracing {
    /// [`Tracing::tail`].
    fn default() -> Self {
        Tracing::tail()
    }
}

impl Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing")
            .field("tail", &self.tail)
            .field("fingerprint", &self.fingerprint)
            .field("sink", &self.sink.is_some())
            .finish()
    }
}

pub(super) struct Trace<M> {
    tracing: Tracing,
    /// The last lines, at most `tracing.tail`.
    ring: VecDeque<Line<M>>,
    hash: Fnv,
    /// Room for a line that is being written.
    text: String,
}

impl<M: Debug> Trace<M> {
    pub(super) fn new(tracing: Tracing) -> Self {
        Trace { tracing, ring: VecDeque::new(), hash: Fnv::new(), text: String::new() }
    }

    /// Whether lines go anywhere. Ask before one is made.
    pub(super) fn is_on(&self) -> bool {
        self.tracing.tail > 0 || self.tracing.fingerprint || self.tracing.sink.is_some()
    }

    pub(super) fn add(&mut self, line: Line<M>) {
        if self.tracing.fingerprint || self.tracing.sink.is_some() {
            self.text.clear();
            // Writing into a string never fails.
            let _ = write!(self.text, "{line}");
            if self.tracing.fingerprint {
                self.hash.add(self.text.as_bytes());
                self.hash.add(b"\n");
            }
            if let Some(sink) = &mut self.tracing.sink {
                sink(&self.text);
            }
        }
        if self.tracing.tail > 0 {
            if self.ring.len() == self.tracing.tail {
                self.ring.pop_front();
            }
            self.ring.push_back(line);
        }
    }

    pub(super) fn tail(&self) -> Vec<String> {
        self.ring.iter().map(Line::to_string).collect()
    }

    pub(super) fn fingerprint(&self) -> Option<u64> {
        self.tracing.fingerprint.then_some(self.hash.0)
    }
}

/// FNV-1a of 64 bits: cheap, and the same on every machine and in every version of the compiler, so
/// that a test may hold a fingerprint fast. <http://www.isthe.com/chongo/tech/comp/fnv/>
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::NodeIndex;
    use crate::sim::time::VirtualTime;

    fn note(at: u64, text: &str) -> Line<()> {
        let what = What::Note(text.to_owned());
        Line { at: VirtualTime(at), node: Some(NodeIndex(1)), what }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        let mut hash = Fnv::new();
        hash.add(b"foobar");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut trace = Trace::new(Tracing::tail().lines(2));
        ["a", "b", "c"].into_iter().for_each(|text| trace.add(note(1_500_000_000, text)));
        assert_eq!(trace.tail(), ["1.500000000 n1 notes: b", "1.500000000 n1 notes: c"]);
        assert_eq!(trace.fingerprint(), None);
    }

    #[test]
    fn the_fingerprint_is_that_of_the_text() {
        let print = |lines: &[(u64, &str)]| {
            let mut trace = Trace::new(Tracing::off().fingerprint());
            lines.iter().for_each(|(at, text)| trace.add(note(*at, text)));
            trace.fingerprint()
        };
        assert_eq!(print(&[(1, "a"), (2, "b")]), print(&[(1, "a"), (2, "b")]));
        assert_ne!(print(&[(1, "a"), (2, "b")]), print(&[(1, "a"), (3, "b")]));
        assert_ne!(print(&[(1, "a"), (2, "b")]), print(&[(2, "b"), (1, "a")]));
    }
}
