use std::time::Duration;

use clustron_core::{Epoch, NodeId, codec};

use super::*;
use crate::firing::MissReason;
use crate::job::{JobSpec, Misfire, Overlap};
use crate::message::{Reply, RunResult};
use crate::schedule::Schedule;

fn s(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1_000)
}

fn name(name: &str) -> JobName {
    JobName::new(name).unwrap()
}

fn spec(job: &str, schedule: Schedule) -> JobSpec {
    JobSpec::new(name(job), schedule).overlap(Overlap::Allow { max: 1_000 })
}

fn each_second() -> Schedule {
    Schedule::every(Duration::from_secs(1)).unwrap()
}

struct Led {
    state: SchedulerState,
    planner: Planner,
    workers: Workers,
    index: u64,
}

impl Led {
    fn by(specs: impl IntoIterator<Item = JobSpec>) -> Self {
        let mut workers = Workers::default();
        workers.join(NodeId(1));
        workers.join(NodeId(2));
        let (state, planner) = Default::default();
        let mut led = Self { state, planner, workers, index: 0 };
        for spec in specs {
            led.apply(Command::Define { spec, at: s(0), seen: None });
        }
        led
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.index += 1;
        let reply = self.state.apply(self.index, Epoch(1), command);
        self.planner.catch_up(&self.state);
        reply
    }

    fn due(&mut self, second: i64) -> Vec<Command> {
        self.planner.due(&self.state, s(second), &mut self.workers)
    }

    fn apply_all(&mut self, commands: Vec<Command>) {
        for command in commands {
            let shown = format!("{command:?}");
            let reply = self.apply(command);
            assert!(!matches!(reply, Reply::Rejected(_)), "{shown}: {reply:?}");
        }
    }
}

/// What is to be applied before a change.
fn due(settled: Result<Option<Seen>, Unsettled>) -> Vec<Command> {
    match settled {
        Err(Unsettled::Due(commands)) => commands,
        other => panic!("{other:?}"),
    }
}

/// From, to, how many, why.
type MissedSeconds = (i64, i64, u64, MissReason);

/// Seconds that are claimed, and ranges that are missed.
fn plan(commands: &[Command]) -> (Vec<i64>, Vec<MissedSeconds>) {
    let (mut claimed, mut missed) = (Vec::new(), Vec::new());
    for command in commands {
        match command {
            Command::Claim { scheduled, .. } => claimed.push(scheduled.unix_ms() / 1_000),
            Command::Miss { from, to, count, reason, .. } => {
                missed.push((from.unix_ms() / 1_000, to.unix_ms() / 1_000, *count, *reason));
            }
            other => panic!("{other:?}"),
        }
    }
    (claimed, missed)
}

#[test]
fn late_ticks_follow_the_misfire_rule() {
    let all = |max, max_age_s: u64| Misfire::All { max, max_age_ms: max_age_s * 1_000 };
    for schedule in [each_second(), Schedule::cron("* * * * * *").unwrap()] {
        for (misfire, claimed, missed) in [
            (Misfire::Skip, 19..=20, vec![(1, 18, 18, MissReason::Late)]),
            (Misfire::Latest, 19..=20, vec![(1, 18, 18, MissReason::NotLatest)]),
            (all(100, 100), 1..=20, vec![]),
            (all(100, 5), 15..=20, vec![(1, 14, 14, MissReason::TooOld)]),
            (all(3, 100), 16..=20, vec![(1, 15, 15, MissReason::TooMany)]),
            (
                all(3, 8),
                16..=20,
                vec![(1, 11, 11, MissReason::TooOld), (12, 15, 4, MissReason::TooMany)],
            ),
            (all(3, 0), 19..=20, vec![(1, 18, 18, MissReason::TooOld)]),
        ] {
            let spec = spec("job", schedule.clone()).misfire(misfire);
            let mut led = Led::by([spec]);
            let commands = led.due(20);
            assert_eq!(plan(&commands), (claimed.collect(), missed), "{misfire:?} {schedule}");
            led.apply_all(commands);
            assert!(led.due(20).is_empty());
            assert_eq!(led.planner.next_due(), Some(s(21)));
        }
    }
}

#[test]
fn the_latest_late_tick_runs_if_none_is_on_time() {
    let hourly = Schedule::cron("@hourly").unwrap();
    let mut led = Led::by([spec("job", hourly).misfire(Misfire::Latest)]);
    let commands = led.due(3 * 3_600 + 60);
    let missed = vec![(3_600, 7_200, 2, MissReason::NotLatest)];
    assert_eq!(plan(&commands), (vec![10_800], missed));
}

#[test]
fn nothing_is_due_again_when_the_clock_goes_back() {
    let mut led = Led::by([spec("job", each_second())]);
    let commands = led.due(5);
    led.apply_all(commands);
    assert!(led.due(3).is_empty());
    assert_eq!(plan(&led.due(6)).0, [6]);
}

#[test]
fn a_large_backlog_comes_in_bounded_batches_and_none_is_lost() {
    let mut led = Led::by((0..5).map(|n| spec(&format!("job{n}"), each_second())));
    let mut claimed = 0;
    while led.planner.next_due().is_some_and(|due| due <= s(200)) {
        let commands = led.due(200);
        assert!(!commands.is_empty() && commands.len() <= BATCH_MAX);
        claimed += commands.len();
        led.apply_all(commands);
    }
    assert_eq!(claimed, 5 * 200);
}

#[test]
fn a_very_long_backlog_of_several_rules_is_missed_in_several_records_that_add_up() {
    let walked = Schedule::cron("* * * * * *").unwrap().or(each_second());
    let mut led =
        Led::by([spec("job", walked).misfire(Misfire::All { max: 2, max_age_ms: 10_000 })]);
    let mut calls = 0;
    while led.planner.next_due().is_some_and(|due| due <= s(50_000)) {
        let commands = led.due(50_000);
        led.apply_all(commands);
        calls += 1;
    }
    let job = led.state.job(&name("job")).unwrap();
    assert_eq!((calls, job.counters().claimed, job.counters().missed), (3, 50_000, 49_996));
}

#[test]
fn a_backlog_of_years_at_each_millisecond_is_arithmetic() {
    let fast = Schedule::every(Duration::from_millis(1)).unwrap();
    let mut led = Led::by([spec("job", fast).misfire(Misfire::Skip).grace(Duration::ZERO)]);
    let year = 365 * 86_400;
    let commands = led.due(year);
    assert_eq!(
        plan(&commands),
        (vec![year], vec![(0, year - 1, year as u64 * 1_000 - 1, MissReason::Late)])
    );
}

#[test]
fn work_is_spread_and_no_worker_is_booked_for_a_tick_that_cannot_start() {
    let mut led =
        Led::by([spec("allow", each_second()), spec("skip", each_second()).overlap(Overlap::Skip)]);
    let booked: Vec<Option<u64>> = led
        .due(2)
        .iter()
        .map(|command| match command {
            Command::Claim { worker, .. } => worker.map(|node| node.0),
            _ => None,
        })
        .collect();
    assert_eq!(booked, [Some(1), Some(2), Some(1), None]);
}

#[test]
fn ticks_of_a_lost_or_unable_worker_move_and_waiting_ones_start() {
    let mut led = Led::by([
        spec("buffered", each_second()).overlap(Overlap::BufferAll { max: 9 }),
        spec("single", each_second()).overlap(Overlap::Skip),
    ]);
    let commands = led.due(1);
    led.apply_all(commands);
    let commands = led.due(2);
    led.apply_all(commands);
    let repairs = |led: &mut Led| led.planner.repairs(&led.state, &mut led.workers, s(2));
    assert!(repairs(&mut led).is_empty());
    // "buffered" runs on node 1, "single" on node 2.
    led.workers.leave(NodeId(1));
    let moved = repairs(&mut led);
    assert!(matches!(
        moved.as_slice(),
        [Command::Assign { after: Some(_), worker: NodeId(2), why, .. }] if why.contains("is gone")
    ));
    led.apply_all(moved);
    let run = led.state.job(&name("single")).unwrap().run(s(1)).unwrap().1;
    led.workers.exclude(&name("single"), NodeId(2), false);
    assert!(repairs(&mut led).is_empty(), "what runs there goes on");
    led.planner.note_order(&run, true);
    assert!(repairs(&mut led).is_empty(), "nobody else is there");
    led.planner.note_order(&run, false);
    led.workers.join(NodeId(3));
    assert!(repairs(&mut led).is_empty(), "it was taken after all");
    led.planner.note_order(&run, true);
    let moved = repairs(&mut led);
    assert!(matches!(
        moved.as_slice(),
        [Command::Assign { worker: NodeId(3), why, .. }] if why.contains("did not take it")
    ));
    led.apply_all(moved);
    let token = led.state.job(&name("buffered")).unwrap().run(s(1)).unwrap().1.token;
    led.apply(Command::Finish {
        job: name("buffered"),
        tick: s(1).into(),
        token,
        worker: NodeId(2),
        result: RunResult::Ran,
        started: s(2),
        finished: s(2),
        kept: None,
    });
    let next = repairs(&mut led);
    assert!(matches!(
        next.as_slice(),
        [Command::Assign { after: None, tick, .. }] if tick.scheduled == s(2)
    ));
}

#[test]
fn a_new_leader_sees_the_same_agenda() {
    let mut led = Led::by((0..20).map(|n| {
        spec(&format!("job{n}"), Schedule::every(Duration::from_secs(n % 7 + 1)).unwrap())
    }));
    let commands = led.due(9);
    led.apply_all(commands);
    let mut workers = led.workers.clone();
    let fresh = Planner::new(&led.state);
    assert_eq!(fresh.next_due(), led.planner.next_due());
    assert_eq!(fresh.due(&led.state, s(30), &mut workers), led.due(30));
    assert_eq!(
        fresh.settle(&led.state, &name("job0"), s(9), &mut workers).unwrap().unwrap().cursor,
        s(9)
    );
    assert!(!due(fresh.settle(&led.state, &name("job0"), s(10), &mut workers)).is_empty());
}

#[test]
fn a_tick_waits_for_its_jitter_and_keeps_its_instant() {
    let schedule = each_second().jitter(Duration::from_secs(600));
    let due_at = |second| schedule.due_at(&name("job"), s(second));
    let mut led = Led::by([spec("job", schedule.clone()).misfire(Misfire::Skip)]);
    let first = due_at(1);
    assert!(first > s(1), "the name was chosen so");
    assert_eq!(led.planner.next_due(), Some(first));
    let just_before = Timestamp::from_unix_ms(first.unix_ms() - 1);
    assert!(led.planner.due(&led.state, just_before, &mut led.workers).is_empty());
    // Those behind it wait for it, and come with it if their own jitter is over.
    let commands = led.planner.due(&led.state, first, &mut led.workers);
    let expected: Vec<i64> = (1..700).take_while(|second| due_at(*second) <= first).collect();
    assert_eq!(plan(&commands), (expected, vec![]), "none is late");
    // A change of the job takes what is due without jitter.
    let commands = led.planner.settle(&led.state, &name("job"), s(3), &mut led.workers);
    assert_eq!(plan(&due(commands)).0, [1, 2, 3]);
}

#[test]
fn a_job_runs_as_often_as_it_is_to_and_skipped_ticks_do_not_count() {
    let spec = spec("job", each_second().times(3)).overlap(Overlap::Skip);
    let mut led = Led::by([spec.clone()]);
    let commands = led.due(2);
    assert_eq!(plan(&commands).0, [1, 2]);
    led.apply_all(commands);
    // Second 2 was skipped, as second 1 still runs.
    let finish = |led: &mut Led, second| {
        let (worker, run) = led.state.job(&name("job")).unwrap().run(s(second)).unwrap();
        led.apply(Command::Finish {
            job: name("job"),
            tick: s(second).into(),
            token: run.token,
            worker,
            result: RunResult::Ran,
            started: s(second),
            finished: s(second),
            kept: None,
        });
    };
    finish(&mut led, 1);
    for second in [3, 4] {
        let commands = led.due(second);
        led.apply_all(commands);
        finish(&mut led, second);
    }
    assert!(led.due(9).is_empty());
    let job = led.state.job(&name("job")).unwrap();
    assert_eq!((job.counters().ran, job.counters().skipped, job.next_due()), (3, 1, None));
    let seen = Some(job.seen());
    let (generation, after) = (job.generation(), job.cursor());
    let (scheduled, at) = (s(5), s(5));
    let claim = Command::Claim { job: name("job"), generation, after, scheduled, at, worker: None };
    let reply = led.apply(claim);
    assert_eq!(reply, Reply::Rejected(crate::Rejection::TimesUp { times: 3 }));
    // Another schedule counts from the beginning, another policy does not.
    let other = JobSpec { overlap: Overlap::Allow { max: 1 }, ..spec.clone() };
    led.apply(Command::Define { spec: other, at: s(9), seen });
    assert_eq!(led.planner.next_due(), None);
    let seen = led.state.job(&name("job")).map(Job::seen);
    let other = JobSpec { schedule: each_second().times(4), ..spec };
    led.apply(Command::Define { spec: other, at: s(9), seen });
    assert_eq!(led.planner.next_due(), Some(s(10)));
}

#[test]
fn a_failed_attempt_waits_and_then_goes_elsewhere() {
    let retries = crate::Retries::new(3, Duration::from_secs(10), Duration::from_secs(60));
    let mut led = Led::by([spec("job", each_second().times(1)).retries(retries)]);
    let commands = led.due(1);
    led.apply_all(commands);
    let (worker, run) = led.state.job(&name("job")).unwrap().run(s(1)).unwrap();
    let (token, result) = (run.token, RunResult::Failed { error: "no".to_owned() });
    let (job, tick, started, finished) = (name("job"), run.tick, s(1), s(1));
    led.apply(Command::Finish { job, tick, token, worker, result, started, finished, kept: None });
    let repairs =
        |led: &mut Led, second| led.planner.repairs(&led.state, &mut led.workers, s(second));
    assert!(repairs(&mut led, 2).is_empty(), "the pause begins when the leader sees it");
    assert_eq!(led.planner.next_due(), Some(s(12)));
    assert!(repairs(&mut led, 11).is_empty());
    let again = repairs(&mut led, 12);
    let [Command::Assign { worker: other, why, .. }] = again.as_slice() else {
        panic!("{again:?}")
    };
    assert!(*other != worker && why.contains("failure 1 was on") && why.ends_with(": no"));
    assert_eq!(led.planner.next_due(), None, "nothing is to be waited for");
    // Nobody else is there: better the same again than nobody.
    led.workers.leave(*other);
    let again = repairs(&mut led, 13);
    assert!(matches!(again.as_slice(), [Command::Assign { worker: same, .. }] if *same == worker));
}

#[test]
fn an_ephemeral_job_is_deleted_when_nothing_is_left_to_do() {
    let mut led = Led::by([spec("job", each_second().times(1)).ephemeral()]);
    let commands = led.due(1);
    led.apply_all(commands);
    assert!(led.due(9).is_empty(), "it runs");
    let (worker, run) = led.state.job(&name("job")).unwrap().run(s(1)).unwrap();
    let (token, result) = (run.token, RunResult::Ran);
    let (job, tick, started, finished) = (name("job"), run.tick, s(1), s(1));
    led.apply(Command::Finish { job, tick, token, worker, result, started, finished, kept: None });
    let commands = led.due(9);
    assert!(matches!(commands.as_slice(), [Command::Delete { .. }]), "{commands:?}");
    led.apply_all(commands);
    assert!(led.state.job(&name("job")).is_none() && led.due(9).is_empty());
}

#[test]
fn a_long_pause_is_one_record_when_the_job_changes() {
    let mut led = Led::by([spec("job", each_second())]);
    let seen = led.state.job(&name("job")).unwrap().seen();
    led.apply(Command::Pause { job: name("job"), at: s(0), seen, note: String::new() });
    assert!(led.due(1_000_000).is_empty());
    let settle =
        |led: &mut Led| led.planner.settle(&led.state, &name("job"), s(100), &mut led.workers);
    let missed = due(settle(&mut led));
    assert_eq!(plan(&missed), (vec![], vec![(1, 100, 100, MissReason::Paused)]));
    led.apply_all(missed);
    assert_eq!(settle(&mut led).unwrap().unwrap().cursor, s(100));
}

#[test]
fn a_node_runs_no_more_of_a_job_than_the_job_says_and_only_where_it_may() {
    let spec = spec("job", each_second()).per_worker_max(1);
    let mut led = Led::by([spec]);
    let booked = |commands: Vec<Command>| {
        let workers = commands.into_iter().map(|command| match command {
            Command::Claim { worker, .. } => worker.map(|node| node.0),
            other => panic!("{other:?}"),
        });
        workers.collect::<Vec<_>>()
    };
    let commands = led.due(1);
    led.apply_all(commands);
    assert_eq!(booked(led.due(4)), [Some(2), None, None]);

    let placed = JobSpec::new(name("placed"), each_second()).placement("node:b".parse().unwrap());
    let mut led = Led::by([placed]);
    assert_eq!(booked(led.due(1)), [None], "nobody has said what it is");
    let node = |id, name: &str| clustron_core::NodeInfo {
        id: NodeId(id),
        name: clustron_core::NodeName::new(name).unwrap(),
        incarnation: clustron_core::Incarnation(1),
        addr: String::new(),
        roles: [].into(),
        tags: [].into(),
        revision: 0,
        starts: 0,
        process: 0,
    };
    led.workers.describe(&node(1, "a"));
    led.workers.describe(&node(2, "b"));
    assert_eq!(booked(led.due(1)), [Some(2)]);
}

#[test]
fn what_is_applied_behind_the_leaders_back_is_on_the_agenda() {
    let mut led = Led::by([spec("old", each_second())]);
    // Nobody waited for these any more when they came to be.
    let late = [
        Command::Define { spec: spec("new", each_second()), at: s(5), seen: None },
        Command::Ask { job: name("old"), scheduled: s(5), at: s(5), worker: None },
    ];
    for command in late {
        led.index += 1;
        let reply = led.state.apply(led.index, Epoch(1), command);
        assert!(!matches!(reply, Reply::Rejected(_)), "{reply:?}");
    }
    led.planner.catch_up(&led.state);
    assert_eq!(led.planner.open_ticks(&led.state).count(), 1);
    assert!(led.due(6).iter().any(|command| *command.job() == name("new")));
    for job in ["old", "new"] {
        led.index += 1;
        let seen = led.state.job(&name(job)).unwrap().seen();
        let command = Command::Delete { job: name(job), seen, if_idle: false };
        assert_eq!(led.state.apply(led.index, Epoch(1), command), Reply::Deleted);
    }
    led.planner.catch_up(&led.state);
    assert_eq!(led.planner.next_due(), None, "the leader would look at once for ever");
    assert_eq!(led.planner.open_ticks(&led.state).count(), 0);
}

#[test]
fn what_this_node_cannot_compute_is_not_over_and_not_passed() {
    // A zone of newer tables.
    let text = codec::encode("cron \"0 * * * *\" in Mars/Olympus").unwrap();
    let mars: Schedule = codec::decode(&text).unwrap();
    let ephemeral = JobSpec::new(name("ephemeral"), mars.clone()).ephemeral();
    let mut led = Led::by([spec("job", mars), ephemeral]);
    assert!(led.due(7_200).is_empty(), "neither is claimed nor deleted");
    let settled = led.planner.settle(&led.state, &name("job"), s(7_200), &mut led.workers);
    assert!(matches!(settled, Err(Unsettled::Unknown(NoTick::UnknownZone { .. }))), "{settled:?}");
    let seen = led.state.job(&name("job")).unwrap().seen();
    led.apply(Command::Pause { job: name("job"), at: s(0), seen, note: String::new() });
    let settled = led.planner.settle(&led.state, &name("job"), s(7_200), &mut led.workers);
    assert!(matches!(settled, Err(Unsettled::Unknown(NoTick::UnknownZone { .. }))), "{settled:?}");
}
