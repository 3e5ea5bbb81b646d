//! A time in which things break, and the end of it.

use std::time::Duration;

use super::Simulation;
use crate::sim::event::Event;
use crate::sim::nemesis::{Fault, Targets};
use crate::sim::{Failure, Node, NodeIndex};

impl<N: Node> Simulation<N> {
    /// Lets the [`Nemesis`](crate::sim::Nemesis) break things for so much virtual time, while
    /// predicates are checked as ever. Faults that have not ended then stay until they do, or until
    /// [`heal`](Simulation::heal).
    ///
    /// # Errors
    ///
    /// As [`step`](Simulation::step).
    pub fn chaos(&mut self, time: Duration) -> Result<(), Failure> {
        self.chaoses += 1;
        self.chaos = self.chaoses;
        self.fate(None, || format!("chaos for {time:?}"));
        let rest = self.nemesis.draw_rest(&mut self.nemesis_rng);
        self.queue.add(self.now.after(rest), Event::FaultDue { chaos: self.chaos });
        let outcome = self.run_for(time);
        self.chaos = 0;
        outcome
    }

    /// Ends all faults: every cut, partition and bad weather is over, paused and starved processes
    /// run, clocks tick at their first rate, and what the nemesis crashed starts again.
    ///
    /// A clock that jumped stays where it is, a link stays as it was set, and a node that a script
    /// crashed stays dead.
    pub fn heal(&mut self) {
        self.fate(None, || "heal".to_owned());
        while let Some(fault) = self.faults.keys().next().copied() {
            self.end_fault(fault);
        }
        self.network.heal();
        for node in (0..self.hosts.len()).map(NodeIndex) {
            self.resume(node);
            self.reset_drift(node);
        }
    }

    pub(super) fn fault_due(&mut self, chaos: u64) {
        if chaos != self.chaos {
            return;
        }
        if self.faults.len() < self.nemesis.at_once_max {
            let all = (0..self.hosts.len()).map(NodeIndex);
            let targets = Targets {
                nodes: self.hosts.len(),
                running: all.clone().filter(|node| self.hosts[node.0].is_running()).collect(),
                up: all.filter(|node| !self.hosts[node.0].is_crashed()).collect(),
            };
            if let Some((fault, length)) = self.nemesis.draw(&mut self.nemesis_rng, &targets) {
                self.begin_fault(fault, length);
            }
        }
        let rest = self.nemesis.draw_rest(&mut self.nemesis_rng);
        self.queue.add(self.now.after(rest), Event::FaultDue { chaos });
    }

    fn begin_fault(&mut self, fault: Fault, length: Duration) {
        self.faults_begun += 1;
        let number = self.faults_begun;
        self.fate(None, || format!("fault {number} for {length:?}: {fault}"));
        match &fault {
            Fault::Partition(partition) => {
                self.network.add_partition(Some(number), partition.clone());
            }
            Fault::Weather(weather) => self.network.add_weather(Some(number), *weather),
            Fault::Pause(node) => self.pause(*node),
            Fault::Starve(node) => self.starve(*node, self.nemesis.starvation.clone()),
            Fault::Crash { nodes, crash, .. } => {
                nodes.iter().for_each(|node| self.crash(*node, *crash));
            }
            Fault::ClockJump { node, by, forward: true } => self.jump_clock_forward(*node, *by),
            Fault::ClockJump { node, by, forward: false } => self.jump_clock_back(*node, *by),
            Fault::Drift { node, drift_ppm } => self.set_drift(*node, *drift_ppm),
        }
        if !matches!(fault, Fault::ClockJump { .. }) {
            self.faults.insert(number, fault);
            self.queue.add(self.now.after(length), Event::FaultEnds { fault: number });
        }
    }

    pub(super) fn end_fault(&mut self, number: u64) {
        let Some(fault) = self.faults.remove(&number) else { return };
        self.fate(None, || format!("fault {number} ends: {fault}"));
        match fault {
            Fault::Partition(_) | Fault::Weather(_) => self.network.undo(number),
            Fault::Pause(node) | Fault::Starve(node) => self.resume(node),
            Fault::Crash { nodes, restart, .. } => {
                for node in nodes {
                    // A script may have been faster.
                    if self.hosts[node.0].is_crashed() {
                        self.restart(node, restart);
                    }
                }
            }
            Fault::Drift { node, .. } => self.reset_drift(node),
            Fault::ClockJump { .. } => {}
        }
    }

    fn reset_drift(&mut self, node: NodeIndex) {
        let host = &self.hosts[node.0];
        if host.clock.drift_ppm() != host.first_drift_ppm {
            self.set_drift(node, host.first_drift_ppm);
        }
    }
}
