//! Two members, and a witness that votes for them.

use std::collections::BTreeSet;
use std::time::Duration;

use clustron_core::{Cluster, Config, NodeId, Role};

use crate::world::{LONG, Member, World, address, agree, alive, part, settled, within};

async fn witness(world: &World, host: &str) -> Member {
    world.start_in(host, &[Role::Witness]).await
}

fn world(seeds: &[&str]) -> World {
    let mut world = World::new(seeds);
    world.config.timing.voter_stable_after = Duration::from_millis(100);
    world
}

async fn voters(members: &[&Member], wanted: &[&Member], tolerates: usize) {
    let ids: BTreeSet<NodeId> = wanted.iter().map(|member| member.id()).collect();
    agree(members, "these vote", |statuses| {
        statuses.iter().all(|s| s.voters == ids && s.tolerates == tolerates)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_alone_survive_no_loss() {
    let world = world(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    let [a, b] = [&members[0], &members[1]];
    voters(&[a, b], &[a, b], 0).await;
    settled(&[a, b]).await;
    let rest = &members[..1];
    world.cut_off("b", &["a"]);
    rest[0].until("nobody leads", |status| status.leader.is_none()).await;
    assert_eq!(rest[0].status().tolerates, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_witness_either_of_two_members_may_crash() {
    let world = world(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    let witness = witness(&world, "w").await;
    let all: Vec<&Member> = members.iter().chain([&witness]).collect();
    voters(&all, &all, 1).await;
    let leader = settled(&all).await;
    members[0].add(1).await;
    let info = witness.node();
    assert!(info.votes() && info.follows_log() && !info.holds_data() && !info.runs_work());

    let (crashing, rest) = part(&leader, members);
    world.crash(crashing).await;
    let next = settled(&[&rest[0], &witness]).await;
    rest[0].add(2).await;
    assert_eq!(witness.numbers_now().await, [1, 2], "it follows the log");
    // Should the witness lead, then only until the member is found able to.
    if next.node == witness.id() {
        witness
            .until("the member leads", |status| {
                status.leader.as_ref().is_some_and(|leader| leader.node == rest[0].id())
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_leads_hands_over_to_a_member_and_gets_it_not_back() {
    let world = world(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    let witness = witness(&world, "w").await;
    let all: Vec<&Member> = members.iter().chain([&witness]).collect();
    voters(&all, &all, 1).await;
    settled(&all).await;
    assert_eq!(members[0].cluster.hand_over(Some(witness.id()), LONG).await, Ok(witness.id()));
    let next = witness.until("a member leads", |status| {
        status.leader.as_ref().is_some_and(|leader| leader.node != witness.id())
    });
    let next = next.await.leader.expect("a member leads");
    settled(&all).await;
    // The best successor of a member is the other one.
    let after = members[0].cluster.hand_over(None, LONG).await.unwrap();
    assert!(after != witness.id() && after != next.node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_founds_with_two_members_and_makes_room_for_a_third() {
    let mut world = world(&["a", "b", "w"]);
    world.config.voters_max = 3;
    let hosts = ["a", "b"];
    let (members, witness) =
        futures::future::join(world.start_all(&hosts), witness(&world, "w")).await;
    let all: Vec<&Member> = members.iter().chain([&witness]).collect();
    voters(&all, &all, 1).await;
    settled(&all).await;
    let third = world.start("c").await;
    let trio: Vec<&Member> = members.iter().chain([&third]).collect();
    let everybody: Vec<&Member> = trio.iter().copied().chain([&witness]).collect();
    voters(&everybody, &trio, 1).await;
    let leader = settled(&everybody).await;
    assert_ne!(leader.node, witness.id());
    assert_eq!(alive(&witness.status()).len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_has_to_run_the_modules_of_the_members() {
    let world = world(&["a"]);
    let member = world.start("a").await;
    settled(&[&member]).await;
    let config =
        Config { listen: address("w"), roles: [Role::Witness].into(), ..world.config.clone() };
    let transport = world.network.host("w");
    let start = Cluster::builder("test").config(config).transport(transport).start();
    let error = within("the refusal", start).await.unwrap_err().to_string();
    assert!(error.contains("module sets differ"), "{error}");
}
