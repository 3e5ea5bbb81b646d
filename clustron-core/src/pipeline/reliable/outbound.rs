//! What was given down and is not acknowledged: a shelf of copies, in the order of their numbers.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::pipeline::Packet;

/// So many later packets must have arrived for an earlier one to be taken for lost (RFC 6675's
/// DupThresh).
const OVERTAKEN_BY: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Never sent.
    New,
    /// Sent, and nothing is known of it.
    Flying,
    /// Sent, and to be sent again.
    Lost,
    /// The other end has it, and waits for one before it.
    Received,
}

#[derive(Debug)]
struct Kept {
    packet: Packet,
    state: State,
    sent_at: Duration,
    /// Whether it was sent more than once.
    again: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Outbound {
    packets_max: u64,
    /// The number of the first copy: all before are acknowledged.
    first: u64,
    copies: VecDeque<Kept>,
    /// The first number that was never sent.
    new: u64,
    lost: BTreeSet<u64>,
    flying: usize,
    bytes: usize,
    /// How often a packet was sent that had been sent before.
    resent: u64,
}

/// What an acknowledgement told.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Whether there was anything new in it.
    pub(super) any: bool,
    /// The messages that the other end has now entirely.
    pub(super) confirmed: Vec<u64>,
    /// When the last of what is acknowledged now and was sent only once was sent.
    pub(super) sent_at: Option<Duration>,
}

impl Outbound {
    pub(super) fn new(packets_max: u64) -> Self {
        Self {
            packets_max,
            first: 0,
            copies: VecDeque::new(),
            new: 0,
            lost: BTreeSet::new(),
            flying: 0,
            bytes: 0,
            resent: 0,
        }
    }

    pub(super) fn push(&mut self, packet: Packet) {
        self.bytes += packet.cost();
        let (state, sent_at) = (State::New, Duration::ZERO);
        self.copies.push_back(Kept { packet, state, sent_at, again: false });
    }

    /// What is to be sent next, with its number: what was lost goes first.
    pub(super) fn next(&mut self, now: Duration) -> Option<(u64, Packet)> {
        let number = match self.lost.pop_first() {
            Some(number) => number,
            None if self.has_new() => {
                self.new += 1;
                self.new - 1
            }
            None => return None,
        };
        let copy = &mut self.copies[(number - self.first) as usize];
        copy.again = copy.state == State::Lost;
        self.resent += u64::from(copy.again);
        (copy.state, copy.sent_at) = (State::Flying, now);
        self.flying += 1;
        Some((number, copy.packet.clone()))
    }

    /// The other end has all before `expected`, and what lies in the ranges.
    pub(super) fn acknowledge(
        &mut self,
        expected: u64,
        ranges: &[Range<u64>],
    ) -> Result<News, String> {
        let ends = ranges.iter().map(|range| range.end).chain([expected]);
        if let Some(end) = ends.max().filter(|end| *end > self.new) {
            return Err(format!(
                "the other end has received {end} packets, only {} were sent",
                self.new
            ));
        }
        let mut news = News::default();
        while self.first < expected {
            let first = self.first;
            self.received(first, &mut news);
            self.first += 1;
            if let Some(copy) = self.copies.pop_front() {
                self.bytes -= copy.packet.cost();
                news.any = true;
                news.confirmed.extend(copy.packet.completes());
            }
        }
        let mut latest = None;
        for range in ranges {
            for number in range.start.max(self.first)..range.end {
                self.received(number, &mut news);
                latest = latest.max(Some(number));
            }
        }
        for number in self.first..latest.unwrap_or(0).saturating_sub(OVERTAKEN_BY - 1) {
            // What was sent again and is overtaken once more waits for the timer: those that
            // overtake it may have been sent before.
            if !self.copies[(number - self.first) as usize].again {
                self.lose(number);
            }
        }
        Ok(news)
    }

    /// Takes all that is on its way for lost.
    pub(super) fn lose_all(&mut self) {
        (self.first..self.new).for_each(|number| self.lose(number));
    }

    /// Whether an acknowledgement may come.
    pub(super) fn is_flying(&self) -> bool {
        self.flying > 0
    }

    /// Whether there is something to be sent.
    pub(super) fn has_more(&self) -> bool {
        !self.lost.is_empty() || self.has_new()
    }

    /// Whether something is to be sent again.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.copies.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn resent(&self) -> u64 {
        self.resent
    }

    /// The messages that are complete only with what was never sent.
    pub(super) fn unsent(&self) -> Vec<u64> {
        let new = self.copies.iter().filter(|copy| copy.state == State::New);
        new.filter_map(|copy| copy.packet.completes()).collect()
    }

    fn has_new(&self) -> bool {
        let end = self.first + self.copies.len() as u64;
        self.new < end.min(self.first + self.packets_max)
    }

    fn received(&mut self, number: u64, news: &mut News) {
        let copy = &mut self.copies[(number - self.first) as usize];
        match copy.state {
            State::Flying => {
                self.flying -= 1;
                if !copy.again {
                    news.sent_at = news.sent_at.max(Some(copy.sent_at));
                }
            }
            State::Lost => {
                self.lost.remove(&number);
            }
            State::Received | State::New => return,
        }
        copy.state = State::Received;
        news.any = true;
    }

    fn lose(&mut self, number: u64) {
        let copy = &mut self.copies[(number - self.first) as usize];
        if copy.state == State::Flying {
            copy.state = State::Lost;
            self.flying -= 1;
            self.lost.insert(number);
        }
    }
}
