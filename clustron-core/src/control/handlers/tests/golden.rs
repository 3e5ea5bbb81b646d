//! The bytes of the control plane's messages and of what stands in its log: a log outlives the
//! program that wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use clustron_testkit::golden::Golden;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::{CommittedLeaderId, EntryPayload, Membership};

use crate::control::command::{Command, ModuleCommand, Rejection, Removed, Response};
use crate::control::proposer::{Backlog, Overload};
use crate::control::recency::Current;
use crate::control::rpc::{
    Append, Appended, AskPreVote, AskVote, ChunkReply, HandOver, HandedOn, HandedOver, Join,
    JoinReply, Proposal, Propose, ProposeMany, Proposed, ReadIndex, Refused, SnapshotChunk,
    TakeOver, WhoVotes, WhomDoYouReach,
};
use crate::control::types::{Entry, LogId, RaftNode, SnapshotMeta, StoredMembership, Vote};
use crate::election::{LogEnd, PreVote};
use crate::golden::{self, AT, cluster, node};
use crate::hand_over::HandOverError;
use crate::identity::{Epoch, Incarnation, NodeId};

const NODE: NodeId = NodeId(1);

fn text() -> String {
    "no".to_owned()
}

fn log_id() -> LogId {
    LogId::new(CommittedLeaderId::new(6, NODE), 7)
}

fn vote() -> Vote {
    Vote::new(6, NODE)
}

fn membership() -> Membership<NodeId, RaftNode> {
    let nodes = BTreeMap::from([(NODE, RaftNode::from(node())), (NodeId(2), RaftNode::default())]);
    Membership::new(vec![BTreeSet::from([NODE]), BTreeSet::from([NODE, NodeId(2)])], nodes)
}

fn body() -> ModuleCommand {
    let (module, body) = ("m".to_owned(), Bytes::from_static(b"body"));
    ModuleCommand { module, epoch: Some(Epoch(9)), body }
}

fn log(table: &mut Golden) {
    let (incarnation, at, cluster) = (Incarnation(2), AT, cluster());
    let (why, opinion) = (text(), golden::opinion());
    let cut = vec![Removed { node: NODE, incarnation, why, missed_since: at, opinion }];
    let metadata = node().metadata();
    for (name, command) in [
        ("bootstrap", Command::Bootstrap { cluster, nodes: vec![node()], at }),
        ("activate", Command::Activate { node: NODE, incarnation, at }),
        ("admit", Command::Admit { node: node(), at }),
        ("mark down", Command::MarkDown { epoch: Epoch(9), cut, at }),
        ("leave", Command::Leave { node: NODE, incarnation, at }),
        ("describe", Command::Describe { node: NODE, incarnation, revision: 4, metadata }),
        ("batch", Command::Batch(vec![body()])),
        ("declare loss", Command::DeclareLoss(golden::loss())),
    ] {
        table.add(&format!("command {name}"), &command);
    }
    let leave = Command::Leave { node: NODE, incarnation, at };
    for (name, payload) in [
        ("blank", EntryPayload::Blank),
        ("leave", EntryPayload::Normal(leave)),
        ("membership", EntryPayload::Membership(membership())),
    ] {
        table.add(&format!("entry {name}"), &Entry { log_id: log_id(), payload });
    }
    table.add("vote", &vote());
    table.add("committed vote", &Vote::new_committed(6, NODE));
    table.add("place in the log", &log_id());
}

fn proposals(table: &mut Golden) {
    let (node, cluster) = (NODE, cluster());
    let leave = Command::Leave { node, incarnation: Incarnation(2), at: AT };
    for (name, proposal) in
        [("a module's", Proposal::Module(body())), ("the core's", Proposal::Core(leave))]
    {
        table.add(&format!("propose {name}"), &Propose { cluster, proposal, deadline_ms: 500 });
    }
    let commands = [500, 300].map(|deadline_ms| HandedOn { command: body(), deadline_ms });
    table.add("propose many", &ProposeMany { cluster, commands: commands.into() });
    let (of, waiting, limit) = (Backlog::Commands, 300, 256);
    let applied = |response| Proposed::Applied { index: 7, response };
    let answers = vec![Ok(Bytes::from_static(b"yes")), Err(Rejection::NotAlive { node })];
    for (name, proposed) in [
        ("done", applied(Response::Done)),
        ("rejected", applied(Response::Rejected(Rejection::NotAlive { node }))),
        ("module", applied(Response::Module(Bytes::from_static(b"yes")))),
        ("batch", applied(Response::Batch(answers))),
        ("not leader", Proposed::NotLeader { leader: Some(node) }),
        ("commands wait", Proposed::Overloaded(Overload { of, waiting, limit })),
        (
            "bytes wait",
            Proposed::Overloaded(Overload { of: Backlog::CommandBytes, waiting, limit }),
        ),
        ("entries wait", Proposed::Overloaded(Overload { of: Backlog::Entries, waiting, limit })),
        ("requests wait", Proposed::Overloaded(Overload { of: Backlog::Requests, waiting, limit })),
        ("unknown", Proposed::Unknown),
        ("refused", Proposed::Refused(Rejection::OtherKind { node })),
    ] {
        table.add(&format!("proposed {name}"), &proposed);
    }
    let done = Proposed::Applied { index: 7, response: Response::Done };
    let some = vec![(1u16, done), (300, Proposed::Unknown)];
    table.add("an item of what became of many", &some);
    let (stale, current, module) = (1, 2, || "m".to_owned());
    for rejection in [
        Rejection::StaleEpoch { stale: Epoch(1), current: Epoch(2) },
        Rejection::StaleIncarnation { node, stale: Incarnation(1), current: Incarnation(2) },
        Rejection::OldState { node, stale, current },
        Rejection::StaleRevision { node, stale, current },
        Rejection::LastMember { node },
        Rejection::AlreadyBootstrapped { cluster },
        Rejection::UnknownModule { module: module() },
        Rejection::Undecodable { module: module(), reason: text() },
    ] {
        let debug = format!("{rejection:?}");
        let name = debug.split(' ').next().unwrap();
        table.add(&format!("rejection {name}"), &rejection);
    }
}

fn raft(table: &mut Golden) {
    let (vote, last, cluster) = (vote(), Some(log_id()), cluster());
    let entries = vec![Entry { log_id: log_id(), payload: EntryPayload::Blank }];
    let rpc = AppendEntriesRequest { vote, prev_log_id: last, entries, leader_commit: last };
    let current = Some(Current { applied: 7, silence_ms: 20 });
    table.add("append", &Append { cluster, out_of_touch: true, current, echo: Some(8), rpc });
    for (name, reply) in [
        ("success", AppendEntriesResponse::Success),
        ("partial success", AppendEntriesResponse::PartialSuccess(last)),
        ("conflict", AppendEntriesResponse::Conflict),
        ("higher vote", AppendEntriesResponse::HigherVote(vote)),
    ] {
        table.add(&format!("appended {name}"), &Ok::<_, Refused>(Appended { reply, stamp: 8 }));
    }
    for (name, refused) in [
        ("other cluster", Refused::OtherCluster { ours: cluster, theirs: cluster }),
        ("out of touch", Refused::OutOfTouch),
        ("failed", Refused::Failed(text())),
    ] {
        table.add(&format!("refused {name}"), &Err::<Appended, _>(refused));
    }
    let rpc = VoteRequest { vote, last_log_id: last };
    table.add("ask vote", &AskVote { cluster, rpc, permit: Some(vote) });
    let answer = VoteResponse { vote, vote_granted: true, last_log_id: last };
    table.add("voted", &Ok::<_, Refused>(answer));
    let log_end = LogEnd::from(log_id());
    table.add("ask pre-vote", &AskPreVote { cluster, log_end, permit: None });
    let retry_after = Duration::from_millis(300);
    table.add("pre-vote granted", &PreVote::Granted);
    table.add("pre-vote not yet", &PreVote::NotYet { retry_after });
    table.add("pre-vote log behind", &PreVote::LogBehind);
    let last_membership = StoredMembership::new(last, membership());
    let meta = SnapshotMeta { last_log_id: last, last_membership, snapshot_id: "s".to_owned() };
    let data = Bytes::from_static(b"piece");
    table.add("chunk", &SnapshotChunk { cluster, vote, meta, offset: 1, total: 6, data });
    table.add("chunk continue", &Ok::<_, Refused>(ChunkReply::Continue { offset: 6 }));
    table.add("chunk installed", &Ok::<_, Refused>(ChunkReply::Installed { vote }));
}

fn others(table: &mut Golden) {
    let (cluster, of) = (cluster(), NodeId(2));
    table.add("take over", &TakeOver { cluster, permit: vote() });
    table.add("hand over", &HandOver { cluster, to: Some(of), deadline_ms: 500 });
    table.add("handed over", &HandedOver::To(of));
    table.add("handed over by no leader", &HandedOver::NotLeader { leader: Some(NODE) });
    for failed in [
        HandOverError::NotVoter { node: of },
        HandOverError::NotCaughtUp { node: of, lacks: 3 },
        HandOverError::NoSuccessor,
        HandOverError::NotTaken { node: of, reason: text() },
        HandOverError::NoLeader(Duration::from_millis(300)),
        HandOverError::Unconfirmed(text()),
        HandOverError::NotRunning,
    ] {
        let debug = format!("{failed:?}");
        let name = debug.split([' ', '(']).next().unwrap();
        table.add(&format!("hand over failed {name}"), &HandedOver::Failed(failed));
    }
    table.add("read index", &ReadIndex { cluster });
    table.add("read index of", &Ok::<_, Option<NodeId>>(7u64));
    table.add("read index unknown", &Err::<u64, _>(Some(NODE)));
    table.add("who votes", &WhoVotes { cluster });
    table.add("whom do you reach", &WhomDoYouReach { cluster, nodes: [of].into() });
    table.add("these nodes", &BTreeSet::from([NODE, of]));
    table.add("join", &Join { cluster, node: node() });
    for (name, reply) in [
        ("admitted", JoinReply::Admitted),
        ("not leader", JoinReply::NotLeader { leader: Some(node()) }),
        ("outdated", JoinReply::Outdated { known: Incarnation(3) }),
        ("refused", JoinReply::Refused { reason: text() }),
        ("old state", JoinReply::OldState { reason: text() }),
    ] {
        table.add(&format!("join {name}"), &reply);
    }
}

#[test]
fn the_bytes_of_messages_and_entries_are_frozen() {
    let mut table = golden::file("control.txt");
    log(&mut table);
    proposals(&mut table);
    raft(&mut table);
    others(&mut table);
    table.check();
}
