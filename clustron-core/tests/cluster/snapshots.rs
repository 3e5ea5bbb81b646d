//! Logs that have grown so long that only a snapshot brings a node up to date.

use crate::world::{Member, World, part, settled};

/// More than the log keeps: it is cut once a snapshot is taken.
const COMMANDS: u64 = 1300;
const SNAPSHOT_ENTRIES: u64 = 1000;

/// One after the other: commands that are under way at the same time share entries.
async fn add_many(members: &[&Member]) {
    for (number, member) in (0..COMMANDS).zip(members.iter().cycle()) {
        member.add(number).await;
    }
}

fn applied_here(member: &Member) -> u64 {
    member.tally.read_local(|tally| tally.applied_here)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_late_or_was_cut_off_for_long_gets_a_snapshot() {
    let mut world = World::new(&["a", "b", "c"]);
    world.config.snapshot_entries = SNAPSHOT_ENTRIES;
    let members = world.start_all(&["a", "b", "c"]).await;
    let leader = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&leader, members);
    let (cut_off, other) = (others.pop().unwrap(), others.pop().unwrap());
    world.cut_off(&cut_off.host, &[&leader.host, &other.host]);
    add_many(&[&leader, &other]).await;
    let numbers = leader.numbers_now().await;
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..COMMANDS).collect::<Vec<_>>(), "each once");

    world.heal(&cut_off.host, &[&leader.host, &other.host]);
    let new = world.start("d").await;
    let everybody = [&leader, &other, &cut_off, &new];
    settled(&everybody).await;
    new.add(COMMANDS).await;
    let wanted = [&numbers[..], &[COMMANDS]].concat();
    for member in everybody {
        assert!(member.numbers_now().await == wanted, "{} differs", member.host);
    }
    assert_eq!(applied_here(&leader), COMMANDS + 1);
    for member in [&cut_off, &new] {
        let applied = applied_here(member);
        assert!(applied < COMMANDS / 2, "{} got {applied} one by one", member.host);
    }
}
