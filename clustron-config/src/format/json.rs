//! JSON.
//!
//! The parser gives no positions, but slices of the text that have not been looked into yet
//! ([`RawValue`]). So each level is taken apart into such slices, and where a slice lies in the
//! text is where its value stands.

use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, Lines, Place, Syntax, too_deep};
use crate::tree::{Entry, Node, Value};

pub(super) fn read(at: &Place<'_>) -> Result<Node, Syntax> {
    // First all of it, for the position of the first error.
    serde_json::from_str::<IgnoredAny>(at.text).map_err(|error| syntax(&error))?;
    let root: &RawValue = serde_json::from_str(at.text).map_err(|error| syntax(&error))?;
    node(root, at, &Lines::of(at), 0)
}

fn syntax(error: &serde_json::Error) -> Syntax {
    let text = error.to_string();
    // The position stands before our text already.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text).to_owned();
    let text = match &*text {
        "key must be a string" => {
            "a key in quotes must stand here; there is no comma after the last item, and there are \
             no comments"
                .to_owned()
        }
        _ => text,
    };
    Syntax { line: error.line(), column: error.column().max(1), text }
}

fn node(raw: &RawValue, at: &Place<'_>, lines: &Lines<'_>, depth: usize) -> Result<Node, Syntax> {
    let text = raw.get();
    let offset = (text.as_ptr() as usize).saturating_sub(at.text.as_ptr() as usize);
    if depth > DEPTH_MAX {
        return Err(at.syntax(offset, too_deep()));
    }
    let origin = lines.origin(offset)?;
    let here = |error: serde_json::Error| at.syntax(offset, syntax(&error).text);
    let value = match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(here)?;
            let entry = |(key, raw): (String, &RawValue)| -> Result<_, Syntax> {
                Ok(Entry { key, node: node(raw, at, lines, depth + 1)? })
            };
            Value::Table(members.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(here)?;
            let items = items.into_iter().map(|raw| node(raw, at, lines, depth + 1));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::Text(serde_json::from_str(text).map_err(here)?),
        Some(b't' | b'f') => Value::Bool(serde_json::from_str(text).map_err(here)?),
        Some(b'n') => Value::Null,
        _ => match text.parse() {
            Ok(integer) => Value::Integer(integer),
            Err(_) => Value::Float(serde_json::from_str(text).map_err(here)?),
        },
    };
    Ok(Node { value, origin })
}

/// The members of an object in their order, also those with the same name.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = vec![];
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
