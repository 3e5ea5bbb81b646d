//! A thousand runners pass batons. Nothing goes wrong, so what it costs is what the engine costs:
//! the events a second that a campaign prints are the engine's own speed.

use std::time::Duration;

use clustron_testkit::sim::{
    Failure, Input, Link, Node, NodeIndex, Outbox, Report, Scenario, SimulationBuilder, Tracing,
    Violation,
};

pub(crate) struct Relay {
    pub(crate) nodes: usize,
    pub(crate) hops: u64,
}

impl Default for Relay {
    fn default() -> Self {
        Relay { nodes: 1_000, hops: 20 }
    }
}

/// Passes each baton on to some other runner.
struct Runner {
    /// Decides to whom.
    state: u64,
    hops: u64,
    finished: u64,
}

impl Node for Runner {
    /// How far the baton has come.
    type Message = u64;
    type Disk = ();

    fn handle(&mut self, _now: Duration, input: Input<u64>, out: &mut Outbox<'_, Self>) {
        let hop = match input {
            Input::Start => 0,
            Input::Received { message, .. } => message,
            _ => return,
        };
        if hop == self.hops {
            self.finished += 1;
            return;
        }
        // Knuth's linear congruential generator; its upper bits are the good ones.
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let runners = out.nodes() as u64;
        out.send(NodeIndex(((self.state >> 33) % runners) as usize), hop + 1);
    }

    fn size(_message: &u64) -> usize {
        size_of::<u64>()
    }
}

impl Scenario for Relay {
    fn name(&self) -> &str {
        "relay"
    }

    fn about(&self) -> &str {
        "A thousand nodes pass a thousand batons and lose none: the engine's own speed."
    }

    fn run(&self, seed: u64, tracing: Tracing) -> Result<Report, Failure> {
        let hops = self.hops;
        let builder = SimulationBuilder::new(seed).nodes(self.nodes).link(Link::lan());
        let mut simulation =
            builder.tracing(tracing).build(move |_, state, _| Runner { state, hops, finished: 0 });
        let all = self.nodes as u64;
        simulation.converge(Duration::from_secs(60), |moment| {
            let finished: u64 = moment.nodes().map(|(_, runner)| runner.finished).sum();
            match finished == all {
                true => Ok(()),
                false => Err(Violation::new(format!("{finished} of {all} batons have arrived"))),
            }
        })?;
        Ok(simulation.report())
    }
}
