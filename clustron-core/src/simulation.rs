//! What a simulation of a whole cluster needs from inside the core. Only with the feature
//! `simulation`; nothing here is for services.

mod decoders;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use clustron_wal::SimDisk;

use crate::chance::Chance;
use crate::control::{Agreed, Command, Removed, Response};
use crate::cut;
pub use crate::data_dir::DiskBug;
pub use crate::defect::ClusterBug;
pub use crate::looks::{Looks, Seen};
use crate::membership::{Case, PeerState};
use crate::opinion::Opinion;
use crate::{
    ClusterHandle, ClusterId, Incarnation, Metadata, NodeId, NodeInfo, Rejection, Timestamp, View,
};

pub(crate) use decoders::ScriptedPeer;
pub use decoders::{Area, Decoder, decoders, pieces};

/// A deliberate defect of a whole node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeBug {
    /// Of how it keeps its state on its disk.
    Disk(DiskBug),
    /// Of how it becomes part of a cluster and changes who votes in it.
    Cluster(ClusterBug),
}

/// Who votes on the control log from one of its places on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedVoters {
    /// The place, by Raft's own count.
    pub index: u64,
    /// The groups that each have to agree: two while one replaces the other.
    pub groups: Vec<BTreeSet<NodeId>>,
}

impl ClusterHandle {
    /// Who was agreed to vote, from when on, as far as the node's log still has it and the node has
    /// applied it; the oldest first, with nothing left out in between.
    pub fn agreed_voters(&self) -> Vec<AgreedVoters> {
        self.inner().control.agreed_voters()
    }
}

/// The control log of a simulated cluster, without consensus: what is appended is agreed at once.
/// The commands and what they mean are the real ones.
#[derive(Debug)]
pub struct ControlLog {
    agreed: Agreed,
    index: u64,
}

/// Whom the leader is to look at itself now; see [`Looks::ended`].
pub fn begin_looks(
    looks: &mut Looks,
    doubts: &BTreeMap<NodeId, Doubt>,
    stable_after: Duration,
) -> Vec<NodeId> {
    looks.begin(&of_core(doubts), stable_after)
}

fn of_core(doubts: &BTreeMap<NodeId, Doubt>) -> BTreeMap<NodeId, cut::Doubt> {
    let doubts = doubts.iter().map(|(id, doubt)| {
        let Doubt { incarnation, down, lasted } = *doubt;
        (*id, cut::Doubt { incarnation, down, lasted })
    });
    doubts.collect()
}

/// A peer that the leader's detector does not take for Alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The incarnation that it is about.
    pub incarnation: Incarnation,
    /// Whether it is Down, and not only Suspect.
    pub down: bool,
    /// For how long it has been, without a break, not Alive.
    pub lasted: Duration,
}

impl ControlLog {
    /// A cluster of these nodes.
    pub fn found(nodes: Vec<NodeInfo>) -> Self {
        let mut log = Self { agreed: Agreed::default(), index: 0 };
        let (at, cluster) = (Timestamp::default(), ClusterId::mint(&Chance::seeded(0)));
        let first = nodes.first().map(|node| (node.id, node.incarnation));
        let _ = log.append(Command::Bootstrap { cluster, nodes, at });
        if let Some((node, incarnation)) = first {
            let _ = log.append(Command::Activate { node, incarnation, at });
        }
        log
    }

    /// What is agreed.
    pub fn view(&self) -> &View {
        &self.agreed.view
    }

    /// Lets a node in, or back in.
    ///
    /// # Errors
    /// It has to come with a higher incarnation.
    pub fn admit(&mut self, node: NodeInfo) -> Result<(), Rejection> {
        self.append(Command::Admit { node, at: Timestamp::default() })
    }

    /// A node has left in order.
    ///
    /// # Errors
    /// It is not there, or only a later incarnation is.
    pub fn leave(&mut self, node: NodeId, incarnation: Incarnation) -> Result<(), Rejection> {
        self.append(Command::Leave { node, incarnation, at: Timestamp::default() })
    }

    /// A node describes itself anew.
    ///
    /// # Errors
    /// It is not there.
    pub fn describe(
        &mut self,
        node: NodeId,
        revision: u64,
        metadata: &Metadata,
    ) -> Result<(), Rejection> {
        let known = self.view().node(node).ok_or(Rejection::NotAlive { node })?;
        let (incarnation, metadata) = (known.info.incarnation, metadata.clone());
        self.append(Command::Describe { node, incarnation, revision, metadata })
    }

    /// Whom a leader with these doubts would take out of the view now; see
    /// `Timing::view_stable_after`.
    pub fn due(
        &self,
        doubts: &BTreeMap<NodeId, Doubt>,
        stable_after: Duration,
    ) -> Vec<(NodeId, Incarnation)> {
        cut::next_cut(self.view(), &of_core(doubts), stable_after)
    }

    /// Takes failed nodes out, in one change of the view.
    ///
    /// # Errors
    /// None of them is there.
    pub fn take_out(&mut self, nodes: Vec<(NodeId, Incarnation)>) -> Result<(), Rejection> {
        let (epoch, at) = (self.agreed.epoch(), Timestamp::default());
        let cut = nodes.into_iter().map(|(node, incarnation)| {
            let case = Case {
                node,
                incarnation,
                state: PeerState::Down,
                last_heard: None,
                round_trip: None,
                accusers: Vec::new(),
                local_health: 0,
                evidence: Vec::new(),
            };
            let opinion = Opinion::new(node, case, Duration::ZERO, at);
            Removed { node, incarnation, why: String::new(), missed_since: at, opinion }
        });
        let cut = cut.collect();
        self.append(Command::MarkDown { epoch, cut, at })
    }

    fn append(&mut self, command: Command) -> Result<(), Rejection> {
        self.index += 1;
        match self.agreed.apply(self.index, command) {
            Response::Rejected(rejection) => Err(rejection),
            Response::Done | Response::Module(_) | Response::Batch(_) => Ok(()),
        }
    }
}
