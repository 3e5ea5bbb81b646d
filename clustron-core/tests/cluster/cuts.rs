//! Links that carry nothing for a while (C1, C2, C5).

use std::time::Duration;

use clustron_core::{NodeState, Outcome, ProposeError, Rejection};
use tokio::sync::watch;

use crate::world::{
    LONG, Member, Reigns, World, agree, hosts, part, settled, state_of, two_cut_off_from_three,
    within,
};

/// Shorter than the cuts, so that its outcome is known before they heal.
const BRIEF: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Work {
    started: u64,
    ended: u64,
    epoch: u64,
}

/// Runs leader work on a node, and shows how often it has started and ended.
fn work_on(member: &Member) -> watch::Receiver<Work> {
    let (shown, work) = watch::channel(Work::default());
    member.lead("work", move |leadership| {
        let shown = shown.clone();
        async move {
            let epoch = leadership.epoch().0;
            shown.send_modify(|work| (work.started, work.epoch) = (work.started + 1, epoch));
            leadership.cancelled().await;
            shown.send_modify(|work| work.ended += 1);
        }
    });
    work
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_stops_and_the_majority_goes_on_without_it() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    members[0].add(1).await;
    let mut reigns = Reigns::default();
    let (cut_off, others) = part(&first, members);
    let mut work = work_on(&cut_off);
    let working = within("work", work.wait_for(|work| work.started == 1)).await.unwrap().epoch;
    assert_eq!(working, first.epoch.0);

    world.cut_off(&cut_off.host, &hosts(&others));
    // What is proposed right now may still find a leader that does not know better; it must not
    // commit. The outcome is unknown, never a success.
    let proposed = cut_off.tally.propose_as_leader(first.epoch, &100, BRIEF).await;
    let error = proposed.expect_err("the minority committed a command");
    assert!(!matches!(error, ProposeError::Rejected(_)), "{error}");
    cut_off.until("the minority has no leader", |status| status.leader.is_none()).await;
    within("the end of the work", work.wait_for(|work| work.ended == 1)).await.unwrap();
    assert_eq!(cut_off.status().leading, None);
    let error = cut_off.tally.propose(&101, BRIEF).await.expect_err("the minority committed");
    assert!(!matches!(error, ProposeError::Rejected(_)), "{error}");
    let error = cut_off.barrier(BRIEF).await.expect_err("the minority reads as if it were current");
    assert!(matches!(error, ProposeError::NoLeader(_)), "{error}");

    let both: Vec<_> = others.iter().collect();
    let second = settled(&both).await;
    assert!(second.epoch > first.epoch, "{second:?} after {first:?}");
    others[0].add(2).await;
    others[1].add(3).await;
    for member in &both {
        assert_eq!(state_of(&member.status(), cut_off.id()), Some(NodeState::Down));
        assert_eq!(member.numbers_now().await, [1, 2, 3]);
    }
    assert_eq!(cut_off.numbers(), [1], "the minority applied something");
    reigns.record([&cut_off]);
    reigns.record(&others);

    world.heal(&cut_off.host, &hosts(&others));
    let everybody: Vec<_> = others.iter().chain([&cut_off]).collect();
    let last = settled(&everybody).await;
    assert!(last.epoch >= second.epoch);
    assert!(cut_off.node().incarnation.0 > 1, "it came back from down as it was");
    for member in &everybody {
        assert_eq!(member.numbers_now().await, [1, 2, 3]);
    }
    // Work that still carries the old epoch is late.
    let late = cut_off.tally.propose_as_leader(first.epoch, &102, LONG).await;
    match late {
        Err(ProposeError::Rejected(Rejection::StaleEpoch { stale, current })) => {
            assert!(stale == first.epoch && current >= last.epoch);
        }
        other => panic!("work of a passed epoch ended with {other:?}"),
    }
    reigns.record(everybody.iter().copied());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_cut_off_disturbs_nobody_and_catches_up() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&first, members);
    let cut_off = others.pop().unwrap();
    let rest = [&leader, &others[0]];
    let rest_hosts = [leader.host.as_str(), others[0].host.as_str()];

    world.cut_off(&cut_off.host, &rest_hosts);
    leader.add(1).await;
    others[0].add(2).await;
    cut_off.until("no leader", |status| status.leader.is_none()).await;
    let error = cut_off.tally.propose(&100, BRIEF).await.expect_err("the minority committed");
    // It was handed to a leader beyond the cut, or to nobody.
    assert!(!matches!(error, ProposeError::Rejected(_)), "{error}");
    agree(&rest, "the one that is cut off is down", |statuses| {
        statuses.iter().all(|s| state_of(s, cut_off.id()) == Some(NodeState::Down))
    })
    .await;
    assert_eq!(settled(&rest).await, first, "the pre-vote keeps the leader in place");

    world.heal(&cut_off.host, &rest_hosts);
    let everybody = [&leader, &others[0], &cut_off];
    settled(&everybody).await;
    let mut found = vec![];
    for member in everybody {
        found.push(member.numbers_now().await);
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
    // What was of unknown outcome may have been applied, once.
    let known: Vec<u64> = found[0].iter().copied().filter(|number| *number != 100).collect();
    assert!(known == [1, 2] && found[0].len() <= 3, "{found:?}");
    let mut reigns = Reigns::default();
    reigns.record(everybody);
}

/// The follower is not heard by itself but hears; then it is the other way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_cut_one_way_stops_no_majority() {
    for leader_is_deaf in [true, false] {
        let world = World::new(&["a", "b", "c"]);
        let members = world.start_all(&["a", "b", "c"]).await;
        let first = settled(&members.iter().collect::<Vec<_>>()).await;
        let (leader, others) = part(&first, members);
        let [half, whole] = &others[..] else { panic!("two others") };
        let (from, to) = if leader_is_deaf { (half, &leader) } else { (&leader, half) };
        world.network.cut_one_way(&from.host, &to.host);
        // Whoever leads then, the node with all its links can commit.
        for number in 1..=20 {
            whole.add(number).await;
        }
        world.network.heal(&from.host, &to.host);
        let everybody = [&leader, half, whole];
        settled(&everybody).await;
        for member in everybody {
            assert_eq!(member.numbers_now().await, (1..=20).collect::<Vec<u64>>());
        }
        let mut reigns = Reigns::default();
        reigns.record(everybody);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_five_can_do_nothing_and_come_back() {
    let (world, first, [leader, follower], majority) = two_cut_off_from_three().await;
    let minority = [&leader, &follower];
    for member in minority {
        member.until("no leader", |status| status.leader.is_none()).await;
        let error = member.tally.propose(&100, BRIEF).await.expect_err("the minority committed");
        assert!(!matches!(error, ProposeError::Rejected(_)), "{error}");
    }
    let second = settled(&majority.iter().collect::<Vec<_>>()).await;
    assert!(second.epoch > first.epoch);
    majority[0].add(1).await;
    for host in hosts(&majority) {
        world.heal(host, &[&leader.host, &follower.host]);
    }
    let everybody: Vec<_> = minority.into_iter().chain(&majority).collect();
    settled(&everybody).await;
    for member in &everybody {
        assert_eq!(member.numbers_now().await, [1]);
    }
    let mut reigns = Reigns::default();
    reigns.record(everybody.iter().copied());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_majority_nobody_leads_and_nothing_is_lost() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    members[1].add(1).await;
    let pairs = [("a", "b"), ("b", "c"), ("a", "c")];
    for (one, other) in pairs {
        world.network.cut(one, other);
    }
    for member in &members {
        member.until("no leader", |status| status.leader.is_none()).await;
        let error = member.tally.propose(&100, BRIEF).await.expect_err("one node committed");
        let unsure = [Outcome::NotApplied, Outcome::Unknown];
        assert!(unsure.contains(&error.outcome()), "{error}");
        // Without a majority nobody may be put out (C2).
        assert_eq!(member.view().alive().count(), 3);
    }
    for (one, other) in pairs {
        world.network.heal(one, other);
    }
    let everybody: Vec<_> = members.iter().collect();
    let last = settled(&everybody).await;
    assert!(last.epoch > first.epoch);
    members[2].add(2).await;
    let numbers = members[0].numbers_now().await;
    assert!(numbers.first() == Some(&1) && numbers.last() == Some(&2), "{numbers:?}");
    for member in &everybody {
        assert_eq!(member.numbers_now().await, numbers);
    }
    let mut reigns = Reigns::default();
    reigns.record(&members);
}
