//! S4: a leader whose clock is wrong neither takes ticks before their time nor takes them twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use clustron_core::{Clock, Config, MemoryNetwork, SystemClock, Timestamp};
use clustron_scheduler::{CLOCK_APART_MS_MAX, JobStatus, Scheduler};

use crate::world::{every, leader_of, three_with, until};

const HOUR_MS: i64 = 3_600_000;

/// A clock that somebody sets.
#[derive(Debug, Clone, Default)]
struct SetClock(Arc<AtomicI64>);

impl SetClock {
    fn set(&self, ahead_ms: i64) {
        self.0.store(ahead_ms, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let right = SystemClock.now().unix_ms();
        Timestamp::from_unix_ms(right + self.0.load(Ordering::SeqCst))
    }
}

fn in_time(status: &JobStatus) {
    let now = SystemClock.now().unix_ms();
    let ahead_ms = status.cursor.unix_ms() - now;
    assert!(ahead_ms <= CLOCK_APART_MS_MAX + 500, "{ahead_ms} ms ahead: {status:#?}");
    assert_eq!(status.counters.missed, 0, "{status:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_is_set_ahead_or_back_goes_by_the_voters() {
    let network = MemoryNetwork::new();
    let clocks: [SetClock; 3] = Default::default();
    let jobs = || Scheduler::new().job(every("job", 50), |_| async { Ok::<(), String>(()) });
    let mut nodes = three_with(
        &network,
        &Config::local(),
        || jobs().unwrap(),
        |at, builder| builder.clock(clocks[at].clone()),
    )
    .await;
    let mut hosts = vec![0, 1, 2];
    let at = leader_of(&nodes).await;
    let scheduler = nodes[(at + 1) % 3].1.clone();
    let mut ran = 0;
    for ahead_ms in [HOUR_MS, 0, -HOUR_MS, HOUR_MS] {
        clocks[at].set(ahead_ms);
        ran += 30;
        in_time(&until(&scheduler, "job", |status| status.counters.ran >= ran).await);
        ran = scheduler.stale_status(&"job".to_owned().try_into().unwrap()).unwrap().counters.ran;
    }
    // The next one is wrong from the beginning.
    drop(nodes.remove(at));
    hosts.remove(at);
    for host in hosts {
        clocks[host].set(if host % 2 == 0 { HOUR_MS } else { 0 });
    }
    in_time(&until(&nodes[0].1, "job", |status| status.counters.ran >= ran).await);
}
