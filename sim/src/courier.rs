//! Couriers carry parcels to each other and must neither lose one nor hand one over twice, while
//! everything breaks. The protocol is the smallest that can: keep on disk what you have taken on,
//! send it until it is acknowledged, keep on disk what you have handed over, and be somebody new
//! when the disk is gone.

mod frame;
mod node;
mod promises;
#[cfg(test)]
mod tests;

use std::time::Duration;

use clustron_testkit::sim::{
    Failure, FaultKind, Link, Nemesis, NodeIndex, Report, Scenario, Simulation, SimulationBuilder,
    Tracing,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use node::{CourierNode, Flaw};
use promises::Promises;

const NODES: usize = 5;

/// How many parcels are handed in during a run.
const PARCELS: u64 = 200;

const CHAOS: Duration = Duration::from_secs(20);

/// A resend every 200 ms over links that work again needs little of it.
const CALM: Duration = Duration::from_secs(20);

/// The scenario; with a flaw to show that it finds one.
#[derive(Default)]
pub(crate) struct Courier {
    pub(crate) flaw: Flaw,
}

impl Scenario for Courier {
    fn name(&self) -> &str {
        "courier"
    }

    fn about(&self) -> &str {
        "Five nodes send each other parcels under all faults: none is lost, none comes twice."
    }

    fn run(&self, seed: u64, tracing: Tracing) -> Result<Report, Failure> {
        let flaw = self.flaw;
        let link = if seed.is_multiple_of(2) { Link::lan() } else { Link::lan().ordered() };
        let mut simulation = SimulationBuilder::new(seed)
            .nodes(NODES)
            .link(link)
            .nemesis(Nemesis::only(FaultKind::ALL))
            .tracing(tracing)
            .build(move |index, seed, disk| CourierNode::new(index, seed, disk, flaw));
        let promises = Promises::watch(&mut simulation);
        hand_in(&mut simulation, seed);
        simulation.chaos(CHAOS)?;
        simulation.heal();
        simulation.converge(CALM, |moment| promises.nothing_is_lost(moment))?;
        Ok(simulation.report())
    }
}

/// Parcels come in during the whole chaos. Parcel `n` goes to node `n` modulo [`NODES`].
fn hand_in(simulation: &mut Simulation<CourierNode>, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    for parcel in 0..PARCELS {
        let at = CHAOS.mul_f64(rng.random());
        let from = NodeIndex(rng.random_range(0..NODES));
        simulation.tell_in(at, from, format!("parcel {parcel}"), move |node, now, out| {
            node.hand_in(now, parcel, addressee(parcel), out);
        });
    }
}

fn addressee(parcel: u64) -> NodeIndex {
    NodeIndex((parcel % NODES as u64) as usize)
}
