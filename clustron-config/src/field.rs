//! What a setting may be: how a value of each kind is read into its place, and shown again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clustron_core::Role;
use clustron_core::membership::DetectorKind;
use clustron_core::pipeline::LayerConfig;

use crate::names;
use crate::profile::Profile;
use crate::quantity::{self, shown_duration, shown_size};
use crate::security::is_key_material;
use crate::tree::{Value, quoted};
use crate::values::Values;
use crate::words;

/// A place among all [`Values`].
type Lens<T> = fn(&mut Values) -> &mut T;

/// The place of a setting, which also tells what kind of value it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field {
    /// Of the cluster, not of the node's [`Config`](clustron_core::Config).
    Cluster,
    /// Decides on the defaults, and stands nowhere afterwards.
    Profile,
    Text(Lens<String>),
    OptionalText(Lens<Option<String>>),
    Texts(Lens<Vec<String>>),
    Directory(Lens<Option<PathBuf>>),
    File(Lens<Option<PathBuf>>),
    Files(Lens<Vec<PathBuf>>),
    /// Hosts with a port, whose names are looked up.
    DnsNames(Lens<Vec<String>>),
    /// Names of SRV records.
    SrvNames(Lens<Vec<String>>),
    /// IP addresses with a port.
    Servers(Lens<Vec<String>>),
    Count(Lens<usize>),
    OptionalCount(Lens<Option<usize>>),
    Long(Lens<u64>),
    Short(Lens<u32>),
    Size(Lens<usize>),
    Duration(Lens<Duration>),
    Roles(Lens<BTreeSet<Role>>),
    /// A table whose keys are the user's own.
    Tags(Lens<BTreeMap<String, String>>),
    Detector(Lens<DetectorKind>),
    /// Layers of a pipeline, each with its settings: `compress above_bytes=4096`.
    Layers(Lens<Vec<LayerConfig>>),
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The value, or the part of it that is wrong, as messages show it.
    pub(crate) value: String,
    pub(crate) allowed: String,
}

impl Wrong {
    pub(crate) fn new(value: &Value, allowed: impl Into<String>) -> Self {
        Self { value: value.to_string(), allowed: allowed.into() }
    }
}

impl Field {
    /// What kind of value it takes, as the README calls it.
    #[cfg(test)]
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Cluster | Self::Text(_) | Self::OptionalText(_) => "text",
            Self::Profile => "`local`, `lan`, `wan`",
            Self::Texts(_) | Self::DnsNames(_) | Self::SrvNames(_) | Self::Servers(_) => "list",
            Self::Directory(_) | Self::File(_) => "path",
            Self::Files(_) => "list of paths",
            Self::Count(_) | Self::OptionalCount(_) | Self::Long(_) | Self::Short(_) => "number",
            Self::Size(_) => "size",
            Self::Duration(_) => "duration",
            Self::Roles(_) => "list of roles",
            Self::Tags(_) => "table",
            Self::Detector(_) => "detector",
            Self::Layers(_) => "list of layers",
        }
    }

    /// Reads a value into its place. Of [`Cluster`](Self::Cluster), [`Profile`](Self::Profile) and
    /// [`Tags`](Self::Tags), which have no place of their own, it only looks at the kind. Paths are
    /// relative to `base`.
    ///
    /// # Errors
    /// The value is none of those that the field takes.
    pub(crate) fn put(self, values: &mut Values, value: &Value, base: &Path) -> Result<(), Wrong> {
        if *value == Value::Null {
            return Err(Wrong::new(value, "give it a value, or leave the key out"));
        }
        match self {
            Self::Cluster => drop(text(value)?),
            Self::Profile => drop(profile(value)?),
            Self::Text(lens) => *lens(values) = text(value)?,
            Self::OptionalText(lens) => *lens(values) = Some(text(value)?),
            Self::Texts(lens) => *lens(values) = texts(value)?,
            Self::Directory(lens) => {
                let path = path(text(value)?, "name a directory, or leave the key out")?;
                *lens(values) = Some(base.join(path));
            }
            Self::File(lens) => {
                let path = path(text(value)?, "name a file, or leave the key out")?;
                *lens(values) = Some(base.join(path));
            }
            Self::Files(lens) => {
                let files = texts(value)?;
                let file = |text: String| Ok(base.join(path(text, "name a file")?));
                *lens(values) = files.into_iter().map(file).collect::<Result<_, _>>()?;
            }
            Self::DnsNames(lens) => *lens(values) = names(value, names::check_dns)?,
            Self::SrvNames(lens) => *lens(values) = names(value, names::check_srv)?,
            Self::Servers(lens) => *lens(values) = names(value, names::check_server)?,
            Self::Count(lens) => *lens(values) = number(value)?,
            Self::OptionalCount(lens) => *lens(values) = Some(number(value)?),
            Self::Long(lens) => *lens(values) = number(value)?,
            Self::Short(lens) => *lens(values) = number(value)?,
            Self::Size(lens) => *lens(values) = size(value)?,
            Self::Duration(lens) => *lens(values) = duration(value)?,
            Self::Roles(lens) => *lens(values) = roles(value)?,
            Self::Layers(lens) => *lens(values) = layers(value)?,
            Self::Tags(_) => {}
            Self::Detector(lens) => {
                let word = text(value)?;
                let detector = words::detector(&word);
                *lens(values) = detector.map_err(|allowed| Wrong::new(value, allowed))?;
            }
        }
        Ok(())
    }

    /// What stands in its place, as TOML; `None` where nothing is set, and for what has no place.
    pub(crate) fn shown(self, values: &mut Values) -> Option<String> {
        Some(match self {
            Self::Cluster | Self::Profile | Self::Tags(_) => return None,
            Self::Text(lens) => literal(lens(values)),
            Self::OptionalText(lens) => literal(lens(values).as_ref()?),
            Self::Texts(lens)
            | Self::DnsNames(lens)
            | Self::SrvNames(lens)
            | Self::Servers(lens) => list(lens(values).iter().map(|text| literal(text))),
            Self::Directory(lens) | Self::File(lens) => {
                literal(&lens(values).as_ref()?.display().to_string())
            }
            Self::Files(lens) => {
                list(lens(values).iter().map(|path| literal(&path.display().to_string())))
            }
            Self::Count(lens) => lens(values).to_string(),
            Self::OptionalCount(lens) => lens(values).as_ref()?.to_string(),
            Self::Long(lens) => lens(values).to_string(),
            Self::Short(lens) => lens(values).to_string(),
            Self::Size(lens) => literal(&shown_size(*lens(values) as u64)),
            Self::Duration(lens) => literal(&shown_duration(*lens(values))),
            Self::Roles(lens) => list(lens(values).iter().map(|role| literal(&role.to_string()))),
            Self::Detector(lens) => literal(&words::shown_detector(lens(values))),
            Self::Layers(lens) => {
                list(lens(values).iter().map(|layer| literal(&words::shown_layer(layer))))
            }
        })
    }
}

/// The profile that a value names.
pub(crate) fn profile(value: &Value) -> Result<Profile, Wrong> {
    let word = text(value)?;
    words::profile(&word).map_err(|allowed| Wrong::new(value, allowed))
}

/// A text. A number is none, since leading zeros and the like would be lost.
pub(crate) fn text(value: &Value) -> Result<String, Wrong> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(Wrong::new(value, "must be text; write it in quotes")),
    }
}

fn texts(value: &Value) -> Result<Vec<String>, Wrong> {
    let shape = "must be a list, such as [\"a\", \"b\"], or a text with commas between the items";
    match value {
        Value::List(items) => items.iter().map(|node| text(&node.value)).collect(),
        Value::Text(text) if text.trim().is_empty() => Ok(vec![]),
        Value::Text(text) => {
            let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
            let empty = items.iter().any(String::is_empty);
            if empty { Err(Wrong::new(value, "has an item that is empty")) } else { Ok(items) }
        }
        _ => Err(Wrong::new(value, shape)),
    }
}

/// A path, where `allowed` says what it must name. What should be in the file and not in the
/// settings is not repeated: messages are read by more people than files.
fn path(text: String, allowed: &str) -> Result<PathBuf, Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong { value: quoted(&text), allowed: allowed.to_owned() });
    }
    if is_key_material(&text) {
        let allowed = "write it into a file that only the service may read, and name that file";
        return Err(Wrong { value: "a key itself".to_owned(), allowed: allowed.to_owned() });
    }
    Ok(text.into())
}

fn names(value: &Value, check: fn(&str) -> Result<(), String>) -> Result<Vec<String>, Wrong> {
    let checked = |name: String| match check(&name) {
        Ok(()) => Ok(name),
        Err(allowed) => Err(Wrong { value: quoted(&name), allowed }),
    };
    texts(value)?.into_iter().map(checked).collect()
}

/// A whole number; as text where the format has no numbers.
fn number<T: TryFrom<i128>>(value: &Value) -> Result<T, Wrong> {
    let number = match value {
        Value::Integer(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Wrong::new(value, "must be a whole number, at least 0"))
}

fn size(value: &Value) -> Result<usize, Wrong> {
    let bytes = match value {
        Value::Integer(number) => u64::try_from(*number).map_err(|_| quantity::SIZE.to_owned()),
        Value::Text(text) => quantity::size(text),
        _ => Err(quantity::SIZE.to_owned()),
    };
    let bytes = bytes.map_err(|allowed| Wrong::new(value, allowed))?;
    usize::try_from(bytes).map_err(|_| Wrong::new(value, quantity::SIZE))
}

fn duration(value: &Value) -> Result<Duration, Wrong> {
    let read = match value {
        Value::Text(text) => quantity::duration(text),
        // Says which unit is missing.
        Value::Integer(number) => quantity::duration(&number.to_string()),
        Value::Float(number) => quantity::duration(&number.to_string()),
        _ => Err(quantity::DURATION.to_owned()),
    };
    read.map_err(|allowed| Wrong::new(value, allowed))
}

fn roles(value: &Value) -> Result<BTreeSet<Role>, Wrong> {
    let role = |word: String| {
        words::role(&word).map_err(|allowed| Wrong { value: quoted(&word), allowed })
    };
    texts(value)?.into_iter().map(role).collect()
}

fn layers(value: &Value) -> Result<Vec<LayerConfig>, Wrong> {
    let layer = |text: String| {
        words::layer(&text).map_err(|allowed| Wrong { value: quoted(&text), allowed })
    };
    texts(value)?.into_iter().map(layer).collect()
}

/// The text as a string of TOML.
pub(crate) fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            _ if character.is_control() => {
                literal.push_str(&format!("\\u{:04X}", u32::from(character)));
            }
            _ => literal.push(character),
        }
    }
    literal + "\""
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
