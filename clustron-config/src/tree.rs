//! What a file or the environment says, before anybody asks what it means: the same tree from each
//! format, and at each leaf where it stands.

use std::fmt;

use crate::origin::Origin;

/// The longest piece of a value or key that a message repeats, in characters.
const QUOTED_CHARS_MAX: usize = 80;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A key as it is spelled, and what it is set to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) node: Node,
}

/// What a key can be set to in one format or another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// TOML has dates, and no setting is one.
    Date(String),
    List(Vec<Node>),
    /// In the order of the file; spellings of one key may stand in it more than once.
    Table(Vec<Entry>),
}

/// As a message repeats it: short, and on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("empty"),
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Date(text) => write!(f, "the date {text}"),
            Self::List(_) => f.write_str("a list"),
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

/// The text, cut where it is long.
pub(crate) fn short(text: &str) -> String {
    let short: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if short.len() < text.len() { short + "..." } else { short }
}

/// The text in quotes, without control characters, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("{short:?}{dots}")
}

/// The key as messages spell it: as it is where it is plain and short, else in quotes.
pub(crate) fn shown_key(key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
    if !key.is_empty() && key.len() <= QUOTED_CHARS_MAX && key.bytes().all(plain) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// What all spellings of a key have in common: `LeaderLease`, `leader-lease` and `LEADER_LEASE` are
/// the same key.
pub(crate) fn folded(key: &str) -> String {
    letters(key).collect()
}

/// Whether two spellings are of the same key.
pub(crate) fn same(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

fn letters(key: &str) -> impl Iterator<Item = char> {
    key.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_key_are_the_same() {
        for spelling in ["leader_lease", "LeaderLease", "LEADER_LEASE", "leader-lease"] {
            assert_eq!(folded(spelling), "leaderlease");
            assert!(same(spelling, "Leader_Lease") && !same(spelling, "leader_leas"));
        }
    }

    #[test]
    fn long_and_odd_values_are_shown_short_and_on_one_line() {
        assert_eq!(Value::Text("a\nb".into()).to_string(), "\"a\\nb\"");
        let long = Value::Text("x".repeat(1000)).to_string();
        assert_eq!(long, format!("\"{}\"...", "x".repeat(QUOTED_CHARS_MAX)));
        assert_eq!(shown_key("leader_lease"), "leader_lease");
        assert_eq!(shown_key("two words"), "\"two words\"");
    }
}
