//! Roles, tags and broken links.

use std::sync::Arc;

use super::harness::*;
use crate::membership::{Action, Effect, Input, LINKS_MAX, Listed, Message, News};
use crate::{Metadata, NodeId};

fn metadata(node: NodeId, revision: u64, value: &str) -> News {
    News::Metadata { node, revision, metadata: Arc::new(tagged(value)) }
}

fn described(effects: &[Effect]) -> Vec<(NodeId, u64)> {
    let described = |effect: &Effect| match effect {
        Effect::Described { node, revision, .. } => Some((*node, *revision)),
        _ => None,
    };
    effects.iter().filter_map(described).collect()
}

fn zone(stage: &Stage, node: NodeId) -> (u64, String) {
    let (revision, metadata) = stage.machine.metadata(node).unwrap();
    (revision, metadata.tags.get("zone").cloned().unwrap_or_default())
}

#[test]
fn a_node_that_describes_itself_anew_tells_the_others() {
    let mut stage = Stage::new(3);
    let effects = stage.machine.handle(ms(1), describe(1, "b"));
    assert_eq!(described(&effects), [(US, 1)]);
    let told = stage.run_until(ms(500));
    let news = metadata(US, 1, "b");
    assert!(told.iter().any(|(_, effect)| tells(effect, &news)), "{told:?}");
}

#[test]
fn the_higher_revision_wins_in_whatever_order_they_come() {
    let mut stage = Stage::new(3);
    let effects = stage.hear(ms(1), BERT, vec![metadata(ANNA, 2, "new"), metadata(ANNA, 1, "old")]);
    assert_eq!(described(&effects), [(ANNA, 2)]);
    assert_eq!(zone(&stage, ANNA), (2, "new".to_owned()));
    let with = |revision| Listed { revision, metadata: Arc::new(tagged("listed")), ..listed(2, 1) };
    stage.machine.handle(ms(2), Input::ViewChanged(vec![with(1)]));
    assert_eq!(zone(&stage, ANNA), (2, "new".to_owned()), "the view will follow");
    stage.machine.handle(ms(3), Input::ViewChanged(vec![with(3)]));
    assert_eq!(zone(&stage, ANNA), (3, "listed".to_owned()));
    let effects = stage.hear(ms(4), BERT, vec![metadata(ANNA, 3, "other")]);
    assert_eq!(described(&effects), [], "the view has it already");
}

#[test]
fn what_the_view_has_of_ourselves_is_our_own_word() {
    let mut stage = Stage::new(3);
    let with =
        |revision| Listed { revision, metadata: Arc::new(tagged("proposed")), ..listed(1, 1) };
    // The log was faster than the detector's driver.
    let effects = stage.machine.handle(ms(1), Input::ViewChanged(vec![with(1), listed(2, 1)]));
    assert_eq!(described(&effects), [], "nothing to outdo");
    assert_eq!(zone(&stage, US), (1, "proposed".to_owned()));
    let effects = stage.machine.handle(ms(2), describe(1, "proposed"));
    assert_eq!(described(&effects), [], "known");
    assert_eq!(zone(&stage, US), (1, "proposed".to_owned()));
}

#[test]
fn what_others_remember_of_a_former_life_is_outdone() {
    let mut stage = Stage::new(3);
    stage.machine.handle(ms(1), describe(1, "now"));
    let effects = stage.hear(ms(2), ANNA, vec![metadata(US, 7, "before")]);
    assert_eq!(described(&effects), [(US, 8)]);
    assert_eq!(zone(&stage, US), (8, "now".to_owned()));
    let effects = stage.hear(ms(3), ANNA, vec![metadata(US, 8, "now")]);
    assert_eq!(described(&effects), [], "our own words come back");
}

#[test]
fn a_description_beyond_the_limits_is_not_taken_in() {
    let mut stage = Stage::new(3);
    let tags = (0..100).map(|n| (format!("t{n}"), String::new())).collect();
    let large = Arc::new(Metadata { tags, ..tagged("large") });
    let news = News::Metadata { node: ANNA, revision: 5, metadata: large };
    assert_eq!(described(&stage.hear(ms(1), ANNA, vec![news])), []);
    assert_eq!(described(&stage.hear(ms(1), ANNA, vec![metadata(ANNA, u64::MAX, "x")])), []);
    assert_eq!(zone(&stage, ANNA).0, 0);
}

#[test]
fn large_descriptions_travel_one_at_a_time() {
    let mut stage = Stage::new(40);
    let tags = (0..30).map(|n| (format!("tag-{n}"), "x".repeat(60))).collect();
    let large = Arc::new(Metadata { tags, ..tagged("large") });
    for node in (4..30).map(NodeId) {
        let metadata = large.clone();
        stage.hear(ms(1), ANNA, vec![News::Metadata { node, revision: 1, metadata }]);
    }
    let told = stage.run_until(ms(60_000));
    let mut seen = 0;
    for (_, effect) in &told {
        let Effect::Send { message: message @ Message::Gossip { .. }, .. } = effect else {
            continue;
        };
        let large = message.news().iter().filter(|news| matches!(news, News::Metadata { .. }));
        let large = large.count();
        assert!(large <= 1, "{large} in one message");
        seen += large;
    }
    assert!(seen >= 26, "all of them are told: {seen}");
}

#[test]
fn broken_links_make_the_matrix_and_go_when_they_are_mended() {
    let mut stage = Stage::new(4);
    let link = |works| vec![Action::Link { peer: ANNA, works }];
    let effects = stage.act(ms(1), link(false));
    assert!(effects.contains(&Effect::LinksChanged));
    assert!(!stage.act(ms(1), link(false)).contains(&Effect::LinksChanged), "no news");
    let row =
        |version, broken: &[NodeId]| News::Links { node: BERT, version, broken: broken.to_vec() };
    stage.hear(ms(2), BERT, vec![row(2, &[NodeId(4), STRANGER]), row(1, &[US])]);
    let rows = [(US, [ANNA].into()), (BERT, [NodeId(4)].into())];
    assert_eq!(stage.machine.unreachable(), rows.into());
    stage.act(ms(3), link(true));
    stage.hear(ms(4), BERT, vec![row(3, &[])]);
    assert_eq!(stage.machine.unreachable(), [].into());

    let many: Vec<NodeId> = (5..1000).map(NodeId).collect();
    let mut stage = Stage::new(1000);
    stage.hear(ms(1), BERT, vec![row(1, &many)]);
    for peer in &many {
        stage.act(ms(2), vec![Action::Link { peer: *peer, works: false }]);
    }
    let sizes: Vec<usize> = stage.machine.unreachable().values().map(|row| row.len()).collect();
    assert_eq!(sizes, [LINKS_MAX, LINKS_MAX]);
}
