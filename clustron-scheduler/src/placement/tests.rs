use std::collections::{BTreeMap, BTreeSet};

use clustron_core::{Incarnation, NodeId, NodeName, Role};
use proptest::prelude::*;

use super::*;

fn node() -> NodeInfo {
    NodeInfo {
        id: NodeId(1),
        name: NodeName::new("a").unwrap(),
        incarnation: Incarnation(1),
        addr: "a:1".to_owned(),
        roles: BTreeSet::from([Role::Member, Role::Custom("edge".to_owned())]),
        tags: BTreeMap::from([
            ("zone".to_owned(), "eu".to_owned()),
            ("gpu".to_owned(), String::new()),
        ]),
        revision: 0,
        starts: 0,
        process: 0,
    }
}

#[test]
fn expressions_hold_where_they_should() {
    for (text, holds) in [
        ("zone=eu", true),
        ("zone=us", false),
        ("zone", true),
        ("disk", false),
        ("gpu", true),
        ("role:edge", true),
        ("role:member", true),
        ("role:witness", false),
        ("node:a", true),
        ("node:b", false),
        ("!gpu", false),
        ("!!gpu", true),
        ("disk | gpu", true),
        ("disk|gpu&zone=us", false),
        ("(disk|gpu)&zone=eu", true),
        ("disk & gpu | zone=eu", true),
        (" ! ( zone = us ) ", false),
    ] {
        match text.parse::<Placement>() {
            Ok(placement) => assert_eq!(placement.allows(&node()), holds, "{text}"),
            // Spaces stand between terms, not within them.
            Err(error) => assert!(text.contains(" = "), "{error}"),
        }
    }
}

#[test]
fn what_is_wrong_is_shown_with_its_place() {
    let deep = "!".repeat(40) + "a";
    let long = "a".repeat(513);
    for (text, at, reason) in [
        ("", 0, "expected a tag"),
        ("a &", 3, "expected a tag"),
        ("a b", 2, "expected '&', '|' or the end"),
        ("(a", 2, "expected '&', '|' or ')'"),
        ("a)", 1, "this ')' closes nothing"),
        ("a=", 2, "a value is missing"),
        ("role:", 5, "a role is missing"),
        ("node:!", 5, "a name is missing"),
        ("tag:x", 3, "only role: and node:"),
        (&deep, 33, "nested deeper"),
        (&long, 0, "longer than 512"),
    ] {
        let error = text.parse::<Placement>().unwrap_err();
        assert_eq!(error.at, at, "{error}");
        assert!(error.reason.starts_with(reason), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_an_expression_or_an_error(text in "[a-c=:!&|() ü]{0,40}") {
        match text.parse::<Placement>() {
            Ok(placement) => {
                placement.allows(&node());
                let not: Placement = format!("!({text})").parse().unwrap();
                prop_assert_ne!(placement.allows(&node()), not.allows(&node()));
            }
            Err(error) => prop_assert!(error.at <= text.len()),
        }
    }
}
