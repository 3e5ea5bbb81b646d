//! The record of one tick, from its claim to its outcome.

use clustron_core::{Epoch, FencingToken, NodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::message::RunResult;
use crate::tick::TickId;

/// The longest error text that is kept, in bytes; more is cut off.
pub const ERROR_BYTES_MAX: usize = 1_024;
/// The longest reason of a reassignment that is kept, in bytes; more is cut off.
pub const WHY_BYTES_MAX: usize = 256;
/// The most late results that one tick keeps; the job's counter counts them all.
pub const LATE_RESULTS_MAX: usize = 4;

/// One tick: claimed, perhaps waiting or running, and in the end with exactly one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// When it was due. For a missed range, the first.
    pub scheduled: Timestamp,
    /// The token of the command that asked for it; `None` if it is due by the schedule. With
    /// `scheduled` unique in its job over all generations.
    pub asked: Option<FencingToken>,
    /// The generation of the job that it belongs to.
    pub generation: u64,
    /// The token of the claim.
    pub claim_token: FencingToken,
    /// The leader's clock at the claim.
    pub claimed_at: Timestamp,
    /// The epoch of the leader that claimed it or, if later, that granted its newest attempt.
    pub epoch: Epoch,
    /// How many attempts were granted.
    pub attempts: u32,
    /// How many attempts have failed.
    pub failures: u32,
    /// Who has, or had, the newest attempt; `None` while it waits, or if it never started.
    pub worker: Option<NodeId>,
    /// The token of the newest attempt: the only one whose result counts.
    pub token: Option<FencingToken>,
    /// Why the newest attempt was assigned, if the claim did not do that. At most 256 bytes.
    pub why: Option<String>,
    /// While it waits for a retry: what the attempt before said, at most 1 KiB, and who had it.
    pub retry_of: Option<(NodeId, String)>,
    /// Its newest attempt was told to stop: a later tick is to take its place.
    pub cancelled: bool,
    /// What became of it; `None` while it is open.
    pub outcome: Option<Outcome>,
    /// When the worker began, by its own clock.
    pub started: Option<Timestamp>,
    /// When the worker ended, by its own clock.
    pub finished: Option<Timestamp>,
    /// Results of earlier attempts that came after they were replaced: recorded, and without any
    /// effect. At most 4.
    pub late: Vec<LateResult>,
}

impl Firing {
    /// A tick just claimed, waiting.
    pub(crate) fn claimed(
        scheduled: Timestamp,
        generation: u64,
        token: u64,
        epoch: Epoch,
        at: Timestamp,
    ) -> Self {
        Self {
            scheduled,
            generation,
            claim_token: FencingToken(token),
            claimed_at: at,
            epoch,
            asked: None,
            attempts: 0,
            failures: 0,
            worker: None,
            token: None,
            why: None,
            retry_of: None,
            cancelled: false,
            outcome: None,
            started: None,
            finished: None,
            late: Vec::new(),
        }
    }

    /// Grants a new attempt, which makes every earlier one late.
    pub(crate) fn grant(&mut self, worker: NodeId, token: u64, epoch: Epoch, why: Option<String>) {
        self.attempts = self.attempts.saturating_add(1);
        self.worker = Some(worker);
        self.token = Some(FencingToken(token));
        self.epoch = epoch;
        self.why = why.map(|why| bounded(why, WHY_BYTES_MAX));
        self.retry_of = None;
    }

    /// Takes the failed attempt's authority: the tick waits for the next one.
    pub(crate) fn wait_for_retry(&mut self, error: String) {
        self.failures = self.failures.saturating_add(1);
        self.retry_of = self.worker.take().map(|worker| (worker, error));
    }

    /// Which tick of its job it is.
    pub fn id(&self) -> TickId {
        TickId { scheduled: self.scheduled, asked: self.asked }
    }

    /// Keeps a result that came too late; false if it was kept before.
    pub(crate) fn keep_late(&mut self, late: LateResult) -> bool {
        if self.late.iter().any(|known| known.token == late.token) {
            return false;
        }
        if self.late.len() < LATE_RESULTS_MAX {
            self.late.push(late);
        }
        true
    }

    /// Whether `token` is of an attempt that a newer one replaced. Tokens rise, so one between the
    /// claim and the newest attempt is old; anything else was never granted for this tick.
    pub(crate) fn is_replaced(&self, token: FencingToken) -> bool {
        self.token.is_some_and(|newest| self.claim_token <= token && token < newest)
    }

    /// The most bytes that it takes in a snapshot.
    pub(crate) fn weight(&self) -> u64 {
        // Every number at its longest; late results carry a token, a node and two instants.
        const NUMBERS: usize = 132;
        const LATE_NUMBERS: usize = 40;
        let why = self.why.as_ref().map_or(0, String::len);
        let error = match &self.outcome {
            Some(Outcome::Failed { error }) => error.len(),
            _ => 0,
        };
        let retry = self.retry_of.as_ref().map_or(0, |(_, error)| error.len() + 16);
        let late = self.late.iter().map(|late| match &late.result {
            RunResult::Failed { error } => LATE_NUMBERS + error.len(),
            RunResult::Ran | RunResult::Cancelled => LATE_NUMBERS,
        });
        (NUMBERS + why + error + retry + late.sum::<usize>()) as u64
    }

    /// Whether it has no outcome and nobody runs it.
    pub fn is_waiting(&self) -> bool {
        self.outcome.is_none() && self.worker.is_none()
    }

    /// Whether it waits for another attempt after one that failed.
    pub fn is_retrying(&self) -> bool {
        self.is_waiting() && self.token.is_some()
    }

    /// Whether an attempt was granted and has no outcome yet.
    pub fn is_running(&self) -> bool {
        self.outcome.is_none() && self.worker.is_some()
    }
}

/// What became of a tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// The newest attempt ended well.
    Ran,
    /// The newest attempt ended with an error.
    Failed {
        /// What the job said, at most 1 KiB.
        error: String,
    },
    /// The newest attempt was told to stop, for a later tick's sake, and did.
    Cancelled,
    /// The overlap rule kept it from starting.
    Skipped {
        /// Which rule.
        reason: SkipReason,
    },
    /// It was too late, by the misfire rule. One record stands for a whole range.
    Missed {
        /// Which rule.
        reason: MissReason,
        /// The last instant of the range; the first is the record's `scheduled`.
        until: Timestamp,
        /// How many ticks the range holds, at least 1.
        count: u64,
    },
}

/// Why a tick was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SkipReason {
    /// [`crate::Overlap::Skip`]: an earlier tick was open.
    Overlap,
    /// [`crate::Overlap::BufferAll`]: as many as allowed were waiting.
    BufferFull,
    /// [`crate::Overlap::Allow`]: as many as allowed were open.
    TooManyOpen,
    /// [`crate::Overlap::CancelOther`]: a later tick took its place while it waited.
    Superseded,
}

/// Why ticks were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MissReason {
    /// [`crate::Misfire::Skip`]: later than the grace.
    Late,
    /// [`crate::Misfire::Latest`]: a later tick is due as well.
    NotLatest,
    /// [`crate::Misfire::All`]: older than `max_age_ms`.
    TooOld,
    /// [`crate::Misfire::All`]: more than `max` newer late ticks are due.
    TooMany,
    /// The job was paused.
    Paused,
}

/// A result without authority: its attempt had been replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateResult {
    /// The replaced attempt's token.
    pub token: FencingToken,
    /// Who ran it.
    pub worker: NodeId,
    /// How it ended.
    pub result: RunResult,
    /// When it began, by the worker's clock.
    pub started: Timestamp,
    /// When it ended, by the worker's clock.
    pub finished: Timestamp,
}

/// Cuts a text down to at most `max` bytes, between two characters.
pub(crate) fn bounded(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    // What was cut off shall not stay allocated for as long as the record is kept.
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded("äöü".to_owned(), 3), "ä");
        assert_eq!(bounded("abc".to_owned(), 3), "abc");
        assert_eq!(bounded("é".repeat(600), ERROR_BYTES_MAX).len(), 1_024);
    }

    #[test]
    fn only_tokens_between_the_claim_and_the_newest_attempt_are_replaced() {
        let at = Timestamp::from_unix_ms(0);
        let mut firing = Firing::claimed(at, 1, 10, Epoch(1), at);
        assert!(!firing.is_replaced(FencingToken(10)), "no attempt was granted yet");
        firing.grant(NodeId(1), 10, Epoch(1), None);
        firing.grant(NodeId(2), 20, Epoch(1), Some("moved".to_owned()));
        let replaced: Vec<u64> =
            (0..30).filter(|token| firing.is_replaced(FencingToken(*token))).collect();
        assert_eq!(replaced, (10..20).collect::<Vec<u64>>());
    }
}
