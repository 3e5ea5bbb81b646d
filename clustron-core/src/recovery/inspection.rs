//! What an operator is shown of a data directory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::Loss;
use crate::control::Survivor;
use crate::data_dir::Identity;
use crate::identity::{ClusterId, ClusterName, NodeId, NodeInfo, NodeName};

/// What the data directory of a node holds that does not run. [`Display`](fmt::Display) shows it in
/// some lines, for people who compare several.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The directory.
    pub path: PathBuf,
    /// What people call its cluster.
    pub cluster_name: ClusterName,
    /// Its cluster; `None` before the node was in one.
    pub cluster: Option<ClusterId>,
    /// Whose directory it is.
    pub node: NodeId,
    /// The name that the node was given, if it was given any.
    pub name: Option<NodeName>,
    /// How often the node has started.
    pub starts: u64,
    /// How far its log reaches: the term of the last entry, and its index. Of several directories
    /// of one cluster the one that has the highest, by the term and then by the index, has
    /// everything acknowledged that any of them has. `None` where there is no entry, or the
    /// cluster was never founded as far as the log tells.
    pub reaches: Option<(u64, u64)>,
    /// The index up to which there is a snapshot.
    pub snapshot: Option<u64>,
    /// Who votes by the log's last word, each as the log describes it.
    pub voters: BTreeMap<NodeId, Option<NodeInfo>>,
    /// The latest losses that were declared, the latest last.
    pub losses: Vec<Loss>,
    /// A loss whose declaration was broken off, and has to be given again.
    pub declaring: Option<Loss>,
}

impl Inspection {
    pub(super) fn new(path: PathBuf, identity: Identity, survivor: Option<&Survivor>) -> Self {
        let Identity { cluster_name, cluster, node, name, starts, declaring, .. } = identity;
        Self {
            path,
            cluster_name,
            cluster,
            node,
            name,
            starts,
            reaches: survivor.map(|survivor| (survivor.end().term, survivor.end().index)),
            snapshot: survivor.and_then(Survivor::snapshot_index),
            voters: survivor.map(Survivor::voters).unwrap_or_default(),
            losses: survivor.map(|survivor| survivor.losses().1.to_vec()).unwrap_or_default(),
            declaring,
        }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_ref().map_or("without a name", NodeName::as_str);
        writeln!(f, "data directory {:?}", self.path)?;
        writeln!(f, "  node      {name}, {}, started {} times", self.node, self.starts)?;
        match self.cluster {
            Some(id) => writeln!(f, "  cluster   {}, id {id}", self.cluster_name)?,
            None => writeln!(f, "  cluster   {}, not in it yet", self.cluster_name)?,
        }
        let snapshot = self.snapshot.map_or("none".to_owned(), |at| format!("up to index {at}"));
        match self.reaches {
            Some((term, index)) => {
                writeln!(
                    f,
                    "  log       reaches to term {term}, index {index}; snapshot {snapshot}"
                )?;
            }
            None => writeln!(f, "  log       nothing of a cluster")?,
        }
        for (at, (id, info)) in self.voters.iter().enumerate() {
            let label =
                if at == 0 { format!("{} voters", self.voters.len()) } else { String::new() };
            let this = if *id == self.node { ", this node" } else { "" };
            match info {
                Some(info) => writeln!(f, "  {label:<9} {info}{this}")?,
                None => writeln!(f, "  {label:<9} {id}{this}")?,
            }
        }
        for loss in &self.losses {
            writeln!(f, "  loss      {loss}")?;
        }
        if let Some(loss) = &self.declaring {
            writeln!(f, "  UNDONE    {loss}; declare it again to end it")?;
        }
        Ok(())
    }
}
