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
