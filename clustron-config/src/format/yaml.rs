//! YAML 1.2, with limits: an alias may stand for a text that has aliases itself, so a few lines can
//! grow to gigabytes where nobody counts.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Options, Spanned};

use super::{DEPTH_MAX, NODES_MAX, Place, Syntax, too_deep, too_many};
use crate::origin::Origin;
use crate::tree::{Entry, Node, Value};

pub(super) fn read(at: &Place<'_>) -> Result<Node, Syntax> {
    if at.text.trim().is_empty() {
        let origin = Origin::File { path: at.path.clone(), line: 1 };
        return Ok(Node { value: Value::Null, origin });
    }
    let root: Spanned<Any> =
        serde_saphyr::from_str_with_options(at.text, options()).map_err(|error| {
            let (line, column) =
                error.location().map_or((0, 0), |place| (place.line(), place.column()));
            let number = |n| usize::try_from(n).unwrap_or(usize::MAX);
            Syntax { line: number(line), column: number(column), text: told(&error) }
        })?;
    Ok(node(root, at))
}

fn options() -> Options {
    let budget = serde_saphyr::budget! {
        max_depth: DEPTH_MAX,
        flow_nesting_limit: DEPTH_MAX,
        max_documents: 1,
        max_nodes: NODES_MAX,
        max_events: 4 * NODES_MAX,
        max_aliases: 100,
        max_anchors: 100,
        max_merge_keys: 100,
        max_recorded_anchor_events: 4 * NODES_MAX,
        max_recorded_anchor_bytes: 1 << 20,
        max_total_scalar_bytes: 4 << 20,
    };
    let alias_limits = serde_saphyr::alias_limits! {
        max_total_replayed_events: NODES_MAX,
        max_replay_stack_depth: 8,
        max_alias_expansions_per_anchor: 100,
    };
    serde_saphyr::options! {
        budget: budget,
        alias_limits: alias_limits,
        // `zone: no` is a zone called no.
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        // Our own message names both.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
    }
}

/// The parser's message without the position, which we put before it, and on one line.
fn told(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no YAML").trim();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let limits = [
        ("recursion limit exceeded", too_deep()),
        (
            "budget breached: Documents",
            "a file is one document: a second one begins here".to_owned(),
        ),
        ("budget breached", too_many()),
        ("alias replay limit", format!("with those that aliases repeat {}", too_many())),
    ];
    if let Some((_, told)) = limits.into_iter().find(|(start, _)| line.starts_with(start)) {
        return told;
    }
    let cut = line.find(" at line ").unwrap_or(line.len());
    line[..cut].trim_end_matches(':').to_owned()
}

fn node(any: Spanned<Any>, at: &Place<'_>) -> Node {
    let line = usize::try_from(any.referenced.line()).unwrap_or(usize::MAX);
    let value = match any.value {
        Any::Plain(value) => value,
        Any::List(items) => Value::List(items.into_iter().map(|item| node(item, at)).collect()),
        Any::Table(entries) => {
            let entry = |(key, value)| Entry { key, node: node(value, at) };
            Value::Table(entries.into_iter().map(entry).collect())
        }
    };
    Node { value, origin: Origin::File { path: at.path.clone(), line } }
}

/// Any value, those within with their positions.
enum Any {
    Plain(Value),
    List(Vec<Spanned<Any>>),
    Table(Vec<(String, Spanned<Any>)>),
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Any, E> {
        Ok(Any::Plain(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Any, E> {
        Ok(Any::Plain(Value::Null))
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Any, D::Error> {
        Any::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
        Ok(Any::Plain(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
        Ok(Any::Plain(Value::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
        Ok(Any::Plain(Value::Integer(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Any, E> {
        Ok(Any::Plain(Value::Integer(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
        Ok(Any::Plain(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Any, E> {
        Ok(Any::Plain(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Any, A::Error> {
        let mut items = vec![];
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Any::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
        let mut entries = vec![];
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Any::Table(entries))
    }
}
