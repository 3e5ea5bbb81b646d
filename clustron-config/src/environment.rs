//! The environment as a layer: `CLUSTRON__TIMING__LEADER_LEASE=500ms`.

use std::ffi::OsString;

use crate::origin::Origin;
use crate::problem::{Problem, Problems};
use crate::tree::{Entry, Node, Value, shown_key};

/// What our variables begin with, in whatever case.
const PREFIX: &str = "CLUSTRON";

/// What stands between the parts of a name: keys have single underscores themselves.
const SEPARATOR: &str = "__";

/// The variables that are ours, by name.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: Vec<(String, OsString)>,
}

impl Environment {
    /// Takes ours out of all variables.
    pub(crate) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok()?;
            name_of(&name).is_some().then_some((name, value))
        };
        let mut variables: Vec<_> = variables.into_iter().filter_map(ours).collect();
        variables.sort();
        Self { variables }
    }

    /// The layer. All values are text, and lists have commas between their items.
    pub(crate) fn layer(&self, problems: &mut Problems) -> Node {
        let mut root = vec![];
        for (variable, value) in &self.variables {
            let origin = Origin::Variable(variable.as_str().into());
            let parts: Vec<&str> = name_of(variable).unwrap_or("").split(SEPARATOR).collect();
            if parts.iter().any(|part| part.is_empty()) || parts.len() > 2 {
                let text = "the name must be CLUSTRON__KEY or CLUSTRON__SECTION__KEY, with two \
                            underscores between the parts and one within a key";
                problems.add(Problem::new(&origin, None, text));
                continue;
            }
            let Some(value) = value.to_str() else {
                let key = parts.join(".").to_lowercase();
                let text = format!("{} is not UTF-8", shown_key(&key));
                problems.add(Problem::new(&origin, Some(&key), text));
                continue;
            };
            let node = Node { value: Value::Text(value.to_owned()), origin };
            insert(&mut root, &parts, node);
        }
        Node { value: Value::Table(root), origin: Origin::Default }
    }
}

/// The rest of a variable's name, if it is one of ours.
fn name_of(variable: &str) -> Option<&str> {
    let (prefix, rest) = variable.split_at_checked(PREFIX.len())?;
    if prefix.eq_ignore_ascii_case(PREFIX) { rest.strip_prefix(SEPARATOR) } else { None }
}

fn insert(entries: &mut Vec<Entry>, parts: &[&str], node: Node) {
    let [part, rest @ ..] = parts else { return };
    // Names of variables are upper case by custom, and tags are not.
    let shouts = !part.contains(|c: char| c.is_lowercase());
    let key = if shouts { part.to_lowercase() } else { (*part).to_owned() };
    if rest.is_empty() {
        entries.push(Entry { key, node });
        return;
    }
    let table = entries.iter_mut().find_map(|entry| match &mut entry.node.value {
        Value::Table(within) if crate::tree::folded(&entry.key) == crate::tree::folded(&key) => {
            Some(within)
        }
        _ => None,
    });
    if let Some(table) = table {
        insert(table, rest, node);
        return;
    }
    let mut table = vec![];
    let origin = node.origin.clone();
    insert(&mut table, rest, node);
    entries.push(Entry { key, node: Node { value: Value::Table(table), origin } });
}
