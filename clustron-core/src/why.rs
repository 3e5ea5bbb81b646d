//! Why a node is where it is, as one answer from any node.

use std::collections::BTreeMap;
use std::fmt;

use crate::cluster::ClusterHandle;
use crate::identity::{NodeId, NodeInfo, NodeName};
use crate::membership::PeerState;
use crate::opinion::{Opinion, Removal};
use crate::view::{NodeRecord, NodeState, View};

/// Why a node is alive, suspected or gone: what the view says of it, with the evidence on which the
/// leader took it out, and what the node that was asked thinks of it now. Shown as a few lines for
/// people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// Whom it is about.
    pub node: NodeId,
    /// Who answers.
    pub asked: NodeInfo,
    /// The version of the view that it answers from.
    pub view_version: u64,
    /// What the view says. `None` for a node that never joined, or that left so long ago that it is
    /// forgotten.
    pub record: Option<NodeRecord>,
    /// What the node that was asked thinks now. `None` where it does not watch the other: about
    /// itself, and about nodes that are not alive in the view.
    pub opinion: Option<Opinion>,
    names: BTreeMap<NodeId, NodeName>,
}

impl ClusterHandle {
    /// Why a node is where it is, as far as this node knows: who probed it, when and with what
    /// result, how well the judge took itself to be, who agreed, and which entry of the control log
    /// took it out. For alive, suspected, removed and unknown nodes alike; asks nobody else.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use clustron_core::{Cluster, NodeId};
    ///
    /// let cluster = Cluster::builder("orders").name("a").start().await?;
    /// let why = cluster.why(cluster.node().id).await;
    /// println!("{why}");
    /// assert!(why.to_string().contains("is alive in the view"));
    /// assert!(cluster.why(NodeId(7)).await.to_string().contains("is not known"));
    /// # Ok(()) }
    /// ```
    pub async fn why(&self, node: NodeId) -> Why {
        let opinion = self.inner().outlook.opinion(node).await;
        Why::new(node, self.node(), &self.view(), opinion)
    }
}

impl Why {
    fn new(node: NodeId, asked: NodeInfo, view: &View, opinion: Option<Opinion>) -> Self {
        let names = view.nodes().map(|record| (record.info.id, record.info.name.clone()));
        Self {
            node,
            asked,
            view_version: view.version(),
            record: view.node(node).cloned(),
            opinion,
            names: names.collect(),
        }
    }

    /// With what the leader took the node out, where it did.
    pub fn removal(&self) -> Option<&Removal> {
        self.record.as_ref()?.removal.as_deref()
    }

    /// A node's name, or its id where the view does not know it.
    fn name(&self, id: NodeId) -> String {
        self.names.get(&id).map_or_else(|| id.to_string(), ToString::to_string)
    }

    /// Evidence speaks of nodes by their ids, which are 16 digits each and nothing else is.
    fn with_names(&self, text: String) -> String {
        self.names
            .iter()
            .fold(text, |text, (id, name)| text.replace(&id.to_string(), name.as_str()))
    }

    fn show_record(&self, f: &mut fmt::Formatter<'_>, record: &NodeRecord) -> fmt::Result {
        let NodeRecord { info, state, reason, since, since_at, .. } = record;
        write!(f, "{info}, incarnation {}, is {state} in the view", info.incarnation)?;
        writeln!(f, " since log index {since} at {since_at}: {}", self.with_names(reason.clone()))
    }

    fn show_removal(&self, f: &mut fmt::Formatter<'_>, removal: &Removal) -> fmt::Result {
        let Removal { leader, epoch, index, missed_since, opinion } = removal;
        let leader = self.name(*leader);
        writeln!(f, "taken out by {leader}, the leader of epoch {epoch}, with log index {index}")?;
        writeln!(f, "not alive for {leader} without a break since {missed_since}")?;
        self.show_opinion(f, opinion)
    }

    fn show_opinion(&self, f: &mut fmt::Formatter<'_>, opinion: &Opinion) -> fmt::Result {
        let Opinion { at, state, incarnation, local_health, .. } = opinion;
        let observer = self.name(opinion.observer);
        write!(f, "for {observer}, at {at}, it was {state} in incarnation {incarnation}")?;
        match opinion.last_heard {
            Some(last_heard) => write!(f, ", last heard at {last_heard}")?,
            None => write!(f, ", never heard directly")?,
        }
        match opinion.round_trip {
            Some(round_trip) => write!(f, ", round trip {round_trip:.1?}")?,
            None => write!(f, ", no ping answered yet")?,
        }
        writeln!(f, "; {observer}'s local health was {local_health} (0 is well)")?;
        for observation in &opinion.evidence {
            let kind = self.with_names(observation.kind.to_string());
            writeln!(f, "  {}  {kind}", observation.at)?;
        }
        if opinion.state != PeerState::Alive && !opinion.accusers.is_empty() {
            let accusers: Vec<String> = opinion.accusers.iter().map(|id| self.name(*id)).collect();
            writeln!(f, "  not reached by {}", accusers.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(record) = &self.record else {
            let (asked, version) = (&self.asked.name, self.view_version);
            return writeln!(
                f,
                "{} is not known to {asked}: version {version} of the view has no entry of it, so it \
                 never joined, or has been gone for so long that it is forgotten",
                self.node
            );
        };
        self.show_record(f, record)?;
        if let Some(removal) = self.removal() {
            self.show_removal(f, removal)?;
        }
        match &self.opinion {
            Some(opinion) => self.show_opinion(f, opinion),
            None if self.node == self.asked.id => writeln!(f, "it is the node that was asked"),
            None if record.state != NodeState::Alive => {
                writeln!(f, "{} does not watch it any more", self.asked.name)
            }
            None => writeln!(f, "{} does not watch it yet", self.asked.name),
        }
    }
}
