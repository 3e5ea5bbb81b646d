//! TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{DEPTH_MAX, Lines, Place, Syntax, too_deep};
use crate::tree::{Entry, Node, Value, quoted};

pub(super) fn read(at: &Place<'_>) -> Result<Node, Syntax> {
    let table = DeTable::parse(at.text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let mut text = error.message().replace('\n', ", ");
        if let Some(key) = error.span().and_then(|span| at.text.get(span))
            && text == "duplicate key"
        {
            text = format!("duplicate key {}", quoted(key));
        }
        at.syntax(offset, text)
    })?;
    let lines = Lines::of(at);
    let value = entries(table.get_ref(), at, &lines, 1)?;
    Ok(Node { value, origin: lines.origin(0)? })
}

fn entries(
    table: &DeTable<'_>,
    at: &Place<'_>,
    lines: &Lines<'_>,
    depth: usize,
) -> Result<Value, Syntax> {
    let entry = |(key, value): (&Spanned<_>, _)| -> Result<_, Syntax> {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        Ok(Entry { key: key.to_string(), node: node(value, at, lines, depth)? })
    };
    let mut entries = table.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    // The parser sorts them by name; problems are told in the order of the file.
    entries.sort_by_key(|entry| entry.node.origin.line());
    Ok(Value::Table(entries))
}

fn node(
    value: &Spanned<DeValue<'_>>,
    at: &Place<'_>,
    lines: &Lines<'_>,
    depth: usize,
) -> Result<Node, Syntax> {
    let start = value.span().start;
    if depth > DEPTH_MAX {
        return Err(at.syntax(start, too_deep()));
    }
    let origin = lines.origin(start)?;
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Integer(integer) => {
            let parsed = i128::from_str_radix(integer.as_str(), integer.radix());
            Value::Integer(parsed.map_err(|_| at.syntax(start, "the number is too large"))?)
        }
        DeValue::Float(float) => {
            let parsed = float.as_str().parse();
            Value::Float(parsed.map_err(|_| at.syntax(start, "the number is too large"))?)
        }
        DeValue::Array(items) => {
            let items = items.iter().map(|item| node(item, at, lines, depth + 1));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => entries(table, at, lines, depth + 1)?,
    };
    Ok(Node { value, origin })
}
