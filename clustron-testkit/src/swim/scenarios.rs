//! What is done to simulated clusters, each scenario decided by its seed.

use std::ops::Range;
use std::time::Duration;

use clustron_core::membership::{DetectorKind, MembershipConfig};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::{Flaw, Swim, SwimOptions};
use crate::sim::{
    Crash, Failure, Link, Nemesis, NodeIndex, Partition, Report, Restart, Scenario, Starvation,
    Tracing, Weather,
};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What a run changes in a scenario's options: tracing, a deliberate flaw.
type Change<'a> = Box<dyn FnOnce(&mut SwimOptions) + 'a>;

/// A named scenario. Each looks at all detectors in turn: see [`detector_of`].
#[derive(Debug, Clone, Copy)]
pub struct SwimScenario {
    name: &'static str,
    about: &'static str,
    run: fn(u64, Change<'_>) -> Result<Report, Failure>,
}

impl SwimScenario {
    /// One run in which all nodes have a flaw.
    ///
    /// # Errors
    /// What the simulation found.
    pub fn run_flawed(&self, seed: u64, flaw: Flaw) -> Result<Report, Failure> {
        (self.run)(
            seed,
            Box::new(move |options| {
                options.flaw = Some(flaw);
                options.tracing = Tracing::off();
            }),
        )
    }
}

impl Scenario for SwimScenario {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn run(&self, seed: u64, tracing: Tracing) -> Result<Report, Failure> {
        (self.run)(seed, Box::new(move |options| options.tracing = tracing))
    }
}

/// All scenarios.
pub fn all() -> [SwimScenario; 9] {
    let scenario = |name, about, run| SwimScenario { name, about, run };
    [
        scenario("chaos", "everything breaks, then nothing, and all agree", chaos),
        scenario("crashes", "several nodes crash together and are out in 5 s", crashes),
        scenario("quorums", "nearly half crash, under loss too, and a quorum still forms", quorums),
        scenario("comebacks", "who was cut off and taken out is soon back", comebacks),
        scenario("flapping", "two seconds of flapping change nothing", flapping),
        scenario("links", "single links are cut, one way or both: nobody is removed", links),
        scenario("goodbyes", "who leaves is not taken for failed", goodbyes),
        scenario("changes", "the last of many changes of tags is known to all", changes),
        scenario("starved", "starved nodes and lost messages: nobody is removed", starved),
    ]
}

/// The detector that a seed is for: all of them take turns.
pub fn detector_of(seed: u64) -> DetectorKind {
    match seed % 4 {
        0 => DetectorKind::PingPong,
        1 => DetectorKind::Heartbeat,
        2 => DetectorKind::Quorum(Box::new(DetectorKind::PingPong)),
        _ => DetectorKind::Quorum(Box::new(DetectorKind::Heartbeat)),
    }
}

/// Options with the detector of a seed.
pub fn options_of(seed: u64, nodes: usize) -> SwimOptions {
    let config = MembershipConfig { detector: detector_of(seed), ..MembershipConfig::default() };
    SwimOptions { config, ..SwimOptions::nodes(nodes) }
}

/// A cluster whose size the seed draws, and the source of all that it decides besides.
fn some_nodes(seed: u64, sizes: Range<usize>, change: Change<'_>) -> (StdRng, usize, Swim) {
    let mut rng = StdRng::seed_from_u64(seed);
    let nodes = rng.random_range(sizes);
    let mut options = options_of(seed, nodes);
    change(&mut options);
    (rng, nodes, Swim::new(seed, options))
}

/// Everything breaks for a minute, while nodes change their tags and one leaves; then all is mended
/// and they must agree.
fn chaos(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    let nodes = rng.random_range(3..9);
    let mut options = options_of(seed, nodes);
    // A majority of the control plane must live: what is lost with it is not for membership to
    // mend.
    options.nemesis = Nemesis { crashed_max: (nodes - 1) / 2, ..Nemesis::default() };
    change(&mut options);
    let mut swim = Swim::new(seed, options);
    let time = rng.random_range(secs(20)..secs(60));
    for change in 0..rng.random_range(0..8) {
        let node = NodeIndex(rng.random_range(0..nodes));
        swim.describe_in(rng.random_range(secs(1)..time), node, &format!("t{change}"));
    }
    swim.chaos(time)?;
    swim.converge(secs(60))?;
    Ok(swim.report())
}

/// Nodes leave in order while others crash.
fn goodbyes(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let (mut rng, nodes, mut swim) = some_nodes(seed, 4..9, change);
    swim.forbid_removals();
    swim.run_for(secs(5))?;
    let leaver = NodeIndex(rng.random_range(0..nodes));
    swim.leave_in(Duration::ZERO, leaver);
    swim.run_for(Duration::from_millis(rng.random_range(300..1000)))?;
    let fate = [Crash::Silent, Crash::Refusing][rng.random_range(0..2)];
    swim.crash(leaver, fate);
    swim.converge(secs(30))?;
    Ok(swim.report())
}

/// A minute of [`starved_and_lossy`] with ten nodes.
fn starved(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let mut swim = starved_and_lossy(seed, 10, change);
    swim.run_for(secs(60))?;
    Ok(swim.report())
}

/// A cluster in which one node in ten is starved of CPU, one message in twenty is lost, and nobody
/// may be removed, for as long as it is run.
pub fn starved_and_lossy(seed: u64, nodes: usize, change: impl FnOnce(&mut SwimOptions)) -> Swim {
    let mut options = options_of(seed, nodes);
    options.link = Link { loss: 0.05, ..Link::lan() };
    change(&mut options);
    let mut swim = Swim::new(seed, options);
    swim.forbid_removals();
    for node in (0..nodes).step_by(10) {
        swim.starve(NodeIndex(node), Starvation::default());
    }
    swim
}

/// Up to half of the nodes crash at once, silently or not, and must be removed within five seconds;
/// then they come back.
fn crashes(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let (mut rng, nodes, mut swim) = some_nodes(seed, 3..12, change);
    swim.run_for(rng.random_range(secs(5)..secs(8)))?;
    let mut all: Vec<NodeIndex> = (0..nodes).map(NodeIndex).collect();
    all.shuffle(&mut rng);
    // Most of those who vote stay.
    let mut voters = (nodes.min(5) - 1) / 2;
    let count = rng.random_range(1..=(nodes - 1) / 2);
    let mut crashed = Vec::new();
    for node in all {
        let votes = swim.registry().is_voter(node);
        if crashed.len() < count && (!votes || voters > 0) {
            voters -= usize::from(votes);
            crashed.push(node);
        }
    }
    for node in &crashed {
        let fate = [Crash::Silent, Crash::Refusing][rng.random_range(0..2)];
        swim.crash(*node, fate);
    }
    swim.converge(secs(5))?;
    for node in &crashed {
        let restart = [Restart::WithDisk, Restart::WithoutDisk][rng.random_range(0..2)];
        swim.restart(*node, restart);
    }
    swim.converge(secs(10))?;
    Ok(swim.report())
}

/// A node's links fail and come back for two seconds, again and again: nobody is removed.
fn flapping(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let (mut rng, nodes, mut swim) = some_nodes(seed, 3..9, change);
    swim.forbid_removals();
    swim.run_for(secs(5))?;
    let node = NodeIndex(rng.random_range(0..nodes));
    for _ in 0..3 {
        let mut left = secs(2);
        while left > Duration::ZERO {
            let away = rng.random_range(Duration::from_millis(10)..secs(1)).min(left);
            left -= away;
            swim.sim().partition(Partition::apart([node]));
            swim.run_for(away)?;
            swim.sim().heal();
            swim.run_for(rng.random_range(Duration::from_millis(5)..Duration::from_millis(100)))?;
        }
        swim.run_for(secs(5))?;
    }
    swim.converge(secs(10))?;
    Ok(swim.report())
}

/// Two of five or four of nine hosts go silent at once, and a quorum takes all of them out, with
/// and without loss.
fn quorums(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (nodes, crashed) = [(5, 2), (9, 4)][rng.random_range(0..2)];
    let lossy = rng.random_bool(0.5);
    let mut options = options_of(seed | 2, nodes);
    change(&mut options);
    let mut swim = Swim::new(seed, options);
    swim.run_for(rng.random_range(secs(5)..secs(8)))?;
    if lossy {
        swim.sim().set_links(Link { loss: 0.2, ..Link::lan() });
    }
    // Of those who vote, two of five may go.
    let mut voters: Vec<NodeIndex> = (0..5).map(NodeIndex).collect();
    voters.shuffle(&mut rng);
    let others = (5..nodes).map(NodeIndex);
    for node in voters.into_iter().take(2).chain(others).take(crashed) {
        swim.crash(node, Crash::Silent);
    }
    if lossy {
        swim.run_for(secs(15))?;
        swim.sim().set_links(Link::lan());
    }
    swim.converge(secs(if lossy { 10 } else { 6 }))?;
    Ok(swim.report())
}

/// A link between two nodes does not work for long, in one direction or both, and nobody is removed
/// as long as somebody else reaches both ends.
fn links(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let (mut rng, nodes, mut swim) = some_nodes(seed, 3..9, change);
    swim.forbid_removals();
    swim.run_for(secs(5))?;
    let mut all: Vec<NodeIndex> = (0..nodes).map(NodeIndex).collect();
    all.shuffle(&mut rng);
    let (a, b) = (all[0], all[1]);
    swim.sim().cut(a, b);
    if rng.random_bool(0.5) {
        swim.sim().cut(b, a);
    }
    swim.run_for(rng.random_range(secs(10)..secs(60)))?;
    swim.sim().heal();
    swim.converge(secs(30))?;
    Ok(swim.report())
}

/// A node is cut off until it is taken out, and must be back soon after the cut is mended.
fn comebacks(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let (mut rng, nodes, mut swim) = some_nodes(seed, 3..9, change);
    swim.run_for(secs(5))?;
    let node = NodeIndex(rng.random_range(0..nodes));
    swim.sim().partition(Partition::apart([node]));
    swim.run_for(rng.random_range(secs(6)..secs(20)))?;
    swim.sim().heal();
    swim.settle(secs(5))?;
    // Who missed that another has objected hears it with that one's next ping, a round later.
    swim.converge(secs(10))?;
    Ok(swim.report())
}

/// One node changes its tags again and again while messages are lost, doubled and overtake each
/// other; in the end all have the last ones.
fn changes(seed: u64, change: Change<'_>) -> Result<Report, Failure> {
    let (mut rng, nodes, mut swim) = some_nodes(seed, 3..12, change);
    let node = NodeIndex(rng.random_range(0..nodes));
    let delay = Duration::from_millis(rng.random_range(0..300));
    swim.sim().worsen(Weather { delay, loss: 0.2, duplicate: 0.2, corrupt: 0.0 });
    for change in 0..10 {
        let at = rng.random_range(Duration::ZERO..secs(3));
        swim.describe_in(at, node, &format!("t{change}"));
    }
    swim.run_for(secs(3))?;
    swim.sim().heal();
    swim.converge(secs(15))?;
    Ok(swim.report())
}
