//! What this node's control plane answers when others ask.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use tokio::time::Instant;

use super::Control;
use super::batch::BATCH_COMMANDS_MAX;
use super::command::{COMMAND_BYTES_MAX, Command, ModuleCommand, Response};
use super::courier::{in_pieces, send_answers};
use super::propose::ProposeError;
use super::proposer::REQUESTS_MAX;
use super::receiving::{NotTaken, Step};
use super::rpc::{
    Append, Appended, AskPreVote, AskVote, ChunkReply, HandedOn, Join, JoinReply, Proposal,
    Propose, ProposeMany, Proposed, ReadIndex, Refused, SnapshotChunk, WhoVotes,
};
use super::types::{Snapshot, TypeConfig, Vote};
use crate::election::{Input, PreVote};
use crate::identity::{ClusterId, NodeId, NodeInfo};
use crate::messaging::{HandlerOptions, ItemSink, SinkError};

/// No log becomes longer than this.
const LOG_INDEX_MAX: u64 = u64::MAX >> 2;

/// The longest name of a module in a command that is handed on: an entry must fit into a frame.
const MODULE_BYTES_MAX: usize = 1024;

/// How long a command that another node handed on may wait here to be applied.
const PROPOSE_MAX: Duration = Duration::from_secs(30);

/// How long the answers to commands may take on their way, beyond the commands' deadlines.
const TELL_MAX: Duration = Duration::from_secs(1);

/// A leader that is out of touch is answered for one silence, refused until the end of this one,
/// and then answered again. Meanwhile another voter can be elected: it stands after one silence, in
/// several rounds if need be.
const SILENCES_UNTIL_HEARD_AGAIN: u32 = 4;

impl Control {
    pub(super) fn register_handlers(self: &Arc<Self>) {
        macro_rules! on {
            ($method:ident) => {{
                let this = self.clone();
                self.messenger.on_request(move |from, request| {
                    let this = this.clone();
                    async move { this.$method(from, request).await }
                });
            }};
        }
        on!(handle_who_votes);
        on!(handle_join);
        // Whoever has no log must not be talked into one.
        if self.following.is_some() {
            return;
        }
        on!(handle_append);
        on!(handle_vote);
        on!(handle_chunk);
        on!(handle_pre_vote);
        on!(handle_take_over);
        on!(handle_hand_over);
        const AT_ONCE: NonZeroU32 = NonZeroU32::new(REQUESTS_MAX as u32).expect("it is not zero");
        let options = HandlerOptions { at_once: AT_ONCE, ..HandlerOptions::default() };
        let this = self.clone();
        self.messenger.on_request_with(options, move |from, request| {
            this.clone().handle_propose(from, request)
        });
        let this = self.clone();
        self.messenger.on_stream_request(options, move |from, request, answers| {
            this.clone().handle_propose_many(from, request, answers)
        });
        on!(handle_read_index);
        on!(handle_whom_do_you_reach);
    }

    /// A node that belongs nowhere yet belongs to the first cluster whose control plane calls it:
    /// only a group that it asked to join, or to found, has its id.
    pub(super) fn check_cluster(&self, ours: ClusterId) -> Result<(), Refused> {
        let theirs = self.local.adopt_cluster(ours);
        if theirs == ours { Ok(()) } else { Err(Refused::OtherCluster { ours, theirs }) }
    }

    /// A leader that says that it hears no majority does not count as heard. It may recover with
    /// our very answer; but one that we hear and that never hears us, as when a link is cut in one
    /// direction, is refused after a while, or its voters' lease would keep it in office for ever.
    ///
    /// It is not refused for ever either. If its log is the longest that is left, nobody else can
    /// be elected, and only our answer can bring the cluster back. So it gets its chance again once
    /// the others have had theirs.
    fn check_touch(&self, vote: Vote, out_of_touch: bool) -> Result<bool, Refused> {
        let mut since = self.leader_out_since.lock().unwrap_or_else(PoisonError::into_inner);
        if !out_of_touch {
            *since = None;
            return Ok(true);
        }
        let (_, began) = match *since {
            Some(since) if since.0 == vote => since,
            Some(_) | None => *since.insert((vote, Instant::now())),
        };
        let silence = self.timing.leader_silence;
        let out_for = began.elapsed();
        if out_for > SILENCES_UNTIL_HEARD_AGAIN * silence {
            *since = Some((vote, Instant::now()));
        } else if out_for > silence {
            return Err(Refused::OutOfTouch);
        }
        Ok(false)
    }

    /// Raft takes a message for that of the leader whose vote it carries, its own included.
    fn check_leader(&self, from: NodeId, vote: Vote) -> Result<(), Refused> {
        match vote.committed && vote.leader_id.voted_for() == Some(from) {
            true => Ok(()),
            false => Err(not_of_sender(from, vote)),
        }
    }

    async fn handle_append(
        self: Arc<Self>,
        from: NodeId,
        request: Append,
    ) -> Result<Appended, Refused> {
        self.check_cluster(request.cluster)?;
        self.check_leader(from, request.rpc.vote)?;
        check_places(&request.rpc)?;
        let in_touch = self.check_touch(request.rpc.vote, request.out_of_touch)?;
        let reply = self.raft.append_entries(request.rpc).await;
        let reply = reply.map_err(|e| Refused::Failed(e.to_string()))?;
        if in_touch && !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
            self.campaign.tell(Input::Heard(from));
        }
        if let (Some(current), Some(echo)) = (request.current, request.echo)
            && !matches!(reply, AppendEntriesResponse::HigherVote(_))
        {
            self.recency.heard(current, echo);
        }
        Ok(Appended { reply, stamp: self.recency.stamp() })
    }

    async fn handle_vote(
        self: Arc<Self>,
        from: NodeId,
        request: AskVote,
    ) -> Result<openraft::raft::VoteResponse<NodeId>, Refused> {
        self.check_cluster(request.cluster)?;
        if request.rpc.vote.committed || request.rpc.vote.leader_id.voted_for() != Some(from) {
            return Err(not_of_sender(from, request.rpc.vote));
        }
        if let Some(permit) = request.permit {
            self.let_go_of_lease(from, permit, &request.rpc).await;
        }
        self.raft.vote(request.rpc).await.map_err(|e| Refused::Failed(e.to_string()))
    }

    async fn handle_chunk(
        self: Arc<Self>,
        from: NodeId,
        chunk: SnapshotChunk,
    ) -> Result<ChunkReply, Refused> {
        self.check_cluster(chunk.cluster)?;
        self.check_leader(from, chunk.vote)?;
        if chunk.meta.last_log_id.is_some_and(|id| id.index > LOG_INDEX_MAX) {
            return Err(Refused::Failed(format!("a snapshot that ends beyond {LOG_INDEX_MAX}")));
        }
        let vote = self.raft.with_raft_state(|state| *state.vote_ref()).await;
        let vote = vote.map_err(|e| Refused::Failed(e.to_string()))?;
        if chunk.vote < vote {
            // Whoever leads no more must not take the answer for a follower's: it would hold itself
            // to be in touch with a majority for as long as a snapshot takes.
            return Ok(ChunkReply::Installed { vote });
        }
        if self.leader_in_touch() {
            self.campaign.tell(Input::Heard(from));
        }
        let last = chunk.meta.last_log_id.map_or(0, |id| id.index);
        if chunk.meta.last_log_id.is_some() && last <= *self.log_applied.borrow() {
            // The answer was lost, or the log has got here by itself.
            let given_up = self.receiving.give_up_until(last).await;
            given_up.map_err(|error| self.not_taken(from, error))?;
            return Ok(ChunkReply::Installed { vote });
        }
        let (vote, meta) = (chunk.vote, chunk.meta.clone());
        let content = match self.receiving.take(from, chunk).await {
            Ok(Step::Continue { offset }) => return Ok(ChunkReply::Continue { offset }),
            Ok(Step::Whole(content)) => content,
            Err(error) => return Err(self.not_taken(from, error)),
        };
        let snapshot = Snapshot { meta, snapshot: Box::new(content) };
        let installed = self.raft.install_full_snapshot(vote, snapshot).await;
        let installed = installed.map_err(|e| Refused::Failed(e.to_string()))?;
        self.receiving.clear().await.map_err(|error| self.not_taken(from, error))?;
        Ok(ChunkReply::Installed { vote: installed.vote })
    }

    fn not_taken(&self, from: NodeId, error: NotTaken) -> Refused {
        tracing::warn!(%from, %error, "a snapshot was not taken");
        if let NotTaken::Disk(_) = &error {
            self.tasks.fail(&format!("a snapshot that arrived could not be saved: {error}"));
        }
        Refused::Failed(error.to_string())
    }

    async fn handle_pre_vote(self: Arc<Self>, _from: NodeId, request: AskPreVote) -> PreVote {
        if self.check_cluster(request.cluster).is_err() {
            return PreVote::NotYet { retry_after: self.timing.leader_lease };
        }
        let permitted = match request.permit {
            Some(permit) => self.honours(permit).await,
            None => false,
        };
        self.campaign.would_vote(request.log_end, permitted)
    }

    async fn handle_propose(self: Arc<Self>, from: NodeId, request: Propose) -> Proposed {
        let allowed = match &request.proposal {
            Proposal::Module(command) => may_be_handed_on(command),
            Proposal::Core(Command::Leave { node, .. }) => *node == from,
            Proposal::Core(Command::Describe { node, metadata, .. }) => {
                *node == from && metadata.check().is_ok()
            }
            Proposal::Core(
                Command::Bootstrap { .. }
                | Command::Activate { .. }
                | Command::Admit { .. }
                | Command::MarkDown { .. }
                | Command::Batch(_)
                | Command::DeclareLoss(_),
            ) => false,
        };
        if !allowed || self.check_cluster(request.cluster).is_err() {
            return Proposed::NotLeader { leader: None };
        }
        let deadline = Duration::from_millis(u64::from(request.deadline_ms)).min(PROPOSE_MAX);
        let proposed = match request.proposal {
            Proposal::Core(command) => {
                let Ok(_slot) = self.core_requests.try_acquire() else {
                    return Proposed::NotLeader { leader: None };
                };
                self.propose_here(command, deadline).await
            }
            Proposal::Module(command) => return self.propose_handed_on(command, deadline).await,
        };
        told(proposed)
    }

    /// Proposes commands of another node as the leader, and tells what became of each as soon as
    /// it is known.
    async fn handle_propose_many(
        self: Arc<Self>,
        _from: NodeId,
        request: ProposeMany,
        mut answers: ItemSink<Vec<(u16, Proposed)>>,
    ) -> Result<(), SinkError> {
        // No node of ours asks for so many.
        if request.commands.len() > BATCH_COMMANDS_MAX {
            return Ok(());
        }
        let ours = self.check_cluster(request.cluster).is_ok();
        let longest = request.commands.iter().map(|command| command.deadline_ms).max();
        let longest = Duration::from_millis(longest.unwrap_or(0).into()).min(PROPOSE_MAX);
        let propose = |(place, HandedOn { command, deadline_ms }): (u16, HandedOn)| {
            let this = &self;
            let deadline = Duration::from_millis(deadline_ms.into()).min(PROPOSE_MAX);
            async move {
                let proposed = match ours && may_be_handed_on(&command) {
                    true => this.propose_handed_on(command, deadline).await,
                    false => Proposed::NotLeader { leader: None },
                };
                (place, proposed)
            }
        };
        let under_way: FuturesUnordered<_> = (0u16..).zip(request.commands).map(propose).collect();
        let mut known = under_way.ready_chunks(BATCH_COMMANDS_MAX);
        let tell = async {
            while let Some(known) = known.next().await {
                for some in in_pieces(known) {
                    send_answers(&mut answers, some).await?;
                }
            }
            Ok(())
        };
        // Whoever does not read the answers keeps no room here: by then their callers have given
        // up.
        tokio::time::timeout(longest + TELL_MAX, tell).await.unwrap_or(Ok(()))
    }

    /// Proposes a command of another node as the leader.
    async fn propose_handed_on(&self, command: ModuleCommand, deadline: Duration) -> Proposed {
        if let Err(rejection) = self.check_module(&command.module) {
            return Proposed::Refused(rejection);
        }
        match self.handed_on.admit(command.weight()) {
            Ok(_room) => told(self.propose_module_here(command, deadline).await),
            Err(overload) => {
                self.metrics.overloads.inc();
                Proposed::Overloaded(overload)
            }
        }
    }

    async fn handle_read_index(
        self: Arc<Self>,
        _from: NodeId,
        request: ReadIndex,
    ) -> Result<u64, Option<NodeId>> {
        let slot = self.core_requests.try_acquire();
        if slot.is_err() || self.check_cluster(request.cluster).is_err() {
            return Err(None);
        }
        self.read_index_here().await
    }

    async fn handle_who_votes(
        self: Arc<Self>,
        _from: NodeId,
        request: WhoVotes,
    ) -> BTreeSet<NodeId> {
        match self.check_cluster(request.cluster) {
            Ok(()) => self.voters(),
            Err(_) => BTreeSet::new(),
        }
    }

    async fn handle_join(self: Arc<Self>, from: NodeId, request: Join) -> JoinReply {
        if let Err(refused) = self.check_cluster(request.cluster) {
            return JoinReply::Refused { reason: refused.to_string() };
        }
        if request.node.id != from {
            let reason = format!("node {from} asks in the name of {}", request.node.id);
            return JoinReply::Refused { reason };
        }
        if let Err(reason) = request.node.check() {
            return JoinReply::Refused { reason };
        }
        let slot = self.core_requests.try_acquire();
        // Whoever leads in name only must not let anybody in.
        if slot.is_err() || self.leading.borrow().is_none() {
            return JoinReply::NotLeader { leader: self.leader_info() };
        }
        // One that was only without a leader for a while is in, and is no news. Others hear of its
        // new incarnation by gossip.
        let view = self.agreed_now().view.clone();
        let known = view.node(request.node.id).filter(|_| view.is_alive(request.node.id));
        let incarnation = request.node.incarnation;
        let known = known.filter(|record| record.info.incarnation <= incarnation);
        if known.is_some_and(|r| NodeInfo { incarnation, ..r.info.clone() } == request.node) {
            return JoinReply::Admitted;
        }
        let admit = Command::Admit { node: request.node, at: self.clock.now() };
        match self.propose_here(admit, self.timing.request_deadline).await {
            Ok(Proposed::Applied { response: Response::Rejected(why), .. }) => why.into(),
            Ok(Proposed::Applied { .. }) => JoinReply::Admitted,
            Ok(
                Proposed::NotLeader { .. }
                | Proposed::Overloaded(_)
                | Proposed::Unknown
                | Proposed::Refused(_),
            )
            | Err(_) => JoinReply::NotLeader { leader: self.leader_info() },
        }
    }

    /// How to reach the leader, where it is another node.
    fn leader_info(&self) -> Option<NodeInfo> {
        let leader = self.raft_leader().filter(|leader| *leader != self.local.id)?;
        if self.following.is_some() {
            return self.agreed_now().view.node(leader).map(|record| record.info.clone());
        }
        let metrics = self.raft.metrics();
        let membership = metrics.borrow().membership_config.clone();
        membership.membership().get_node(&leader)?.info.clone()
    }
}

/// Whether a command that another node hands on is of a size that the log takes.
fn may_be_handed_on(command: &ModuleCommand) -> bool {
    command.module.len() <= MODULE_BYTES_MAX && command.body.len() <= COMMAND_BYTES_MAX
}

/// What another node is told of its command.
fn told(proposed: Result<Proposed, ProposeError>) -> Proposed {
    match proposed {
        Ok(proposed) => proposed,
        Err(ProposeError::NotRunning) => Proposed::NotLeader { leader: None },
        Err(_) => Proposed::Unknown,
    }
}

/// openraft counts on from these without a look.
fn check_places(rpc: &AppendEntriesRequest<TypeConfig>) -> Result<(), Refused> {
    let next = rpc.prev_log_id.map_or(0, |prev| prev.index.saturating_add(1));
    let committed = rpc.leader_commit.map_or(0, |id| id.index);
    let bounded = next.max(committed) <= LOG_INDEX_MAX;
    // In this order, or the count itself would not be bounded.
    if bounded && rpc.entries.iter().zip(next..).all(|(e, index)| e.log_id.index == index) {
        return Ok(());
    }
    let reason = format!("entries that do not stand from {next} on, or beyond {LOG_INDEX_MAX}");
    Err(Refused::Failed(reason))
}

fn not_of_sender(from: NodeId, vote: Vote) -> Refused {
    Refused::Failed(format!("node {from} calls with the vote {vote}, which is not its own"))
}

#[cfg(test)]
mod tests;
