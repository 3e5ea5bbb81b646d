//! N nodes in virtual time, in one thread, decided by one seed.

mod chaos;
mod engine;
mod script;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::bits::BitMatrix;
use super::clock::Clock;
use super::event::{Dial, Event};
use super::host::Host;
use super::nemesis::Fault;
use super::network::Network;
use super::outbox::Effect;
use super::predicate::Named;
use super::queue::EventQueue;
use super::streams::{Stream, draw_time, stream};
use super::time::VirtualTime;
use super::trace::{Line, Trace, What};
use super::{Failure, Moment, Nemesis, Node, NodeIndex, Predicate, SimulationBuilder};
use super::{Report, Restart, Traffic, Violation};

/// How often [`Simulation::converge`] looks, at most and at least.
const LOOKS_MAX: u32 = 200;
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

type Factory<N> = Box<dyn FnMut(NodeIndex, u64, &mut <N as Node>::Disk) -> N>;

/// The nodes, the network between them, and the time, which passes only where something happens.
///
/// Nothing happens until it is run. What a script does in between ([`crash`](Simulation::crash),
/// [`tell`](Simulation::tell), [`cut`](Simulation::cut), ...) takes effect at the present moment,
/// and nodes learn of it when the simulation runs on.
pub struct Simulation<N: Node> {
    seed: u64,
    now: VirtualTime,
    hosts: Vec<Host<N>>,
    factory: Factory<N>,
    network: Network,
    /// Bounded by what the nodes have under way: each event comes from an input or a script.
    queue: EventQueue<Event<N>>,
    /// Both ways: who has exchanged messages since both of them started.
    connections: BitMatrix,
    dials: BTreeMap<u64, Dial>,
    dials_begun: u64,
    dial_timeout: Duration,
    inbox_max: usize,
    slices: u64,
    /// When processes run that do not run all the time.
    processes: StdRng,
    /// Empty between inputs; kept for its room.
    effects: Vec<Effect<N::Message>>,
    predicates: Vec<Box<dyn Predicate<N>>>,
    trace: Trace<N::Message>,
    tracing: bool,
    nemesis: Nemesis,
    nemesis_rng: StdRng,
    faults: BTreeMap<u64, Fault>,
    faults_begun: u64,
    /// The number of the chaos that goes on. Zero for none.
    chaos: u64,
    chaoses: u64,
    events: u64,
    /// How many events there were since time last passed.
    events_at_once: u64,
    repeat: Option<String>,
    failure: Option<Failure>,
}

impl<N: Node> Simulation<N> {
    pub(super) fn new(setup: SimulationBuilder, factory: Factory<N>) -> Self {
        let SimulationBuilder { seed, nodes, link, skew, nemesis, tracing, .. } = setup;
        let mut clocks = stream(seed, Stream::Clocks);
        let mut host = || {
            let offset = draw_time(&mut clocks, &(Duration::ZERO..skew.offset_max));
            let drift = skew.drift_ppm_max.abs();
            Host::new(Clock::new(offset, clocks.random_range(-drift..=drift)))
        };
        let trace = Trace::new(tracing);
        let mut simulation = Simulation {
            seed,
            now: VirtualTime::ZERO,
            hosts: (0..nodes).map(|_| host()).collect(),
            factory,
            network: Network::new(nodes, link, seed),
            queue: EventQueue::new(),
            connections: BitMatrix::new(nodes),
            dials: BTreeMap::new(),
            dials_begun: 0,
            dial_timeout: setup.dial_timeout,
            inbox_max: setup.inbox_max,
            slices: 0,
            processes: stream(seed, Stream::Processes),
            effects: Vec::new(),
            predicates: Vec::new(),
            tracing: trace.is_on(),
            trace,
            nemesis,
            nemesis_rng: stream(seed, Stream::Nemesis),
            faults: BTreeMap::new(),
            faults_begun: 0,
            chaos: 0,
            chaoses: 0,
            events: 0,
            events_at_once: 0,
            repeat: setup.repeat,
            failure: None,
        };
        (0..nodes).for_each(|node| simulation.restart(NodeIndex(node), Restart::WithDisk));
        simulation
    }

    /// Adds a property that must hold after every input.
    pub fn always(
        &mut self,
        name: impl Into<String>,
        check: impl FnMut(&Moment<'_, N>) -> Result<(), Violation> + 'static,
    ) {
        self.add_predicate(Named { name: name.into(), check });
    }

    /// As [`always`](Simulation::always), for a predicate that has a type of its own.
    pub fn add_predicate(&mut self, predicate: impl Predicate<N> + 'static) {
        self.predicates.push(Box::new(predicate));
    }

    /// Lets one event happen. `false` if there is none: nothing will ever happen again unless a
    /// script does something.
    ///
    /// # Errors
    ///
    /// A predicate does not hold. The run has ended, and every further call says so.
    pub fn step(&mut self) -> Result<bool, Failure> {
        self.step_until(VirtualTime::NEVER).map(|touched| touched.is_some())
    }

    /// Lets so much virtual time pass.
    ///
    /// # Errors
    ///
    /// As [`step`](Simulation::step).
    pub fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let end = self.now.after(time);
        while self.step_until(end)?.is_some() {}
        self.now = end;
        Ok(())
    }

    /// Runs until `done` says so, and returns how long that took; `None` if it was not done
    /// `within` that time. It is asked once at the beginning and then after every event that gave a
    /// node an input.
    ///
    /// # Errors
    ///
    /// As [`step`](Simulation::step).
    pub fn run_until(
        &mut self,
        within: Duration,
        mut done: impl FnMut(&Moment<'_, N>) -> bool,
    ) -> Result<Option<Duration>, Failure> {
        self.not_failed()?;
        let (start, end) = (self.now, self.now.after(within));
        let mut touched = None;
        loop {
            if touched != Some(None) && done(&self.moment_of(touched.flatten())) {
                return Ok(Some(self.now.since(start)));
            }
            touched = self.step_until(end)?;
            if touched.is_none() {
                self.now = end;
                return Ok(None);
            }
        }
    }

    /// Runs until `holds` has no objection any more, and returns how long that took. It is asked
    /// every now and then, so it may look at all nodes.
    ///
    /// # Errors
    ///
    /// As [`step`](Simulation::step); and under the name `converge` if there is still something
    /// wrong when the time is over.
    pub fn converge(
        &mut self,
        within: Duration,
        mut holds: impl FnMut(&Moment<'_, N>) -> Result<(), Violation>,
    ) -> Result<Duration, Failure> {
        self.not_failed()?;
        let (start, end) = (self.now, self.now.after(within));
        let every = (within / LOOKS_MAX).clamp(LOOK_EVERY.0, LOOK_EVERY.1);
        loop {
            let Err(wrong) = holds(&self.moment()) else {
                return Ok(self.now.since(start));
            };
            if self.now >= end {
                let what = Violation::new(format!("after {within:?} still: {wrong}"));
                return Err(self.fail("converge", &what));
            }
            self.run_for(every.min(end.since(self.now)))?;
        }
    }

    /// The virtual time since the simulation began.
    pub fn now(&self) -> Duration {
        self.now.since_start()
    }

    /// The seed that decides this run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All nodes as they are now.
    pub fn moment(&self) -> Moment<'_, N> {
        self.moment_of(None)
    }

    /// A node, `None` while it is crashed.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn node(&self, node: NodeIndex) -> Option<&N> {
        self.hosts[node.0].node.as_ref()
    }

    /// A node to change behind its back, `None` while it is crashed. To have effects carried out,
    /// [`tell`](Simulation::tell) it.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn node_mut(&mut self, node: NodeIndex) -> Option<&mut N> {
        self.hosts[node.0].node.as_mut()
    }

    /// What is on a node's disk, to change it: an older state, a torn end, a flipped bit.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn disk_mut(&mut self, node: NodeIndex) -> &mut N::Disk {
        &mut self.hosts[node.0].disk
    }

    /// What a node has sent and got, in all its lives.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn traffic(&self, node: NodeIndex) -> Traffic {
        self.hosts[node.0].traffic
    }

    /// The last lines of the trace, oldest first, as many as are kept.
    pub fn trace_tail(&self) -> Vec<String> {
        self.trace.tail()
    }

    /// How the run went so far.
    pub fn report(&self) -> Report {
        Report {
            events: self.events,
            virtual_time: self.now(),
            faults: self.faults_begun,
            fingerprint: self.trace.fingerprint(),
        }
    }

    fn moment_of(&self, touched: Option<NodeIndex>) -> Moment<'_, N> {
        Moment { now: self.now, touched, hosts: &self.hosts }
    }

    fn line(&mut self, node: Option<NodeIndex>, what: impl FnOnce() -> What<N::Message>) {
        if self.tracing {
            self.trace.add(Line { at: self.now, node, what: what() });
        }
    }

    fn fate(&mut self, node: Option<NodeIndex>, what: impl FnOnce() -> String) {
        self.line(node, || What::Fate(what()));
    }

    fn not_failed(&self) -> Result<(), Failure> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Ends the run.
    fn fail(&mut self, predicate: &str, what: &Violation) -> Failure {
        let failure = Failure {
            seed: self.seed,
            at: self.now(),
            predicate: predicate.to_owned(),
            what: what.to_string(),
            tail: self.trace.tail(),
            repeat: self.repeat.clone(),
        };
        self.failure = Some(failure.clone());
        failure
    }
}
