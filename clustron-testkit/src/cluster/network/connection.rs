//! One stream between two processes: a pipe in each direction.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::task::Waker;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::link::RESEND_AFTER;

/// Bytes under way or unread in one direction before a writer waits, like a socket buffer.
const PIPE_BYTES: usize = 256 << 10;

/// How long a direction may be blocked before both ends give the stream up, as the TCP transport
/// has the system do.
const UNANSWERED_MAX: Duration = Duration::from_secs(10);

/// See the module's documentation. End 0 opened it, end 1 accepted it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) hosts: [String; 2],
    pub(super) processes: [u64; 2],
    /// By the end that writes.
    pipes: [Pipe; 2],
    ends: [End; 2],
}

#[derive(Debug, Default)]
struct End {
    /// Nobody reads or writes here any more.
    released: bool,
    broken: Option<ErrorKind>,
}

#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// Nothing arrives before what was sent before it.
    arrived_last: Option<Instant>,
    /// When the end of the stream arrives.
    finished: Option<Instant>,
    blocked_since: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What a reader finds.
pub(super) enum Found {
    /// Bytes were put into the buffer, or the end is reached.
    Something,
    /// Nothing before that time, unless the waker is called.
    NothingUntil(Option<Instant>),
}

impl Connection {
    pub(super) fn new(hosts: [String; 2], processes: [u64; 2]) -> Self {
        Self { hosts, processes, pipes: Default::default(), ends: Default::default() }
    }

    pub(super) fn joins(&self, a: &str, b: &str) -> bool {
        let [one, other] = &self.hosts;
        (one == a && other == b) || (one == b && other == a)
    }

    /// How many bytes an end may write now; zero when it has to wait for the waker.
    pub(super) fn writable(
        &mut self,
        end: usize,
        now: Instant,
        waker: &Waker,
    ) -> io::Result<usize> {
        self.check(end, now)?;
        // The other side is gone, and this side has been told so.
        if self.is_gone(1 - end) && self.pipes[1 - end].is_finished(now) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let pipe = &mut self.pipes[end];
        if pipe.finished.is_some() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let free = PIPE_BYTES.saturating_sub(pipe.bytes);
        if free == 0 {
            pipe.writer = Some(waker.clone());
        }
        Ok(free)
    }

    /// Puts a piece on its way.
    pub(super) fn write(&mut self, end: usize, arrives: Instant, piece: Vec<u8>) {
        // What nobody will read is gone when it arrives.
        if self.is_gone(1 - end) {
            return;
        }
        let pipe = &mut self.pipes[end];
        let arrives = pipe.arrived_last.map_or(arrives, |last| last.max(arrives));
        pipe.arrived_last = Some(arrives);
        pipe.bytes += piece.len();
        pipe.pieces.push_back((arrives, piece.into()));
        wake(&mut pipe.reader);
    }

    /// Takes what has arrived at an end.
    pub(super) fn read(
        &mut self,
        end: usize,
        now: Instant,
        buf: &mut ReadBuf<'_>,
        waker: &Waker,
    ) -> io::Result<Found> {
        self.check(end, now)?;
        if buf.remaining() == 0 {
            return Ok(Found::Something);
        }
        let give_up_at = self.give_up_at();
        let pipe = &mut self.pipes[1 - end];
        let before = buf.filled().len();
        while buf.remaining() > 0
            && let Some((arrives, piece)) = pipe.pieces.front_mut()
            && pipe.blocked_since.is_none_or(|since| *arrives < since)
            && *arrives <= now
        {
            let taken = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..taken]);
            piece.advance(taken);
            pipe.bytes -= taken;
            if piece.is_empty() {
                pipe.pieces.pop_front();
            }
        }
        if buf.filled().len() > before {
            wake(&mut pipe.writer);
            return Ok(Found::Something);
        }
        if pipe.pieces.is_empty() && pipe.is_finished(now) {
            return Ok(Found::Something);
        }
        pipe.reader = Some(waker.clone());
        let next = pipe.pieces.front().map(|(arrives, _)| *arrives).or(pipe.finished);
        let next = next.filter(|at| pipe.blocked_since.is_none_or(|since| *at < since));
        Ok(Found::NothingUntil(next.into_iter().chain(give_up_at).min()))
    }

    /// No more is written by an end; the other learns of it then.
    pub(super) fn finish(&mut self, end: usize, arrives: Instant) {
        let pipe = &mut self.pipes[end];
        if pipe.finished.is_none() {
            let arrives = pipe.arrived_last.map_or(arrives, |last| last.max(arrives));
            pipe.finished = Some(arrives);
            wake(&mut pipe.reader);
        }
    }

    /// Nobody uses an end any more. Whether nobody uses the other either.
    pub(super) fn release(&mut self, end: usize) -> bool {
        self.ends[end].released = true;
        let incoming = &mut self.pipes[1 - end];
        incoming.pieces.clear();
        incoming.bytes = 0;
        wake(&mut incoming.writer);
        self.ends.iter().all(|end| end.released)
    }

    /// What an end had under way is lost, as when its host loses its power.
    pub(super) fn lose(&mut self, end: usize, now: Instant) {
        let pipe = &mut self.pipes[end];
        pipe.pieces.retain(|(arrives, _)| *arrives < now);
        pipe.bytes = pipe.pieces.iter().map(|(_, piece)| piece.len()).sum();
    }

    pub(super) fn break_end(&mut self, end: usize, why: ErrorKind) {
        self.ends[end].broken.get_or_insert(why);
        wake(&mut self.pipes[end].writer);
        wake(&mut self.pipes[1 - end].reader);
    }

    pub(super) fn break_both(&mut self, why: ErrorKind) {
        self.break_end(0, why);
        self.break_end(1, why);
    }

    /// Says which directions are blocked now, by the end that writes, and how long a piece that is
    /// sent again takes.
    pub(super) fn set_blocked(&mut self, now: Instant, blocked: [bool; 2], latency: [Duration; 2]) {
        for (end, pipe) in self.pipes.iter_mut().enumerate() {
            match (pipe.blocked_since, blocked[end]) {
                (None, true) => pipe.blocked_since = Some(now),
                (Some(since), false) => pipe.unblock(since, now, latency[end]),
                (None, false) | (Some(_), true) => continue,
            }
            // Each direction counts for both ends.
            wake(&mut pipe.reader);
        }
        wake(&mut self.pipes[0].reader);
        wake(&mut self.pipes[1].reader);
    }

    fn is_gone(&self, end: usize) -> bool {
        self.ends[end].released || self.ends[end].broken.is_some()
    }

    fn give_up_at(&self) -> Option<Instant> {
        self.pipes.iter().filter_map(|pipe| pipe.blocked_since).min().map(|at| at + UNANSWERED_MAX)
    }

    fn check(&mut self, end: usize, now: Instant) -> io::Result<()> {
        if self.give_up_at().is_some_and(|at| at <= now) {
            self.break_both(ErrorKind::TimedOut);
        }
        self.ends[end].broken.map_or(Ok(()), |why| Err(why.into()))
    }
}

impl Pipe {
    fn is_finished(&self, now: Instant) -> bool {
        let open = |at: Instant| self.blocked_since.is_none_or(|since| at < since);
        self.finished.is_some_and(|at| at <= now && open(at))
    }

    /// What was under way when the block began, or was sent since, arrives with the first attempt
    /// to send it again after the end of the block.
    fn unblock(&mut self, since: Instant, now: Instant, latency: Duration) {
        self.blocked_since = None;
        let (mut attempt, mut wait) = (since, RESEND_AFTER);
        while attempt < now {
            attempt += wait;
            wait *= 2;
        }
        let earliest = attempt + latency;
        let late = |at: &mut Instant| {
            if *at >= since {
                *at = (*at).max(earliest);
            }
        };
        self.pieces.iter_mut().for_each(|(at, _)| late(at));
        self.finished.iter_mut().for_each(late);
        self.arrived_last.iter_mut().for_each(late);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
