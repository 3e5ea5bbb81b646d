//! A simulator: N nodes of your service in one thread, in virtual time, on a network that does its
//! worst, decided by one seed.
//!
//! Think of a flight simulator. The pilot is the real one, every storm can be had at any time, an
//! hour passes in a blink, and who crashes can fly the same minute again. Here the pilot is your
//! service as a plain value, a [`Node`]: it takes an input and says what should be done. Everything
//! around it is simulated: messages that are late, lost, doubled, overtaken or damaged; links that
//! are cut in one direction; processes that stand still, crash and come back with or without their
//! disk; clocks that disagree.
//!
//! A property that must always hold is a closure. When it does not, the run ends with a [`Failure`]
//! that has the seed and the last lines of the story, and the same seed tells the same story again,
//! byte for byte.
//!
//! # A service of your own, in ten lines
//!
//! Everybody keeps a copy of a counter; who counts tells the others the new total. What could go
//! wrong?
//!
//! ```
//! use clustron_testkit::sim::{Input, Node, NodeIndex, Outbox, SimulationBuilder};
//! use std::time::Duration;
//!
//! struct Counter(u64); // the service
//!
//! impl Node for Counter {
//!     type Message = u64;
//!     type Disk = ();
//!     fn handle(&mut self, _now: Duration, input: Input<u64>, _out: &mut Outbox<'_, Self>) {
//!         if let Input::Received { message: total, .. } = input { self.0 = total }
//!     }
//! }
//!
//! // The test.
//! let mut sim = SimulationBuilder::new(7).nodes(3).build(|_index, _seed, _disk| Counter(0));
//! let mut last = [0; 3];
//! sim.always("totals_never_fall", move |moment| match moment.touched() {
//!     Some((i, node)) if node.0 < last[i.0] => Err(format!("{i} fell to {}", node.0).into()),
//!     Some((i, node)) => Ok(last[i.0] = node.0),
//!     None => Ok(()),
//! });
//! for ms in 1..=1000 {
//!     sim.tell_in(Duration::from_millis(ms), NodeIndex(0), "count", |node, _now, out| {
//!         node.0 += 1;
//!         out.broadcast(&node.0);
//!     });
//! }
//! let failure = sim.run_for(Duration::from_secs(2)).unwrap_err();
//! assert_eq!(failure.predicate, "totals_never_fall");
//! println!("{failure}"); // one total has overtaken the next: take the larger one instead
//! ```
//!
//! # What a run is made of
//!
//! 1. [`SimulationBuilder`] takes the seed and the world: nodes, [`Link`], [`Skew`] of the clocks.
//! 2. [`Simulation::always`] adds what must hold at every moment. A [`Predicate`] is the same as a
//!    type.
//! 3. A script [tells](Simulation::tell) nodes what their users want, and does things to them:
//!    [`crash`](Simulation::crash), [`pause`](Simulation::pause), [`cut`](Simulation::cut),
//!    [`partition`](Simulation::partition), ... Or [`chaos`](Simulation::chaos) lets a [`Nemesis`]
//!    draw the faults.
//! 4. [`heal`](Simulation::heal) ends the faults, and [`converge`](Simulation::converge) gives the
//!    nodes bounded time to become well again.
//!
//! A program that runs such scenarios over many seeds is a list of [`Scenario`]s and a [`Runner`].
//!
//! # What is simulated, and what is not
//!
//! Inputs are handled in no time: a node that computes for long is [starved](Simulation::starve) by
//! the script. Connections stand beside the messages: two nodes have one when a message or a dial
//! has got through, it breaks when one of their processes ends, and a host that is gone or cut off
//! breaks nothing, as with real sockets. What a node writes to its disk is safe at once.
//!
//! The seed has a stream of random numbers for each purpose, so a run with a fault more still draws
//! the same delays. A seed means the same run as long as neither the simulator nor the nodes
//! change.

mod bits;
mod builder;
mod clock;
mod event;
mod failure;
mod host;
mod link;
mod nemesis;
mod network;
mod node;
mod outbox;
mod partition;
mod predicate;
mod queue;
mod report;
mod runner;
mod scenario;
mod simulation;
mod streams;
mod time;
mod trace;

#[cfg(test)]
mod tests;

pub use builder::SimulationBuilder;
pub use clock::{DRIFT_PPM_MAX, Skew};
pub use failure::Failure;
pub use host::{Crash, Restart, Starvation};
pub use link::{Link, Weather};
pub use nemesis::{FaultKind, Nemesis};
pub use network::Traffic;
pub use node::{DialOutcome, Input, Node, NodeIndex, flip_bits};
pub use outbox::Outbox;
pub use partition::Partition;
pub use predicate::{Moment, Predicate, Violation};
pub use report::Report;
pub use runner::{Outcome, Runner};
pub use scenario::Scenario;
pub use simulation::Simulation;
pub use trace::{LineSink, TAIL_LINES, Tracing};
