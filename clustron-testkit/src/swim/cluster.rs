//! A simulated cluster, and what a scenario does with it.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::time::Duration;

use clustron_core::membership::{Bug, Listed, Membership, MembershipConfig, PeerState};

use super::flaws::Flaw;
use super::member::Member;
use super::predicates;
use super::registry::{Registry, SharedRegistry};
use crate::sim::{
    Crash, Failure, Link, Moment, Nemesis, NodeIndex, Report, Restart, Simulation,
    SimulationBuilder, Skew, Starvation, Tracing, Traffic,
};

/// How often it is looked whether the leader still may lead.
const ELECT_EVERY: Duration = Duration::from_millis(100);

/// What a simulated cluster is like.
#[derive(Debug)]
pub struct SwimOptions {
    /// How many nodes.
    pub nodes: usize,
    /// Their settings.
    pub config: MembershipConfig,
    /// The network between them.
    pub link: Link,
    /// How far apart their clocks are.
    pub skew: Skew,
    /// What breaks.
    pub nemesis: Nemesis,
    /// What is kept of the story.
    pub tracing: Tracing,
    /// A deliberate defect of all nodes.
    pub flaw: Option<Flaw>,
    /// The command that repeats the run.
    pub repeat: Option<String>,
}

impl SwimOptions {
    /// So many nodes with default settings on a local network.
    pub fn nodes(nodes: usize) -> Self {
        Self {
            nodes,
            config: MembershipConfig::default(),
            link: Link::lan(),
            skew: Skew::default(),
            nemesis: Nemesis::default(),
            tracing: Tracing::default(),
            flaw: None,
            repeat: None,
        }
    }

    fn bug(&self) -> Option<Bug> {
        match self.flaw {
            Some(Flaw::Machine(bug)) => Some(bug),
            _ => None,
        }
    }
}

/// See the module's documentation.
pub struct Swim {
    sim: Simulation<Member>,
    registry: SharedRegistry,
}

impl Swim {
    /// A cluster that has just been founded. All [`predicates`] that must hold in any case are
    /// checked from now on.
    pub fn new(seed: u64, options: SwimOptions) -> Self {
        let registry: SharedRegistry = Rc::new(RefCell::new(Registry::found(options.nodes, seed)));
        let (config, shared) = (options.config.clone(), registry.clone());
        let (bug, forgetful) = (options.bug(), options.flaw == Some(Flaw::ForgottenIncarnation));
        let mut builder = SimulationBuilder::new(seed)
            .nodes(options.nodes)
            .link(options.link)
            .skew(options.skew)
            .nemesis(options.nemesis)
            .tracing(options.tracing);
        if let Some(command) = options.repeat {
            builder = builder.repeat_with(command);
        }
        let mut sim = builder.build(move |index, seed, disk| {
            let config = config.clone();
            let machine = |node: &Listed| Membership::new(node, config, seed).with_bug(bug);
            Member::new(index, shared.clone(), disk, forgetful, machine)
        });
        elect(&mut sim, registry.clone());
        predicates::add_all(&mut sim, &registry, &options.config);
        Self { sim, registry }
    }

    /// Besides, no node may be taken out of the view from now on.
    pub fn forbid_removals(&mut self) {
        self.sim.add_predicate(predicates::NobodyRemoved::new(self.registry.clone()));
    }

    /// Lets so much virtual time pass.
    ///
    /// # Errors
    /// A predicate does not hold.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        self.sim.run_for(time)
    }

    /// Lets the nemesis work for so long, and then ends all its faults.
    ///
    /// # Errors
    /// A predicate does not hold.
    pub fn chaos(&mut self, time: Duration) -> Result<(), Failure> {
        self.sim.chaos(time)?;
        self.sim.heal();
        Ok(())
    }

    /// Waits until the view has everybody who runs, and nobody else, and nobody doubts anybody;
    /// returns how long it took.
    ///
    /// # Errors
    /// It is not so within that time.
    pub fn settle(&mut self, within: Duration) -> Result<Duration, Failure> {
        let registry = self.registry.clone();
        self.sim.converge(within, |moment| predicates::undoubted(moment, &registry))
    }

    /// Waits until all agree on everything, and that it lasts; returns how long it took until they
    /// agreed.
    ///
    /// # Errors
    /// They do not agree within that time, or fall out again, or do not fall silent.
    pub fn converge(&mut self, within: Duration) -> Result<Duration, Failure> {
        let registry = self.registry.clone();
        let took = self.sim.converge(within, |moment| predicates::converged(moment, &registry))?;
        // What is still under way may not change anything.
        self.sim.run_for(Duration::from_secs(15))?;
        let quiet = predicates::Quiet::begin(&self.sim.moment());
        self.sim.run_for(Duration::from_secs(10))?;
        let registry = self.registry.clone();
        self.sim.converge(Duration::ZERO, |moment| {
            predicates::converged(moment, &registry)?;
            quiet.check(moment)
        })?;
        Ok(took)
    }

    /// Ends a node.
    pub fn crash(&mut self, node: NodeIndex, crash: Crash) {
        self.sim.crash(node, crash);
    }

    /// Starts it again.
    pub fn restart(&mut self, node: NodeIndex, restart: Restart) {
        self.sim.restart(node, restart);
    }

    /// Lets it run only now and then from now on.
    pub fn starve(&mut self, node: NodeIndex, starvation: Starvation) {
        self.sim.starve(node, starvation);
    }

    /// Changes a node's tags in so much time.
    pub fn describe_in(&mut self, time: Duration, node: NodeIndex, tag: &str) {
        let value = tag.to_owned();
        self.sim.tell_in(time, node, format!("describe {tag}"), move |member, now, out| {
            member.describe(now, &value, out);
        });
    }

    /// Lets a node leave in so much time.
    pub fn leave_in(&mut self, time: Duration, node: NodeIndex) {
        self.sim.tell_in(time, node, "leave", |member, now, out| member.leave(now, out));
    }

    /// Waits until no running node has `node` in its view, and returns how long that took.
    ///
    /// # Errors
    /// A predicate does not hold.
    pub fn until_removed(
        &mut self,
        node: NodeIndex,
        within: Duration,
    ) -> Result<Option<Duration>, Failure> {
        let (registry, gone) = (self.registry.clone(), self.registry.borrow().removed().len());
        let mut version = None;
        // Which nodes are still to learn of it: looked at one by one, since they are many.
        let mut next = 0;
        self.sim.run_until(within, move |moment| {
            if version.is_none() {
                let registry = registry.borrow();
                let removal = registry.removed()[gone..].iter().find(|r| r.node == node);
                version = removal.map(|removal| removal.version);
            }
            let Some(version) = version else { return false };
            while next < moment.len() {
                let member = moment.node(NodeIndex(next));
                if member.is_some_and(|member| member.version() < version) {
                    return false;
                }
                next += 1;
            }
            true
        })
    }

    /// Waits until all running nodes think `node` to be in `state`, and returns how long that took.
    ///
    /// # Errors
    /// A predicate does not hold.
    pub fn until_all_think(
        &mut self,
        node: NodeIndex,
        state: PeerState,
        within: Duration,
    ) -> Result<Option<Duration>, Failure> {
        let id = self.registry.borrow().latest_id(node);
        self.until_all(within, move |member| {
            member.id() == id || member.machine().state(id).is_none_or(|known| known == state)
        })
    }

    /// Waits until something was true of every running node at some moment, and returns how long
    /// that took.
    ///
    /// # Errors
    /// A predicate does not hold.
    pub fn until_all(
        &mut self,
        within: Duration,
        mut holds: impl FnMut(&Member) -> bool,
    ) -> Result<Option<Duration>, Failure> {
        let mut next = 0;
        self.sim.run_until(within, move |moment| {
            while next < moment.len() {
                if moment.node(NodeIndex(next)).is_some_and(|member| !holds(member)) {
                    return false;
                }
                next += 1;
            }
            true
        })
    }

    /// All nodes as they are now.
    pub fn moment(&self) -> Moment<'_, Member> {
        self.sim.moment()
    }

    /// What is agreed.
    pub fn registry(&self) -> Ref<'_, Registry> {
        self.registry.borrow()
    }

    /// What a node has sent, in all its lives.
    pub fn traffic(&self, node: NodeIndex) -> Traffic {
        self.sim.traffic(node)
    }

    /// How the run went so far.
    pub fn report(&self) -> Report {
        self.sim.report()
    }

    /// The simulation itself, for scripts that do more.
    pub fn sim(&mut self) -> &mut Simulation<Member> {
        &mut self.sim
    }
}

/// Lets another voter lead when the leader may not any more. Consensus is not simulated here, so
/// somebody who sees everything decides.
fn elect(sim: &mut Simulation<Member>, registry: SharedRegistry) {
    let mut next = Duration::ZERO;
    sim.always("somebody leads where somebody can", move |moment: &Moment<'_, Member>| {
        if moment.now() < next {
            return Ok(());
        }
        next = moment.now() + ELECT_EVERY;
        let fit = |node: NodeIndex| {
            moment.is_running(node) && moment.node(node).is_some_and(Member::may_lead)
        };
        let leader = registry.borrow().leader();
        if !fit(leader) {
            let voters = (0..moment.len()).map(NodeIndex);
            let voters: Vec<NodeIndex> =
                voters.take_while(|node| registry.borrow().is_voter(*node)).collect();
            if let Some(fit) = voters.into_iter().find(|node| fit(*node)) {
                registry.borrow_mut().elect(fit);
            }
        }
        Ok(())
    });
}
