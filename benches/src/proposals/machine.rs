//! How busy the machine is with other work.

use std::time::Duration;

use anyhow::Context;

/// For how long it is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Ticks of all cores since the machine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

/// How many cores are busy. To be asked when nothing of ours runs.
pub(super) async fn cores_busy() -> anyhow::Result<f64> {
    let ticks = || -> anyhow::Result<Ticks> {
        let stat = std::fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
        Ticks::parse(&stat).context("/proc/stat does not begin with the ticks of all cores")
    };
    let before = ticks()?;
    tokio::time::sleep(LOOK).await;
    let cores = std::thread::available_parallelism()?.get();
    Ok(ticks()?.busy_since(before) * cores as f64)
}

impl Ticks {
    /// Reads the first line: user, nice, system, idle, waiting for disks (which is idle too),
    /// interrupts, and what the host took.
    fn parse(stat: &str) -> Option<Self> {
        let ticks = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks: Vec<u64> = ticks.take(8).map_while(|ticks| ticks.parse().ok()).collect();
        (ticks.len() == 8).then(|| Self { idle: ticks[3] + ticks[4], all: ticks.iter().sum() })
    }

    /// The share of the time since then, from 0 to 1.
    fn busy_since(self, before: Self) -> f64 {
        // The kernel's count of what waits for disks may fall.
        let idle = self.idle.saturating_sub(before.idle) as f64;
        let all = self.all.saturating_sub(before.all) as f64;
        if all > 0.0 { 1.0 - idle / all } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_idle_and_what_the_host_took_is_not() {
        let before = Ticks::parse("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1").unwrap();
        assert_eq!(before, Ticks { idle: 80, all: 100 });
        let after = Ticks::parse("cpu  20 0 10 90 20 0 0 60 0 0").unwrap();
        assert_eq!(after.busy_since(before), 0.7);
        assert_eq!(before.busy_since(before), 0.0);
        assert_eq!(Ticks::parse("cpu  1 2 3"), None);
    }
}
