//! Faults that come and go, drawn from the seed.
//!
//! Like weather: each round has one or two faults at once, for a moment, for about as long as a
//! leader may be silent, or for much longer; then the sky clears, sometimes only briefly. Half of
//! the time it is the leader who is hit.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::SimCluster;
use super::network::Quality;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultKind {
    /// One host is cut off from all others.
    Alone,
    /// The hosts are parted into two groups.
    Halves,
    /// Two groups that only one host connects.
    Bridge,
    /// One direction of one link carries nothing.
    OneWay,
    /// One host hears nobody, or is heard by nobody.
    DeafOrMute,
    /// One link carries nothing.
    Pair,
    /// A process is killed, and started again when the round ends.
    Crash,
    /// A host loses its power, and has it back when the round ends.
    PowerOff,
    /// The links of one host take long.
    Slow,
    /// All links lose pieces.
    Loss,
    /// All links turn bits.
    Corruption,
    /// All streams of one host break.
    Reset,
    /// A wall clock jumps.
    ClockJump,
    /// A wall clock runs too fast or too slow.
    ClockDrift,
    /// All hosts lose their power at once, and have it back when the round ends.
    PowerOffAll,
    /// A disk takes long.
    SlowDisk,
    /// A disk is full.
    FullDisk,
    /// A sync fails.
    FailedSync,
    /// A disk goes in the middle of a change.
    CutDisk,
    /// A host loses its disk.
    LostDisk,
    /// A host gets an old copy of its disk.
    OldDisk,
}

impl FaultKind {
    /// What can happen to the hosts' disks. Nothing happens without
    /// [disks](super::SimBuilder::on_disk).
    pub const DISKS: [Self; 7] = [
        Self::PowerOffAll,
        Self::SlowDisk,
        Self::FullDisk,
        Self::FailedSync,
        Self::CutDisk,
        Self::LostDisk,
        Self::OldDisk,
    ];

    /// Every other kind.
    pub const ALL: [Self; 14] = [
        Self::Alone,
        Self::Halves,
        Self::Bridge,
        Self::OneWay,
        Self::DeafOrMute,
        Self::Pair,
        Self::Crash,
        Self::PowerOff,
        Self::Slow,
        Self::Loss,
        Self::Corruption,
        Self::Reset,
        Self::ClockJump,
        Self::ClockDrift,
    ];
}

/// Draws faults. See the module's documentation.
#[derive(Debug, Clone)]
pub struct Nemesis {
    kinds: Vec<FaultKind>,
    at_once: usize,
}

impl Default for Nemesis {
    /// All kinds but those of disks, up to two at once.
    fn default() -> Self {
        Self { kinds: FaultKind::ALL.to_vec(), at_once: 2 }
    }
}

impl Nemesis {
    /// Only faults of these kinds.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn only(kinds: impl IntoIterator<Item = FaultKind>) -> Self {
        let kinds: BTreeSet<FaultKind> = kinds.into_iter().collect();
        assert!(!kinds.is_empty(), "a nemesis without faults: name at least one kind");
        Self { kinds: kinds.into_iter().collect(), at_once: 2 }
    }

    /// How many faults one round has at most, at least 1.
    #[must_use]
    pub fn at_once(mut self, faults: usize) -> Self {
        self.at_once = faults.max(1);
        self
    }

    /// Draws faults for ever.
    pub(super) async fn torment<H>(&self, cluster: &SimCluster<H>)
    where
        H: Clone + Send + Sync + 'static,
    {
        // Not the same numbers as the nodes and the clients.
        let mut rng = StdRng::seed_from_u64(cluster.seed() ^ 0x006e_656d_6573_6973);
        loop {
            tokio::time::sleep(calm(&mut rng)).await;
            let faults = rng.random_range(1..=self.at_once);
            for _ in 0..faults {
                let Some(kind) = self.kinds.choose(&mut rng) else { return };
                cluster.note(&format!("fault: {kind}"));
                strike(*kind, cluster, &mut rng);
                let apart = ms(&mut rng, 0, 400);
                tokio::time::sleep(apart).await;
            }
            tokio::time::sleep(spell(&mut rng)).await;
            cluster.heal();
        }
    }
}

/// How long a round lasts.
fn spell(rng: &mut StdRng) -> Duration {
    match rng.random_range(0..3) {
        0 => ms(rng, 20, 300),
        1 => ms(rng, 300, 1500),
        _ => ms(rng, 1500, 14_000),
    }
}

/// How long nothing new happens.
fn calm(rng: &mut StdRng) -> Duration {
    match rng.random_range(0..3) {
        0 => ms(rng, 0, 300),
        1 => ms(rng, 300, 2000),
        _ => ms(rng, 2000, 8000),
    }
}

fn ms(rng: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..to))
}

fn strike<H>(kind: FaultKind, cluster: &SimCluster<H>, rng: &mut StdRng)
where
    H: Clone + Send + Sync + 'static,
{
    let mut hosts = cluster.hosts();
    hosts.shuffle(rng);
    let leader = cluster.leader().filter(|_| rng.random_bool(0.5));
    if let Some(at) = hosts.iter().position(|host| Some(host) == leader.as_ref()) {
        hosts.swap(0, at);
    }
    let (victim, others) = (hosts[0].clone(), hosts[1..].to_vec());
    let Some(other) = others.first() else { return };
    let comes_back = cluster.is_on_disk();
    match kind {
        FaultKind::Alone => cluster.part(&[victim], &others),
        FaultKind::Halves => {
            let (one, rest) = hosts.split_at(rng.random_range(1..hosts.len()));
            cluster.part(one, rest);
        }
        FaultKind::Bridge => {
            // The victim is the bridge.
            let (one, rest) = others.split_at(others.len() / 2);
            cluster.part(one, rest);
        }
        FaultKind::OneWay => match rng.random() {
            true => cluster.cut_one_way(&victim, other),
            false => cluster.cut_one_way(other, &victim),
        },
        FaultKind::DeafOrMute => {
            let deaf: bool = rng.random();
            for other in &others {
                let (from, to) = if deaf { (other, &victim) } else { (&victim, other) };
                cluster.cut_one_way(from, to);
            }
        }
        FaultKind::Pair => cluster.cut(&victim, other),
        FaultKind::Crash if comes_back || cluster.can_lose(&victim) => cluster.crash(&victim),
        FaultKind::PowerOff if comes_back || cluster.can_lose(&victim) => {
            cluster.power_off(&victim);
        }
        // There is not enough left to lose.
        FaultKind::Crash | FaultKind::PowerOff => {}
        FaultKind::Slow => {
            let (delay, jitter) = (ms(rng, 20, 400), ms(rng, 1, 200));
            let quality = Quality { delay, jitter, ..Quality::default() };
            others.iter().for_each(|other| cluster.worsen(&victim, other, quality));
        }
        FaultKind::Loss => {
            let quality = Quality { loss: rng.random_range(0.01..0.4), ..Quality::default() };
            each_pair(&hosts, |a, b| cluster.worsen(a, b, quality));
        }
        FaultKind::Corruption => {
            let quality = Quality { corruption: rng.random_range(0.01..0.3), ..Quality::default() };
            each_pair(&hosts, |a, b| cluster.worsen(a, b, quality));
        }
        FaultKind::Reset => {
            cluster.note(&format!("reset {victim}"));
            others.iter().for_each(|other| cluster.network().reset(&victim, other));
        }
        FaultKind::ClockJump => {
            let jump = rng.random_range(-600_000..600_000);
            cluster.note(&format!("the clock of {victim} jumps by {jump} ms"));
            cluster.clock(&victim).jump(jump);
        }
        FaultKind::ClockDrift => {
            let drift = rng.random_range(-50_000..50_000);
            cluster.note(&format!("the clock of {victim} drifts by {drift} ppm"));
            cluster.clock(&victim).drift(drift);
        }
        _ if comes_back => strike_disk(kind, cluster, &victim, rng),
        _ => {}
    }
}

fn strike_disk<H>(kind: FaultKind, cluster: &SimCluster<H>, victim: &str, rng: &mut StdRng)
where
    H: Clone + Send + Sync + 'static,
{
    match kind {
        FaultKind::PowerOffAll => cluster.power_off_all(),
        FaultKind::SlowDisk => {
            let latency = if rng.random_bool(0.2) { ms(rng, 50, 500) } else { ms(rng, 3, 50) };
            cluster.slow_disk(victim, latency);
        }
        FaultKind::FullDisk => cluster.fill_disk(victim, rng.random_range(0..4000)),
        FaultKind::FailedSync => cluster.fail_next_sync(victim),
        FaultKind::CutDisk => cluster.cut_disk_after(victim, rng.random_range(1..60)),
        FaultKind::LostDisk => drop(cluster.lose_disk(victim)),
        FaultKind::OldDisk => drop(cluster.restore_old_disk(victim)),
        _ => {}
    }
}

fn each_pair(hosts: &[String], mut with: impl FnMut(&str, &str)) {
    for (at, a) in hosts.iter().enumerate() {
        for b in &hosts[at + 1..] {
            with(a, b);
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
