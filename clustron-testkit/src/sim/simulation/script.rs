//! What a script does to the nodes and to the network.

use std::time::Duration;

use super::Simulation;
use crate::sim::event::Event;
use crate::sim::host::{Arrival, Process};
use crate::sim::streams::node_seed;
use crate::sim::{Crash, Link, Node, NodeIndex, Outbox, Partition, Restart, Starvation, Weather};

/// All of these panic when there is no such node.
impl<N: Node> Simulation<N> {
    /// Lets a script act on a node as its user would: `command` gets the node, what its clock shows
    /// and its outbox. It runs as soon as the simulation does; a paused node gets it later, a
    /// crashed one never. `what` is for the trace.
    pub fn tell(
        &mut self,
        node: NodeIndex,
        what: impl Into<String>,
        command: impl FnOnce(&mut N, Duration, &mut Outbox<'_, N>) + 'static,
    ) {
        self.tell_in(Duration::ZERO, node, what, command);
    }

    /// As [`tell`](Simulation::tell), after so much virtual time: so a load goes on during
    /// [`chaos`](Simulation::chaos).
    pub fn tell_in(
        &mut self,
        time: Duration,
        node: NodeIndex,
        what: impl Into<String>,
        command: impl FnOnce(&mut N, Duration, &mut Outbox<'_, N>) + 'static,
    ) {
        self.exists(node);
        let (what, command) = (what.into(), Box::new(command));
        self.queue.add(self.now.after(time), Event::Told { to: node, what, command });
    }

    /// Ends a process. What it had in memory and what waited for it is gone; its disk stays.
    pub fn crash(&mut self, node: NodeIndex, crash: Crash) {
        self.exists(node);
        let host = &mut self.hosts[node.0];
        host.node = None;
        host.process = Process::Crashed(crash);
        host.inbox.clear();
        host.timer = None;
        self.fate(Some(node), || match crash {
            Crash::Silent => "crashes together with its host".to_owned(),
            Crash::Refusing => "crashes, its host refuses".to_owned(),
        });
        if crash == Crash::Refusing {
            self.close_connections(node);
        }
    }

    /// Starts a process again; one that runs is ended before. Others lose the connections that they
    /// had with the one before.
    pub fn restart(&mut self, node: NodeIndex, restart: Restart) {
        self.exists(node);
        if !self.hosts[node.0].is_crashed() {
            self.crash(node, Crash::Refusing);
        }
        self.close_connections(node);
        let host = &mut self.hosts[node.0];
        if restart == Restart::WithoutDisk {
            host.disk = N::Disk::default();
        }
        host.life += 1;
        let (seed, life) = (node_seed(self.seed, node.0, host.life), host.life);
        host.node = Some((self.factory)(node, seed, &mut host.disk));
        host.process = Process::Running;
        host.inbox.push_back(Arrival::Start);
        self.queue.add(self.now, Event::Wakes { node, life });
        if life > 1 {
            self.fate(Some(node), || match restart {
                Restart::WithDisk => "is restarted with its disk".to_owned(),
                Restart::WithoutDisk => "is restarted with an empty disk".to_owned(),
            });
        }
    }

    /// Stops a process as SIGSTOP does: its host takes in what comes, up to the size of the inbox.
    /// Does nothing to a crashed one.
    pub fn pause(&mut self, node: NodeIndex) {
        self.change_process(node, Process::Paused, "is paused");
    }

    /// Lets a process run only now and then, as on a machine that has too much to do. Does nothing
    /// to a crashed one.
    pub fn starve(&mut self, node: NodeIndex, starvation: Starvation) {
        self.change_process(node, Process::Starved { starvation, slice: 0 }, "is starved");
        self.next_slice(node);
    }

    /// Lets a paused or starved process run all the time again. It finds what has waited.
    pub fn resume(&mut self, node: NodeIndex) {
        self.exists(node);
        if self.hosts[node.0].is_running() || self.hosts[node.0].is_crashed() {
            return;
        }
        self.change_process(node, Process::Running, "runs again");
        let life = self.hosts[node.0].life;
        self.queue.add(self.now, Event::Wakes { node, life });
    }

    /// Sets a node's clock forward, as after a machine was suspended.
    pub fn jump_clock_forward(&mut self, node: NodeIndex, by: Duration) {
        self.exists(node);
        self.hosts[node.0].clock.jump_forward(self.now, by);
        self.fate(Some(node), || format!("its clock jumps forward by {by:?}"));
        self.set_timer(node);
    }

    /// Sets a node's clock back, at most to zero. No monotonic clock does that, a wall clock does.
    pub fn jump_clock_back(&mut self, node: NodeIndex, by: Duration) {
        self.exists(node);
        self.hosts[node.0].clock.jump_back(self.now, by);
        self.fate(Some(node), || format!("its clock jumps back by {by:?}"));
        self.set_timer(node);
    }

    /// Lets a node's clock run fast or slow by so many parts per million, at most
    /// [`DRIFT_PPM_MAX`](crate::sim::DRIFT_PPM_MAX).
    pub fn set_drift(&mut self, node: NodeIndex, drift_ppm: i32) {
        self.exists(node);
        self.hosts[node.0].clock.set_drift(self.now, drift_ppm);
        self.fate(Some(node), || format!("its clock drifts by {drift_ppm} ppm"));
        self.set_timer(node);
    }

    /// Changes all links that have no setting of their own.
    ///
    /// # Panics
    ///
    /// When a probability is not between 0 and 1.
    pub fn set_links(&mut self, link: Link) {
        self.network.set_base(link);
        self.fate(None, || format!("all links: {link:?}"));
    }

    /// Gives one direction between two nodes a setting of its own.
    ///
    /// # Panics
    ///
    /// When a probability is not between 0 and 1.
    pub fn set_link(&mut self, from: NodeIndex, to: NodeIndex, link: Link) {
        self.exists(from);
        self.exists(to);
        self.network.set_link(from, to, link);
        self.fate(None, || format!("link {from} -> {to}: {link:?}"));
    }

    /// Makes every link worse until [`heal`](Simulation::heal).
    ///
    /// # Panics
    ///
    /// When a probability is not between 0 and 1.
    pub fn worsen(&mut self, weather: Weather) {
        self.network.add_weather(None, weather);
        self.fate(None, || format!("weather: {weather:?}"));
    }

    /// Cuts one direction between two nodes: what `from` sends from now on does not reach `to`.
    /// What is under way arrives.
    pub fn cut(&mut self, from: NodeIndex, to: NodeIndex) {
        self.exists(from);
        self.exists(to);
        self.network.set_cut(from, to, true);
        self.fate(None, || format!("cut {from} -> {to}"));
    }

    /// Undoes [`cut`](Simulation::cut).
    pub fn uncut(&mut self, from: NodeIndex, to: NodeIndex) {
        self.exists(from);
        self.exists(to);
        self.network.set_cut(from, to, false);
        self.fate(None, || format!("uncut {from} -> {to}"));
    }

    /// Cuts the network into parts until [`heal`](Simulation::heal). Several partitions add up.
    pub fn partition(&mut self, partition: Partition) {
        self.fate(None, || format!("partition: {partition}"));
        self.network.add_partition(None, partition);
    }

    fn change_process(&mut self, node: NodeIndex, process: Process, what: &'static str) {
        self.exists(node);
        if !self.hosts[node.0].is_crashed() {
            self.hosts[node.0].process = process;
            self.fate(Some(node), || what.to_owned());
        }
    }

    fn exists(&self, node: NodeIndex) {
        let nodes = self.hosts.len();
        assert!(node.0 < nodes, "there is no {node}; the nodes are n0 to n{}", nodes - 1);
    }
}
