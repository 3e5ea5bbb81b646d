//! Settings while layer after layer is put over them.
//!
//! Think of sheets of glass on a drawing: each covers what it has ink for, and for every line one
//! can still say on which sheet it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clustron_core::pipeline::Registry;
use clustron_core::{ClusterName, ConfigError, InvalidMetadata, InvalidName, TAGS_MAX};

use crate::field::{self, Field, Wrong};
use crate::keys::{self, KEYS, Key};
use crate::origin::Origin;
use crate::problem::{Problem, Problems};
use crate::profile::Profile;
use crate::rule::Broken;
use crate::tree::{Entry, Node, Value, folded, short, shown_key};
use crate::values::Values;

/// What has been put together so far.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) cluster: Option<String>,
    pub(crate) profile: Profile,
    pub(crate) values: Values,
    /// By path; of tags also each one's. What is not in it is as the profile has it.
    pub(crate) origins: BTreeMap<String, Origin>,
    pub(crate) problems: Problems,
    /// Sections in which something could not be read.
    spoilt: BTreeSet<&'static str>,
    /// Where the process is: what paths are relative to that no file names.
    working_dir: PathBuf,
}

impl Draft {
    /// Puts all layers over each other, the later over the earlier. The profile that is in force
    /// in the end comes below all of them. Paths are made absolute: they are relative to the file
    /// that names them, and else to `working_dir`.
    pub(crate) fn of(layers: &[Node], problems: Problems, working_dir: PathBuf) -> Self {
        let unread = !problems.is_empty();
        let profiles = layers.iter().flat_map(|layer| table(&layer.value)).filter(|entry| {
            keys::find("", &entry.key).is_some_and(|key| matches!(key.field, Field::Profile))
        });
        let profile =
            profiles.filter_map(|entry| field::profile(&entry.node.value).ok()).next_back();
        let profile = profile.unwrap_or_default();
        let mut draft = Self {
            cluster: None,
            profile,
            values: Values { config: profile.config(), ..Values::default() },
            origins: BTreeMap::new(),
            problems,
            spoilt: BTreeSet::new(),
            working_dir,
        };
        for layer in layers {
            draft.put_section("", table(&layer.value));
        }
        if unread {
            draft.spoil_all();
        }
        draft
    }

    /// Where the value of this key comes from. `path` is a key's path or that of a tag.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        origin(&self.origins, self.profile, path)
    }

    /// Checks whether the values make sense. Where something could not be read, only what can be
    /// said of a value by itself: what is missing would make it look wrong beside others.
    /// `discovery` says that the program has sources of addresses of its own; `layers` are those
    /// that it knows.
    pub(crate) fn check(&mut self, discovery: bool, layers: &Registry) {
        match self.cluster.clone().map(ClusterName::new) {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let (path, text) = located(&error.into());
                self.complain(&path, &text);
            }
            None if self.may_have_meant_cluster() => {}
            None => {
                let text = "cluster is not set: give the cluster a name, the same on all nodes, \
                            such as cluster = \"shop\"";
                self.complain("cluster", text);
            }
        }
        let security = self.values.security.security();
        let broken = security.map(|security| self.values.config.security = security).err();
        for broken in broken.into_iter().chain(self.values.discovery.check().err()) {
            self.tell_broken(&broken);
        }
        let discovery = discovery || !self.values.discovery.is_empty();
        let config = &self.values.config;
        let wrong = config.pipeline.problems(layers, config.frame_bytes_max);
        let wrong = wrong
            .into_iter()
            .map(|(key, problem)| ConfigError::Pipeline { key, problem: problem.into() });
        for error in config.problems_with(discovery).into_iter().chain(wrong) {
            let (path, text) = located(&error);
            let others: Vec<&Key> = others(&path, &text).collect();
            if others.is_empty() || !self.is_spoilt(&path, &others) {
                let secret = KEYS.iter().any(|key| key.secret && key.path() == path);
                let text = if secret { format!("{path} cannot be used") } else { text };
                self.complain(&path, &(text + &self.places(&path, &others)));
            }
        }
    }

    /// Tells of a rule between keys, unless one of them may be what could not be read.
    fn tell_broken(&mut self, Broken { key, text, others }: &Broken) {
        let others: Vec<&Key> =
            KEYS.iter().filter(|other| others.contains(&&*other.path())).collect();
        if !self.is_spoilt(key, &others) {
            self.complain(key, &format!("{text}{}", self.places(key, &others)));
        }
    }

    /// Whether something could not be read in the section of one of these keys.
    fn is_spoilt(&self, path: &str, others: &[&Key]) -> bool {
        let section = keys::find_section(section_of(path)).unwrap_or("");
        let mut sections = others.iter().map(|key| key.section).chain([section]);
        sections.any(|section| self.spoilt.contains(section))
    }

    /// Whether the cluster's name stands in what could not be read.
    fn may_have_meant_cluster(&self) -> bool {
        self.problems.iter().any(|problem| {
            problem.key.is_none()
                || problem.key.as_deref() == Some("cluster")
                || problem.text.ends_with("did you mean cluster?")
        })
    }

    /// Where these keys are set, in brackets: of two values that contradict each other the one that
    /// is complained about may be right.
    fn places(&self, path: &str, keys: &[&Key]) -> String {
        let place = |key: &&Key| {
            let origin = self.origins.get(&key.path())?;
            let here = key.section == section_of(path);
            let name = if here { key.name.to_owned() } else { key.path() };
            Some(format!("{name} is set at {origin}"))
        };
        let places: Vec<String> = keys.iter().filter_map(place).collect();
        if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) }
    }

    fn complain(&mut self, path: &str, text: &str) {
        self.problems.add(Problem::new(&self.origin(path), Some(&short(path)), text));
    }

    fn put_section(&mut self, section: &'static str, entries: &[Entry]) {
        let mut seen: BTreeMap<String, &Entry> = BTreeMap::new();
        for entry in entries {
            let first = *seen.entry(folded(&entry.key)).or_insert(entry);
            let origin = &entry.node.origin;
            if !std::ptr::eq(first, entry) {
                self.spoilt.insert(section);
                let key = keys::find(section, &entry.key).map(Key::path);
                let path = key.unwrap_or_else(|| keys::path(section, &shown_key(&entry.key)));
                self.twice(&path, first, entry);
            } else if let Some(key) = keys::find(section, &entry.key) {
                self.put(key, &entry.node);
            } else if let Some(found) = section_in(section, &entry.key) {
                match &entry.node.value {
                    Value::Table(entries) => self.put_section(found, entries),
                    value if is_empty(value) => {}
                    value => {
                        self.spoilt.insert(found);
                        let text =
                            format!("{found} is {value}: must be a section, a table of keys");
                        self.problems.add(Problem::new(origin, Some(found), text));
                    }
                }
            } else {
                self.spoilt.insert(section);
                if matches!(entry.node.value, Value::Table(_)) {
                    // Any section may have been meant.
                    self.spoil_all();
                }
                self.unknown(section, entry);
            }
        }
    }

    /// What paths are relative to that are set there.
    fn base(&self, origin: &Origin) -> PathBuf {
        let Origin::File { path, .. } = origin else { return self.working_dir.clone() };
        self.working_dir.join(path.parent().unwrap_or(Path::new("")))
    }

    fn spoil_all(&mut self) {
        self.spoilt.extend(keys::sections().chain([""]));
    }

    fn unknown(&mut self, section: &'static str, entry: &Entry) {
        let path = keys::path(section, &shown_key(&entry.key));
        // The remedy takes time, and is not read any more then.
        let remedy =
            if self.problems.is_full() { String::new() } else { keys::remedy(section, &entry.key) };
        let text = format!("{path} is not a key: {remedy}");
        self.problems.add(Problem::new(&entry.node.origin, Some(&path), text));
    }

    /// `path` is that of the key, as far as it is known.
    fn twice(&mut self, path: &str, first: &Entry, second: &Entry) {
        let (a, b) = (shown_key(&first.key), shown_key(&second.key));
        let other = &first.node.origin;
        let text = if a == b {
            format!("{path} is set twice, here and at {other}: keep one")
        } else {
            format!("{path} is set twice, here as {b} and at {other} as {a}: keep one")
        };
        self.problems.add(Problem::new(&second.node.origin, Some(path), text));
    }

    fn put(&mut self, key: &'static Key, node: &Node) {
        if let Field::Tags(lens) = key.field {
            self.put_tags(key, lens, node);
            return;
        }
        let path = key.path();
        let base = self.base(&node.origin);
        match key.field.put(&mut self.values, &node.value, &base) {
            Ok(()) => {
                if let (Field::Cluster, Value::Text(name)) = (key.field, &node.value) {
                    self.cluster = Some(name.clone());
                }
                self.origins.insert(path, node.origin.clone());
            }
            Err(Wrong { value, allowed }) => {
                self.spoilt.insert(key.section);
                if matches!(key.field, Field::Profile) {
                    // All defaults are others then.
                    self.spoil_all();
                }
                let value = if key.secret { "not usable" } else { &value };
                let text = format!("{path} is {value}: {allowed}");
                self.problems.add(Problem::new(&node.origin, Some(&path), text));
            }
        }
    }

    /// Tags are put over each other one by one. A tag keeps the spelling that it had first, so
    /// that a variable, which has no other letters, can change it.
    fn put_tags(
        &mut self,
        key: &'static Key,
        lens: fn(&mut Values) -> &mut BTreeMap<String, String>,
        node: &Node,
    ) {
        let path = key.path();
        let Value::Table(entries) = &node.value else {
            if !is_empty(&node.value) {
                let Wrong { value, allowed } = Wrong::new(
                    &node.value,
                    "must be a table, such as {zone = \"eu\"}; in the environment each tag has a \
                     variable of its own, such as CLUSTRON__TAGS__ZONE=eu",
                );
                self.spoilt.insert(key.section);
                let text = format!("{path} is {value}: {allowed}");
                self.problems.add(Problem::new(&node.origin, Some(&path), text));
            }
            return;
        };
        let mut seen: BTreeMap<String, &Entry> = BTreeMap::new();
        for entry in entries {
            let name = folded(&entry.key);
            let first = *seen.entry(name.clone()).or_insert(entry);
            if !std::ptr::eq(first, entry) {
                self.spoilt.insert(key.section);
                self.twice(&format!("{path}.{}", shown_key(&first.key)), first, entry);
                continue;
            }
            let text = match &entry.node.value {
                Value::Text(text) => text.clone(),
                Value::Integer(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                value => {
                    self.spoilt.insert(key.section);
                    let tag = format!("{path}.{}", shown_key(&entry.key));
                    let text = format!("{tag} is {value}: must be text; write it in quotes");
                    self.problems.add(Problem::new(&entry.node.origin, Some(&tag), text));
                    continue;
                }
            };
            let tags = lens(&mut self.values);
            if tags.len() > TAGS_MAX {
                // Too many already, which is told when the whole is checked.
                break;
            }
            let known = tags.keys().find(|known| folded(known) == name).cloned();
            let spelled = known.unwrap_or_else(|| entry.key.clone());
            self.origins.insert(format!("{path}.{spelled}"), entry.node.origin.clone());
            self.origins.insert(path.clone(), node.origin.clone());
            tags.insert(spelled, text);
        }
    }
}

/// Where the value of a key comes from, by what is known of layers and profile.
pub(crate) fn origin(origins: &BTreeMap<String, Origin>, profile: Profile, path: &str) -> Origin {
    let has_profile = keys::has_profile(section_of(path));
    let default = if has_profile { Origin::Profile(profile) } else { Origin::Default };
    origins.get(path).cloned().unwrap_or(default)
}

fn section_of(path: &str) -> &str {
    path.split_once('.').map_or("", |(section, _)| section)
}

/// The other keys that a rule is about, by what is said when it is broken.
fn others(path: &str, text: &str) -> impl Iterator<Item = &'static Key> {
    let (section, name) = path.split_once('.').unwrap_or(("", path));
    let (section, name) = (section.to_owned(), name.to_owned());
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(move |c| !is_word(c)).skip_while(|word| *word != "is");
    let words: BTreeSet<String> = words.map(str::to_owned).collect();
    let about_roles = matches!(&*name, "seeds" | "data_dir") && text.contains("a node");
    let about_sources = section.is_empty() && words.contains(keys::DISCOVERY);
    KEYS.iter().filter(move |key| {
        // These two are words of any sentence, and no rule is about them.
        let named = !matches!(key.name, "cluster" | "name")
            && (words.contains(key.name) || words.contains(&format!("{}s", key.name)));
        let here = key.section == section
            && key.name != name
            && (named || (about_roles && key.name == "roles"));
        here || (about_sources && key.section == keys::DISCOVERY && key.name != "name_servers")
    })
}

fn table(value: &Value) -> &[Entry] {
    if let Value::Table(entries) = value { entries } else { &[] }
}

/// A section or table in which nothing is set: all lines of it are comments.
fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Null) || matches!(value, Value::Text(text) if text.is_empty())
}

fn section_in(section: &str, name: &str) -> Option<&'static str> {
    if section.is_empty() { keys::find_section(name) } else { None }
}

/// Which key an error of the core is about, and what it says with the key's full path.
fn located(error: &ConfigError) -> (String, String) {
    let name = |InvalidName { what, name }: &InvalidName| {
        let error = InvalidName { what, name: short(name) };
        let path = match *what {
            "cluster name" => "cluster".to_owned(),
            "node name" => "name".to_owned(),
            "custom role" => "roles".to_owned(),
            _ => format!("tags.{name}"),
        };
        let key = path.split('.').next().unwrap_or_default().to_owned();
        (path, format!("{key}: {error}"))
    };
    match error {
        ConfigError::Name(error) | ConfigError::Metadata(InvalidMetadata::Name(error)) => {
            name(error)
        }
        ConfigError::Value { key, value, allowed } => {
            let known = |path: &&String| KEYS.iter().any(|key| key.path() == **path);
            let paths = [(*key).to_owned(), format!("timing.{key}")];
            let path = paths.iter().find(known).unwrap_or(&paths[0]).clone();
            let text = format!("{path} is {}: {allowed}", short(value));
            (path, text)
        }
        ConfigError::Metadata(InvalidMetadata::Value { key, value, allowed }) => {
            ((*key).to_owned(), format!("{key} is {}: {allowed}", short(value)))
        }
        ConfigError::Pipeline { key, problem } => ((*key).to_owned(), format!("{key}: {problem}")),
        ConfigError::Membership(error) => {
            let path = keys::path("membership", error.field);
            let text = format!("{path} is {}: allowed is {}", error.value, error.allowed);
            (path, text)
        }
        // What the core has gained since says at least what is wrong.
        error => (String::new(), error.to_string()),
    }
}
