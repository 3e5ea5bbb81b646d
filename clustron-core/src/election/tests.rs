use super::*;
use std::collections::BTreeMap;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const TIMING: Timing =
    Timing { lease: ms(300), silence: ms(1000), stagger: ms(50), round: ms(200) };

fn follower(me: u64) -> Election {
    let mut election = Election::new(NodeId(me), TIMING, ms(0));
    election.handle(ms(0), Input::Voters(vec![(1..=3).map(NodeId).collect()]));
    election.handle(ms(0), Input::Heard(NodeId(3)));
    election
}

fn log(term: u64, index: u64) -> LogEnd {
    LogEnd { term, leader: NodeId(1), index }
}

fn granted(from: u64, round: u64) -> Input {
    Input::Answer { from: NodeId(from), round, answer: PreVote::Granted }
}

fn ask(round: u64, voters: [u64; 2]) -> Vec<Effect> {
    vec![Effect::AskAround { round, voters: voters.into_iter().map(NodeId).collect() }]
}

#[test]
fn a_heard_leader_is_left_alone() {
    let mut election = follower(1);
    for step in 1..100 {
        let now = ms(step * 100);
        assert!(election.handle(now, Input::Heard(NodeId(3))).is_empty());
        assert!(election.handle(now + ms(99), Input::Timeout).is_empty());
    }
}

#[test]
fn silence_alone_is_waited_out_in_full() {
    let mut election = follower(1);
    assert!(election.handle(ms(999), Input::Timeout).is_empty());
    assert_eq!(election.next_timeout(), Some(ms(1000)));
    assert_eq!(election.handle(ms(1000), Input::Timeout), ask(1, [2, 3]));
}

#[test]
fn a_leader_that_is_known_to_be_gone_costs_only_the_lease() {
    let mut election = follower(1);
    assert!(election.handle(ms(20), Input::LeaderGone(NodeId(2))).is_empty(), "not the leader");
    assert!(election.handle(ms(20), Input::LeaderGone(NodeId(3))).is_empty());
    assert_eq!(election.next_timeout(), Some(ms(300)));
    assert_eq!(election.handle(ms(300), Input::Timeout), ask(1, [2, 3]));
    assert_eq!(election.handle(ms(301), granted(2, 1)), vec![Effect::Stand]);
}

#[test]
fn nobody_stands_without_a_majority_that_would_vote() {
    let mut election = follower(1);
    assert_eq!(election.handle(ms(1000), Input::Timeout), ask(1, [2, 3]));
    let not_yet = PreVote::NotYet { retry_after: ms(30) };
    let answer = Input::Answer { from: NodeId(2), round: 1, answer: not_yet };
    assert!(election.handle(ms(1001), answer).is_empty());
    assert_eq!(election.next_timeout(), Some(ms(1032)));
    assert_eq!(election.handle(ms(1032), Input::Timeout), ask(2, [2, 3]));
    assert!(election.handle(ms(1033), granted(2, 1)).is_empty(), "an answer to an older round");
    assert!(election.handle(ms(1033), granted(9, 2)).is_empty(), "not a voter");
    assert_eq!(election.handle(ms(1034), granted(2, 2)), vec![Effect::Stand]);
}

#[test]
fn a_voter_keeps_the_lease_it_gave_and_its_longer_log() {
    let election = follower(2);
    let (short, long) = (log(1, 5), log(2, 1));
    assert_eq!(
        election.would_vote(ms(100), (long, false), short),
        PreVote::NotYet { retry_after: ms(200) }
    );
    assert_eq!(election.would_vote(ms(300), (long, false), short), PreVote::Granted);
    assert_eq!(election.would_vote(ms(300), (short, false), long), PreVote::LogBehind);
}

#[test]
fn who_was_asked_to_take_over_is_not_overtaken_for_one_more_lease() {
    let mut election = follower(2);
    let log = log(1, 5);
    election.handle(ms(100), Input::Heard(NodeId(3)));
    election.handle(ms(150), Input::TakeOver);
    let not_yet = PreVote::NotYet { retry_after: ms(299) };
    assert_eq!(election.would_vote(ms(401), (log, false), log), not_yet);
    assert_eq!(
        election.would_vote(ms(700), (log, false), log),
        PreVote::Granted,
        "it had its turn"
    );
}

#[test]
fn who_was_asked_to_take_over_stands_at_once() {
    let mut election = follower(2);
    election.handle(ms(100), Input::Heard(NodeId(3)));
    assert_eq!(election.handle(ms(101), Input::TakeOver), ask(1, [1, 3]));
    assert!(election.takes_over());
    assert_eq!(election.handle(ms(102), granted(3, 1)), vec![Effect::Stand]);
}

#[test]
fn the_last_words_of_a_leader_that_hands_over_change_nothing_but_later_ones_end_it() {
    let mut election = follower(2);
    assert_eq!(election.handle(ms(100), Input::TakeOver), ask(1, [1, 3]));
    assert!(election.handle(ms(101), Input::Heard(NodeId(3))).is_empty());
    assert!(election.takes_over());
    assert_eq!(election.handle(ms(102), granted(1, 1)), vec![Effect::Stand]);
    // It was not elected, and the leader goes on.
    assert!(election.handle(ms(400), Input::Heard(NodeId(3))).is_empty());
    assert!(!election.takes_over());
    assert_eq!(election.next_timeout(), Some(ms(1450)));
    // Another leader is no last word.
    election.handle(ms(500), Input::TakeOver);
    election.handle(ms(501), Input::Heard(NodeId(1)));
    assert!(!election.takes_over());
}

#[test]
fn who_was_asked_to_take_over_and_could_not_forgets_it_when_the_leader_has_given_up_waiting() {
    let mut election = follower(2);
    election.handle(ms(100), Input::TakeOver);
    // Cut off: it hears neither answers nor the leader, which goes on.
    election.handle(ms(1099), Input::Timeout);
    assert!(election.takes_over());
    election.handle(ms(1100), Input::Timeout);
    assert!(!election.takes_over());
}

#[test]
fn a_permit_outweighs_the_lease_and_nothing_else() {
    let mut election = follower(2);
    let (short, long) = (log(1, 5), log(2, 1));
    assert_eq!(election.would_vote(ms(1), (long, true), short), PreVote::Granted);
    assert_eq!(election.would_vote(ms(1), (short, true), long), PreVote::LogBehind);
    assert!(matches!(election.would_vote(ms(1), (long, false), short), PreVote::NotYet { .. }));
    // The leader itself grants it only while it hands over.
    election.handle(ms(10), Input::Leading(true));
    assert!(matches!(election.would_vote(ms(11), (long, true), short), PreVote::NotYet { .. }));
    election.handle(ms(12), Input::HandingOver(true));
    assert_eq!(election.would_vote(ms(13), (long, true), short), PreVote::Granted);
}

#[test]
fn a_leader_votes_for_nobody_and_does_not_stand() {
    let mut election = follower(1);
    election.handle(ms(10), Input::Leading(true));
    let end = LogEnd::default();
    assert!(matches!(election.would_vote(ms(9000), (end, false), end), PreVote::NotYet { .. }));
    assert_eq!(election.next_timeout(), None);
    assert!(election.handle(ms(9000), Input::Timeout).is_empty());
}

#[test]
fn a_learner_never_stands() {
    let mut election = Election::new(NodeId(9), TIMING, ms(0));
    election.handle(ms(0), Input::Voters(vec![(1..=3).map(NodeId).collect()]));
    assert_eq!(election.next_timeout(), None);
    assert!(election.handle(ms(60_000), Input::Timeout).is_empty());
}

#[test]
fn the_only_voter_stands_without_asking() {
    let mut election = Election::new(NodeId(1), TIMING, ms(0));
    election.handle(ms(0), Input::Voters(vec![[NodeId(1)].into()]));
    assert_eq!(election.handle(ms(1000), Input::Timeout), vec![Effect::Stand]);
}

/// The deputies of a dead leader, with messages that take a millisecond: somebody is elected within
/// the lease and one stagger, whoever is left.
#[test]
fn deputies_do_not_split_the_vote() {
    for leader in 1..=5u64 {
        let mut nodes: BTreeMap<NodeId, Election> = (1..=5)
            .filter(|id| *id != leader)
            .map(|id| {
                let mut e = Election::new(NodeId(id), TIMING, ms(0));
                e.handle(ms(0), Input::Voters(vec![(1..=5).map(NodeId).collect()]));
                e.handle(ms(0), Input::Heard(NodeId(leader)));
                (NodeId(id), e)
            })
            .collect();
        let end = LogEnd::default();
        let mut mail: Vec<(u64, NodeId, NodeId, u64)> = vec![];
        let mut elected = None;
        'time: for now in 0..2000 {
            for (id, election) in &mut nodes {
                let mut effects = election.handle(
                    ms(now),
                    if now == 5 { Input::LeaderGone(NodeId(leader)) } else { Input::Timeout },
                );
                while let Some(effect) = effects.pop() {
                    match effect {
                        Effect::AskAround { round, voters } => {
                            mail.extend(voters.into_iter().map(|to| (now + 1, *id, to, round)));
                        }
                        Effect::Stand => {
                            elected = Some((now, *id));
                            break 'time;
                        }
                    }
                }
            }
            let (due, later) = mail.into_iter().partition(|(at, ..)| *at <= now);
            mail = later;
            for (_, from, to, round) in due {
                let Some(answer) = nodes.get(&to).map(|n| n.would_vote(ms(now), (end, false), end))
                else {
                    continue;
                };
                let asker = nodes.get_mut(&from).unwrap();
                let answer = Input::Answer { from: to, round, answer };
                if asker.handle(ms(now), answer) == vec![Effect::Stand] {
                    elected = Some((now, from));
                    break 'time;
                }
            }
        }
        let (at, _) = elected.expect("somebody stands");
        assert!((300..=310).contains(&at), "leader {leader}: {at} ms");
    }
}

#[test]
fn while_one_group_replaces_another_a_majority_of_each_is_enough_and_needed() {
    let groups = [[1, 2, 3], [1, 2, 4]].map(|ids| ids.map(NodeId).into()).into();
    let mut election = Election::new(NodeId(1), TIMING, ms(0));
    election.handle(ms(0), Input::Voters(groups));
    assert!(matches!(
        election.handle(ms(1000), Input::Timeout).as_slice(),
        [Effect::AskAround { round: 1, voters }] if voters.len() == 3
    ));
    assert_eq!(election.handle(ms(1001), granted(2, 1)), vec![Effect::Stand]);

    let groups = [vec![1, 2, 3], vec![1, 4, 5]];
    let groups = groups.map(|ids| ids.into_iter().map(NodeId).collect()).into();
    let mut election = Election::new(NodeId(1), TIMING, ms(0));
    election.handle(ms(0), Input::Voters(groups));
    election.handle(ms(1000), Input::Timeout);
    assert!(election.handle(ms(1001), granted(2, 1)).is_empty());
    assert!(election.handle(ms(1001), granted(3, 1)).is_empty(), "none of the new group");
    assert_eq!(election.handle(ms(1001), granted(4, 1)), vec![Effect::Stand]);
}

#[test]
fn a_leader_that_hands_over_or_leads_in_name_only_votes_for_its_successor() {
    let mut election = follower(1);
    election.handle(ms(10), Input::Leading(true));
    election.handle(ms(20), Input::HandingOver(true));
    let end = LogEnd::default();
    assert_eq!(election.would_vote(ms(30), (end, false), end), PreVote::Granted);
    election.handle(ms(40), Input::HandingOver(false));
    election.handle(ms(41), Input::OutOfTouch(true));
    assert_eq!(election.would_vote(ms(42), (end, false), end), PreVote::Granted);
    election.handle(ms(43), Input::OutOfTouch(false));
    assert_eq!(
        election.would_vote(ms(50), (end, false), end),
        PreVote::NotYet { retry_after: TIMING.lease }
    );
}
