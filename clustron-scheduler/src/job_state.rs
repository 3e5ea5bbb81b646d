//! One job as the cluster agrees on it: cursor, open ticks, history, counters.

mod changes;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use clustron_core::{NodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::firing::Firing;
use crate::job::JobSpec;
use crate::message::{Run, Seen};
use crate::schedule::NoTick;
use crate::tick::TickId;

pub use changes::KEPT_BYTES_MAX;

/// One job: what it is, how far it has come, and what became of its ticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    spec: JobSpec,
    generation: u64,
    /// When it was first defined: ticks strictly after it are due.
    since: Timestamp,
    /// Every tick up to here is claimed or missed, and none after it. It never falls.
    cursor: Timestamp,
    /// Nothing as long as nothing has happened, which is most of a job's life if there are many.
    active: Option<Box<Active>>,
}

/// What has happened of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Active {
    /// How many ticks were opened under this schedule: those that count for how often it is to run.
    runs: u64,
    open: BTreeMap<TickId, Firing>,
    /// In the order of closing, oldest first.
    history: VecDeque<Firing>,
    /// The weight of the history.
    history_bytes: u64,
    counters: Counters,
    /// Ticks that failed since the last that did not.
    failures_in_a_row: u32,
    paused: Option<Box<Paused>>,
    /// What an attempt left for the next one.
    kept: Option<Bytes>,
}

static NOTHING: Active = Active {
    runs: 0,
    open: BTreeMap::new(),
    history: VecDeque::new(),
    history_bytes: 0,
    counters: Counters {
        claimed: 0,
        asked: 0,
        ran: 0,
        failed: 0,
        cancelled: 0,
        skipped: 0,
        missed: 0,
        open: 0,
        attempts: 0,
        late_results: 0,
    },
    failures_in_a_row: 0,
    paused: None,
    kept: None,
};

/// That a job is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Since when; if failures did it, by the clock of the worker of the last.
    pub since: Timestamp,
    /// Why, for people. At most 256 bytes.
    pub note: String,
}

/// Counts over a job's whole life, over all generations.
///
/// At any time `claimed + asked == ran + failed + cancelled + skipped + missed + open`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Ticks of the schedule that were taken, missed ones among them.
    pub claimed: u64,
    /// Ticks that somebody asked for.
    pub asked: u64,
    /// Ticks that ended well.
    pub ran: u64,
    /// Ticks that ended with an error.
    pub failed: u64,
    /// Ticks that were stopped for a later one's sake.
    pub cancelled: u64,
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
        Self { spec, generation, since: cursor, cursor, active: None }
    }

    /// Forgets the oldest closed ticks until `bytes` are free or one is left.
    pub(crate) fn shed_history(&mut self, bytes: u64) {
        let enough = self.active().history_bytes.saturating_sub(bytes);
        while self.active().history_bytes > enough && self.active().history.len() > 1 {
            self.forget_oldest();
        }
    }

    fn active(&self) -> &Active {
        self.active.as_deref().unwrap_or(&NOTHING)
    }

    fn active_mut(&mut self) -> &mut Active {
        self.active.get_or_insert_default()
    }

    /// How much of a snapshot the history may take, in bytes.
    pub(crate) fn history_bytes(&self) -> u64 {
        self.active().history_bytes
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
        self.active().counters
    }

    /// Whether the job is paused, and why.
    pub fn paused(&self) -> Option<&Paused> {
        self.active().paused.as_deref()
    }

    /// The next tick to claim; `None` if the schedule has ended, the job is paused or has run as
    /// often as it is to.
    ///
    /// Computed with this node's clock changes ([`crate::Zone::tables`]): of all nodes the leader's
    /// answer counts.
    pub fn next_tick(&self) -> Option<Timestamp> {
        match self.runs_left() {
            Some(0) => None,
            _ if self.active().paused.is_some() => None,
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
        self.spec.schedule.times_max().map(|times| times.saturating_sub(self.active().runs))
    }

    /// How far the job is.
    pub fn seen(&self) -> Seen {
        Seen { generation: self.generation, cursor: self.cursor }
    }

    /// The ticks that wait or run, in the order of their instants.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Firing> + ExactSizeIterator {
        self.active().open.values()
    }

    /// The closed ticks that are kept, the one closed last first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Firing> + ExactSizeIterator {
        self.active().history.iter().rev()
    }

    /// Whether the tick was claimed and has no outcome yet.
    pub fn is_open(&self, tick: impl Into<TickId>) -> bool {
        self.active().open.contains_key(&tick.into())
    }

    /// The record of one tick, open or closed and kept. A missed range is found by its first.
    pub fn firing(&self, tick: impl Into<TickId>) -> Option<&Firing> {
        let tick = tick.into();
        let closed = || self.active().history.iter().rev().find(|firing| firing.id() == tick);
        self.active().open.get(&tick).or_else(closed)
    }

    /// The waiting ticks that may start now, given a worker. Of a paused job only those that
    /// somebody asked for.
    pub fn startable(&self) -> impl Iterator<Item = &Firing> {
        let running = self.active().open.values().filter(|firing| firing.is_running()).count();
        let room = self.spec.overlap.at_once().saturating_sub(running);
        let may = |firing: &&Firing| {
            firing.is_waiting() && (self.active().paused.is_none() || firing.asked.is_some())
        };
        // A tick between two attempts keeps its turn.
        let again = self.active().open.values().filter(|firing| firing.is_retrying());
        let new = self.active().open.values().filter(|firing| !firing.is_retrying());
        again.chain(new).filter(may).take(room)
    }

    /// The order to run a tick's newest attempt, and for whom; `None` if it does not run.
    pub fn run(&self, tick: impl Into<TickId>) -> Option<(NodeId, Run)> {
        let tick = tick.into();
        let firing = self.active().open.get(&tick)?;
        let (worker, token) = (firing.worker?, firing.token?);
        let run = Run {
            job: self.spec.name.clone(),
            generation: firing.generation,
            handler: self.spec.handler().clone(),
            tick,
            token,
            attempt: firing.attempts,
            epoch: firing.epoch,
            timeout_ms: self.spec.time_limit().map(|limit| limit.as_millis() as u64),
            payload: self.spec.payload_bytes().clone(),
            kept: self.active().kept.clone(),
        };
        Some((worker, run))
    }

    /// Who runs the tick now.
    pub(crate) fn runs_on(&self, tick: TickId) -> Option<NodeId> {
        self.active().open.get(&tick)?.worker
    }

    /// How much it takes in a snapshot without its ticks, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.spec.bytes() + self.active().kept.as_ref().map_or(0, Bytes::len) as u64
    }

    /// How many of its attempts a node runs.
    pub(crate) fn running_on(&self, node: NodeId) -> usize {
        self.active().open.values().filter(|firing| firing.worker == Some(node)).count()
    }

    /// Whether it has nothing more to do and is not to be kept.
    pub(crate) fn is_over(&self) -> bool {
        self.spec.is_ephemeral()
            && self.active().paused.is_none()
            && self.active().open.is_empty()
            && self.has_ended()
    }

    /// Whether it names no further tick, as far as anybody knows: not only this node's tables.
    fn has_ended(&self) -> bool {
        let next = || self.spec.schedule.find_after(self.cursor);
        self.runs_left() == Some(0) || matches!(next(), Err(NoTick::Over | NoTick::Ended { .. }))
    }
}

#[cfg(test)]
impl Job {
    /// A deliberate defect for the proof that the simulation's oracle sees it.
    pub(crate) fn set_cursor(&mut self, cursor: Timestamp) {
        self.cursor = cursor;
    }
}
