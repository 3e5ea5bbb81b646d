//! A leader that does not reach everybody makes room for one that does.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clustron_core::{Activation, Cluster, Config, Role};

use crate::world::{
    LONG, Member, Reigns, TallyModule, World, agree, alive, hosts, lasts, part, settled,
};

/// Waits until one of these leads all of them, and gives how it came to be.
async fn led_by(members: &[&Member], wanted: &Member) -> Activation {
    let statuses = agree(members, "the one with all its links leads", |statuses| {
        statuses
            .iter()
            .all(|status| status.leader.as_ref().is_some_and(|leader| leader.node == wanted.id()))
    })
    .await;
    statuses[0].leader.clone().expect("all know it")
}

/// A link between the leader and one of two followers is cut, in both directions or in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_third_takes_over_from_a_leader_that_misses_one_of_two_followers() {
    for directions in ["both", "to the follower", "to the leader"] {
        let world = World::new(&["a", "b", "c"]);
        let members = world.start_all(&["a", "b", "c"]).await;
        let first = settled(&members.iter().collect::<Vec<_>>()).await;
        let (leader, others) = part(&first, members);
        let [missed, third] = &others[..] else { panic!("two others") };
        let cut = Instant::now();
        match directions {
            "both" => world.network.cut(&leader.host, &missed.host),
            "to the follower" => world.network.cut_one_way(&leader.host, &missed.host),
            _ => world.network.cut_one_way(&missed.host, &leader.host),
        }
        let everybody = [third, &leader, missed];
        let second = led_by(&everybody, third).await;
        let took = cut.elapsed();
        // A second of silence, two of patience, half a one to hand over, and some to spare.
        assert!(took < Duration::from_secs(8), "{directions}: {took:?}");
        assert!(second.epoch > first.epoch);
        // Both ends can commit, nobody was put out, and nobody takes the office back.
        leader.add(1).await;
        missed.add(2).await;
        lasts(Duration::from_secs(4)).await;
        for member in everybody {
            let status = member.status();
            assert_eq!(status.leader, Some(second.clone()), "{directions}: to and fro");
            assert_eq!(alive(&status).len(), 3);
        }
        world.heal(&leader.host, &[&missed.host]);
        assert_eq!(settled(&everybody).await, second, "{directions}: no reason to change again");
        let mut reigns = Reigns::default();
        reigns.record(everybody);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_link_of_the_leader_is_cut_its_status_says_so() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, others) = part(&first, members);
    world.network.cut(&leader.host, &others[0].host);
    let (mine, missed) = (leader.id(), others[0].id());
    leader
        .until("it says whom it misses", |status| {
            status.unreachable.get(&mine).is_some_and(|row| row.contains(&missed))
        })
        .await;
    led_by(&[&others[1], &leader, &others[0]], &others[1]).await;
}

/// It reaches one of four, which is no majority; that one reaches all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_steps_down_and_the_one_in_the_middle_ends_up_leading_all() {
    let names = ["a", "b", "c", "d", "e"];
    let world = World::new(&names);
    let members = world.start_all(&names).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let ids: BTreeSet<_> = members.iter().map(Member::id).collect();
    agree(&members.iter().collect::<Vec<_>>(), "all vote", |statuses| {
        statuses.iter().all(|status| status.voters == ids)
    })
    .await;
    let (leader, mut others) = part(&first, members);
    let middle = others.pop().unwrap();
    let cut = Instant::now();
    world.cut_off(&leader.host, &hosts(&others));
    leader.until("it gives up", |status| status.leading.is_none()).await;
    assert!(cut.elapsed() < Duration::from_secs(3), "{:?}", cut.elapsed());
    let everybody: Vec<_> = others.iter().chain([&leader, &middle]).collect();
    led_by(&everybody, &middle).await;
    for member in &everybody {
        member.add(1).await;
        assert_eq!(alive(&member.status()).len(), 5);
    }
}

/// Nodes without a vote answer the leader like any other; a crash is no reason to hand over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_reaches_all_who_can_be_reached_stays() {
    let world = World::new(&["a", "b", "c"]);
    let mut members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let config = Config {
        name: Some("d".to_owned()),
        listen: "d:1".to_owned(),
        roles: BTreeSet::from([Role::Client]),
        ..world.config.clone()
    };
    let mut builder = Cluster::builder("test").config(config).transport(world.network.host("d"));
    let tally = builder.install(TallyModule);
    let cluster = builder.start().await.unwrap();
    members.push(Member { host: "d".to_owned(), cluster, tally });
    settled(&members.iter().collect::<Vec<_>>()).await;
    lasts(Duration::from_secs(4)).await;
    for member in &members {
        assert!(member.status().unreachable.is_empty(), "{:?}", member.status().unreachable);
    }
    let (leader, mut others) = part(&first, members);
    let silent = others.remove(0);
    world.cut_off(&silent.host, &[&leader.host, &others[0].host, &others[1].host]);
    let gone = silent.id();
    leader.until("it is out", |status| !status.view.is_alive(gone)).await;
    assert_eq!(leader.wait_for_leader(LONG).await, Some(first));
}
