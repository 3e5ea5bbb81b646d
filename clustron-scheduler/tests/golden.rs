//! The bytes of what the scheduler says and keeps are frozen: nodes of two versions talk to each
//! other while a service is being updated, and logs and snapshots outlive their program.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use clustron_core::{Epoch, FencingToken, NodeId, Timestamp};
use clustron_scheduler::{
    Answer, Ask, AskClock, Command, DstGap, DstOverlap, Exclusion, Expected, JobName, JobSpec,
    Look, Misfire, MissReason, Outcome, Overlap, Refused, Rejection, Reply, Retries, Run, RunReply,
    RunResult, Running, Schedule, SchedulerState, Seen, SkipReason, Start, TickId,
};
use clustron_testkit::golden::Golden;

const WORKER: NodeId = NodeId(1);
const TOKEN: FencingToken = FencingToken(70_001);

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn job() -> JobName {
    JobName::new("bill").unwrap()
}

fn every() -> JobSpec {
    let schedule = Schedule::every(Duration::from_secs(1)).unwrap();
    JobSpec::new(job(), schedule)
}

fn finish(result: RunResult) -> Command {
    Command::Finish {
        job: job(),
        tick: at(1000).into(),
        token: TOKEN,
        worker: WORKER,
        result,
        started: at(1010),
        finished: at(1020),
        kept: Some(vec![1, 2].into()),
    }
}

fn claim(scheduled: i64) -> Command {
    let (after, generation) = (at(scheduled - 1000), 1);
    let worker = Some(WORKER);
    Command::Claim {
        job: job(),
        generation,
        after,
        scheduled: at(scheduled),
        at: at(scheduled),
        worker,
    }
}

/// They travel as text.
fn schedules(table: &mut Golden) {
    let cron = |text: &str| Schedule::cron(text).unwrap();
    let berlin = |text: &str| cron(text).zone("Europe/Berlin").unwrap();
    let year = Exclusion::dates("2026-12-24..2026-12-26").unwrap();
    let phase = Schedule::every_with_phase(Duration::from_secs(90), Duration::from_millis(5));
    for (name, schedule) in [
        ("every", Schedule::every(Duration::from_secs(1)).unwrap()),
        ("with a phase", phase.unwrap()),
        ("once", Schedule::at(at(1000))),
        ("cron", cron("*/5 * * * *")),
        ("in a zone", berlin("30 2 * * MON-FRI")),
        ("skipping gaps", berlin("30 2 * * *").dst_gap(DstGap::Skip).unwrap()),
        ("last of two", berlin("30 2 * * *").dst_overlap(DstOverlap::Last).unwrap()),
        ("both", berlin("30 2 * * *").dst_overlap(DstOverlap::Both).unwrap()),
        (
            "with everything",
            cron("0 12 1 * *")
                .or(Schedule::at(at(86_400_000)))
                .excluding(year)
                .starting(at(0))
                .ending(at(1_000_000_000_000))
                .jitter(Duration::from_secs(30))
                .times(3),
        ),
    ] {
        schedule.check().unwrap();
        table.add(&format!("schedule {name}"), &schedule);
    }
}

fn commands(table: &mut Golden) {
    let cron = JobSpec::new(job(), Schedule::cron("*/5 * * * *").unwrap());
    let define = |spec, seen| Command::Define { spec, at: at(0), seen };
    table.add("define every", &define(every(), None));
    let seen = Some(Seen { generation: 1, cursor: at(1000) });
    table.add("define cron", &define(cron, seen));
    for (name, overlap) in [
        ("skip", Overlap::Skip),
        ("buffer", Overlap::BufferAll { max: 10 }),
        ("allow", Overlap::Allow { max: 10 }),
        ("cancel other", Overlap::CancelOther),
    ] {
        table.add(&format!("overlap {name}"), &overlap);
    }
    for (name, misfire) in [
        ("skip", Misfire::Skip),
        ("latest", Misfire::Latest),
        ("all", Misfire::All { max: 10, max_age_ms: 60_000 }),
    ] {
        table.add(&format!("misfire {name}"), &misfire);
    }
    table.add("claim", &claim(1000));
    let (worker, why) = (WORKER, "moved".to_owned());
    let (after, tick) = (Some(TOKEN), at(1000).into());
    table.add("assign", &Command::Assign { job: job(), tick, after, worker, at: at(5), why });
    for (name, reason) in [
        ("late", MissReason::Late),
        ("not latest", MissReason::NotLatest),
        ("too old", MissReason::TooOld),
        ("too many", MissReason::TooMany),
        ("paused", MissReason::Paused),
    ] {
        let (after, from, to) = (at(0), at(1000), at(3000));
        let miss =
            Command::Miss { job: job(), generation: 1, after, from, to, count: 3, reason, at: to };
        table.add(&format!("miss {name}"), &miss);
    }
    table.add("finish ran", &finish(RunResult::Ran));
    table.add("finish failed", &finish(RunResult::Failed { error: "no".to_owned() }));
    table.add("finish cancelled", &finish(RunResult::Cancelled));
    let seen = Seen { generation: 1, cursor: at(1000) };
    let (job, scheduled, note) = (job(), at(500), "why".to_owned());
    let (at, worker) = (at(2000), Some(WORKER));
    table.add("pause", &Command::Pause { job: job.clone(), at, seen, note });
    table.add("resume", &Command::Resume { job: job.clone(), at, seen });
    table.add("ask", &Command::Ask { job: job.clone(), scheduled, at, worker });
    table.add("delete", &Command::Delete { job, seen, if_idle: true });
}

fn replies(table: &mut Golden) {
    let claimed = |start| Reply::Claimed { token: TOKEN, start };
    for (name, reply) in [
        ("defined", Reply::Defined { generation: 1, changed: true }),
        ("running", claimed(Start::Running { worker: WORKER })),
        ("waiting", claimed(Start::Waiting)),
        ("skipped for overlap", claimed(Start::Skipped { reason: SkipReason::Overlap })),
        ("skipped for a full buffer", claimed(Start::Skipped { reason: SkipReason::BufferFull })),
        ("skipped for too many", claimed(Start::Skipped { reason: SkipReason::TooManyOpen })),
        ("skipped for a later one", claimed(Start::Skipped { reason: SkipReason::Superseded })),
        ("assigned", Reply::Assigned { token: TOKEN, attempt: 2 }),
        ("will retry", Reply::WillRetry { failures: 2 }),
        ("changed", Reply::Changed),
        ("asked", Reply::Asked { tick: asked(), start: Start::Waiting }),
        ("deleted", Reply::Deleted),
        ("missed", Reply::Missed { count: 3 }),
        ("finished", Reply::Finished),
        ("already finished", Reply::AlreadyFinished),
        ("superseded", Reply::Superseded),
    ] {
        table.add(&format!("reply {name}"), &reply);
    }
    for (name, rejection) in [
        ("unknown job", Rejection::UnknownJob),
        ("stale generation", Rejection::StaleGeneration { current: 2 }),
        ("cursor moved", Rejection::CursorMoved { cursor: at(2000) }),
        ("unknown tick", Rejection::UnknownTick),
        ("attempt changed", Rejection::AttemptChanged { newest: Some(TOKEN), closed: true }),
        ("not its turn", Rejection::NotItsTurn),
        ("never granted", Rejection::NeverGranted),
        ("times up", Rejection::TimesUp { times: 3 }),
        ("paused", Rejection::Paused),
        ("not idle", Rejection::NotIdle),
        ("too many open", Rejection::TooManyOpen { open: 3 }),
        ("too many bytes", Rejection::TooManyBytes { bytes: 4, max: 3 }),
        ("invalid", Rejection::InvalidSpec { reason: "no".to_owned() }),
        ("too many jobs", Rejection::TooManyJobs { max: 3 }),
        ("bad range", Rejection::BadRange),
    ] {
        table.add(&format!("rejected {name}"), &Reply::Rejected(rejection));
    }
}

fn runs(table: &mut Golden) {
    let run = Run {
        job: job(),
        generation: 1,
        handler: JobName::new("bills").unwrap(),
        tick: asked(),
        token: TOKEN,
        attempt: 2,
        epoch: Epoch(9),
        timeout_ms: Some(5),
        payload: vec![7].into(),
        kept: Some(vec![8].into()),
    };
    table.add("run", &run);
    for (name, reply) in [
        ("accepted", RunReply::Accepted),
        ("already running", RunReply::AlreadyRunning),
        ("already finished", RunReply::AlreadyFinished),
        ("no handler", RunReply::NoHandler),
        ("busy", RunReply::Busy),
    ] {
        table.add(&format!("run {name}"), &reply);
    }
}

/// What is asked of the leader and of workers, and their answers.
fn asks(table: &mut Golden) {
    let (from, to) = (at(0), at(1000));
    let put = |expected| Ask::Put { spec: every(), expected };
    for (name, ask) in [
        ("put", put(Expected::Any)),
        ("put new", put(Expected::Nothing)),
        ("put over", put(Expected::Generation(7))),
        ("delete", Ask::Delete { job: job() }),
        ("pause", Ask::Pause { job: job(), note: "why".to_owned() }),
        ("resume", Ask::Resume { job: job() }),
        ("trigger", Ask::Trigger { job: job() }),
        ("backfill", Ask::Backfill { job: job(), from, to }),
    ] {
        table.add(&format!("ask {name}"), &ask);
    }
    let refused = |why| Answer::Refused(why);
    for (name, answer) in [
        ("done", Answer::Done { generation: 7, changed: true }),
        ("asked", Answer::Asked { ticks: vec![asked()] }),
        ("not now", Answer::NotNow),
        ("unknown", Answer::Unknown),
        ("no job", refused(Refused::UnknownJob)),
        ("not as expected", refused(Refused::NotAsExpected { current: Some(7) })),
        ("in code", refused(Refused::InCode)),
        ("no ticks", refused(Refused::NoTicks)),
        ("too many ticks", refused(Refused::TooManyTicks { max: 3 })),
        ("rejected", refused(Refused::Rejected(Rejection::UnknownJob))),
        ("not known", refused(Refused::NotKnown("no such zone".to_owned()))),
    ] {
        table.add(&format!("answer {name}"), &answer);
    }
    table.add_bytes("ask clock", &AskClock, &clustron_core::codec::encode(&AskClock).unwrap());
    table.add("clock", &at(1000));
    table.add("look", &Look { job: job() });
    let running = Running {
        tick: asked(),
        token: TOKEN,
        attempt: 2,
        worker: WORKER,
        started: at(1000),
        progress: Some(0.5),
        lines: vec![(at(1001), "line".to_owned())],
    };
    table.add("running", &vec![running]);
}

fn asked() -> TickId {
    TickId { scheduled: at(1000), asked: Some(FencingToken(60_000)) }
}

/// A job with all that it may have.
fn jobs(table: &mut Golden) {
    let spec = every()
        .handled_by(JobName::new("bills").unwrap())
        .payload("p")
        .unwrap()
        .retries(Retries::new(3, Duration::from_secs(1), Duration::from_secs(9)))
        .timeout(Duration::from_secs(5))
        .pause_after(4)
        .per_worker_max(2)
        .placement("zone=eu".parse().unwrap())
        .ephemeral();
    table.add("job", &spec);
}

/// A state with ticks that are open and ticks that are closed.
fn state(table: &mut Golden) {
    let mut state = SchedulerState::default();
    let seen = Seen { generation: 1, cursor: at(2000) };
    let (epoch, spec) = (Epoch(9), every().overlap(Overlap::Allow { max: 10 }));
    for (token, command) in [
        (1, Command::Define { spec, at: at(0), seen: None }),
        (TOKEN.0, claim(1000)),
        (80_000, claim(2000)),
        (90_000, finish(RunResult::Failed { error: "no".to_owned() })),
        (100_000, Command::Ask { job: job(), scheduled: at(9), at: at(2000), worker: None }),
        (110_000, Command::Pause { job: job(), at: at(2000), seen, note: "why".to_owned() }),
    ] {
        let reply = state.apply(token, epoch, command);
        assert!(!matches!(reply, Reply::Rejected(_)), "{reply:?}");
    }
    table.add("state", &state);
    let missed = Outcome::Missed { reason: MissReason::Late, until: at(3000), count: 3 };
    for (name, outcome) in [
        ("ran", Outcome::Ran),
        ("failed", Outcome::Failed { error: "no".to_owned() }),
        ("cancelled", Outcome::Cancelled),
        ("skipped", Outcome::Skipped { reason: SkipReason::Overlap }),
        ("missed", missed),
    ] {
        table.add(&format!("outcome {name}"), &outcome);
    }
}

#[test]
fn the_bytes_of_what_the_scheduler_says_and_keeps_are_frozen() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut table = Golden::new(directory.join("scheduler.txt"));
    schedules(&mut table);
    commands(&mut table);
    replies(&mut table);
    runs(&mut table);
    asks(&mut table);
    jobs(&mut table);
    state(&mut table);
    table.check();
}
