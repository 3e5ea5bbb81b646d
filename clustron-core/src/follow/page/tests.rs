use super::*;
use crate::chance::Chance;
use crate::control::Command;
use crate::identity::{Incarnation, NodeInfo, NodeName, Role};
use crate::time::Timestamp;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const AT: Timestamp = Timestamp::from_unix_ms(0);

/// Small enough that most copies take several pages.
const SMALL: usize = 200;

fn info(id: u64, incarnation: u64) -> NodeInfo {
    NodeInfo {
        id: NodeId(id),
        name: NodeName::new(format!("n{id}")).unwrap(),
        incarnation: Incarnation(incarnation),
        addr: format!("n{}:1", id % 40),
        roles: BTreeSet::from([Role::Member]),
        tags: BTreeMap::new(),
        revision: 0,
        starts: 1,
        process: 0,
    }
}

fn admit(id: u64, incarnation: u64) -> Command {
    Command::Admit { node: info(id, incarnation), at: AT }
}

fn leave(id: u64) -> Command {
    Command::Leave { node: NodeId(id), incarnation: Incarnation(u64::MAX), at: AT }
}

fn activate(id: u64) -> Command {
    Command::Activate { node: NodeId(id), incarnation: Incarnation(1), at: AT }
}

/// What a member that has applied so many of the commands agrees on.
fn after(commands: &[Command]) -> Agreed {
    let mut agreed = Agreed::default();
    for (at, command) in commands.iter().enumerate() {
        agreed.apply(at as u64 + 1, command.clone());
    }
    agreed
}

/// Brings a copy up to date, and gives how many pages that took.
fn follow(copy: &mut Copy, member: &Agreed, cluster: ClusterId) -> usize {
    for pages in 1..10_000 {
        if copy.put(cluster, Page::cut(member, copy.cursor(), SMALL)) {
            return pages;
        }
    }
    panic!("the pages do not end");
}

fn assert_same(copy: &Copy, member: &Agreed) {
    assert_eq!(copy.whole().view, member.view);
    assert_eq!(copy.whole().activations, member.activations);
}

#[test]
fn a_copy_that_is_up_to_date_gets_no_news_and_one_change_costs_one_record() {
    let cluster = ClusterId::mint(&Chance::seeded(1));
    let mut commands: Vec<Command> = (1..=30).map(|id| admit(id, 1)).collect();
    let mut copy = Copy::default();
    assert!(follow(&mut copy, &after(&commands), cluster) > 3);
    assert!(!Page::cut(&after(&commands), copy.cursor(), SMALL).is_news(copy.cursor()));
    commands.push(leave(7));
    let page = Page::cut(&after(&commands), copy.cursor(), SMALL);
    assert!(page.is_news(copy.cursor()) && page.records.len() == 1 && !page.more);
    commands.push(activate(1));
    let page = Page::cut(&after(&commands), copy.cursor(), SMALL);
    assert_eq!((page.records.len(), page.activations.len()), (1, 1));
    assert!(copy.put(cluster, page));
    assert_same(&copy, &after(&commands));
}

#[test]
fn a_page_is_bounded_however_much_there_is() {
    let commands: Vec<Command> = (1..=39).map(|id| admit(id, 1)).collect();
    let agreed = after(&commands);
    let one = codec::encode(agreed.view.nodes().next().unwrap()).unwrap().len();
    let page = Page::cut(&agreed, Cursor::default(), SMALL);
    assert!(page.more && page.records.len() <= SMALL / one, "{}", page.records.len());
    // A record beyond all bounds goes alone, so that there is an end.
    assert_eq!(Page::cut(&agreed, Cursor::default(), 1).records.len(), 1);
}

#[test]
fn a_copy_from_before_all_that_is_remembered_is_made_anew() {
    let cluster = ClusterId::mint(&Chance::seeded(1));
    let mut commands = vec![admit(1, 1)];
    let mut copy = Copy::default();
    follow(&mut copy, &after(&commands), cluster);
    // Node 1 goes and is forgotten, and so is that it was.
    commands.push(leave(1));
    for id in 2..1000 {
        commands.extend([admit(id, 1), leave(id)]);
    }
    let member = after(&commands);
    assert!(Page::cut(&member, copy.cursor(), SMALL).anew);
    follow(&mut copy, &member, cluster);
    assert_same(&copy, &member);
}

#[test]
fn an_epoch_that_does_not_rise_is_not_taken_in() {
    let cluster = ClusterId::mint(&Chance::seeded(1));
    let member = after(&[admit(1, 1), activate(1)]);
    let mut copy = Copy::default();
    let page = Page::cut(&member, copy.cursor(), SMALL);
    assert!(copy.put(cluster, page.clone()) && copy.put(cluster, page));
    assert_same(&copy, &member);
}

/// The state of a draft that one member began is of no use with another.
#[test]
fn a_draft_is_not_completed_by_another_member() {
    let cluster = ClusterId::mint(&Chance::seeded(1));
    let mut commands: Vec<Command> = (1..=30).map(|id| admit(id, 1)).collect();
    let behind = after(&commands);
    commands.push(leave(1));
    let ahead = after(&commands);
    let mut copy = Copy::default();
    // Node 1 will come last, for it changed last; to the other member it is part of the past.
    assert!(!copy.put(cluster, Page::cut(&ahead, copy.cursor(), SMALL)));
    copy.drop_draft();
    follow(&mut copy, &behind, cluster);
    assert_same(&copy, &behind);
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (1u64..300, 1u64..9).prop_map(|(id, incarnation)| admit(id, incarnation)),
        3 => (1u64..300).prop_map(leave),
        1 => (1u64..300).prop_map(activate),
    ]
}

#[test]
fn a_copy_of_nodes_that_described_themselves_becomes_whole() {
    let cluster = ClusterId::mint(&Chance::seeded(1));
    let mut commands: Vec<Command> = (1..=30).map(|id| admit(id, 1)).collect();
    for id in (1..=30).rev() {
        let mut metadata = info(id, 1).metadata();
        metadata.tags.insert("zone".to_owned(), "west".to_owned());
        let (node, incarnation) = (NodeId(id), Incarnation(1));
        commands.push(Command::Describe { node, incarnation, revision: 1, metadata });
    }
    let mut copy = Copy::default();
    follow(&mut copy, &after(&commands), cluster);
    assert_same(&copy, &after(&commands));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whoever_follows_by_changes_comes_to_what_the_members_agree_on(
        commands in proptest::collection::vec(command(), 1..1500),
        stops in proptest::collection::vec((0usize..1500, 0usize..4), 0..12),
    ) {
        let cluster = ClusterId::mint(&Chance::seeded(1));
        let mut stops: Vec<_> =
            stops.into_iter().map(|(at, pages)| (at % commands.len() + 1, pages)).collect();
        stops.sort_unstable();
        let mut copy = Copy::default();
        for (at, pages) in stops {
            // Some pages from one member, of which the last may be missing; then another's.
            let member = after(&commands[..at]);
            for _ in 0..pages {
                if copy.put(cluster, Page::cut(&member, copy.cursor(), SMALL)) {
                    assert_same(&copy, &member);
                }
            }
            copy.drop_draft();
        }
        let member = after(&commands);
        follow(&mut copy, &member, cluster);
        assert_same(&copy, &member);
    }
}
