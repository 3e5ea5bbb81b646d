//! How Raft reaches the other nodes: requests on the control lane.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use tokio::time::Instant;

use super::permit::Permit;
use super::recency::Recency;
use super::rpc::{Append, Appended, AskVote, ChunkReply, Refused, SnapshotChunk};
use super::types::{RaftNode, Snapshot, TypeConfig, Vote};
use crate::identity::{ClusterId, NodeId};
use crate::local::Local;
use crate::messaging::{Lane, MessageError, Messenger, Request};
use crate::metrics::CoreMetrics;
use crate::tasks::Tasks;

/// After an unreachable node, Raft waits this long before it tries again.
const BACKOFF: Duration = Duration::from_millis(100);

/// How often in a row a piece of a snapshot is sent again that was not answered: the receiver says
/// where it stands, and what has arrived is not sent twice.
const PIECE_AGAIN: u32 = 3;

/// The answer to the last piece waits until the receiver has decoded the snapshot, of which it
/// does at least so many bytes a second.
const DECODED_PER_SECOND: u64 = 8 << 20;

type RpcError = RPCError<NodeId, RaftNode, RaftError<NodeId>>;

/// What each node last answered the leader.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    inner: Arc<Mutex<Answered>>,
}

#[derive(Debug, Default)]
struct Answered {
    /// By node, when the leader asked what it has answered.
    asked_at: BTreeMap<NodeId, Instant>,
    /// The stamp of each node's latest answer.
    stamps: BTreeMap<NodeId, u64>,
    /// Who votes: a majority of each of these decides.
    groups: Vec<BTreeSet<NodeId>>,
}

impl Answers {
    pub(super) fn of(&self, node: NodeId) -> Option<Instant> {
        self.lock().asked_at.get(&node).copied()
    }

    /// Forgets the nodes that `keep` does not name.
    pub(super) fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        let mut inner = self.lock();
        inner.asked_at.retain(|id, _| keep(*id));
        inner.stamps.retain(|id, _| keep(*id));
    }

    /// Who votes from now on.
    pub(super) fn set_groups(&self, groups: Vec<BTreeSet<NodeId>>) {
        self.lock().groups = groups;
    }

    /// How long ago a majority of the voters last answered this node, for whatever it asked as
    /// their leader. `Duration::MAX` before the first time.
    pub(super) fn quorum_silence(&self, me: NodeId) -> Duration {
        let inner = self.lock();
        silence(me, &inner.groups, |id| inner.asked_at.get(&id).copied())
    }

    pub(super) fn note(&self, node: NodeId, asked_at: Instant) {
        self.lock().asked_at.insert(node, asked_at);
    }

    fn stamp(&self, node: NodeId) -> Option<u64> {
        self.lock().stamps.get(&node).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Answered> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long ago a majority of each of these groups last answered.
pub(super) fn silence(
    me: NodeId,
    groups: &[BTreeSet<NodeId>],
    asked_at: impl Fn(NodeId) -> Option<Instant>,
) -> Duration {
    let now = Instant::now();
    let of_one = |id: NodeId| match id == me {
        true => Duration::ZERO,
        false => asked_at(id).map_or(Duration::MAX, |at| now.saturating_duration_since(at)),
    };
    let of_majority = |voters: &BTreeSet<NodeId>| {
        let mut ages: Vec<Duration> = voters.iter().map(|id| of_one(*id)).collect();
        ages.sort_unstable();
        ages.get(voters.len() / 2).copied().unwrap_or(Duration::MAX)
    };
    groups.iter().map(of_majority).max().unwrap_or(Duration::MAX)
}

/// Makes a [`Peer`] for each node of the group.
pub(super) struct Peers {
    pub(super) local: Arc<Local>,
    pub(super) messenger: Messenger,
    pub(super) answers: Answers,
    pub(super) out_of_touch: Arc<AtomicBool>,
    pub(super) permit: Permit,
    pub(super) recency: Arc<Recency>,
    pub(super) metrics: Arc<CoreMetrics>,
    pub(super) tasks: Tasks,
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, node: &RaftNode) -> Peer {
        // Where it lived when it was last made a voter, unless more is known.
        if let Some(info) = &node.info {
            self.messenger.learn_address(info);
        }
        Peer {
            target,
            local: self.local.clone(),
            messenger: self.messenger.clone(),
            answers: self.answers.clone(),
            out_of_touch: self.out_of_touch.clone(),
            permit: self.permit.clone(),
            recency: self.recency.clone(),
            metrics: self.metrics.clone(),
            tasks: self.tasks.clone(),
        }
    }
}

/// One node of the group, as seen from here.
pub(super) struct Peer {
    target: NodeId,
    local: Arc<Local>,
    messenger: Messenger,
    answers: Answers,
    out_of_touch: Arc<AtomicBool>,
    permit: Permit,
    recency: Arc<Recency>,
    metrics: Arc<CoreMetrics>,
    tasks: Tasks,
}

impl Peer {
    async fn ask<R, T>(
        &self,
        request: impl FnOnce(ClusterId) -> R,
        ttl: Duration,
    ) -> Result<T, RpcError>
    where
        R: Request<Reply = Result<T, Refused>>,
    {
        let Some(cluster) = self.local.cluster_id() else {
            return Err(Unreachable::new(&std::io::Error::other("no cluster yet")).into());
        };
        let request = request(cluster);
        match self.messenger.request(self.target, Lane::Control, &request, ttl).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(refused)) => Err(Unreachable::new(&refused).into()),
            // What took its time may be tried again at once.
            Err(error @ MessageError::Timeout { .. }) => Err(NetworkError::new(&error).into()),
            // What failed at once would fail as fast again, so openraft is told to pause.
            Err(error) => Err(Unreachable::new(&error).into()),
        }
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        let asked_at = Instant::now();
        let out_of_touch = self.out_of_touch.load(Ordering::Relaxed);
        // In this order: what is said is said after the stamp.
        let echo = self.answers.stamp(self.target);
        let current = self.recency.as_leader();
        let append = |cluster| Append { cluster, out_of_touch, current, echo, rpc };
        let Appended { reply, stamp } = self.ask(append, option.hard_ttl()).await?;
        self.answers.lock().stamps.insert(self.target, stamp);
        if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
            self.answers.note(self.target, asked_at);
        }
        Ok(reply)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        let permit = self.permit.for_vote(&rpc.vote);
        self.ask(|cluster| AskVote { cluster, rpc, permit }, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, &snapshot, option.hard_ttl()) => {
                sent.map_err(|error| match error {
                    RPCError::Unreachable(error) => StreamingError::Unreachable(error),
                    other => StreamingError::Network(NetworkError::new(&other)),
                })
            }
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}

impl Peer {
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: &Snapshot,
        ttl: Duration,
    ) -> Result<SnapshotResponse<NodeId>, RpcError> {
        let (mut offset, total) = (0, snapshot.snapshot.length());
        let mut again = PIECE_AGAIN;
        loop {
            let data = snapshot.snapshot.piece_at(offset).await;
            let data = data.map_err(|error| {
                // It would fail at every attempt, for every follower: let another node lead.
                self.tasks.fail(&format!("the snapshot cannot be read: {error}"));
                RpcError::Unreachable(Unreachable::new(&error))
            })?;
            let last = offset + data.len() as u64 >= total;
            let until_decoded =
                Duration::from_secs(if last { total / DECODED_PER_SECOND } else { 0 });
            let chunk = |cluster| SnapshotChunk {
                cluster,
                vote,
                meta: snapshot.meta.clone(),
                offset,
                total,
                data,
            };
            let asked_at = Instant::now();
            let reply = match self.ask(chunk, ttl + until_decoded).await {
                Ok(reply) => reply,
                Err(error) if again == 0 => return Err(error),
                Err(_) => {
                    again -= 1;
                    tokio::time::sleep(BACKOFF).await;
                    continue;
                }
            };
            again = PIECE_AGAIN;
            // Whoever refuses for a higher vote follows another leader.
            let refused = matches!(reply, ChunkReply::Installed { vote: theirs } if theirs > vote);
            if !refused {
                self.answers.note(self.target, asked_at);
            }
            match reply {
                ChunkReply::Installed { vote } => {
                    if !refused {
                        self.metrics.snapshots_sent.inc();
                    }
                    return Ok(SnapshotResponse::new(vote));
                }
                ChunkReply::Continue { offset: next } => {
                    if next > total {
                        let error = std::io::Error::other("the receiver asked for too much");
                        return Err(NetworkError::new(&error).into());
                    }
                    offset = next;
                }
            }
        }
    }
}
