//! Leadership that is handed over, by command and by a node that leaves.

use std::time::Duration;

use clustron_core::{Activation, HandOverError, NodeId, Outcome, Role};

use crate::load::Load;
use crate::world::{LONG, Member, Reigns, World, agree, part, settled};

/// A hand-over leaves no gap over this, as the median of many.
const GAP_MAX: Duration = Duration::from_millis(300);

async fn three() -> (World, Vec<Member>) {
    let mut world = World::new(&["a", "b", "c"]);
    world.config.timing.voter_stable_after = Duration::from_millis(100);
    let members = world.start_all(&["a", "b", "c"]).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    (world, members)
}

async fn all_vote(members: &[Member]) -> Activation {
    let all: Vec<&Member> = members.iter().collect();
    let ids = all.iter().map(|member| member.id()).collect();
    agree(&all, "all vote", |statuses| statuses.iter().all(|s| s.voters == ids)).await;
    settled(&all).await
}

/// Waits until the members follow one leader, whoever else there is.
async fn led(members: &[Member]) -> Activation {
    let all: Vec<&Member> = members.iter().collect();
    let statuses = agree(&all, "one leader", |statuses| {
        let first = &statuses[0].leader;
        first.is_some() && statuses.iter().all(|status| status.leader == *first)
    });
    statuses.await[0].leader.clone().expect("all agree on one")
}

fn median(mut gaps: Vec<Duration>) -> Duration {
    gaps.sort_unstable();
    gaps[gaps.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_can_have_any_voter_lead() {
    let (world, members) = three().await;
    let observer = world.start_as("observer", &[Role::Observer]).await;
    let mut reigns = Reigns::default();
    for round in 0..2 {
        for to in &members {
            for by in &members {
                let leads = by.cluster.hand_over(Some(to.id()), LONG).await;
                assert_eq!(leads, Ok(to.id()), "round {round}, by {}", by.host);
                by.until("the new leader", |s| {
                    s.leader.as_ref().is_some_and(|leader| leader.node == to.id())
                })
                .await;
            }
        }
        reigns.record(&members);
    }
    let leader = led(&members).await;
    assert!(observer.wait_for(LONG, |s| s.leader == Some(leader.clone())).await.is_some());
    let next = observer.hand_over(None, LONG).await.unwrap();
    assert_ne!(next, leader.node, "anybody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_that_cannot_be_says_why_and_changes_nothing() {
    let (world, members) = three().await;
    let client = world.start_as("client", &[Role::Client]).await;
    let before = led(&members).await;
    let stranger = NodeId(7);
    for node in [stranger, client.node().id] {
        let refused = members[0].cluster.hand_over(Some(node), LONG).await;
        assert_eq!(refused, Err(HandOverError::NotVoter { node }));
        assert_eq!(refused.unwrap_err().outcome(), Outcome::NotApplied);
    }
    let (leader, others) = part(&before, members);
    assert_eq!(leader.cluster.hand_over(Some(leader.id()), LONG).await, Ok(leader.id()));
    assert_eq!(leader.status().leader, Some(before));
    // The successor hears nothing, which the leader does not know: it may have asked it.
    let [next, other] = [&others[0], &others[1]];
    world.cut_off(&next.host, &[&leader.host, &other.host]);
    let lost = leader.cluster.hand_over(Some(next.id()), Duration::from_millis(400)).await;
    let lost = lost.unwrap_err();
    assert!(
        matches!(
            lost,
            HandOverError::NotTaken { .. }
                | HandOverError::NotVoter { .. }
                | HandOverError::NotCaughtUp { .. }
                | HandOverError::Unconfirmed(_)
        ),
        "{lost}"
    );
    leader.add(1).await;
    let cut_off = next.cluster.hand_over(None, Duration::from_millis(200)).await;
    let cut_off = cut_off.unwrap_err();
    let expected = matches!(cut_off, HandOverError::NoLeader(_) | HandOverError::Unconfirmed(_));
    assert!(expected, "{cut_off}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handing_over_by_command_leaves_a_short_gap_and_no_call_fails() {
    let (_world, members) = three().await;
    let mut gaps = vec![];
    for round in 0..20 {
        let leader = settled(&members.iter().collect::<Vec<_>>()).await;
        let others: Vec<&Member> = members.iter().filter(|m| m.id() != leader.node).collect();
        let load = Load::start(&[others[round % 2]]);
        load.until_acknowledged(5).await;
        let next = others[0].cluster.hand_over(None, LONG).await.unwrap();
        assert_ne!(next, leader.node);
        load.until_acknowledged(5).await;
        gaps.push(load.finish(&members[0]).await);
    }
    let median = median(gaps.clone());
    println!("by command: median gap {median:?} of {gaps:?}");
    assert!(median < GAP_MAX, "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_leaves_leaves_a_short_gap_and_no_call_fails() {
    let (world, mut members) = three().await;
    let mut gaps = vec![];
    for _ in 0..20 {
        let leader = all_vote(&members).await;
        let (leaving, others) = part(&leader, members);
        let load = Load::start(&[&others[0], &others[1]]);
        load.until_acknowledged(5).await;
        let host = leaving.host.clone();
        leaving.cluster.shutdown(LONG).await.unwrap();
        load.until_acknowledged(5).await;
        gaps.push(load.finish(&others[0]).await);
        members = others;
        members.push(world.start(&host).await);
    }
    let median = median(gaps.clone());
    println!("on leaving: median gap {median:?} of {gaps:?}");
    assert!(median < GAP_MAX, "{gaps:?}");
}
