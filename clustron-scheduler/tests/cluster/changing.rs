//! Jobs that are made, changed and run by hand while the cluster runs, from any node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clustron_core::{Clock, Config, MemoryNetwork, Outcome as Known, SystemClock, Timestamp};
use clustron_scheduler::{
    Answer, Ask, ChangeError, Expected, JobSpec, MissReason, Outcome, Refused, Schedule, Scheduler,
    SchedulerHandle, TickId,
};

use crate::world::{LONG, alone, every, leader_of, name, three, until};

/// Code for jobs that are made later.
fn echo() -> Scheduler {
    let echo = Scheduler::new().handler("echo", |job| async move {
        let said: String = job.payload().map_err(|error| error.to_string())?;
        job.keep(&(said, job.tick())).map_err(|error| error.to_string())
    });
    echo.unwrap()
}

/// A job that is not due in a lifetime.
fn never(job: &str) -> JobSpec {
    let spec = JobSpec::new(name(job), Schedule::at(Timestamp::from_unix_ms(200_000_000_000_000)));
    spec.handled_by(name("echo")).payload("hello").unwrap()
}

async fn closed(scheduler: &SchedulerHandle, job: &str, tick: TickId) -> Outcome {
    let find = || {
        let history = scheduler.stale_history(&name(job)).ok()?;
        history.into_iter().find(|firing| firing.id() == tick)?.outcome
    };
    until(scheduler, job, |_| find().is_some()).await;
    find().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_put_replaced_and_deleted_from_any_node_also_while_the_leader_dies() {
    let network = MemoryNetwork::new();
    let mut nodes = three(&network, &Config::local(), echo).await;
    let at = leader_of(&nodes).await;
    let scheduler = nodes[(at + 1) % 3].1.clone();
    let spec = every("job", 50).handled_by(name("echo")).payload("hello").unwrap();
    let put = scheduler.put(&spec, Expected::Nothing, LONG).await.unwrap();
    assert!(put.changed);
    until(&scheduler, "job", |status| status.counters.ran >= 2).await;
    // The same again is no change, also where none was expected: it may be the second try.
    let again = scheduler.put(&spec, Expected::Nothing, LONG).await.unwrap();
    assert_eq!((again.generation, again.changed), (put.generation, false));

    drop(nodes.remove(at));
    let faster = every("job", 20).handled_by(name("echo")).payload("faster").unwrap();
    let expected = Expected::Generation(put.generation);
    let replaced = scheduler.put(&faster, expected, LONG).await.unwrap();
    assert!(replaced.generation > put.generation);
    let other = every("job", 30).handled_by(name("echo"));
    let error = scheduler.put(&other, expected, LONG).await.unwrap_err();
    let current = Some(replaced.generation);
    let why = Refused::NotAsExpected { current };
    assert_eq!(error, ChangeError::Refused { job: name("job"), why });
    let now = until(&scheduler, "job", |status| status.spec == faster).await;
    until(&scheduler, "job", |status| status.counters.ran > now.counters.ran).await;

    scheduler.delete(&name("job"), LONG).await.unwrap();
    let error = scheduler.delete(&name("job"), LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "job: there is no such job");
    assert!(scheduler.status(&name("job"), LONG).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_jobs_are_put_at_once() {
    let network = MemoryNetwork::new();
    let nodes = three(&network, &Config::local(), echo).await;
    let specs: Vec<JobSpec> = (0..600).map(|n| never(&format!("job/{n}"))).collect();
    let puts = specs.iter().zip(nodes.iter().cycle());
    let puts = puts.map(|(spec, (_, scheduler))| scheduler.put(spec, Expected::Nothing, LONG));
    for put in futures::future::join_all(puts).await {
        assert!(put.unwrap().changed);
    }
    let mut changes = nodes[0].1.changes();
    while nodes[0].1.stale_jobs().len() < 600 {
        changes.changed().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_job_says_why_and_what_it_missed() {
    let scheduler = Scheduler::new().job(every("job", 20), |_| async { Ok::<(), String>(()) });
    let (_cluster, scheduler) = alone(scheduler.unwrap()).await;
    let job = name("job");
    until(&scheduler, "job", |status| status.counters.ran >= 3).await;
    scheduler.pause(&job, "the printer burns", LONG).await.unwrap();
    let status = scheduler.status(&job, LONG).await.unwrap();
    assert_eq!(status.paused.unwrap().note, "the printer burns");
    assert_eq!(status.next_due, None);
    // By hand it runs all the same.
    let tick = scheduler.trigger(&job, LONG).await.unwrap();
    assert_eq!(closed(&scheduler, "job", tick).await, Outcome::Ran);
    let resumed_after = SystemClock.now().saturating_add(Duration::from_millis(100));
    while SystemClock.now() < resumed_after {
        tokio::task::yield_now().await;
    }
    scheduler.resume(&job, LONG).await.unwrap();
    let ran = scheduler.status(&job, LONG).await.unwrap().counters.ran;
    let status = until(&scheduler, "job", |status| status.counters.ran > ran).await;
    let history = scheduler.stale_history(&job).unwrap();
    let missed: Vec<u64> = history
        .iter()
        .filter_map(|firing| match firing.outcome {
            Some(Outcome::Missed { reason: MissReason::Paused, count, .. }) => Some(count),
            _ => None,
        })
        .collect();
    assert!(missed.len() == 1 && missed[0] >= 4, "{missed:?}");
    let c = status.counters;
    assert_eq!(c.claimed + c.asked, c.ran + c.failed + c.skipped + c.missed + c.open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_by_hand_now_and_for_what_it_never_saw() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = ran.clone();
    let daily = JobSpec::new(name("daily"), Schedule::cron("0 3 * * *").unwrap());
    let scheduler = Scheduler::new().job(daily, move |job| {
        let counted = counted.clone();
        async move {
            counted.fetch_add(1, Ordering::Relaxed);
            assert!(job.tick().asked.is_some());
            Ok::<(), String>(())
        }
    });
    let (_cluster, scheduler) = alone(scheduler.unwrap()).await;
    let daily = name("daily");
    until(&scheduler, "daily", |_| true).await;
    let (one, other) =
        tokio::join!(scheduler.trigger(&daily, LONG), scheduler.trigger(&daily, LONG));
    assert_ne!(one.as_ref().unwrap(), other.as_ref().unwrap(), "twice is two");
    for tick in [one.unwrap(), other.unwrap()] {
        assert_eq!(closed(&scheduler, "daily", tick).await, Outcome::Ran);
    }
    let day = |day: i64| Timestamp::from_unix_ms(86_400_000 * day + 3 * 3_600_000);
    let ticks = scheduler.backfill(&daily, day(100), day(104), LONG).await.unwrap();
    let instants: Vec<Timestamp> = ticks.iter().map(|tick| tick.scheduled).collect();
    assert_eq!(instants, [100, 101, 102, 103, 104].map(day));
    for tick in ticks {
        assert_eq!(closed(&scheduler, "daily", tick).await, Outcome::Ran);
    }
    assert_eq!(ran.load(Ordering::Relaxed), 7);
    for (from, to, why) in
        [(day(5), day(4), "names no instant"), (day(0), day(10_000), "more than 1000 instants")]
    {
        let error = scheduler.backfill(&daily, from, to, LONG).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.outcome(), Known::NotApplied);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_code_defines_is_changed_in_the_code() {
    let scheduler = Scheduler::new().job(every("job", 50), |_| async { Ok::<(), String>(()) });
    let (_cluster, scheduler) = alone(scheduler.unwrap()).await;
    let deleted = scheduler.delete(&name("job"), LONG).await;
    let put = scheduler.put(&every("job", 60), Expected::Any, LONG).await.map(|_| ());
    for refused in [deleted, put] {
        let why = Refused::InCode;
        assert_eq!(refused, Err(ChangeError::Refused { job: name("job"), why }));
    }
    let odd = every("odd", 50).history(0);
    let error = scheduler.put(&odd, Expected::Any, LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "odd: history is 0; allowed are 1 to 10000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_job_is_gone_when_it_has_run() {
    let (_cluster, scheduler) = alone(echo()).await;
    let soon = SystemClock.now().saturating_add(Duration::from_millis(50));
    let spec = JobSpec::new(name("once"), Schedule::at(soon)).handled_by(name("echo")).ephemeral();
    scheduler.put(&spec.payload("x").unwrap(), Expected::Nothing, LONG).await.unwrap();
    let mut changes = scheduler.changes();
    while !scheduler.stale_jobs().is_empty() {
        changes.changed().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_changed_and_it_is_said() {
    let network = MemoryNetwork::new();
    let nodes = three(&network, &Config::local(), echo).await;
    for (a, b) in [("a", "b"), ("b", "c"), ("a", "c")] {
        network.cut(a, b);
    }
    let short = Duration::from_millis(1_500);
    for (_, scheduler) in &nodes {
        let error = scheduler.put(&never("job"), Expected::Nothing, short).await.unwrap_err();
        assert!(!matches!(error, ChangeError::Refused { .. }), "{error}");
    }
    for (a, b) in [("a", "b"), ("b", "c"), ("a", "c")] {
        network.heal(a, b);
    }
    // Whatever became of it, the same again brings it about.
    nodes[0].1.put(&never("job"), Expected::Any, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_the_log_is_refused_or_cut_and_the_leader_goes_on() {
    let (cluster, scheduler) = alone(echo()).await;
    scheduler.put(&never("job"), Expected::Nothing, LONG).await.unwrap();
    // By a node of another version, which checks nothing itself.
    let me = cluster.node().id;
    let ask = Ask::Pause { job: name("job"), note: "x".repeat(3 << 20) };
    let answer = cluster.request(me, &ask, LONG).await.unwrap();
    assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    let paused = scheduler.status(&name("job"), LONG).await.unwrap().paused.unwrap();
    assert_eq!(paused.note, "x".repeat(256));
    let spec = never("large").payload(&vec![7u8; 3 << 20]).unwrap();
    let answer =
        cluster.request(me, &Ask::Put { spec, expected: Expected::Any }, LONG).await.unwrap();
    assert!(matches!(answer, Answer::Refused(Refused::Rejected(_))), "{answer:?}");
    let tick = scheduler.trigger(&name("job"), LONG).await.unwrap();
    assert_eq!(closed(&scheduler, "job", tick).await, Outcome::Ran);
}
