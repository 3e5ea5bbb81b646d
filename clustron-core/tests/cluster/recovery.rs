//! A majority is lost for good: what a survivor has becomes a cluster again, when somebody says so.

use std::fs;
use std::path::Path;

use clustron_core::recovery::{self, Inspection, RecoveryError};
use clustron_core::{DataDirError, NodeState, Role};
use futures::future::join_all;

use crate::world::{LONG, Member, Reigns, World, settled, within};

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// By how much epochs, tokens and indexes rise with a loss, as it is documented.
const LEAP: u64 = 1 << 36;

async fn all(world: &World) -> Vec<Member> {
    let members = world.start_all(&HOSTS).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    members
}

/// Inspects a directory whose node has just been killed, and may hold it for an instant yet.
async fn inspected(dir: &Path) -> Inspection {
    let free = async {
        loop {
            match recovery::inspect(dir) {
                Ok(found) => return found,
                Err(RecoveryError::DataDir(DataDirError::InUse { .. })) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    within("the end of the node", free).await
}

/// Proposes a number, and gives the log index of its entry.
async fn index_of(member: &Member, number: u64) -> u64 {
    member.tally.propose(&number, LONG).await.expect("it is applied").index
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_survivor_of_a_declared_loss_goes_on_with_all_it_had_and_with_higher_numbers() {
    let mut world = World::on_disk(&HOSTS);
    world.config.snapshot_entries = 100;
    let dirs = HOSTS.map(|host| world.data_dir(host).unwrap());
    let members = all(&world).await;
    let mut numbers: Vec<u64> = (0..180).collect();
    for number in &numbers {
        members[*number as usize % 3].add(*number).await;
    }
    assert_eq!(members[0].numbers_now().await, numbers);
    let (was, old_ids) = (members[0].cluster_id(), [members[1].id(), members[2].id()]);
    let (epoch, index, version) =
        (members[0].epoch(), members[0].applied_index(), members[0].view().version());
    let mut reigns = Reigns::default();
    reigns.record(&members);
    let in_use = recovery::declare_loss(&dirs[0], "test").unwrap_err();
    assert!(matches!(in_use, RecoveryError::DataDir(DataDirError::InUse { .. })), "{in_use}");
    let survivor = members[0].id();
    join_all(members.into_iter().map(|member| world.crash(member))).await;
    for dir in &dirs[1..] {
        fs::rename(dir, dir.with_extension("lost")).unwrap();
    }

    let found = inspected(&dirs[0]).await;
    assert_eq!((found.cluster, found.node, found.voters.len()), (was, survivor, 3));
    assert!(found.snapshot.is_some() && found.reaches.unwrap().1 >= index, "{found}");
    let loss = recovery::declare_loss(&dirs[0], "test").unwrap();
    assert!(loss.lost.iter().all(|lost| old_ids.contains(lost)) && loss.lost.len() == 2);
    let alone = world.start("a").await;
    settled(&[&alone]).await;
    assert_eq!((alone.id(), alone.cluster_id()), (survivor, Some(loss.cluster)));
    assert_eq!(alone.numbers_now().await, numbers);
    assert_eq!(alone.losses(), vec![loss.clone()]);
    assert!(alone.epoch().0 > epoch.0 + LEAP, "{} after {epoch}", alone.epoch());
    assert!(alone.view().version() > version + LEAP);
    for id in old_ids {
        let record = alone.view().node(id).unwrap().clone();
        assert_eq!(record.state, NodeState::Down);
        assert!(record.reason.contains("declared lost by \"test\""), "{}", record.reason);
    }
    let next = index_of(&alone, 1_000).await;
    numbers.push(1_000);
    assert!(next > index + LEAP && alone.applied_index() >= next, "{next} after {index}");
    alone.wait_applied(next, LONG).await.unwrap();
    reigns.record([&alone]);
    // Enough for a snapshot, which the next ones get in the place of the log.
    for number in 1_001..1_200 {
        alone.add(number).await;
        numbers.push(number);
    }

    // Two new nodes take the places of those that were lost.
    let mut members = vec![alone];
    members.extend(world.start_all(&["b", "c"]).await);
    settled(&members.iter().collect::<Vec<_>>()).await;
    for (member, number) in members.iter().zip(2_000..) {
        member.until("all three vote", |status| status.voters.len() == 3).await;
        let index = index_of(member, number).await;
        numbers.push(number);
        assert!(index > next, "every node counts alike: {index} after {next}");
        member.wait_applied(index, LONG).await.unwrap();
    }
    for member in &members {
        assert_eq!(member.numbers_now().await, numbers);
        assert_eq!(
            (member.cluster_id(), member.losses()),
            (Some(loss.cluster), vec![loss.clone()])
        );
    }
    reigns.record(&members);

    // A node of the cluster that was comes back after all.
    let new_b = members.remove(1);
    world.crash(new_b).await;
    fs::rename(&dirs[1], dirs[1].with_extension("new")).unwrap();
    fs::rename(dirs[1].with_extension("lost"), &dirs[1]).unwrap();
    let refused = world.try_start("b", &[Role::Member]).await.err().expect("it is refused");
    let text = refused.to_string();
    let ids = [was.unwrap().to_string(), loss.cluster.to_string()];
    assert!(ids.iter().all(|id| text.contains(id)), "{text}");
    assert!(
        text.contains("two clusters never merge") && text.contains("directories away"),
        "{text}"
    );
    fs::remove_dir_all(&dirs[1]).unwrap();
    fs::rename(dirs[1].with_extension("new"), &dirs[1]).unwrap();

    // All are killed at once, and come back.
    let epoch = members[0].epoch();
    join_all(members.into_iter().map(|member| world.crash(member))).await;
    let members = all(&world).await;
    for member in &members {
        assert_eq!(member.numbers_now().await, numbers);
        assert_eq!(
            (member.cluster_id(), member.losses()),
            (Some(loss.cluster), vec![loss.clone()])
        );
        assert!(member.epoch() > epoch, "{} after {epoch}", member.epoch());
    }
    reigns.record(&members);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_declared_loss_a_survivor_waits() {
    let world = World::on_disk(&HOSTS);
    let members = all(&world).await;
    members[0].add(1).await;
    join_all(members.into_iter().map(|member| world.crash(member))).await;
    let dir = world.data_dir("a").unwrap();
    inspected(&dir).await;
    // Longer than any election takes.
    let start = tokio::time::timeout(LONG / 5, world.start("a")).await;
    assert!(start.is_err(), "nobody may go on alone by itself");
    let found = inspected(&dir).await;
    assert_eq!((found.voters.len(), found.losses.len()), (3, 0));
}
