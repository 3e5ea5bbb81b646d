//! Retries, time limits, cancelling, values for the next attempt, and what running attempts tell.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clustron_core::{Config, MemoryNetwork, NodeId};
use clustron_scheduler::{
    Expected, HistoryQuery, JobSpec, Outcome, OutcomeKind, Overlap, Retries, Schedule, Scheduler,
    SkipReason,
};
use tokio::sync::Notify;

use crate::world::{LONG, alone, every, name, three, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_tried_again_on_another_node_until_it_succeeds() {
    let network = MemoryNetwork::new();
    let tried: Arc<Mutex<Vec<NodeId>>> = Arc::default();
    let code = tried.clone();
    let nodes = three(&network, &Config::local(), move || {
        let tried = code.clone();
        let retries = Retries::new(5, Duration::from_millis(5), Duration::from_millis(20));
        let spec = JobSpec::new(name("job"), Schedule::cron("0 0 1 1 *").unwrap());
        let scheduler = Scheduler::new().job(spec.retries(retries), move |job| {
            let tried = tried.clone();
            async move {
                let mut tried = tried.lock().unwrap();
                tried.push(job.node().id);
                if tried.len() < 4 { Err(format!("try {}", tried.len())) } else { Ok(()) }
            }
        });
        scheduler.unwrap()
    })
    .await;
    let scheduler = &nodes[0].1;
    until(scheduler, "job", |_| true).await;
    scheduler.trigger(&name("job"), LONG).await.unwrap();
    until(scheduler, "job", |status| status.counters.ran == 1).await;
    let tried = tried.lock().unwrap().clone();
    assert_eq!(tried.len(), 4);
    assert!(tried.windows(2).all(|two| two[0] != two[1]), "{tried:?}");
    let firing = &scheduler.stale_history(&name("job")).unwrap()[0];
    assert_eq!((firing.failures, firing.attempts), (3, 4));
    assert!(firing.why.as_ref().unwrap().ends_with("try 3"), "{firing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_takes_too_long_is_stopped_and_has_failed() {
    let spec = every("job", 50).timeout(Duration::from_millis(20)).pause_after(2);
    let scheduler = Scheduler::new().job(spec, |_| async {
        std::future::pending::<()>().await;
        Ok::<(), String>(())
    });
    let (_cluster, scheduler) = alone(scheduler.unwrap()).await;
    let status = until(&scheduler, "job", |status| status.paused.is_some()).await;
    assert_eq!((status.counters.failed, status.counters.ran), (2, 0));
    let outcome = scheduler.stale_history(&name("job")).unwrap()[0].outcome.clone();
    assert_eq!(outcome, Some(Outcome::Failed { error: "took longer than 20ms".to_owned() }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_tick_stops_the_one_that_runs() {
    let spec = every("job", 300).overlap(Overlap::CancelOther);
    let scheduler = Scheduler::new().job(spec, |job| async move {
        job.cancelled().await;
        Err::<(), _>("stopped")
    });
    let (_cluster, scheduler) = alone(scheduler.unwrap()).await;
    let status = until(&scheduler, "job", |status| status.counters.cancelled >= 3).await;
    assert_eq!((status.counters.failed, status.counters.ran), (0, 0));
    let history = scheduler.stale_history(&name("job")).unwrap();
    let given_up = Outcome::Skipped { reason: SkipReason::Superseded };
    assert!(history.iter().all(|firing| match &firing.outcome {
        Some(Outcome::Cancelled) => true,
        other => *other == Some(given_up.clone()),
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcomes_of_a_job_are_told_newest_first() {
    let (cluster, scheduler) =
        alone(Scheduler::new().job(every("job", 10), |_| async { Ok::<(), String>(()) }).unwrap())
            .await;
    until(&scheduler, "job", |status| status.counters.ran >= 5).await;
    let history = scheduler.history(&name("job"), LONG).await.unwrap();
    assert!(history.len() >= 5 && history.is_sorted_by(|a, b| a.scheduled > b.scheduled));
    let text = cluster.metrics_text();
    for name in ["attempts_total{job=\"job\",outcome=\"ran\"}", "lag_seconds_count{job=\"job\"}"] {
        let name = format!("clustron_scheduler_job_{name} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count >= 5), "{name}{count:?}");
    }
    let query = HistoryQuery::new().outcome(OutcomeKind::Ran).limit(3);
    let found = scheduler.find(&query, LONG).await.unwrap();
    assert!(found.len() == 3 && found[0].1.scheduled >= history[0].scheduled);
    let failed = HistoryQuery::new().outcome(OutcomeKind::Failed);
    assert_eq!(scheduler.find(&failed, LONG).await.unwrap(), vec![]);
    let unknown = scheduler.find(&failed.job(name("unknown")), LONG).await.unwrap_err();
    assert!(unknown.to_string().contains("unknown"), "{unknown}");
}

#[test]
fn a_job_in_the_code_cannot_be_forgotten_after_so_many_runs() {
    let schedule = Schedule::every(Duration::from_secs(1)).unwrap();
    let runs = |spec: JobSpec| Scheduler::new().job(spec, |_| async { Ok::<(), String>(()) });
    let error = runs(JobSpec::new(name("thrice"), schedule.clone().times(3)).ephemeral());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("thrice") && error.contains("3 times"), "{error}");
    assert!(runs(JobSpec::new(name("thrice"), schedule.clone().times(3))).is_ok());
    assert!(runs(JobSpec::new(name("always"), schedule).ephemeral()).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_goes_on_from_where_the_one_before_came_to() {
    let retries = Retries::new(9, Duration::ZERO, Duration::ZERO);
    let spec = JobSpec::new(name("steps"), Schedule::cron("0 0 1 1 *").unwrap()).retries(retries);
    let scheduler = Scheduler::new().job(spec, |job| async move {
        let done: u32 = job.kept().map_err(|error| error.to_string())?.unwrap_or(0);
        job.keep(&(done + 1)).map_err(|error| error.to_string())?;
        let large = job.keep(&vec![0u8; 5_000]).unwrap_err().to_string();
        assert_eq!(large, "5003 bytes are more than the 4096 that are kept for the next attempt");
        if done < 5 { Err(format!("{done} of 5")) } else { Ok(()) }
    });
    let (_cluster, scheduler) = alone(scheduler.unwrap()).await;
    until(&scheduler, "steps", |_| true).await;
    scheduler.trigger(&name("steps"), LONG).await.unwrap();
    until(&scheduler, "steps", |status| status.counters.ran == 1).await;
    assert_eq!(scheduler.stale_history(&name("steps")).unwrap()[0].failures, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_tells_how_far_it_is() {
    let (go_on, said) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (waits, says) = (go_on.clone(), said.clone());
    let spec = JobSpec::new(name("job"), Schedule::cron("0 0 1 1 *").unwrap());
    let scheduler = Scheduler::new().job(spec, move |job| {
        let (waits, says) = (waits.clone(), says.clone());
        async move {
            job.progress(0.25);
            job.log("a quarter");
            says.notify_one();
            waits.notified().await;
            Ok::<(), String>(())
        }
    });
    let (cluster, scheduler) = alone(scheduler.unwrap()).await;
    let job = name("job");
    until(&scheduler, "job", |_| true).await;
    let tick = scheduler.trigger(&job, LONG).await.unwrap();
    tokio::time::timeout(LONG, said.notified()).await.unwrap();
    let running = scheduler.running(&job, LONG).await;
    let [one] = running.as_slice() else { panic!("{running:?}") };
    assert_eq!((one.tick, one.worker, one.progress), (tick, cluster.node().id, Some(0.25)));
    assert_eq!(one.lines[0].1, "a quarter");
    go_on.notify_one();
    until(&scheduler, "job", |status| status.counters.ran == 1).await;
    assert!(scheduler.running(&job, LONG).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_only_where_it_is_placed() {
    let network = MemoryNetwork::new();
    let nodes = three(&network, &Config::local(), || {
        let echo = Scheduler::new().handler("echo", |_| async { Ok::<(), String>(()) });
        echo.unwrap().running_max(NonZeroU32::MAX)
    })
    .await;
    let scheduler = &nodes[0].1;
    let spec = every("job", 20).handled_by(name("echo")).placement("node:b".parse().unwrap());
    scheduler.put(&spec, Expected::Nothing, LONG).await.unwrap();
    until(scheduler, "job", |status| status.counters.ran >= 20).await;
    let b = nodes.iter().find(|(cluster, _)| cluster.node().name.as_str() == "b").unwrap();
    let history = scheduler.stale_history(&name("job")).unwrap();
    assert!(history.iter().all(|firing| firing.worker == Some(b.0.node().id)), "{history:?}");
}
