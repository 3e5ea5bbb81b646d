//! The control log of a node that does not run, as its operator finds it, and the two entries with
//! which it goes on alone.
//!
//! All that the log has stays in it, also what nobody knows to be committed: the lost nodes may
//! have acknowledged it. Behind it come a group of one voter, and the loss. When the node starts
//! it stands for election, as a lone voter wins, and with that commits everything, in the order of
//! the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openraft::{CommittedLeaderId, EntryPayload, Membership};

use super::command::Command;
use super::log_disk::{Found, LogDisk, goes_on_from, record};
use super::snapshot_file;
use super::types::{Entry, LogId, RaftNode, Vote};
use crate::data_dir::{DataDir, DataDirError, DiskError, SNAPSHOT};
use crate::election::LogEnd;
use crate::identity::{NodeId, NodeInfo};
use crate::recovery::Loss;

/// See the module's documentation.
pub(crate) struct Survivor {
    me: NodeId,
    disk: LogDisk,
    vote: Option<Vote>,
    last: LogId,
    snapshot: Option<LogId>,
    /// Whether the log goes on from the snapshot.
    whole: bool,
    group: Membership<NodeId, RaftNode>,
    leaps: u64,
    losses: Vec<Loss>,
}

impl Survivor {
    /// Reads the log and the snapshot. `None` where the cluster was never founded, as far as they
    /// tell.
    pub(crate) fn read(data: &Arc<DataDir>) -> Result<Option<Self>, DataDirError> {
        let (disk, Found { vote, purged, mut entries }) = LogDisk::open(data.clone(), None)?;
        let taken = snapshot_file::glance(data)?;
        let (mut group, mut leaps, mut losses) = (None, 0, vec![]);
        let mut snapshot = None;
        if let Some((meta, agreed)) = taken {
            (leaps, losses) = (agreed.leaps, agreed.losses.into());
            snapshot = meta.last_log_id;
            group = Some(meta.last_membership.membership().clone());
        }
        if purged > snapshot {
            let (to, from) = (snapshot.map(|id| id.index), purged.map(|id| id.index));
            let what = format!("it reaches to {to:?}, the log begins after {from:?}");
            return Err(data.damaged(SNAPSHOT, &what));
        }
        let mut founded = snapshot.is_some();
        let whole = snapshot.is_none_or(|end| goes_on_from(end, purged, &entries));
        entries.retain(|entry| whole && snapshot.is_none_or(|end| entry.log_id.index > end.index));
        let last = entries.last().map(|entry| entry.log_id).or(snapshot);
        for entry in entries {
            match entry.payload {
                EntryPayload::Membership(membership) => group = Some(membership),
                EntryPayload::Normal(Command::Bootstrap { .. }) => founded = true,
                EntryPayload::Normal(Command::DeclareLoss(loss)) => {
                    leaps += 1;
                    losses.push(loss);
                }
                EntryPayload::Normal(_) | EntryPayload::Blank => {}
            }
        }
        let (Some(last), Some(group)) = (last.filter(|_| founded), group) else { return Ok(None) };
        let me = data.identity().node;
        Ok(Some(Self { me, disk, vote, last, snapshot, whole, group, leaps, losses }))
    }

    /// How far the log reaches.
    pub(crate) fn end(&self) -> LogEnd {
        LogEnd::from(self.last)
    }

    /// The index up to which the snapshot has everything.
    pub(crate) fn snapshot_index(&self) -> Option<u64> {
        self.snapshot.map(|id| id.index)
    }

    /// Who votes, by the log's last word, each as the log describes it.
    pub(crate) fn voters(&self) -> BTreeMap<NodeId, Option<NodeInfo>> {
        self.group.voter_ids().map(|id| (id, self.info(id))).collect()
    }

    /// This node, as the log describes it among those who follow it.
    pub(crate) fn node(&self) -> Option<NodeInfo> {
        self.info(self.me)
    }

    /// How many losses were declared, and the latest of them.
    pub(crate) fn losses(&self) -> (u64, &[Loss]) {
        (self.leaps, &self.losses)
    }

    /// Has the log end with this loss. Durable on return; does nothing where it does already.
    pub(crate) fn declare(&self, loss: &Loss) -> Result<(), DiskError> {
        if self.losses.last() == Some(loss) {
            return Ok(());
        }
        // Above all that this node has promised, and all that it has from any leader.
        let promised = self.vote.map_or(0, |vote| vote.leader_id.term);
        let term = promised.max(self.last.leader_id.term) + 1;
        self.disk.save_vote(&Vote::new(term, self.me))?;
        if !self.whole {
            self.disk.go_on_behind(self.last)?;
        }
        self.disk.truncate(self.last.index + 1)?;
        let alone = BTreeMap::from([(self.me, RaftNode { info: self.node() })]);
        let group = Membership::new(vec![BTreeSet::from([self.me])], alone);
        let payloads = [
            EntryPayload::Membership(group),
            EntryPayload::Normal(Command::DeclareLoss(loss.clone())),
        ];
        let first = self.last.index + 1;
        let entries = (first..).zip(payloads).map(|(index, payload)| {
            let log_id = LogId::new(CommittedLeaderId::new(term, self.me), index);
            record(&Entry { log_id, payload })
        });
        let records: Vec<_> = entries.collect::<Result<_, _>>()?;
        self.disk.append(first, &records)
    }

    fn info(&self, id: NodeId) -> Option<NodeInfo> {
        self.group.get_node(&id).and_then(|node| node.info.clone())
    }
}

#[cfg(test)]
pub(crate) mod fixture;
