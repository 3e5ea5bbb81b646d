//! Reads, as current as they are asked to be, and how old they say they are.

use std::time::Duration;

use clustron_core::{Consistency, Outcome, ProposeError};
use futures::future::join_all;

use crate::world::{LONG, Member, World, hosts, lasts, part, settled, within};

const THREE: [&str; 3] = ["a", "b", "c"];
const BRIEF: Duration = Duration::from_millis(500);

async fn numbers(member: &Member, consistency: Consistency) -> Vec<u64> {
    let read = member.tally.read(consistency, LONG, |tally| tally.numbers.clone()).await;
    read.unwrap_or_else(|error| panic!("{consistency:?} at {}: {error}", member.host)).value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_reads_what_was_written_before_and_a_follower_what_it_knows_the_index_of() {
    let world = World::new(&THREE);
    let members = world.start_all(&THREE).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    let mut written = vec![];
    for number in 0..60 {
        let (writer, reader) = (&members[number % 3], &members[(number + 1) % 3]);
        let committed = writer.tally.propose(&(number as u64), LONG).await.unwrap();
        written.push(number as u64);
        assert_eq!(committed.reply, written.len() as u64);
        if number % 2 == 0 {
            assert_eq!(numbers(reader, Consistency::AtLeast(committed.index)).await, written);
        } else {
            assert_eq!(numbers(reader, Consistency::default()).await, written);
        }
    }
    let read = members[0].tally.read(Consistency::Linearizable, LONG, |_| ()).await.unwrap();
    assert_eq!(read.age, Some(Duration::ZERO));
    assert!(read.index <= members[0].applied_index());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_not_reached_in_time_is_named() {
    let world = World::new(&["a"]);
    let alone = world.start("a").await;
    alone.add(1).await;
    let wanted = alone.applied_index() + 1_000;
    let read = alone.tally.read(Consistency::AtLeast(wanted), BRIEF, |_| ()).await;
    let error = read.expect_err("nobody has written that much");
    assert!(matches!(error, ProposeError::Behind { wanted: w, .. } if w == wanted), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(alone.wait_applied(wanted, BRIEF).await.is_err());
    alone.wait_applied(1, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_share_a_few_rounds() {
    let world = World::new(&THREE);
    let members = world.start_all(&THREE).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    members[0].add(1).await;
    let reads = (0..300)
        .zip(members.iter().cycle())
        .map(|(_, member)| numbers(member, Consistency::Linearizable));
    for read in join_all(reads).await {
        assert_eq!(read, [1]);
    }
    let (leader, others) = part(&first, members);
    for member in others.iter().chain([&leader]) {
        let text = member.metrics_text();
        let line = text.lines().find(|line| line.starts_with("clustron_core_read_rounds_total "));
        let rounds: u64 = line.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        assert!(rounds < 50, "{rounds} rounds at {} for 100 reads", member.host);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_nodes_reads_say_how_old_they_are_and_nobody_confirms_them() {
    for leader_is_cut_off in [false, true] {
        let world = World::new(&THREE);
        let members = world.start_all(&THREE).await;
        let first = settled(&members.iter().collect::<Vec<_>>()).await;
        members[0].add(1).await;
        let (leader, mut others) = part(&first, members);
        for member in others.iter().chain([&leader]) {
            // All of them are in touch and learn that they are current.
            numbers(member, Consistency::Linearizable).await;
            within("an age", known_age(member)).await;
        }
        let (cut_off, rest) = match leader_is_cut_off {
            true => (leader, others),
            false => {
                let cut_off = others.pop().unwrap();
                others.push(leader);
                (cut_off, others)
            }
        };
        world.cut_off(&cut_off.host, &hosts(&rest));
        let cut = std::time::Instant::now();
        cut_off.until("no leader", |status| status.leader.is_none()).await;
        settled(&[&rest[0], &rest[1]]).await;
        rest[0].add(2).await;

        let stale = || cut_off.tally.read(Consistency::Stale, BRIEF, |tally| tally.numbers.clone());
        let (since, before) = (cut.elapsed(), stale().await.unwrap());
        assert_eq!(before.value, [1]);
        // What was under way when the link was cut may have counted.
        let slack = Duration::from_millis(100);
        assert!(before.age.unwrap() + slack >= since, "{:?} after {since:?}", before.age);
        let confirmed = cut_off.tally.read(Consistency::Linearizable, BRIEF, |_| ()).await;
        let error = confirmed.expect_err("the minority reads as if it were current");
        assert!(matches!(error, ProposeError::NoLeader(_)), "{error}");
        let after = stale().await.unwrap();
        assert!(after.age.unwrap() >= before.age.unwrap() + BRIEF, "{before:?}, {after:?}");

        world.heal(&cut_off.host, &hosts(&rest));
        settled(&[&cut_off, &rest[0], &rest[1]]).await;
        assert_eq!(numbers(&cut_off, Consistency::Linearizable).await, [1, 2]);
        within("a younger copy", async {
            while cut_off.staleness().is_none_or(|age| age >= after.age.unwrap()) {
                lasts(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

async fn known_age(member: &Member) {
    while member.staleness().is_none() {
        lasts(Duration::from_millis(10)).await;
    }
}
