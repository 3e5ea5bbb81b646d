//! Vote requests from somebody who is no candidate: what a permit to take over is worth.

use clustron_core::{ClusterId, Message, NodeId, Request, Role};
use serde::{Deserialize, Serialize};

use crate::world::{LONG, Member, World, agree, settled};

// As the control plane has them on the wire.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct LeaderId {
    term: u64,
    node: NodeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Vote {
    leader: LeaderId,
    committed: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct LogId {
    leader: LeaderId,
    index: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct AskVote {
    cluster: ClusterId,
    vote: Vote,
    last_log: Option<LogId>,
    permit: Option<Vote>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    vote: Vote,
    granted: bool,
    last_log: Option<LogId>,
}

impl Message for AskVote {
    const KIND: &'static str = "core.vote";
}

impl Request for AskVote {
    type Reply = Result<Answer, ()>;
}

/// Asks one node for its vote in the term after the one that it is in, with a log that is longer
/// than anybody's.
async fn ask(by: &Member, to: NodeId, term: u64, permit: Option<Vote>) -> Answer {
    let leader = LeaderId { term, node: by.id() };
    let request = AskVote {
        cluster: by.cluster_id().expect("it is in a cluster"),
        vote: Vote { leader, committed: false },
        last_log: Some(LogId { leader, index: 1 << 40 }),
        permit,
    };
    by.request(to, &request, LONG).await.expect("an answer").expect("no refusal")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_permit_of_the_present_leader_outweighs_its_lease() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    let forger = world.start_in("client", &[Role::Client]).await;
    // A request of the term before everything tells how things stand, and changes nothing.
    let before = ask(&forger, members[0].id(), 0, None).await.vote;
    assert!(before.committed, "{before:?}");
    let next = members[0].hand_over(None, LONG).await.unwrap();
    let everybody: Vec<&Member> = members.iter().chain([&forger]).collect();
    agree(&everybody, "the next leader", |statuses| {
        statuses.iter().all(|s| s.leader.as_ref().is_some_and(|leader| leader.node == next))
    })
    .await;
    let leader = settled(&everybody).await;
    let now = ask(&forger, next, 0, None).await.vote;
    assert!(now.leader.node == next && now.leader.term > before.leader.term, "{now:?}");

    let term = now.leader.term + 1;
    let someone = Vote { leader: LeaderId { node: NodeId(1), ..now.leader }, ..now };
    let open = Vote { committed: false, ..now };
    for permit in [None, Some(before), Some(someone), Some(open)] {
        for member in members.iter().filter(|member| member.id() != next) {
            let answer = ask(&forger, member.id(), term, permit).await;
            assert!(!answer.granted && answer.vote == now, "{permit:?} got {answer:?}");
        }
    }
    // Nor the right one of a leader that does not want to be succeeded, with that leader itself,
    // nor for a later term than the next.
    let follower = members.iter().find(|member| member.id() != next).expect("a follower");
    assert!(!ask(&forger, follower.id(), term + 1, Some(now)).await.granted);
    assert_eq!(settled(&everybody).await, leader, "nothing has happened");
    // So much for what is refused: the right one is not.
    assert!(ask(&forger, follower.id(), term, Some(now)).await.granted);
}

#[derive(Debug, Serialize, Deserialize)]
enum Refused {
    OtherCluster { ours: ClusterId, theirs: ClusterId },
    OutOfTouch,
    Failed(String),
}

/// An empty one, as of a leader that is sure of nothing.
#[derive(Debug, Serialize, Deserialize)]
struct Append {
    cluster: ClusterId,
    out_of_touch: bool,
    current: Option<()>,
    echo: Option<u64>,
    vote: Vote,
    prev: Option<LogId>,
    entries: Vec<()>,
    commit: Option<LogId>,
}

impl Message for Append {
    const KIND: &'static str = "core.append";
}

impl Request for Append {
    type Reply = Result<(), Refused>;
}

/// The first bytes of a longer snapshot.
#[derive(Debug, Serialize, Deserialize)]
struct SnapshotChunk {
    cluster: ClusterId,
    vote: Vote,
    last_log: Option<LogId>,
    membership_at: Option<LogId>,
    voters: Vec<()>,
    nodes: Vec<()>,
    snapshot_id: String,
    offset: u64,
    total: u64,
    data: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
enum ChunkReply {
    Continue { offset: u64 },
    Installed { vote: Vote },
}

impl Message for SnapshotChunk {
    const KIND: &'static str = "core.snapshot";
}

impl Request for SnapshotChunk {
    type Reply = Result<ChunkReply, Refused>;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_led_by_the_vote_of_another_and_who_leads_no_more_hears_so_from_the_first_chunk()
{
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let forger = world.start_in("client", &[Role::Client]).await;
    let everybody: Vec<&Member> = members.iter().chain([&forger]).collect();
    let leader = settled(&everybody).await;
    let cluster = forger.cluster_id().expect("it is in a cluster");
    let now = ask(&forger, leader.node, 0, None).await.vote;
    for member in &members {
        // Raft would take this one for elected, by its own vote.
        let crown = LeaderId { term: now.leader.term + 1, node: member.id() };
        for committed in [true, false] {
            let append = Append {
                cluster,
                out_of_touch: false,
                current: None,
                echo: None,
                vote: Vote { leader: crown, committed },
                prev: None,
                entries: vec![],
                commit: None,
            };
            let answer = forger.request(member.id(), &append, LONG).await.expect("an answer");
            assert!(matches!(answer, Err(Refused::Failed(_))), "{answer:?}");
        }
        let deposed = Vote { leader: LeaderId { term: 0, node: forger.id() }, committed: true };
        let chunk = SnapshotChunk {
            cluster,
            vote: deposed,
            last_log: None,
            membership_at: None,
            voters: vec![],
            nodes: vec![],
            snapshot_id: String::new(),
            offset: 0,
            total: 2,
            data: vec![0],
        };
        let answer = forger.request(member.id(), &chunk, LONG).await.expect("an answer");
        let higher = matches!(answer, Ok(ChunkReply::Installed { vote }) if vote == now);
        assert!(higher, "{answer:?}");
    }
    assert_eq!(settled(&everybody).await, leader, "nothing has happened");
}
