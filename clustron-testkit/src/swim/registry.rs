//! The control plane of a simulated cluster, which is not what is simulated here: one log that all
//! share, and whoever leads may append to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clustron_core::membership::Listed;
use clustron_core::simulation::{ControlLog, Doubt};
use clustron_core::{Incarnation, Metadata, NodeId, NodeInfo, NodeName, Rejection, Role};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::sim::NodeIndex;

/// How many former views are kept for nodes that lag.
const VIEWS_KEPT: usize = 64;

/// How many former identities of a node are kept: others still ask about them for a while.
const LIVES_KEPT: usize = 4;

/// How many nodes may be elected, as by default.
const VOTERS_MAX: usize = 5;

/// How long a node must have been missed before it is taken out, as `Timing::lan` has it.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(2);

/// The shared log, and who leads.
#[derive(Debug)]
pub struct Registry {
    log: ControlLog,
    views: BTreeMap<u64, Rc<Vec<Listed>>>,
    leader: NodeIndex,
    indexes: BTreeMap<NodeId, NodeIndex>,
    lives: BTreeMap<NodeIndex, Vec<NodeId>>,
    /// The identities of those that have not started yet.
    founders: BTreeMap<NodeIndex, NodeId>,
    voters: usize,
    removed: Vec<Removal>,
    ids: StdRng,
}

/// A node was taken out of the view as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// Which one.
    pub node: NodeIndex,
    /// Its identity.
    pub id: NodeId,
    /// The version of the view that lacks it.
    pub version: u64,
}

/// What nodes hold of it.
pub(super) type SharedRegistry = Rc<RefCell<Registry>>;

impl Registry {
    /// A cluster of `nodes` nodes with ids from the seed. The first leads.
    pub fn found(nodes: usize, seed: u64) -> Self {
        // Ids are random in life too: the ring must not follow the order of starting.
        let mut ids = StdRng::seed_from_u64(seed);
        let founders: BTreeMap<NodeIndex, NodeId> =
            (0..nodes).map(|at| (NodeIndex(at), NodeId(ids.random_range(1..u64::MAX)))).collect();
        let log = ControlLog::found(founders.iter().map(|(at, id)| info(*at, *id)).collect());
        let indexes = founders.iter().map(|(at, id)| (*id, *at)).collect();
        let mut registry = Self {
            log,
            views: BTreeMap::new(),
            leader: NodeIndex(0),
            indexes,
            lives: BTreeMap::new(),
            founders,
            voters: nodes.min(VOTERS_MAX),
            removed: Vec::new(),
            ids,
        };
        registry.keep_view();
        registry
    }

    /// The version of the latest view.
    pub fn version(&self) -> u64 {
        self.log.view().version()
    }

    /// The nodes of the latest view.
    pub fn alive(&self) -> impl Iterator<Item = &NodeInfo> {
        self.log.view().alive()
    }

    /// Whether the latest view has a node.
    pub fn lists(&self, id: NodeId) -> bool {
        self.log.view().is_alive(id)
    }

    /// Who may append.
    pub fn leader(&self) -> NodeIndex {
        self.leader
    }

    /// Lets another node lead.
    pub fn elect(&mut self, leader: NodeIndex) {
        self.leader = leader;
    }

    /// All that were ever taken out, in order.
    pub fn removed(&self) -> &[Removal] {
        &self.removed
    }

    /// Where a node is.
    pub fn index_of(&self, id: NodeId) -> Option<NodeIndex> {
        self.indexes.get(&id).copied()
    }

    /// Whether a node may be elected.
    pub fn is_voter(&self, node: NodeIndex) -> bool {
        node.0 < self.voters
    }

    /// The present identity of a node.
    pub(super) fn latest_id(&self, node: NodeIndex) -> NodeId {
        self.ids_at(node).last().copied().unwrap_or_default()
    }

    /// All identities that ever were at a node, the present one last.
    pub(super) fn ids_at(&self, node: NodeIndex) -> Vec<NodeId> {
        self.lives.get(&node).cloned().unwrap_or_default()
    }

    /// The identity with which a node founds the cluster; only for its first life.
    pub(super) fn founder(&mut self, node: NodeIndex) -> Option<NodeId> {
        let id = self.founders.remove(&node)?;
        self.lives.entry(node).or_default().push(id);
        Some(id)
    }

    /// An identity for a node that comes without a disk.
    pub(super) fn mint(&mut self, node: NodeIndex) -> NodeId {
        let id = NodeId(self.ids.random_range(1..u64::MAX));
        self.indexes.insert(id, node);
        let lives = self.lives.entry(node).or_default();
        lives.push(id);
        if lives.len() > LIVES_KEPT {
            lives.remove(0);
        }
        id
    }

    /// The view of that version, or the latest if it is forgotten.
    pub(super) fn view(&self, version: u64) -> (u64, Rc<Vec<Listed>>) {
        let kept = self.views.get_key_value(&version).or_else(|| self.views.last_key_value());
        kept.map(|(version, view)| (*version, view.clone())).unwrap_or_default()
    }

    pub(super) fn admit(&mut self, node: NodeInfo) -> Result<(), Rejection> {
        self.log.admit(node)?;
        self.keep_view();
        Ok(())
    }

    pub(super) fn leave(&mut self, id: NodeId, incarnation: Incarnation) {
        if self.log.leave(id, incarnation).is_ok() {
            self.keep_view();
        }
    }

    pub(super) fn describe(&mut self, id: NodeId, revision: u64, metadata: &Metadata) {
        if self.log.describe(id, revision, metadata).is_ok() {
            self.keep_view();
        }
    }

    pub(super) fn due(&self, doubts: &BTreeMap<NodeId, Doubt>) -> Vec<(NodeId, Incarnation)> {
        self.log.due(doubts, STABLE_AFTER)
    }

    pub(super) fn take_out(&mut self, nodes: Vec<(NodeId, Incarnation)>) {
        let ids: Vec<NodeId> = nodes.iter().map(|(id, _)| *id).collect();
        if self.log.take_out(nodes).is_ok() {
            self.keep_view();
            let version = self.version();
            let gone = ids.into_iter().filter(|id| !self.log.view().is_alive(*id));
            let removal = |id| Some(Removal { node: *self.indexes.get(&id)?, id, version });
            self.removed.extend(gone.filter_map(removal));
        }
    }

    fn keep_view(&mut self) {
        let listed = self.log.view().alive().map(|node| Listed {
            id: node.id,
            incarnation: node.incarnation,
            revision: node.revision,
            metadata: Arc::new(node.metadata()),
        });
        self.views.insert(self.version(), Rc::new(listed.collect()));
        while self.views.len() > VIEWS_KEPT {
            self.views.pop_first();
        }
    }
}

/// How a node describes itself when it starts.
pub(super) fn info(node: NodeIndex, id: NodeId) -> NodeInfo {
    NodeInfo {
        id,
        #[expect(clippy::expect_used, reason = "the text is made here")]
        name: NodeName::new(node.to_string()).expect("a letter and digits"),
        incarnation: Incarnation(1),
        addr: format!("{node}:1"),
        roles: [Role::Member].into(),
        tags: BTreeMap::new(),
        revision: 0,
        starts: 1,
        process: 0,
    }
}
