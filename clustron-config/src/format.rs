//! From the text of a file to a tree, in any format.

mod comments;
mod json;
mod toml;
mod xml;
mod yaml;

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::origin::Origin;
use crate::problem::Problem;
use crate::tree::{Node, Value, folded, quoted};

/// The largest file that is read.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// How deep tables and lists may stand in each other. No setting needs more than three.
const DEPTH_MAX: usize = 16;

/// How many values a file may have, those that YAML's aliases repeat included.
const NODES_MAX: usize = 10_000;

/// The section of an `appsettings.json` that is ours, folded.
pub(crate) const SECTION: &str = "clustron";

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Toml,
    Json,
    /// JSON with comments, as .NET reads it, and our settings in a section of it.
    AppSettings,
    Yaml,
    Xml,
}

impl Format {
    /// Which format a file has, by its name.
    ///
    /// # Errors
    /// The name tells none.
    pub(crate) fn of(path: &Path) -> Result<Self, String> {
        let lower = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().to_lowercase()).unwrap_or_default()
        };
        let (name, extension) = (lower(path.file_name()), lower(path.extension()));
        Ok(match &*extension {
            "toml" => Self::Toml,
            "json" if name.starts_with("appsettings.") => Self::AppSettings,
            "json" => Self::Json,
            "yaml" | "yml" => Self::Yaml,
            "xml" => Self::Xml,
            _ => {
                let text = "its name must end in .toml, .json, .yaml, .yml or .xml, which tells how \
                            to read it";
                return Err(text.to_owned());
            }
        })
    }

    /// Reads the text of a file. Gives the table of our settings.
    ///
    /// # Errors
    /// The first place where the text cannot be understood.
    pub(crate) fn read(self, path: &Arc<Path>, bytes: &[u8]) -> Result<Node, Problem> {
        let whole = Origin::whole(path);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = 1 + bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count();
                let origin = Origin::File { path: path.clone(), line };
                return Err(Problem::new(&origin, None, "not UTF-8: save the file as UTF-8"));
            }
        };
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let at = Place { path, text };
        let read = match self {
            Self::Toml => toml::read(&at),
            Self::Json => json::read(&at),
            Self::AppSettings => {
                let plain = comments::blanked(text);
                json::read(&Place { path, text: &plain })
            }
            Self::Yaml => yaml::read(&at),
            Self::Xml => xml::read(&at),
        };
        let mut root = read.map_err(|syntax| syntax.problem(self, path))?;
        if let (Self::Yaml, Value::Null) = (self, &root.value) {
            root.value = Value::Table(vec![]);
        }
        if !matches!(root.value, Value::Table(_)) {
            let text = format!("the file is {}, and must be a table of keys", root.value);
            return Err(Problem::new(&whole, None, text));
        }
        if self == Self::AppSettings { section(root) } else { Ok(root) }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Toml => "TOML",
            Self::Json | Self::AppSettings => "JSON",
            Self::Yaml => "YAML",
            Self::Xml => "XML",
        })
    }
}

/// Takes our section out of the settings of a whole application. Without one nothing is set.
fn section(root: Node) -> Result<Node, Problem> {
    let Node { value: Value::Table(entries), origin } = root else { return Ok(root) };
    let mut found: Option<Node> = None;
    for entry in entries {
        let name = folded(&entry.key);
        if name.strip_prefix(SECTION).is_some_and(|rest| rest.starts_with(':')) {
            let text = format!("write {} as a key of a section \"Clustron\"", quoted(&entry.key));
            return Err(Problem::new(&entry.node.origin, None, text));
        }
        if name != SECTION {
            continue;
        }
        if found.is_some() {
            let text = "a second section \"Clustron\": keep one";
            return Err(Problem::new(&entry.node.origin, None, text));
        }
        if !matches!(entry.node.value, Value::Table(_)) {
            let text =
                format!("Clustron is {}: must be a section, a table of keys", entry.node.value);
            return Err(Problem::new(&entry.node.origin, None, text));
        }
        found = Some(entry.node);
    }
    Ok(found.unwrap_or(Node { value: Value::Table(vec![]), origin }))
}

/// A text and whose it is; knows the lines in it.
struct Place<'a> {
    path: &'a Arc<Path>,
    text: &'a str,
}

impl Place<'_> {
    /// Where the byte at `offset` is: its line, and its column in characters, both from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // Bytes that do not begin a character.
        let within = before[start..].iter().filter(|byte| **byte & 0xc0 == 0x80).count();
        (line, before.len() - start - within + 1)
    }

    fn syntax(&self, offset: usize, text: impl Into<String>) -> Syntax {
        let (line, column) = self.position(offset);
        Syntax { line, column, text: text.into() }
    }
}

/// Gives each value of a text its place, and counts them.
struct Lines<'a> {
    place: &'a Place<'a>,
    /// The offset of each line but the first.
    starts: Vec<usize>,
    nodes: Cell<usize>,
}

impl<'a> Lines<'a> {
    fn of(place: &'a Place<'a>) -> Self {
        let ends = place.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { place, starts: ends.map(|(at, _)| at + 1).collect(), nodes: Cell::new(0) }
    }

    /// Where the value that begins at `offset` is.
    ///
    /// # Errors
    /// It is one too many.
    fn origin(&self, offset: usize) -> Result<Origin, Syntax> {
        self.nodes.set(self.nodes.get() + 1);
        if self.nodes.get() > NODES_MAX {
            return Err(self.place.syntax(offset, too_many()));
        }
        let line = 1 + self.starts.partition_point(|start| *start <= offset);
        Ok(Origin::File { path: self.place.path.clone(), line })
    }
}

/// A text that cannot be understood.
struct Syntax {
    /// Both from 1; 0 where they are not known.
    line: usize,
    column: usize,
    text: String,
}

impl Syntax {
    fn problem(self, format: Format, path: &Arc<Path>) -> Problem {
        let origin = Origin::File { path: path.clone(), line: self.line };
        let text = format!("not valid {format}: {}", self.text);
        let column = (self.line > 0).then_some(self.column);
        Problem { origin, column, key: None, text }
    }
}

/// What is said of a text with more values than any settings need.
fn too_many() -> String {
    format!("there are more than {NODES_MAX} values, and no settings need so many")
}

/// What is said of a text with more levels than any setting needs.
fn too_deep() -> String {
    format!("more than {DEPTH_MAX} tables or lists stand in each other")
}

#[cfg(test)]
mod tests;
