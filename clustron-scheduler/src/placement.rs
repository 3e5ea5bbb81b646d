//! Which nodes may run a job: an expression over their roles, tags and names.

use std::fmt;
use std::str::FromStr;

use clustron_core::NodeInfo;
use serde::{Deserialize, Serialize};

/// The longest expression, in bytes.
pub const PLACEMENT_BYTES_MAX: usize = 512;
/// How deep parentheses and negations may be nested.
const DEPTH_MAX: usize = 32;

/// Which nodes may run a job. Only members run jobs at all.
///
/// | term | holds on a node |
/// | --- | --- |
/// | `zone=eu` | whose tag `zone` is `eu` |
/// | `gpu` | that has the tag `gpu`, whatever its value |
/// | `role:edge` | with the application's own role `edge` |
/// | `node:a` | with the name `a` |
/// | `!x`, `x & y`, `x \| y`, `(x)` | as usual, `!` before `&` before `\|` |
///
/// ```
/// use clustron_scheduler::Placement;
///
/// let placement: Placement = "zone=eu & !(gpu | role:edge)".parse()?;
/// assert_eq!(placement.to_string(), "zone=eu & !(gpu | role:edge)");
/// let error = "zone= & gpu".parse::<Placement>().unwrap_err();
/// assert!(error.to_string().ends_with("byte 5: a value is missing after '='"), "{error}");
/// # Ok::<(), clustron_scheduler::PlacementError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Placement {
    text: Box<str>,
}

/// Why an expression is not a placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("placement {text:?}, byte {at}: {reason}")]
pub struct PlacementError {
    /// The expression, its first 512 bytes.
    pub text: String,
    /// Where in it.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum Term<'a> {
    Tag(&'a str, Option<&'a str>),
    Role(&'a str),
    Node(&'a str),
    Not(Box<Term<'a>>),
    All(Vec<Term<'a>>),
    Any(Vec<Term<'a>>),
}

impl Placement {
    /// Whether a node may run the job.
    pub fn allows(&self, node: &NodeInfo) -> bool {
        parse(&self.text).is_ok_and(|term| term.holds(node))
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Placement {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        parse(text).map(|_| Self { text: text.into() })
    }
}

impl TryFrom<String> for Placement {
    type Error = PlacementError;

    fn try_from(text: String) -> Result<Self, PlacementError> {
        text.parse()
    }
}

impl From<Placement> for String {
    fn from(placement: Placement) -> Self {
        placement.text.into()
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Term<'_> {
    fn holds(&self, node: &NodeInfo) -> bool {
        match self {
            Self::Tag(key, None) => node.tags.contains_key(*key),
            Self::Tag(key, Some(value)) => node.tags.get(*key).is_some_and(|is| is == value),
            Self::Role(name) => node.roles.iter().any(|role| {
                let role = role.to_string();
                role.strip_prefix("custom:").unwrap_or(&role) == *name
            }),
            Self::Node(name) => node.name.as_str() == *name,
            Self::Not(term) => !term.holds(node),
            Self::All(terms) => terms.iter().all(|term| term.holds(node)),
            Self::Any(terms) => terms.iter().any(|term| term.holds(node)),
        }
    }
}

fn parse(text: &str) -> Result<Term<'_>, PlacementError> {
    let mut parser = Parser { text, at: 0 };
    let term = match text.len() > PLACEMENT_BYTES_MAX {
        true => Err("longer than 512 bytes"),
        false => parser.any(0).and_then(|term| match parser.peek() {
            None => Ok(term),
            Some(')') => Err("this ')' closes nothing"),
            Some(_) => Err("expected '&', '|' or the end"),
        }),
    };
    term.map_err(|reason| {
        let shown = text.floor_char_boundary(PLACEMENT_BYTES_MAX);
        PlacementError { text: text[..shown].to_owned(), at: parser.at, reason }
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..)?;
        self.at += rest.len() - rest.trim_start().len();
        rest.trim_start().chars().next()
    }

    fn any(&mut self, depth: usize) -> Result<Term<'a>, &'static str> {
        let mut terms = vec![self.all(depth)?];
        while self.peek() == Some('|') {
            self.at += 1;
            terms.push(self.all(depth)?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Term::Any(terms) })
    }

    fn all(&mut self, depth: usize) -> Result<Term<'a>, &'static str> {
        let mut terms = vec![self.term(depth)?];
        while self.peek() == Some('&') {
            self.at += 1;
            terms.push(self.term(depth)?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Term::All(terms) })
    }

    fn term(&mut self, depth: usize) -> Result<Term<'a>, &'static str> {
        if depth > DEPTH_MAX {
            return Err("nested deeper than 32");
        }
        match self.peek() {
            Some('!') => {
                self.at += 1;
                Ok(Term::Not(Box::new(self.term(depth + 1)?)))
            }
            Some('(') => {
                self.at += 1;
                let term = self.any(depth + 1)?;
                if self.peek() != Some(')') {
                    return Err("expected '&', '|' or ')'");
                }
                self.at += 1;
                Ok(term)
            }
            _ => self.atom(),
        }
    }

    fn atom(&mut self) -> Result<Term<'a>, &'static str> {
        let word = self.word();
        if word.is_empty() {
            return Err("expected a tag, role:NAME, node:NAME, '!' or '('");
        }
        let sign = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        match (word, sign) {
            ("role", Some(':')) => self.value("a role is missing after ':'").map(Term::Role),
            ("node", Some(':')) => self.value("a name is missing after ':'").map(Term::Node),
            (_, Some(':')) => Err("only role: and node: have a ':'"),
            (key, Some('=')) => {
                let value = self.value("a value is missing after '='")?;
                Ok(Term::Tag(key, Some(value)))
            }
            (key, _) => Ok(Term::Tag(key, None)),
        }
    }

    /// What stands after a sign of one byte.
    fn value(&mut self, missing: &'static str) -> Result<&'a str, &'static str> {
        self.at += 1;
        let value = self.word();
        if value.is_empty() { Err(missing) } else { Ok(value) }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }
}

#[cfg(test)]
mod tests;
