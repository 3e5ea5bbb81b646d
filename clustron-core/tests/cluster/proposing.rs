//! Many callers at once: their commands share entries of the log, and each keeps its own outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clustron_core::{Outcome, ProposeError};
use futures::future::join_all;
use tokio::sync::watch;

use crate::world::{LONG, World, part, settled, within};

const THREE: [&str; 3] = ["a", "b", "c"];

/// The value of a metric in OpenMetrics text.
fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.and_then(|line| line.split(' ').nth(1)).and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_acknowledged_command_counts_once_and_in_its_callers_order_also_when_the_leader_dies()
{
    const CALLERS: u64 = 256;
    const EACH: u64 = 40;
    let world = World::new(&THREE);
    let members = world.start_all(&THREE).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let said = watch::Sender::new(0);
    let callers: Vec<_> = (0..CALLERS)
        .zip(members.iter().cycle())
        .map(|(caller, member)| {
            let (tally, said) = (member.tally.clone(), said.clone());
            tokio::spawn(async move {
                let mut outcomes = vec![];
                for turn in 0..EACH {
                    let number = caller * 1_000 + turn;
                    let committed = tally.propose(&number, LONG).await;
                    said.send_modify(|said| *said += 1);
                    outcomes.push((number, committed.map_err(|error| error.outcome())));
                }
                outcomes
            })
        })
        .collect();
    let (leader, others) = part(&first, members);
    // In the midst of it.
    let mut said = said.subscribe();
    within("a quarter of it", said.wait_for(|said| *said > CALLERS * EACH / 4)).await.unwrap();
    let proposed = leader.metrics_text();
    world.crash(leader).await;
    let called = join_all(callers).await.into_iter().flat_map(Result::unwrap);
    let outcomes: BTreeMap<u64, _> = called.collect();

    let numbers = others[0].numbers_now().await;
    let mut places = BTreeMap::new();
    for (place, number) in numbers.iter().enumerate() {
        assert_eq!(places.insert(*number, place), None, "{number} was applied twice");
    }
    let (mut indices, mut last): (BTreeSet<u64>, Option<(u64, usize)>) = Default::default();
    for (number, outcome) in &outcomes {
        match (outcome, places.get(number)) {
            (Ok(committed), Some(place)) => {
                indices.insert(committed.index);
                // The callers come in order, and each one's numbers.
                let before = last.replace((number / 1_000, *place));
                let overtook =
                    before.is_some_and(|(caller, p)| caller == number / 1_000 && p > *place);
                assert!(!overtook, "{number} was applied before what its caller said before");
            }
            (Ok(_), None) => panic!("{number} was acknowledged and is lost"),
            (Err(Outcome::NotApplied), Some(_)) => panic!("{number} was denied and is there"),
            (Err(_), _) => {}
        }
    }
    let acknowledged = outcomes.values().filter(|outcome| outcome.is_ok()).count();
    assert!(acknowledged as u64 > CALLERS * EACH / 2, "only {acknowledged} were acknowledged");
    let (entries, commands) = (
        metric(&proposed, "clustron_core_batches_proposed_total"),
        metric(&proposed, "clustron_core_commands_proposed_total"),
    );
    assert!(commands >= CALLERS * EACH / 4, "the leader proposed {commands}");
    assert!(entries * 4 < commands, "{entries} entries for {commands} commands");
    assert!(indices.len() * 4 < acknowledged, "{} entries were told of", indices.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_give_up_do_not_harm_the_others() {
    let world = World::new(&THREE);
    let members = world.start_all(&THREE).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let callers = (0..400).zip(members.iter().cycle()).map(|(number, member)| {
        let tally = member.tally.clone();
        let patience = if number % 2 == 0 { LONG } else { Duration::from_micros(number * 10) };
        tokio::spawn(async move {
            tokio::time::timeout(patience, tally.propose(&number, LONG)).await.map(Result::unwrap)
        })
    });
    let called = join_all(callers.collect::<Vec<_>>()).await;
    for (number, called) in called.into_iter().enumerate() {
        assert!(number % 2 == 1 || called.unwrap().is_ok(), "{number}");
    }
    let (leader, _others) = part(&first, members);
    let mut numbers = leader.numbers_now().await;
    let known = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), known, "something was applied twice");
    assert_eq!(numbers.iter().filter(|number| *number % 2 == 0).count(), 200);
    assert_eq!(metric(&leader.metrics_text(), "clustron_core_proposals_waiting"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_queue_of_a_leader_without_a_majority_is_certainly_not_applied() {
    let world = World::new(&THREE);
    let members = world.start_all(&THREE).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, others) = part(&first, members);
    for other in &others {
        world.network.cut(&leader.host, &other.host);
    }
    let brief = Duration::from_secs(3);
    let calls = (0..50).map(|number| {
        let tally = leader.tally.clone();
        async move { (number, tally.propose(&number, brief).await) }
    });
    let errors = join_all(calls).await.into_iter();
    let errors: Vec<(u64, ProposeError)> = errors
        .map(|(number, called)| (number, called.expect_err("a minority committed")))
        .collect();
    let denied: Vec<u64> = errors
        .iter()
        .filter(|(_, error)| error.outcome() == Outcome::NotApplied)
        .map(|(number, _)| *number)
        .collect();
    for other in &others {
        world.network.heal(&leader.host, &other.host);
    }
    settled(&[&leader, &others[0], &others[1]]).await;
    let numbers = leader.numbers_now().await;
    assert!(denied.iter().all(|number| !numbers.contains(number)), "{denied:?} in {numbers:?}");
}
