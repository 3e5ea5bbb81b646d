//! The scheduler on running clusters: what must not get stuck, and what must not run twice.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clustron_core::{Clock, Cluster, Config, MemoryNetwork, Role, SystemClock};
use clustron_scheduler::{
    ERROR_BYTES_MAX, JobSpec, Outcome, Overlap, Run, RunReply, Schedule, Scheduler,
};

use crate::world::{HOSTS, LONG, alone, every, leader_of, name, three, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_may_run_one_thing_at_a_time_never_gets_stuck() {
    let mut scheduler = Scheduler::new().running_max(NonZeroU32::MIN);
    for job in ["one", "other"] {
        scheduler = scheduler.job(every(job, 20), |_| async { Ok::<(), String>(()) }).unwrap();
    }
    let (_cluster, handle) = alone(scheduler).await;
    for job in ["one", "other"] {
        until(&handle, job, |status| status.counters.ran >= 100).await;
    }
}

/// Though it has the jobs, a client is given none; it sees what becomes of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_runs_no_jobs_and_sees_their_outcomes() {
    let (network, config) = (MemoryNetwork::new(), Config::local());
    let counted = |runs: &Arc<AtomicUsize>| {
        let runs = runs.clone();
        Scheduler::new()
            .job(every("count", 20), move |_| {
                runs.fetch_add(1, Ordering::Relaxed);
                async { Ok::<(), String>(()) }
            })
            .unwrap()
    };
    let (at_members, at_client) = (Arc::default(), Arc::default());
    let nodes = three(&network, &config, || counted(&at_members)).await;
    let mut builder = Cluster::builder("three")
        .config(Config { seeds: vec!["a:1".to_owned()], ..config })
        .listen("client:1")
        .roles([Role::Client])
        .transport(network.host("client"));
    let handle = builder.install(counted(&at_client));
    let client = builder.start().await.unwrap();
    let id = client.node().id;
    for (node, _) in &nodes {
        assert!(node.wait_for(LONG, |status| status.view.is_alive(id)).await.is_some());
    }
    // From now on the leader could choose it.
    let before = handle.stale_status(&name("count")).map_or(0, |status| status.counters.ran);
    until(&handle, "count", |status| status.counters.ran >= before + 100).await;
    assert_eq!(at_client.load(Ordering::Relaxed), 0);
    assert!(at_members.load(Ordering::Relaxed) >= 100);
    // The scheduler shows its metrics with the node's.
    assert!(client.metrics_text().contains("clustron_scheduler_runs_ran_total 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_any_length_is_an_outcome() {
    let job = every("verbose", 100);
    let (_cluster, handle) =
        alone(Scheduler::new().job(job, |_| async { Err::<(), _>("x".repeat(3 << 20)) }).unwrap())
            .await;
    until(&handle, "verbose", |status| status.counters.failed >= 3).await;
    let history = handle.history(&name("verbose"), LONG).await.unwrap();
    assert!(matches!(
        &history[0].outcome,
        Some(Outcome::Failed { error }) if error.len() <= ERROR_BYTES_MAX && error.starts_with("xx")
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_job_is_an_outcome_and_the_next_tick_runs() {
    let job = every("faulty", 100);
    let (cluster, handle) = alone(Scheduler::new().job(job, |_| async { broken() }).unwrap()).await;
    until(&handle, "faulty", |status| status.counters.failed >= 3).await;
    assert_eq!(cluster.ended(), None);
    let history = handle.history(&name("faulty"), LONG).await.unwrap();
    let outcome = format!("{:?}", history[0].outcome);
    assert!(outcome.contains("panicked: on purpose"), "{outcome}");
}

fn broken() -> Result<(), String> {
    panic!("on purpose")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_copy_of_an_order_does_not_run_again() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let job = JobSpec::new(name("rare"), Schedule::every(Duration::from_secs(2)).unwrap());
    let scheduler = Scheduler::new().job(job, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok::<(), String>(()) }
    });
    let (cluster, handle) = alone(scheduler.unwrap()).await;
    until(&handle, "rare", |status| status.counters.ran == 1).await;
    let firing = handle.stale_history(&name("rare")).unwrap().remove(0);
    let run = Run {
        job: name("rare"),
        generation: firing.generation,
        handler: name("rare"),
        tick: firing.id(),
        timeout_ms: None,
        payload: [].as_slice().into(),
        kept: None,
        token: firing.token.unwrap(),
        attempt: firing.attempts,
        epoch: firing.epoch,
    };
    let before = runs.load(Ordering::SeqCst);
    let reply = cluster.request(cluster.node().id, &run, LONG).await.unwrap();
    assert_eq!(reply, RunReply::AlreadyFinished);
    until(&handle, "rare", |status| status.counters.ran >= 2).await;
    let ticks = handle.stale_history(&name("rare")).unwrap().len();
    assert!(runs.load(Ordering::SeqCst) < before + ticks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_that_outlasts_a_proposal_but_not_the_epoch_stops_no_job() {
    let network = MemoryNetwork::new();
    let mut config = Config::local();
    config.timing.leader_silence = Duration::from_secs(6);
    config.timing.formation_timeout = Duration::from_secs(30);
    let jobs = || {
        let rare = every("a-rare", 3_600_000);
        let scheduler = Scheduler::new().job(rare, |_| async { Ok::<(), String>(()) }).unwrap();
        scheduler.job(every("b-often", 500), |_| async { Ok::<(), String>(()) }).unwrap()
    };
    let nodes = three(&network, &config, jobs).await;
    until(&nodes[0].1, "b-often", |status| status.counters.ran >= 2).await;
    let leader = leader_of(&nodes).await;
    let epoch = nodes[leader].0.epoch();
    for other in HOSTS.iter().filter(|host| **host != HOSTS[leader]) {
        network.cut(HOSTS[leader], other);
    }
    // As long as a proposal is waited for, and a while.
    let _ = tokio::time::timeout(Duration::from_secs(3), std::future::pending::<()>()).await;
    for other in HOSTS {
        network.heal(HOSTS[leader], other);
    }
    let healed = SystemClock.now();
    let ran = until(&nodes[leader].1, "b-often", |status| status.cursor > healed).await;
    until(&nodes[leader].1, "b-often", |status| status.counters.ran > ran.counters.ran + 4).await;
    assert_eq!(nodes[leader].0.epoch(), epoch, "the cut was shorter than the silence");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_shuts_down_in_the_middle_of_a_long_run_stops_nobodys_claims() {
    let network = MemoryNetwork::new();
    let jobs = || {
        let scheduler =
            Scheduler::new().job(every("quick", 100), |_| async { Ok::<(), String>(()) }).unwrap();
        let endless = every("endless", 500).overlap(Overlap::Allow { max: 100 });
        scheduler.job(endless, |_| std::future::pending::<Result<(), String>>()).unwrap()
    };
    let mut nodes = three(&network, &Config::local(), jobs).await;
    until(&nodes[0].1, "endless", |status| status.counters.open >= 6).await;
    let at = leader_of(&nodes).await;
    let (leader, _) = nodes.remove(at);
    let ending = tokio::spawn(leader.shutdown(Duration::from_secs(16)));
    // The others claim on while the leader still waits for its endless run.
    let began = SystemClock.now();
    let soon = began.saturating_add(Duration::from_secs(3));
    let status = until(&nodes[0].1, "quick", |status| status.cursor > soon).await;
    assert!(!ending.is_finished(), "it waits for what runs on it: {:?}", status.counters);
    ending.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_node_was_cut_off_is_told_to_stop() {
    let network = MemoryNetwork::new();
    let stopped = Arc::new(AtomicUsize::new(0));
    let jobs = || {
        let stopped = stopped.clone();
        let job = every("slow", 1000);
        Scheduler::new()
            .job(job, move |job| {
                let stopped = stopped.clone();
                async move {
                    job.cancelled().await;
                    stopped.fetch_add(1, Ordering::SeqCst);
                    Err::<(), _>("told to stop")
                }
            })
            .unwrap()
    };
    let nodes = three(&network, &Config::local(), jobs).await;
    let status = until(&nodes[0].1, "slow", |status| {
        status.open.first().is_some_and(|firing| firing.worker.is_some())
    })
    .await;
    let (worker, first) = (status.open[0].worker.unwrap(), status.open[0].scheduled);
    let at = nodes.iter().position(|(cluster, _)| cluster.node().id == worker).unwrap();
    for other in HOSTS.iter().filter(|host| **host != HOSTS[at]) {
        network.cut(HOSTS[at], other);
    }
    let elsewhere = &nodes[(at + 1) % 3].1;
    until(elsewhere, "slow", |status| {
        status.open.first().is_some_and(|f| f.scheduled == first && f.attempts >= 2)
    })
    .await;
    for other in HOSTS {
        network.heal(HOSTS[at], other);
    }
    // Its result comes late, and has no effect.
    let status = until(elsewhere, "slow", |status| {
        status.open.first().is_some_and(|firing| !firing.late.is_empty())
    })
    .await;
    assert_eq!(stopped.load(Ordering::SeqCst), 1);
    assert_eq!(status.open[0].scheduled, first, "the newer attempt runs on");
}
