//! The goddess who sees to it that nobody has too much luck: draws from the seed what breaks, when
//! and for how long. The name is Jepsen's for the same thing.

mod fault;

pub(super) use fault::Fault;
pub use fault::FaultKind;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::streams::draw_time;
use super::{Crash, DRIFT_PPM_MAX, NodeIndex, Partition, Restart, Starvation, Weather};

/// How likely the next fault comes at the same moment: most real failures are two.
const TOGETHER: f64 = 0.25;

/// What [`Simulation::chaos`](super::Simulation::chaos) may do, how often and for how long.
///
/// Faults end by themselves, and all of them with [`heal`](super::Simulation::heal).
#[derive(Debug, Clone, PartialEq)]
pub struct Nemesis {
    /// What may happen, each with the same probability.
    pub kinds: BTreeSet<FaultKind>,
    /// How many faults there are at once at most; a quarter of them come in pairs.
    pub at_once_max: usize,
    /// How long it waits between two faults, drawn from here. Shorter than `length` makes them
    /// overlap.
    pub rest: Range<Duration>,
    /// How long a fault lasts, drawn from here; pauses have `pause_threshold`.
    pub length: Range<Duration>,
    /// A short pause lasts less than this, a long one up to three times as long. Choose your
    /// lease or your time to suspicion.
    pub pause_threshold: Duration,
    /// How many nodes are crashed at once at most. Give a minority where more must not crash.
    pub crashed_max: usize,
    /// How bad the weather gets; each burst is between a tenth of it and all of it.
    pub weather: Weather,
    /// How far clocks jump at most.
    pub clock_jump_max: Duration,
    /// How fast or slow clocks run at most, in parts per million.
    pub drift_ppm_max: i32,
    /// How processes are starved.
    pub starvation: Starvation,
}

impl Default for Nemesis {
    /// Everything but [`FaultKind::ClockBack`], two at once, some of them every second, around a
    /// lease of one second.
    fn default() -> Self {
        Nemesis {
            kinds: FaultKind::ALL
                .into_iter()
                .filter(|kind| *kind != FaultKind::ClockBack)
                .collect(),
            at_once_max: 2,
            rest: Duration::from_millis(50)..Duration::from_millis(2_000),
            length: Duration::from_millis(50)..Duration::from_millis(4_000),
            pause_threshold: Duration::from_secs(1),
            crashed_max: usize::MAX,
            weather: Weather {
                delay: Duration::from_millis(500),
                loss: 0.5,
                duplicate: 0.5,
                corrupt: 0.2,
            },
            clock_jump_max: Duration::from_secs(10),
            drift_ppm_max: 20_000,
            starvation: Starvation::default(),
        }
    }
}

/// The nodes as the nemesis sees them.
pub(super) struct Targets {
    pub(super) nodes: usize,
    /// Those that are neither crashed nor stopped.
    pub(super) running: Vec<NodeIndex>,
    /// Those that are not crashed.
    pub(super) up: Vec<NodeIndex>,
}

impl Nemesis {
    /// One that only knows these faults.
    pub fn only(kinds: impl IntoIterator<Item = FaultKind>) -> Nemesis {
        Nemesis { kinds: kinds.into_iter().collect(), ..Nemesis::default() }
    }

    /// # Panics
    ///
    /// When two values contradict each other or one has no meaning.
    pub(super) fn check(&self) {
        let ranges = [("rest", &self.rest), ("length", &self.length)];
        for (name, range) in ranges.into_iter().chain([("starvation.gap", &self.starvation.gap)]) {
            assert!(
                range.start < range.end,
                "nemesis.{name} is {range:?}; give a start below its end"
            );
        }
        assert!(
            (0..=DRIFT_PPM_MAX).contains(&self.drift_ppm_max),
            "nemesis.drift_ppm_max is {}; give 0 to {DRIFT_PPM_MAX}",
            self.drift_ppm_max
        );
        let Weather { loss, duplicate, corrupt, .. } = self.weather;
        assert!(
            [loss, duplicate, corrupt].iter().all(|p| (0.0..=1.0).contains(p)),
            "nemesis.weather is {:?}; give probabilities between 0 and 1",
            self.weather
        );
    }

    /// How long to wait for the next fault.
    pub(super) fn draw_rest(&self, rng: &mut StdRng) -> Duration {
        match rng.random_bool(TOGETHER) {
            true => Duration::ZERO,
            false => draw_time(rng, &self.rest),
        }
    }

    /// The next fault and how long it lasts; `None` if what was drawn is not possible now.
    pub(super) fn draw(&self, rng: &mut StdRng, targets: &Targets) -> Option<(Fault, Duration)> {
        let kinds: Vec<FaultKind> = self.kinds.iter().copied().collect();
        let kind = one_of(rng, &kinds)?;
        let length = match kind {
            FaultKind::ShortPause => {
                draw_time(rng, &(self.pause_threshold / 20..self.pause_threshold))
            }
            FaultKind::LongPause => {
                draw_time(rng, &(self.pause_threshold..self.pause_threshold * 3))
            }
            _ => draw_time(rng, &self.length),
        };
        Some((self.draw_fault(rng, kind, targets)?, length))
    }

    fn draw_fault(&self, rng: &mut StdRng, kind: FaultKind, targets: &Targets) -> Option<Fault> {
        let Targets { nodes, running, up } = targets;
        let mut all: Vec<NodeIndex> = (0..*nodes).map(NodeIndex).collect();
        let is_cut = matches!(
            kind,
            FaultKind::Isolate
                | FaultKind::Halves
                | FaultKind::Bridge
                | FaultKind::OneWay
                | FaultKind::OneLink
        );
        // What is cut must have two ends, and a bridge needs two sides.
        if is_cut && *nodes < if kind == FaultKind::Bridge { 3 } else { 2 } {
            return None;
        }
        let may_crash = |more: usize| nodes - up.len() + more <= self.crashed_max;
        Some(match kind {
            FaultKind::Isolate => Fault::Partition(Partition::apart(one_of(rng, &all))),
            FaultKind::Halves => {
                all.shuffle(rng);
                Fault::Partition(Partition::apart(all[..nodes / 2].to_vec()))
            }
            FaultKind::Bridge => {
                all.shuffle(rng);
                let left = all[1..=(nodes / 2)].to_vec();
                Fault::Partition(Partition::bridged(left, all[0]))
            }
            FaultKind::OneWay => {
                all.shuffle(rng);
                let from = rng.random_range(1..*nodes);
                Fault::Partition(Partition::one_way(all[..from].to_vec()))
            }
            FaultKind::OneLink => {
                all.shuffle(rng);
                Fault::Partition(Partition::between(all[0], all[1], *nodes))
            }
            FaultKind::ShortPause | FaultKind::LongPause => Fault::Pause(one_of(rng, running)?),
            FaultKind::Starve => Fault::Starve(one_of(rng, running)?),
            FaultKind::CrashWithDisk | FaultKind::CrashWithoutDisk if may_crash(1) => {
                let restart = match kind {
                    FaultKind::CrashWithDisk => Restart::WithDisk,
                    _ => Restart::WithoutDisk,
                };
                Fault::Crash { nodes: vec![one_of(rng, running)?], crash: crash(rng), restart }
            }
            FaultKind::CrashAll if !up.is_empty() && may_crash(up.len()) => {
                Fault::Crash { nodes: up.clone(), crash: crash(rng), restart: Restart::WithDisk }
            }
            FaultKind::CrashWithDisk | FaultKind::CrashWithoutDisk | FaultKind::CrashAll => {
                return None;
            }
            FaultKind::Loss => {
                Fault::Weather(Weather { loss: part(rng, self.weather.loss), ..Weather::default() })
            }
            FaultKind::Duplication => Fault::Weather(Weather {
                duplicate: part(rng, self.weather.duplicate),
                ..Weather::default()
            }),
            FaultKind::Delay => Fault::Weather(Weather {
                delay: self.weather.delay.mul_f64(part(rng, 1.0)),
                ..Weather::default()
            }),
            FaultKind::Corruption => Fault::Weather(Weather {
                corrupt: part(rng, self.weather.corrupt),
                ..Weather::default()
            }),
            FaultKind::ClockForward | FaultKind::ClockBack => Fault::ClockJump {
                node: one_of(rng, &all)?,
                by: self.clock_jump_max.mul_f64(part(rng, 1.0)),
                forward: kind == FaultKind::ClockForward,
            },
            FaultKind::ClockDrift => Fault::Drift {
                node: one_of(rng, &all)?,
                drift_ppm: rng.random_range(-self.drift_ppm_max..=self.drift_ppm_max),
            },
        })
    }
}

fn crash(rng: &mut StdRng) -> Crash {
    if rng.random_bool(0.5) { Crash::Silent } else { Crash::Refusing }
}

/// Between a tenth of `max` and all of it.
fn part(rng: &mut StdRng, max: f64) -> f64 {
    max * rng.random_range(0.1..=1.0)
}

fn one_of<T: Copy>(rng: &mut StdRng, of: &[T]) -> Option<T> {
    (!of.is_empty()).then(|| of[rng.random_range(0..of.len())])
}
