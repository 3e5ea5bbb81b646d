//! What each command does to a job.

use bytes::Bytes;
use clustron_core::{Epoch, FencingToken, NodeId, Timestamp};

use super::{Job, Paused};
use crate::firing::{
    ERROR_BYTES_MAX, Firing, LateResult, MissReason, Outcome, SkipReason, WHY_BYTES_MAX, bounded,
};
use crate::job::{JobSpec, OPEN_TICKS_MAX, Overlap};
use crate::message::{Rejection, Reply, RunResult, Seen, Start};
use crate::tick::TickId;

/// The most bytes that an attempt may leave for the next one.
pub const KEPT_BYTES_MAX: usize = 4 << 10;

impl Job {
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
            Some(seen) => self.check_seen(seen)?,
            None => return Err(Rejection::StaleGeneration { current: self.generation }),
        }
        if spec.schedule != self.spec.schedule && self.active().runs > 0 {
            self.active_mut().runs = 0;
        }
        self.spec = spec;
        self.generation = generation;
        self.pass(at);
        self.trim_history();
        Ok(())
    }

    /// Stops taking ticks after `at`.
    pub(crate) fn pause(
        &mut self,
        at: Timestamp,
        seen: Seen,
        note: String,
    ) -> Result<Reply, Rejection> {
        self.check_seen(seen)?;
        self.pass(at);
        let since = self.active().paused.as_ref().map_or(at, |paused| paused.since);
        self.active_mut().paused =
            Some(Box::new(Paused { since, note: bounded(note, WHY_BYTES_MAX) }));
        Ok(Reply::Changed)
    }

    /// Takes ticks again after `at`. The failures that may have paused it are forgotten.
    pub(crate) fn resume(&mut self, at: Timestamp, seen: Seen) -> Result<Reply, Rejection> {
        self.check_seen(seen)?;
        self.pass(at);
        self.active_mut().paused = None;
        self.active_mut().failures_in_a_row = 0;
        Ok(Reply::Changed)
    }

    /// Takes the tick and decides by the overlap rule what happens to it.
    pub(crate) fn claim(
        &mut self,
        mut firing: Firing,
        after: Timestamp,
        worker: Option<NodeId>,
    ) -> Result<Reply, Rejection> {
        self.check_step(firing.generation, after, firing.scheduled)?;
        if self.active().paused.is_some() {
            return Err(Rejection::Paused);
        }
        let token = firing.claim_token;
        self.cursor = firing.scheduled;
        self.active_mut().counters.claimed += 1;
        if self.spec.overlap == Overlap::CancelOther {
            self.cancel_others();
        }
        if let Some(reason) = self.skip_rule() {
            self.active_mut().counters.skipped += 1;
            firing.outcome = Some(Outcome::Skipped { reason });
            self.remember(firing);
            return Ok(Reply::Claimed { token, start: Start::Skipped { reason } });
        }
        self.active_mut().runs += 1;
        Ok(Reply::Claimed { token, start: self.admit(firing, worker) })
    }

    /// Adds a tick that the schedule does not ask for. No rule skips it: it starts when it may.
    pub(crate) fn ask(
        &mut self,
        mut firing: Firing,
        worker: Option<NodeId>,
    ) -> Result<Reply, Rejection> {
        if self.active().open.len() >= OPEN_TICKS_MAX as usize {
            return Err(Rejection::TooManyOpen { open: OPEN_TICKS_MAX });
        }
        firing.asked = Some(firing.claim_token);
        firing.generation = self.generation;
        self.active_mut().counters.asked += 1;
        let tick = firing.id();
        Ok(Reply::Asked { tick, start: self.admit(firing, worker) })
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
        if self.active().paused.is_some() != (reason == MissReason::Paused) {
            // It was paused or resumed since the leader looked.
            return Err(Rejection::StaleGeneration { current: self.generation });
        }
        // Instants are whole milliseconds, so a range holds no more ticks than that. It also bounds
        // the counters: all ranges together are no longer than time itself.
        let span_ms = until.unix_ms().abs_diff(firing.scheduled.unix_ms());
        if until < firing.scheduled || count == 0 || count - 1 > span_ms {
            return Err(Rejection::BadRange);
        }
        self.cursor = until;
        self.active_mut().counters.claimed += count;
        self.active_mut().counters.missed += count;
        firing.outcome = Some(Outcome::Missed { reason, until, count });
        self.remember(firing);
        Ok(Reply::Missed { count })
    }

    /// Grants the next attempt at an open tick.
    pub(crate) fn assign(
        &mut self,
        tick: TickId,
        after: Option<FencingToken>,
        worker: NodeId,
        (token, epoch): (u64, Epoch),
        why: String,
    ) -> Result<Reply, Rejection> {
        let found = self.firing(tick).ok_or(Rejection::UnknownTick)?;
        let (newest, closed) = (found.token, found.outcome.is_some());
        if closed || newest != after {
            return Err(Rejection::AttemptChanged { newest, closed });
        }
        if found.is_waiting() && !self.may_start(tick) {
            return Err(Rejection::NotItsTurn);
        }
        let firing = self.active_mut().open.get_mut(&tick).ok_or(Rejection::UnknownTick)?;
        firing.grant(worker, token, epoch, Some(why));
        let attempt = firing.attempts;
        self.active_mut().counters.attempts += 1;
        Ok(Reply::Assigned { token: FencingToken(token), attempt })
    }

    /// Closes a tick by the result of its newest attempt, or has it wait for another; any other
    /// result is late or was never granted.
    pub(crate) fn finish(
        &mut self,
        tick: TickId,
        mut result: LateResult,
        kept: Option<Bytes>,
    ) -> Result<Reply, Rejection> {
        if let RunResult::Failed { error } = result.result {
            result.result = RunResult::Failed { error: bounded(error, ERROR_BYTES_MAX) };
        }
        let found = self.firing(tick).ok_or(Rejection::UnknownTick)?;
        if found.token == Some(result.token) {
            // One that waits for its next attempt has had this one's result.
            if !found.is_running() {
                return Ok(Reply::AlreadyFinished);
            }
            if kept.as_ref().is_some_and(|kept| kept.len() <= KEPT_BYTES_MAX) {
                self.active_mut().kept = kept;
            }
            return Ok(self.settle(tick, result));
        }
        let firing = match self.active_mut().open.get_mut(&tick) {
            Some(firing) => Some(firing),
            None => self.active_mut().history.iter_mut().rev().find(|firing| firing.id() == tick),
        };
        let firing = firing.ok_or(Rejection::UnknownTick)?;
        if result.token < firing.claim_token {
            // Of a job of this name that was deleted since.
            return Err(Rejection::UnknownTick);
        }
        if !firing.is_replaced(result.token) {
            return Err(Rejection::NeverGranted);
        }
        let before = firing.weight();
        if firing.keep_late(result) {
            if firing.outcome.is_some() {
                self.active_mut().history_bytes += firing.weight() - before;
            }
            self.active_mut().counters.late_results =
                self.active().counters.late_results.saturating_add(1);
        }
        Ok(Reply::Superseded)
    }

    /// Whether the job is as the leader saw it.
    pub(crate) fn check_seen(&self, seen: Seen) -> Result<(), Rejection> {
        if seen.generation != self.generation {
            Err(Rejection::StaleGeneration { current: self.generation })
        } else if seen != self.seen() {
            Err(Rejection::CursorMoved { cursor: self.cursor })
        } else {
            Ok(())
        }
    }

    /// No tick until `at` will be taken any more. It may lie before the cursor if the clock went
    /// back: the cursor stays.
    fn pass(&mut self, at: Timestamp) {
        self.cursor = self.cursor.max(at);
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
            Err(Rejection::TimesUp { times: self.active().runs })
        } else {
            Ok(())
        }
    }

    /// Why a tick claimed now is skipped, if it is.
    fn skip_rule(&self) -> Option<SkipReason> {
        let open = self.active().open.len();
        let waiting = || self.active().open.values().filter(|firing| firing.is_waiting()).count();
        match self.spec.overlap {
            Overlap::Allow { max } if open >= max as usize => Some(SkipReason::TooManyOpen),
            Overlap::Skip if open > 0 => Some(SkipReason::Overlap),
            Overlap::BufferAll { max } if open > 0 && waiting() >= max as usize => {
                Some(SkipReason::BufferFull)
            }
            _ => None,
        }
    }

    /// Opens a tick, and starts it if it may start now.
    fn admit(&mut self, mut firing: Firing, worker: Option<NodeId>) -> Start {
        self.active_mut().counters.open += 1;
        let side_by_side = matches!(self.spec.overlap, Overlap::Allow { .. });
        // What waits goes first; of a paused job only what was asked for goes at all.
        let goes = |other: &Firing| self.active().paused.is_none() || other.asked.is_some();
        let first = !self.active().open.values().any(|other| other.is_waiting() && goes(other));
        let its_turn = side_by_side || first;
        let running = self.active().open.values().filter(|other| other.is_running()).count();
        let start = match worker {
            Some(worker) if its_turn && running < self.spec.overlap.at_once() => {
                self.active_mut().counters.attempts += 1;
                let (token, epoch) = (firing.claim_token, firing.epoch);
                firing.grant(worker, token.0, epoch, None);
                Start::Running { worker }
            }
            _ => Start::Waiting,
        };
        self.active_mut().open.insert(firing.id(), firing);
        start
    }

    /// What runs is to stop, and what waits gives way: [`Overlap::CancelOther`]. What somebody
    /// asked for waits on.
    fn cancel_others(&mut self) {
        let gives_way = |firing: &Firing| firing.is_waiting() && firing.asked.is_none();
        let waiting: Vec<TickId> = self
            .active()
            .open
            .values()
            .filter(|firing| gives_way(firing))
            .map(Firing::id)
            .collect();
        for tick in waiting {
            if let Some(mut firing) = self.active_mut().open.remove(&tick) {
                self.active_mut().counters.open -= 1;
                self.active_mut().counters.skipped += 1;
                firing.outcome = Some(Outcome::Skipped { reason: SkipReason::Superseded });
                self.remember(firing);
            }
        }
        self.active_mut()
            .open
            .values_mut()
            .for_each(|firing| firing.cancelled = firing.is_running());
    }

    fn may_start(&self, tick: TickId) -> bool {
        self.startable().any(|firing| firing.id() == tick)
    }

    /// Takes the result of the newest attempt.
    fn settle(&mut self, tick: TickId, result: LateResult) -> Reply {
        let Some(mut firing) = self.active_mut().open.remove(&tick) else {
            return Reply::AlreadyFinished;
        };
        let outcome = match result.result {
            RunResult::Ran => Outcome::Ran,
            RunResult::Cancelled => Outcome::Cancelled,
            RunResult::Failed { error } => {
                // One that was told to stop is not tried again: a later tick is to come.
                if !firing.cancelled && firing.failures < self.spec.retry_policy().max {
                    firing.wait_for_retry(error);
                    let failures = firing.failures;
                    self.active_mut().open.insert(tick, firing);
                    return Reply::WillRetry { failures };
                }
                firing.failures = firing.failures.saturating_add(1);
                Outcome::Failed { error }
            }
        };
        self.active_mut().counters.open = self.active().counters.open.saturating_sub(1);
        match &outcome {
            Outcome::Failed { .. } => {
                self.active_mut().counters.failed += 1;
                self.note_failure(result.finished);
            }
            Outcome::Cancelled => self.active_mut().counters.cancelled += 1,
            _ => {
                self.active_mut().counters.ran += 1;
                self.active_mut().failures_in_a_row = 0;
            }
        }
        firing.outcome = Some(outcome);
        firing.started = Some(result.started);
        firing.finished = Some(result.finished);
        self.remember(firing);
        Reply::Finished
    }

    fn note_failure(&mut self, at: Timestamp) {
        self.active_mut().failures_in_a_row = self.active().failures_in_a_row.saturating_add(1);
        let most = self.spec.pauses_after();
        if most > 0 && self.active().failures_in_a_row >= most && self.active().paused.is_none() {
            let note = format!("{} ticks in a row have failed", self.active().failures_in_a_row);
            self.active_mut().paused = Some(Box::new(Paused { since: at, note }));
        }
    }

    fn remember(&mut self, firing: Firing) {
        self.active_mut().history_bytes += firing.weight();
        self.active_mut().history.push_back(firing);
        self.trim_history();
    }

    fn trim_history(&mut self) {
        while self.active().history.len() > self.spec.history as usize {
            self.forget_oldest();
        }
    }

    pub(super) fn forget_oldest(&mut self) {
        let weight = self.active_mut().history.pop_front().map_or(0, |firing| firing.weight());
        self.active_mut().history_bytes = self.active().history_bytes.saturating_sub(weight);
    }
}
