use std::time::Duration;

use clustron_core::{FencingToken, codec};

use super::*;
use crate::firing::{ERROR_BYTES_MAX, LATE_RESULTS_MAX, MissReason, Outcome, SkipReason};
use crate::job::Overlap;
use crate::job_state::KEPT_BYTES_MAX;
use crate::message::{RunResult, Start};
use crate::policy::Retries;
use crate::schedule::Schedule;

const NODE: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn s(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1_000)
}

fn name() -> JobName {
    JobName::new("job").unwrap()
}

fn spec() -> JobSpec {
    JobSpec::new(name(), Schedule::every(Duration::from_secs(1)).unwrap())
}

/// A state with one job, due each second from second 1, and the log's next index.
struct Log {
    state: SchedulerState,
    index: u64,
}

impl Log {
    fn with(spec: JobSpec) -> Self {
        let mut log = Self { state: SchedulerState::default(), index: 99 };
        log.apply(Command::Define { spec, at: s(0), seen: None });
        log
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.index += 1;
        let reply = self.state.apply(self.index, Epoch(5), command);
        for job in self.state.jobs() {
            let c = job.counters();
            let ended = c.ran + c.failed + c.cancelled + c.skipped + c.missed;
            assert_eq!(c.claimed + c.asked, ended + c.open, "{reply:?}");
            assert_eq!(c.open, job.open().len() as u64);
        }
        reply
    }

    fn job(&self) -> &Job {
        self.state.job(&name()).unwrap()
    }

    fn claim(&mut self, second: i64, worker: Option<NodeId>) -> Reply {
        let after = self.job().cursor();
        let generation = self.job().generation();
        self.apply(Command::Claim {
            job: name(),
            generation,
            after,
            scheduled: s(second),
            at: s(second),
            worker,
        })
    }

    fn assign(&mut self, second: i64, after: Option<u64>, worker: NodeId) -> Reply {
        self.apply(Command::Assign {
            job: name(),
            tick: s(second).into(),
            after: after.map(FencingToken),
            worker,
            at: s(second),
            why: "w".repeat(300),
        })
    }

    fn finish(&mut self, second: i64, token: u64, result: RunResult) -> Reply {
        self.apply(Command::Finish {
            job: name(),
            tick: s(second).into(),
            token: FencingToken(token),
            worker: NODE,
            result,
            started: s(second),
            finished: s(second + 1),
            kept: None,
        })
    }
}

fn started(token: u64, worker: NodeId) -> Reply {
    Reply::Claimed { token: FencingToken(token), start: Start::Running { worker } }
}

fn waiting(token: u64) -> Reply {
    Reply::Claimed { token: FencingToken(token), start: Start::Waiting }
}

fn skipped(token: u64, reason: SkipReason) -> Reply {
    Reply::Claimed { token: FencingToken(token), start: Start::Skipped { reason } }
}

#[test]
fn a_tick_is_claimed_run_and_closed_once() {
    let mut log = Log::with(spec());
    assert_eq!(log.claim(1, Some(NODE)), started(101, NODE));
    let (worker, run) = log.job().run(s(1)).unwrap();
    assert_eq!((worker, run.token, run.attempt, run.epoch), (NODE, FencingToken(101), 1, Epoch(5)));
    assert_eq!(log.state.running(), &BTreeMap::from([(NODE, 1)]));
    assert_eq!(log.finish(1, 101, RunResult::Ran), Reply::Finished);
    assert_eq!(log.finish(1, 101, RunResult::Ran), Reply::AlreadyFinished);
    assert!(!log.job().is_open(s(1)));
    assert!(log.state.running().is_empty());
    assert_eq!(log.job().firing(s(1)).unwrap().outcome, Some(Outcome::Ran));
}

#[test]
fn a_claim_from_another_cursor_or_generation_changes_nothing() {
    let mut log = Log::with(spec());
    log.claim(1, None);
    let before = log.state.clone();
    let claim = |generation, after, scheduled| Command::Claim {
        job: name(),
        generation,
        after: s(after),
        scheduled: s(scheduled),
        at: s(9),
        worker: None,
    };
    for (command, rejection) in [
        (claim(100, 0, 1), Rejection::CursorMoved { cursor: s(1) }),
        (claim(100, 2, 3), Rejection::CursorMoved { cursor: s(1) }),
        (claim(99, 1, 2), Rejection::StaleGeneration { current: 100 }),
        (claim(100, 1, 1), Rejection::BadRange),
    ] {
        assert_eq!(log.apply(command), Reply::Rejected(rejection));
        assert_eq!(log.state, before);
    }
}

#[test]
fn skip_records_an_overlapping_tick_at_once() {
    let mut log = Log::with(spec());
    assert_eq!(log.claim(1, None), waiting(101));
    assert_eq!(log.claim(2, Some(NODE)), skipped(102, SkipReason::Overlap));
    assert_eq!(log.job().history().next().unwrap().scheduled, s(2));
}

#[test]
fn buffered_ticks_start_in_order_and_alone() {
    let mut log = Log::with(spec().overlap(Overlap::BufferAll { max: 2 }));
    assert_eq!(log.claim(1, Some(NODE)), started(101, NODE));
    assert_eq!(log.claim(2, Some(NODE)), waiting(102));
    assert_eq!(log.claim(3, None), waiting(103));
    assert_eq!(log.claim(4, None), skipped(104, SkipReason::BufferFull));
    assert_eq!(log.assign(2, None, NODE), Reply::Rejected(Rejection::NotItsTurn));
    log.finish(1, 101, RunResult::Ran);
    assert_eq!(log.assign(3, None, NODE), Reply::Rejected(Rejection::NotItsTurn));
    let (token, attempt) = (FencingToken(108), 1);
    assert_eq!(log.assign(2, None, OTHER), Reply::Assigned { token, attempt });
    assert_eq!(log.job().startable().count(), 0);
}

#[test]
fn allowed_ticks_run_side_by_side_up_to_the_bound() {
    let mut log = Log::with(spec().overlap(Overlap::Allow { max: 2 }));
    assert_eq!(log.claim(1, Some(NODE)), started(101, NODE));
    assert_eq!(log.claim(2, Some(NODE)), started(102, NODE));
    assert_eq!(log.claim(3, Some(NODE)), skipped(103, SkipReason::TooManyOpen));
    assert_eq!(log.state.running(), &BTreeMap::from([(NODE, 2)]));
}

#[test]
fn a_replaced_attempt_is_late_and_has_no_effect() {
    let mut log = Log::with(spec());
    log.claim(1, Some(NODE));
    let (token, attempt) = (FencingToken(102), 2);
    assert_eq!(log.assign(1, Some(101), OTHER), Reply::Assigned { token, attempt });
    assert_eq!(log.state.running(), &BTreeMap::from([(OTHER, 1)]));
    let changed = |newest| Rejection::AttemptChanged { newest, closed: false };
    assert_eq!(log.assign(1, Some(101), NODE), Reply::Rejected(changed(Some(token))));
    assert_eq!(log.finish(1, 101, RunResult::Ran), Reply::Superseded);
    assert!(log.job().is_open(s(1)));
    assert_eq!(log.finish(1, 999, RunResult::Ran), Reply::Rejected(Rejection::NeverGranted));
    let error = "é".repeat(1_000);
    assert_eq!(log.finish(1, 102, RunResult::Failed { error }), Reply::Finished);
    let firing = log.job().firing(s(1)).unwrap();
    assert!(
        matches!(&firing.outcome, Some(Outcome::Failed { error }) if error.len() == ERROR_BYTES_MAX)
    );
    assert_eq!((firing.late.len(), firing.why.as_ref().unwrap().len()), (1, 256));
    // The same late result again is not counted again.
    assert_eq!(log.finish(1, 101, RunResult::Ran), Reply::Superseded);
    assert_eq!(log.job().counters().late_results, 1);
}

#[test]
fn late_results_are_bounded_and_all_counted() {
    let mut log = Log::with(spec());
    log.claim(1, Some(NODE));
    for token in 101..110 {
        log.assign(1, Some(token), NODE);
    }
    for token in 101..110 {
        let index = log.index;
        assert_eq!(log.finish(1, token, RunResult::Ran), Reply::Superseded);
        log.index = index;
    }
    assert_eq!(log.job().firing(s(1)).unwrap().late.len(), LATE_RESULTS_MAX);
    assert_eq!(log.job().counters().late_results, 9);
}

#[test]
fn a_missed_range_is_one_record_and_counts_each_tick() {
    let mut log = Log::with(spec());
    let miss = |to, count| Command::Miss {
        job: name(),
        generation: 100,
        after: s(0),
        from: s(1),
        to: s(to),
        count,
        reason: MissReason::Late,
        at: s(60),
    };
    for (to, count) in [(0, 1), (1, 0), (1, 2), (2, u64::MAX)] {
        assert_eq!(log.apply(miss(to, count)), Reply::Rejected(Rejection::BadRange));
    }
    assert_eq!(log.apply(miss(50, 50)), Reply::Missed { count: 50 });
    let c = log.job().counters();
    assert_eq!((c.claimed, c.missed, log.job().history().len()), (50, 50, 1));
    assert_eq!(log.job().next_due(), Some(s(51)));
    assert_eq!(
        log.finish(1, 105, RunResult::Ran),
        Reply::Rejected(Rejection::NeverGranted),
        "a missed tick has no attempt"
    );
}

#[test]
fn a_job_changes_once_its_due_ticks_are_claimed() {
    let mut log = Log::with(spec());
    let same = Command::Define { spec: spec(), at: s(7), seen: None };
    assert_eq!(log.apply(same), Reply::Defined { generation: 100, changed: false });
    log.claim(1, Some(NODE));
    let other = spec().overlap(Overlap::BufferAll { max: 9 });
    let seen = Some(log.job().seen());
    let change = |seen| Command::Define { spec: other.clone(), at: s(1), seen };
    let current = 100;
    assert_eq!(log.apply(change(None)), Reply::Rejected(Rejection::StaleGeneration { current }));
    let before = Some(Seen { generation: current, cursor: s(0) });
    let cursor = s(1);
    assert_eq!(log.apply(change(before)), Reply::Rejected(Rejection::CursorMoved { cursor }));
    assert_eq!(log.apply(change(seen)), Reply::Defined { generation: 105, changed: true });
    assert_eq!(log.apply(change(seen)), Reply::Defined { generation: 105, changed: false });
    let nobody = JobSpec { name: JobName::new("nobody").unwrap(), ..spec() };
    let nobody = Command::Define { spec: nobody, at: s(1), seen };
    assert_eq!(log.apply(nobody), Reply::Rejected(Rejection::UnknownJob));
    assert_eq!(log.job().cursor(), s(1));
    assert_eq!(log.finish(1, 102, RunResult::Ran), Reply::Finished, "open ticks run on");
}

#[test]
fn a_change_with_a_clock_that_went_back_fires_nothing_again() {
    let mut log = Log::with(spec());
    log.claim(1, None);
    let seen = Some(log.job().seen());
    log.apply(Command::Define { spec: spec().history(1), at: s(-50), seen });
    assert_eq!(log.job().cursor(), s(1));
    assert_eq!(log.job().next_due(), Some(s(2)));
}

#[test]
fn history_is_bounded_and_counters_are_not() {
    let mut log = Log::with(spec().history(3));
    log.claim(1, None);
    for second in 2..12 {
        log.claim(second, None);
    }
    assert_eq!(log.job().history().len(), 3);
    assert_eq!(log.job().counters().skipped, 10);
    assert_eq!(log.finish(2, 102, RunResult::Ran), Reply::Rejected(Rejection::UnknownTick));
}

#[test]
fn a_job_out_of_range_or_unknown_is_refused() {
    let mut log = Log::with(spec());
    let reply = log.apply(Command::Define { spec: spec().history(0), at: s(0), seen: None });
    assert!(matches!(&reply, Reply::Rejected(Rejection::InvalidSpec { reason })
            if reason.contains("history is 0")));
    let claim = Command::Claim {
        job: JobName::new("nobody").unwrap(),
        generation: 1,
        after: s(0),
        scheduled: s(1),
        at: s(1),
        worker: None,
    };
    assert_eq!(log.apply(claim), Reply::Rejected(Rejection::UnknownJob));
}

#[test]
fn the_snapshot_is_the_state() {
    let mut log = Log::with(spec().overlap(Overlap::Allow { max: 5 }));
    log.claim(1, Some(NODE));
    log.claim(2, None);
    log.finish(1, 101, RunResult::Ran);
    let copy: SchedulerState = codec::decode(&codec::encode(&log.state).unwrap()).unwrap();
    assert_eq!(copy, log.state);
    assert_eq!(copy.open_ticks().count(), 1);
}

#[test]
fn the_ends_of_time_are_no_panic() {
    let (start, end) = (Timestamp::from_unix_ms(i64::MIN), Timestamp::from_unix_ms(i64::MAX));
    let mut log = Log { state: SchedulerState::default(), index: 99 };
    let schedule = Schedule::every(Duration::from_millis(1)).unwrap();
    log.apply(Command::Define { spec: JobSpec { schedule, ..spec() }, at: start, seen: None });
    let planner = crate::planner::Planner::new(&log.state);
    let mut workers = crate::workers::Workers::default();
    for command in planner.due(&log.state, end, &mut workers) {
        let reply = log.apply(command);
        assert!(matches!(reply, Reply::Missed { .. } | Reply::Claimed { .. }), "{reply:?}");
    }
    // One tick for each millisecond of all time but the first.
    let last = log.job().cursor().unix_ms().abs_diff(i64::MIN);
    assert_eq!(log.job().counters().claimed, last);
    let generation = log.job().generation();
    let after = log.job().cursor();
    let from = Timestamp::from_unix_ms(after.unix_ms() + 1);
    let (count, reason) = (u64::MAX, MissReason::Late);
    let miss =
        Command::Miss { job: name(), generation, after, from, to: end, count, reason, at: end };
    assert_eq!(log.apply(miss), Reply::Rejected(Rejection::BadRange));
}

#[test]
fn all_histories_together_fit_in_a_snapshot() {
    let mut log = Log::with(spec().history(10_000));
    let other = JobName::new("other").unwrap();
    log.apply(Command::Define {
        spec: JobSpec { name: other.clone(), ..spec().history(10_000) },
        at: s(0),
        seen: None,
    });
    for job in [other.clone(), name()] {
        for second in 1..=10_000 {
            let at = s(second);
            let generation = log.state.job(&job).unwrap().generation();
            let (after, worker, token) = (s(second - 1), Some(NODE), FencingToken(log.index + 1));
            let (started, finished, scheduled) = (at, at, at);
            log.index += 2;
            let claim =
                Command::Claim { job: job.clone(), generation, after, scheduled, at, worker };
            log.state.apply(token.0, Epoch(1), claim);
            let (job, worker) = (job.clone(), NODE);
            let result = RunResult::Failed { error: "x".repeat(1_024) };
            let finish = Command::Finish {
                job,
                tick: scheduled.into(),
                token,
                worker,
                result,
                started,
                finished,
                kept: None,
            };
            assert_eq!(log.state.apply(log.index, Epoch(1), finish), Reply::Finished);
        }
    }
    let bytes = codec::encode(&log.state).unwrap().len() as u64;
    assert!(bytes < HISTORY_BYTES_MAX && bytes > HISTORY_BYTES_MAX * 9 / 10, "{bytes}");
    assert_eq!(log.state.job(&other).unwrap().history().len(), 10_000, "the one that grows pays");
    assert_eq!(log.job().counters().failed, 10_000);
    let weighed: u64 = log.state.jobs().flat_map(Job::history).map(Firing::weight).sum();
    assert_eq!(log.state.history_bytes, weighed);
    let seen = Some(log.job().seen());
    log.apply(Command::Define { spec: spec().history(1), at: s(10_000), seen });
    let weighed: u64 = log.state.jobs().flat_map(Job::history).map(Firing::weight).sum();
    assert_eq!(log.state.history_bytes, weighed);
}

impl Log {
    fn ask(&mut self, second: i64, worker: Option<NodeId>) -> Reply {
        self.apply(Command::Ask { job: name(), scheduled: s(second), at: s(second), worker })
    }

    fn assign_tick(&mut self, tick: TickId, worker: NodeId) {
        let why = "its turn".to_owned();
        let assign = Command::Assign { job: name(), tick, after: None, worker, at: s(1), why };
        assert!(matches!(self.apply(assign), Reply::Assigned { .. }));
    }

    fn seen(&self) -> Seen {
        self.job().seen()
    }

    fn pause(&mut self, second: i64) -> Reply {
        let (seen, note) = (self.seen(), "a reason".to_owned());
        self.apply(Command::Pause { job: name(), at: s(second), seen, note })
    }

    fn resume(&mut self, second: i64) -> Reply {
        let seen = self.seen();
        self.apply(Command::Resume { job: name(), at: s(second), seen })
    }
}

fn failed() -> RunResult {
    RunResult::Failed { error: "no".to_owned() }
}

/// Second `scheduled`, asked for by the command with this token.
fn asked(scheduled: i64, token: u64) -> TickId {
    TickId { scheduled: s(scheduled), asked: Some(FencingToken(token)) }
}

#[test]
fn a_failed_attempt_is_tried_again_as_often_as_allowed_and_keeps_its_turn() {
    let retries = Retries::new(2, Duration::from_secs(1), Duration::from_secs(9));
    let mut log = Log::with(spec().overlap(Overlap::BufferAll { max: 9 }).retries(retries));
    log.claim(1, Some(NODE));
    log.claim(2, None);
    assert_eq!(log.finish(1, 101, failed()), Reply::WillRetry { failures: 1 });
    assert_eq!(log.finish(1, 101, failed()), Reply::AlreadyFinished);
    assert!(log.state.running().is_empty());
    let startable: Vec<TickId> = log.job().startable().map(Firing::id).collect();
    assert_eq!(startable, [s(1).into()], "the second waits for it");
    assert_eq!(log.assign(2, None, NODE), Reply::Rejected(Rejection::NotItsTurn));
    let retry_of = log.job().firing(s(1)).unwrap().retry_of.clone();
    assert_eq!(retry_of, Some((NODE, "no".to_owned())));
    let token = FencingToken(106);
    assert_eq!(log.assign(1, Some(101), OTHER), Reply::Assigned { token, attempt: 2 });
    assert_eq!(log.finish(1, 101, RunResult::Ran), Reply::Superseded, "it had its say");
    assert_eq!(log.finish(1, 106, failed()), Reply::WillRetry { failures: 2 });
    log.assign(1, Some(106), NODE);
    assert_eq!(log.finish(1, log.index, failed()), Reply::Finished);
    let firing = log.job().firing(s(1)).unwrap();
    assert_eq!((firing.failures, firing.attempts), (3, 3));
    assert_eq!(log.job().counters().failed, 1);
}

#[test]
fn a_paused_job_takes_no_ticks_and_says_so_afterwards() {
    let mut log = Log::with(spec());
    log.claim(1, None);
    assert_eq!(log.pause(1), Reply::Changed);
    assert_eq!(log.job().paused().unwrap().note, "a reason");
    assert_eq!(log.job().next_due(), None);
    assert_eq!(log.claim(2, Some(NODE)), Reply::Rejected(Rejection::Paused));
    assert_eq!(log.job().startable().count(), 0, "what waits waits on");
    let (generation, after) = (log.job().generation(), s(1));
    let (from, to, at) = (s(2), s(9), s(9));
    let miss =
        |reason| Command::Miss { job: name(), generation, after, from, to, count: 8, reason, at };
    let stale = Rejection::StaleGeneration { current: generation };
    assert_eq!(log.apply(miss(MissReason::Late)), Reply::Rejected(stale));
    assert_eq!(log.apply(miss(MissReason::Paused)), Reply::Missed { count: 8 });
    assert_eq!(log.resume(9), Reply::Changed);
    assert_eq!((log.job().next_due(), log.job().startable().count()), (Some(s(10)), 1));
}

#[test]
fn asked_for_ticks_run_also_while_the_job_is_paused_and_in_their_order() {
    let mut log = Log::with(spec());
    log.claim(1, None);
    log.pause(1);
    let start = Start::Waiting;
    assert_eq!(log.ask(5, None), Reply::Asked { tick: asked(5, 103), start });
    // Found by the simulation: it started although the one before it waited.
    assert_eq!(log.ask(5, Some(NODE)), Reply::Asked { tick: asked(5, 104), start });
    let startable: Vec<TickId> = log.job().startable().map(Firing::id).collect();
    assert_eq!(startable, [asked(5, 103)]);
    log.resume(5);
    assert_eq!(log.job().startable().next().map(Firing::id), Some(s(1).into()));
    assert_eq!(log.job().counters().asked, 2);
}

#[test]
fn only_so_many_ticks_may_be_asked_for() {
    let mut log = Log::with(spec());
    for _ in 0..1_000 {
        assert!(matches!(log.ask(1, None), Reply::Asked { .. }));
    }
    assert_eq!(log.ask(1, None), Reply::Rejected(Rejection::TooManyOpen { open: 1_000 }));
}

#[test]
fn a_later_tick_has_the_one_that_runs_stop_and_takes_the_place_of_the_one_that_waits() {
    let mut log = Log::with(spec().overlap(Overlap::CancelOther));
    log.claim(1, Some(NODE));
    assert_eq!(log.claim(2, Some(NODE)), waiting(102));
    assert!(log.job().firing(s(1)).unwrap().cancelled);
    log.ask(2, None);
    assert_eq!(log.claim(3, Some(NODE)), waiting(104));
    let superseded = Outcome::Skipped { reason: SkipReason::Superseded };
    assert_eq!(log.job().firing(s(2)).unwrap().outcome, Some(superseded));
    assert_eq!(log.finish(1, 101, RunResult::Cancelled), Reply::Finished);
    assert_eq!(log.job().firing(s(1)).unwrap().outcome, Some(Outcome::Cancelled));
    let startable: Vec<TickId> = log.job().startable().map(Firing::id).collect();
    assert_eq!(startable, [asked(2, 103)], "what was asked for is not given up");
}

#[test]
fn a_job_that_fails_in_a_row_is_paused() {
    let mut log = Log::with(spec().pause_after(2));
    for (second, result) in [(1, failed()), (2, RunResult::Ran), (3, failed()), (4, failed())] {
        assert!(log.job().paused().is_none());
        log.claim(second, Some(NODE));
        log.finish(second, log.index, result);
    }
    assert_eq!(log.job().paused().unwrap().note, "2 ticks in a row have failed");
    log.resume(4);
    log.claim(5, Some(NODE));
    log.finish(5, log.index, failed());
    assert!(log.job().paused().is_none(), "it counts from the beginning");
}

#[test]
fn a_deleted_job_leaves_nothing_behind() {
    let mut log = Log::with(spec().overlap(Overlap::Allow { max: 9 }));
    log.claim(1, Some(NODE));
    log.claim(2, Some(OTHER));
    log.finish(1, 101, RunResult::Ran);
    let seen = Seen { cursor: s(1), ..log.seen() };
    let moved = Rejection::CursorMoved { cursor: s(2) };
    assert_eq!(
        log.apply(Command::Delete { job: name(), seen, if_idle: false }),
        Reply::Rejected(moved)
    );
    let seen = log.seen();
    assert_eq!(log.apply(Command::Delete { job: name(), seen, if_idle: false }), Reply::Deleted);
    assert_eq!(log.state, SchedulerState::default());
    assert_eq!(log.finish(2, 102, RunResult::Ran), Reply::Rejected(Rejection::UnknownJob));
    // One of the same name is another job.
    log.apply(Command::Define { spec: spec(), at: s(0), seen: None });
    log.claim(1, Some(NODE));
    assert_eq!(log.finish(1, 101, RunResult::Ran), Reply::Rejected(Rejection::UnknownTick));
}

/// Found by the simulation: a job that was over was deleted with what was asked for meanwhile.
#[test]
fn a_job_is_not_deleted_as_idle_while_something_waits() {
    let mut log = Log::with(spec());
    log.ask(1, None);
    let seen = log.seen();
    let delete = Command::Delete { job: name(), seen, if_idle: true };
    assert_eq!(log.apply(delete.clone()), Reply::Rejected(Rejection::NotIdle));
    log.assign_tick(asked(1, 101), NODE);
    log.apply(Command::Finish {
        job: name(),
        tick: asked(1, 101),
        token: FencingToken(log.index),
        worker: NODE,
        result: RunResult::Ran,
        started: s(1),
        finished: s(1),
        kept: None,
    });
    assert_eq!(log.apply(delete), Reply::Deleted);
}

#[test]
fn what_an_attempt_leaves_is_given_to_the_next_if_it_counts() {
    let mut log = Log::with(spec());
    let kept = |log: &Log| log.job().run(s(2)).unwrap().1.kept;
    let finish = |second: i64, token, bytes: usize| Command::Finish {
        job: name(),
        tick: s(second).into(),
        token: FencingToken(token),
        worker: NODE,
        result: failed(),
        started: s(second),
        finished: s(second),
        kept: Some(vec![1; bytes].into()),
    };
    log.claim(1, Some(NODE));
    log.apply(finish(1, 101, KEPT_BYTES_MAX));
    log.claim(2, Some(NODE));
    assert_eq!(kept(&log).unwrap().len(), KEPT_BYTES_MAX);
    log.apply(finish(1, 101, 7));
    log.assign(2, Some(103), OTHER);
    log.apply(finish(2, 103, 7));
    assert_eq!(kept(&log).unwrap().len(), KEPT_BYTES_MAX, "it had been replaced");
    log.apply(finish(2, 105, KEPT_BYTES_MAX + 1));
    log.claim(3, Some(NODE));
    assert_eq!(log.job().run(s(3)).unwrap().1.kept.unwrap().len(), KEPT_BYTES_MAX, "too large");
    let weighed: u64 = log.state.jobs().map(Job::bytes).sum();
    assert_eq!(log.state.job_bytes, weighed);
}

#[test]
fn where_all_jobs_are_as_large_as_allowed_one_may_still_become_smaller() {
    let sized = |bytes: usize| spec().payload(&vec![1u8; bytes]).unwrap();
    let mut log = Log::with(sized(100));
    log.state.job_bytes = JOB_BYTES_MAX;
    let seen = Some(log.job().seen());
    let larger = log.apply(Command::Define { spec: sized(200), at: s(0), seen });
    assert!(matches!(larger, Reply::Rejected(Rejection::TooManyBytes { .. })), "{larger:?}");
    let smaller = log.apply(Command::Define { spec: sized(50), at: s(0), seen });
    assert!(matches!(smaller, Reply::Defined { changed: true, .. }), "{smaller:?}");
    assert_eq!(log.state.job_bytes, JOB_BYTES_MAX - 50);
}
