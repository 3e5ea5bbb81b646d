//! How Raft reaches the other nodes: requests on the control lane.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
use super::rpc::{Append, AskVote, ChunkReply, Refused, SnapshotChunk};
use super::types::{RaftNode, Snapshot, TypeConfig, Vote};
use crate::identity::{ClusterId, NodeId};
use crate::local::Local;
use crate::messaging::{Lane, MessageError, Messenger, Request};

/// How much of a snapshot travels in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// After an unreachable node, Raft waits this long before it tries again.
const BACKOFF: Duration = Duration::from_millis(100);

type RpcError = RPCError<NodeId, RaftNode, RaftError<NodeId>>;

/// When each node last answered the leader, by the time at which the leader asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    asked_at: Arc<Mutex<BTreeMap<NodeId, Instant>>>,
}

impl Answers {
    pub(super) fn of(&self, node: NodeId) -> Option<Instant> {
        self.asked_at.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }

    /// Forgets the nodes that `keep` does not name.
    pub(super) fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        self.asked_at.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| keep(*id));
    }

    fn note(&self, node: NodeId, asked_at: Instant) {
        self.asked_at.lock().unwrap_or_else(PoisonError::into_inner).insert(node, asked_at);
    }
}

/// Makes a [`Peer`] for each node of the group.
pub(super) struct Peers {
    pub(super) local: Arc<Local>,
    pub(super) messenger: Messenger,
    pub(super) answers: Answers,
    pub(super) out_of_touch: Arc<AtomicBool>,
    pub(super) permit: Permit,
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, node: &RaftNode) -> Peer {
        if let Some(info) = &node.info {
            self.messenger.learn_address(target, &info.addr);
        }
        Peer {
            target,
            local: self.local.clone(),
            messenger: self.messenger.clone(),
            answers: self.answers.clone(),
            out_of_touch: self.out_of_touch.clone(),
            permit: self.permit.clone(),
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
        let append = |cluster| Append { cluster, out_of_touch, rpc };
        let reply = self.ask(append, option.hard_ttl()).await?;
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
        let mut offset = 0;
        loop {
            let end = (offset + CHUNK_BYTES).min(snapshot.snapshot.len());
            let chunk = |cluster| SnapshotChunk {
                cluster,
                vote,
                meta: snapshot.meta.clone(),
                offset: offset as u64,
                total: snapshot.snapshot.len() as u64,
                data: snapshot.snapshot.slice(offset..end),
            };
            let asked_at = Instant::now();
            let reply = self.ask(chunk, ttl).await?;
            self.answers.note(self.target, asked_at);
            match reply {
                ChunkReply::Installed { vote } => return Ok(SnapshotResponse::new(vote)),
                ChunkReply::Continue { offset: next } => {
                    let next = usize::try_from(next).unwrap_or(usize::MAX);
                    if next > snapshot.snapshot.len() {
                        let error = std::io::Error::other("the receiver asked for too much");
                        return Err(NetworkError::new(&error).into());
                    }
                    offset = next;
                }
            }
        }
    }
}
