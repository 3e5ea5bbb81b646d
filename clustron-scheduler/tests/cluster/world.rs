//! What the tests are made of: nodes with a scheduler, and waiting for what they come to.

use std::time::Duration;

use clustron_core::{Cluster, ClusterBuilder, Config, MemoryNetwork};
use clustron_scheduler::{
    JobName, JobSpec, JobStatus, Overlap, Schedule, Scheduler, SchedulerHandle,
};
use futures::future::join_all;

/// Longer than anything takes, however busy the machine is.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn name(name: &str) -> JobName {
    JobName::new(name).unwrap()
}

/// A job every so many milliseconds, of which no tick is dropped.
pub(crate) fn every(job: &str, ms: u64) -> JobSpec {
    let schedule = Schedule::every(Duration::from_millis(ms)).unwrap();
    JobSpec::new(name(job), schedule).overlap(Overlap::BufferAll { max: 1000 })
}

/// Waits until a job stands as wanted.
pub(crate) async fn until(
    scheduler: &SchedulerHandle,
    job: &str,
    wanted: impl Fn(&JobStatus) -> bool,
) -> JobStatus {
    let job = name(job);
    let mut changes = scheduler.changes();
    let waiting = async {
        loop {
            match scheduler.stale_status(&job) {
                Ok(status) if wanted(&status) => return status,
                Ok(_) | Err(_) => changes.changed().await.unwrap(),
            }
        }
    };
    match tokio::time::timeout(LONG, waiting).await {
        Ok(status) => status,
        Err(_elapsed) => panic!("{job} stands at {:#?}", scheduler.stale_status(&job)),
    }
}

pub(crate) async fn alone(scheduler: Scheduler) -> (Cluster, SchedulerHandle) {
    let mut builder = Cluster::builder("alone");
    let handle = builder.install(scheduler);
    (builder.start().await.unwrap(), handle)
}

pub(crate) const HOSTS: [&str; 3] = ["a", "b", "c"];

pub(crate) async fn three(
    network: &MemoryNetwork,
    config: &Config,
    scheduler: impl Fn() -> Scheduler,
) -> Vec<(Cluster, SchedulerHandle)> {
    three_with(network, config, scheduler, |_, builder| builder).await
}

/// The same, whose builders are changed, each by its place.
pub(crate) async fn three_with(
    network: &MemoryNetwork,
    config: &Config,
    scheduler: impl Fn() -> Scheduler,
    change: impl Fn(usize, ClusterBuilder) -> ClusterBuilder,
) -> Vec<(Cluster, SchedulerHandle)> {
    let starts = [0, 1, 2].map(|at| {
        let host = HOSTS[at];
        let config = Config {
            name: Some(host.to_owned()),
            listen: format!("{host}:1"),
            seeds: HOSTS.map(|host| format!("{host}:1")).into(),
            ..config.clone()
        };
        let transport = network.host(host);
        let builder = Cluster::builder("three").config(config).transport(transport);
        let mut builder = change(at, builder);
        let handle = builder.install(scheduler());
        async move { (builder.start().await.unwrap(), handle) }
    });
    join_all(starts).await
}

pub(crate) async fn leader_of(nodes: &[(Cluster, SchedulerHandle)]) -> usize {
    let leader = nodes[0].0.wait_for_leader(LONG).await.expect("a leader");
    nodes.iter().position(|(cluster, _)| cluster.node().id == leader.node).unwrap()
}
