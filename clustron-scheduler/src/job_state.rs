//! One job as the cluster agrees on it: cursor, open ticks, history, counters.

use std::collections::{BTreeMap, VecDeque};

use clustron_core::{Epoch, FencingToken, NodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::firing::{
    ERROR_BYTES_MAX, Firing, LateResult, MissReason, Outcome, SkipReason, bounded,
};
use crate::job::{JobSpec, Overlap};
use crate::message::{Rejection, Reply, Run, RunResult, Seen, Start};

/// One job: what it is, how far it has come, and what became of its ticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    spec: JobSpec,
    generation: u64,
    /// When it was first defined: ticks strictly after it are due.
    since: Timestamp,
    /// Every tick up to here is claimed or missed, and none after it. It never falls.
    cursor: Timestamp,
    /// How many ticks were opened under this schedule: those that count for how often it is to run.
    runs: u64,
    open: BTreeMap<Timestamp, Firing>,
    /// In the order of closing, oldest first.
    history: VecDeque<Firing>,
    /// The weight of the history.
    history_bytes: u64,
    counters: Counters,
}

/// Counts over a job's whole life, over all generations.
///
/// At any time `claimed == ran + failed + skipped + missed + open`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Ticks that were taken, missed ones among them.
    pub claimed: u64,
    /// Ticks that ended well.
    pub ran: u64,
    /// Ticks that ended with an error.
    pub failed: u64,
    /// Ticks that the overlap rule kept from starting.
    pub skipped: u64,
    /// Ticks that the misfire rule gave up; a range counts each of its ticks.
    pub missed: u64,
    /// Ticks that wait or run now.
    pub open: u64,
    /// Attempts that were granted.
    pub attempts: u64,
    /// Results of replaced attempts. A repeated one may count again once the tick keeps no more.
    pub late_results: u64,
}

impl Job {
    pub(crate) fn new(spec: JobSpec, generation: u64, cursor: Timestamp) -> Self {
        Self {
            spec,
            generation,
            since: cursor,
            cursor,
            runs: 0,
            open: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            counters: Counters::default(),
        }
    }

    /// Changes the job, if it is as the leader saw it. The leader has claimed the ticks of the
    /// present schedule that are due by `at`: dropping them would lose them, and firing the new
    /// schedule from the old cursor would invent ticks of a time when it was not in force. Open
    /// ticks run on to their outcome.
    pub(crate) fn redefine(
        &mut self,
        spec: JobSpec,
        generation: u64,
        at: Timestamp,
        seen: Option<Seen>,
    ) -> Result<(), Rejection> {
        match seen {
            Some(seen) if seen == self.seen() => {}
            Some(seen) if seen.generation == self.generation => {
                return Err(Rejection::CursorMoved { cursor: self.cursor });
            }
            _ => return Err(Rejection::StaleGeneration { current: self.generation }),
        }
        if spec.schedule != self.spec.schedule {
            self.runs = 0;
        }
        self.spec = spec;
        self.generation = generation;
        // `at` may lie before the cursor if the clock went back: the cursor stays.
        self.cursor = self.cursor.max(at);
        self.trim_history();
        Ok(())
    }

    /// Takes the tick and decides by the overlap rule what happens to it.
    pub(crate) fn claim(
        &mut self,
        mut firing: Firing,
        after: Timestamp,
        worker: Option<NodeId>,
    ) -> Result<Reply, Rejection> {
        self.check_step(firing.generation, after, firing.scheduled)?;
        let token = firing.claim_token;
        self.cursor = firing.scheduled;
        self.counters.claimed += 1;
        let start = match (self.start_rule(), worker) {
            (Start::Running { .. }, Some(worker)) => {
                self.counters.attempts += 1;
                let epoch = firing.epoch;
                firing.grant(worker, token.0, epoch, None);
                Start::Running { worker }
            }
            (Start::Skipped { reason }, _) => {
                self.counters.skipped += 1;
                firing.outcome = Some(Outcome::Skipped { reason });
                self.remember(firing);
                return Ok(Reply::Claimed { token, start: Start::Skipped { reason } });
            }
            _ => Start::Waiting,
        };
        self.counters.open += 1;
        self.runs += 1;
        self.open.insert(firing.scheduled, firing);
        Ok(Reply::Claimed { token, start })
    }

    /// Takes a range of ticks as missed, in one record.
    pub(crate) fn miss(
        &mut self,
        mut firing: Firing,
        after: Timestamp,
        until: Timestamp,
        count: u64,
        reason: MissReason,
    ) -> Result<Reply, Rejection> {
        self.check_step(firing.generation, after, firing.scheduled)?;
        // Instants are whole milliseconds, so a range holds no more ticks than that. It also bounds
        // the counters: all ranges together are no longer than time itself.
        let span_ms = until.unix_ms().abs_diff(firing.scheduled.unix_ms());
        if until < firing.scheduled || count == 0 || count - 1 > span_ms {
            return Err(Rejection::BadRange);
        }
        self.cursor = until;
        self.counters.claimed += count;
        self.counters.missed += count;
        firing.outcome = Some(Outcome::Missed { reason, until, count });
        self.remember(firing);
        Ok(Reply::Missed { count })
    }

    /// Grants the next attempt at an open tick.
    pub(crate) fn assign(
        &mut self,
        scheduled: Timestamp,
        after: Option<FencingToken>,
        worker: NodeId,
        (token, epoch): (u64, Epoch),
        why: String,
    ) -> Result<Reply, Rejection> {
        let found = self.firing(scheduled).ok_or(Rejection::UnknownTick)?;
        let (newest, closed) = (found.token, found.outcome.is_some());
        if closed || newest != after {
            return Err(Rejection::AttemptChanged { newest, closed });
        }
        if newest.is_none() && !self.may_start(scheduled) {
            return Err(Rejection::NotItsTurn);
        }
        let firing = self.open.get_mut(&scheduled).ok_or(Rejection::UnknownTick)?;
        firing.grant(worker, token, epoch, Some(why));
        let attempt = firing.attempts;
        self.counters.attempts += 1;
        Ok(Reply::Assigned { token: FencingToken(token), attempt })
    }

    /// Closes a tick by the result of its newest attempt; any other is late or was never granted.
    pub(crate) fn finish(
        &mut self,
        scheduled: Timestamp,
        mut result: LateResult,
    ) -> Result<Reply, Rejection> {
        if let RunResult::Failed { error } = result.result {
            result.result = RunResult::Failed { error: bounded(error, ERROR_BYTES_MAX) };
        }
        let newest = self.firing(scheduled).ok_or(Rejection::UnknownTick)?.token;
        if newest == Some(result.token) {
            return Ok(match self.open.remove(&scheduled) {
                Some(firing) => self.close(firing, result),
                None => Reply::AlreadyFinished,
            });
        }
        let firing = match self.open.get_mut(&scheduled) {
            Some(firing) => Some(firing),
            None => self.history.iter_mut().rev().find(|f| f.scheduled == scheduled),
        };
        let firing = firing.ok_or(Rejection::UnknownTick)?;
        if !firing.is_replaced(result.token) {
            return Err(Rejection::NeverGranted);
        }
        let before = firing.weight();
        if firing.keep_late(result) {
            if firing.outcome.is_some() {
                self.history_bytes += firing.weight() - before;
            }
            self.counters.late_results = self.counters.late_results.saturating_add(1);
        }
        Ok(Reply::Superseded)
    }

    /// Forgets the oldest closed ticks until `bytes` are free or one is left.
    pub(crate) fn shed_history(&mut self, bytes: u64) {
        let enough = self.history_bytes.saturating_sub(bytes);
        while self.history_bytes > enough && self.history.len() > 1 {
            self.forget_oldest();
        }
    }

    /// How much of a snapshot the history may take, in bytes.
    pub(crate) fn history_bytes(&self) -> u64 {
        self.history_bytes
    }

    /// What the job is.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// The token of its last change: it rises with each.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When it was first defined: ticks strictly after it are due.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Every tick up to here is claimed or missed, and none after it. It never falls.
    pub fn cursor(&self) -> Timestamp {
        self.cursor
    }

    /// Counts over the job's whole life.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The next tick to claim; `None` if the schedule has ended, or the job has run as often as it
    /// is to.
    ///
    /// Computed with this node's clock changes ([`crate::Zone::tables`]): of all nodes the leader's
    /// answer counts.
    pub fn next_tick(&self) -> Option<Timestamp> {
        match self.runs_left() {
            Some(0) => None,
            _ => self.spec.schedule.next_after(self.cursor),
        }
    }

    /// When the next tick is to be claimed: its instant, and the jitter of the schedule.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_tick().map(|tick| self.spec.schedule.due_at(&self.spec.name, tick))
    }

    /// How often the job still runs under this schedule; `None` if it has no limit. Ticks that were
    /// missed or skipped do not count.
    pub fn runs_left(&self) -> Option<u64> {
        self.spec.schedule.times_max().map(|times| times.saturating_sub(self.runs))
    }

    /// How far the job is.
    pub fn seen(&self) -> Seen {
        Seen { generation: self.generation, cursor: self.cursor }
    }

    /// The ticks that wait or run, in the order of their instants.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Firing> + ExactSizeIterator {
        self.open.values()
    }

    /// The closed ticks that are kept, the one closed last first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Firing> + ExactSizeIterator {
        self.history.iter().rev()
    }

    /// Whether the tick was claimed and has no outcome yet.
    pub fn is_open(&self, scheduled: Timestamp) -> bool {
        self.open.contains_key(&scheduled)
    }

    /// The record of one tick, open or closed and kept. A missed range is found by its first.
    pub fn firing(&self, scheduled: Timestamp) -> Option<&Firing> {
        self.open
            .get(&scheduled)
            .or_else(|| self.history.iter().rev().find(|f| f.scheduled == scheduled))
    }

    /// The waiting ticks that may start now, given a worker.
    pub fn startable(&self) -> impl Iterator<Item = &Firing> {
        let side_by_side = matches!(self.spec.overlap, Overlap::Allow { .. });
        let most = match side_by_side {
            true => usize::MAX,
            false if self.open.values().any(Firing::is_running) => 0,
            false => 1,
        };
        self.open.values().filter(|firing| firing.is_waiting()).take(most)
    }

    /// The order to run a tick's newest attempt, and for whom; `None` if it does not run.
    pub fn run(&self, scheduled: Timestamp) -> Option<(NodeId, Run)> {
        let firing = self.open.get(&scheduled)?;
        let (worker, token) = (firing.worker?, firing.token?);
        let run = Run {
            job: self.spec.name.clone(),
            generation: firing.generation,
            scheduled,
            token,
            attempt: firing.attempts,
            epoch: firing.epoch,
        };
        Some((worker, run))
    }

    /// Who runs the tick now.
    pub(crate) fn runs_on(&self, scheduled: Timestamp) -> Option<NodeId> {
        self.open.get(&scheduled)?.worker
    }

    /// The cursor moves only from where the leader saw it, and only forwards. Without the first a
    /// claim that overtakes another would leave the other's tick behind for ever.
    fn check_step(
        &self,
        generation: u64,
        after: Timestamp,
        next: Timestamp,
    ) -> Result<(), Rejection> {
        if generation != self.generation {
            Err(Rejection::StaleGeneration { current: self.generation })
        } else if after != self.cursor {
            Err(Rejection::CursorMoved { cursor: self.cursor })
        } else if next <= self.cursor {
            Err(Rejection::BadRange)
        } else if self.runs_left() == Some(0) {
            Err(Rejection::TimesUp { times: self.runs })
        } else {
            Ok(())
        }
    }

    /// Whether a tick claimed now may run (the worker is a placeholder), waits or is skipped.
    fn start_rule(&self) -> Start {
        let open = self.open.len();
        let full = |max: u32, count: usize| count >= max as usize;
        let waiting = || self.open.values().filter(|firing| firing.is_waiting()).count();
        match self.spec.overlap {
            Overlap::Allow { max } if full(max, open) => {
                Start::Skipped { reason: SkipReason::TooManyOpen }
            }
            Overlap::Skip if open > 0 => Start::Skipped { reason: SkipReason::Overlap },
            Overlap::BufferAll { max } if open > 0 && full(max, waiting()) => {
                Start::Skipped { reason: SkipReason::BufferFull }
            }
            Overlap::BufferAll { .. } if open > 0 => Start::Waiting,
            Overlap::Allow { .. } | Overlap::Skip | Overlap::BufferAll { .. } => {
                Start::Running { worker: NodeId::default() }
            }
        }
    }

    fn may_start(&self, scheduled: Timestamp) -> bool {
        self.startable().any(|firing| firing.scheduled == scheduled)
    }

    fn close(&mut self, mut firing: Firing, result: LateResult) -> Reply {
        self.counters.open = self.counters.open.saturating_sub(1);
        firing.outcome = Some(match result.result {
            RunResult::Ran => {
                self.counters.ran += 1;
                Outcome::Ran
            }
            RunResult::Failed { error } => {
                self.counters.failed += 1;
                Outcome::Failed { error }
            }
        });
        firing.started = Some(result.started);
        firing.finished = Some(result.finished);
        self.remember(firing);
        Reply::Finished
    }

    fn remember(&mut self, firing: Firing) {
        self.history_bytes += firing.weight();
        self.history.push_back(firing);
        self.trim_history();
    }

    fn trim_history(&mut self) {
        while self.history.len() > self.spec.history as usize {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let weight = self.history.pop_front().map_or(0, |firing| firing.weight());
        self.history_bytes = self.history_bytes.saturating_sub(weight);
    }
}

#[cfg(test)]
impl Job {
    /// A deliberate defect for the proof that the simulation's oracle sees it.
    pub(crate) fn set_cursor(&mut self, cursor: Timestamp) {
        self.cursor = cursor;
    }
}
