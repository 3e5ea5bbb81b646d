//! What is in force, and why.

use std::collections::BTreeMap;
use std::fmt;

use clustron_core::{Cluster, ClusterBuilder, ClusterHandle, Config, FileSeeds};

use crate::draft;
use crate::field::{Field, literal};
use crate::follow::Follower;
use crate::keys::{self, KEYS, Key};
use crate::loader::Loader;
use crate::names;
use crate::origin::Origin;
use crate::profile::Profile;
use crate::tree::folded;
use crate::values::Values;

/// What stands in the place of a secret.
const HIDDEN: &str = "\"(hidden)\"";

/// Settings that have been checked. They print as a TOML file that says the same, with a comment
/// beside each line on where its value comes from; secrets are not in it.
#[derive(Clone)]
pub struct Settings {
    pub(crate) cluster: String,
    pub(crate) profile: Profile,
    pub(crate) values: Values,
    pub(crate) origins: BTreeMap<String, Origin>,
    pub(crate) loader: Loader,
}

impl Settings {
    /// What the cluster is called.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Which defaults are in force.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The settings of the node, without the sources of the section `discovery`, which only the
    /// [`builder`](Self::builder) takes. All paths in it are absolute.
    pub fn config(&self) -> &Config {
        &self.values.config
    }

    /// A node with these settings, and with the sources of the section `discovery`. What the
    /// program sets on it comes over them; a [`Discovery`](clustron_core::Discovery) of its own
    /// comes beside them.
    pub fn builder(&self) -> ClusterBuilder {
        let mut builder = Cluster::builder(&self.cluster)
            .config(self.values.config.clone())
            .layers(self.loader.layers.clone());
        for file in &self.values.discovery.files {
            builder = builder.discovery(FileSeeds::new(file));
        }
        names::add(builder, &self.values.discovery)
    }

    /// Where the value of a key comes from: `timing.leader_lease` in any spelling, or a tag such as
    /// `tags.zone`. `None` if there is no such key or tag.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        let wanted = folded(key);
        let known = KEYS.iter().map(Key::path).chain(self.origins.keys().cloned());
        let path = known.into_iter().find(|path| folded(path) == wanted)?;
        Some(draft::origin(&self.origins, self.profile, &path))
    }

    /// Looks at the files while the node runs. What may change while it runs is applied: `roles`
    /// and `tags`, in the order in which they differ from what was loaded before, so that roles and
    /// tags that the program has set otherwise stay. What may not is named in the log once, by
    /// key: it takes a restart. Files that are wrong change nothing, and the log says why.
    ///
    /// Key rings, certificates and lists of seeds, which settings only name, the node follows by
    /// itself, also without this; only another path takes a restart.
    ///
    /// The environment is as it was when it was loaded: a running process has no other.
    ///
    /// It ends with the node, and when the [`Follower`] is dropped.
    pub fn follow(&self, node: &ClusterHandle) -> Follower {
        Follower::start(self.clone(), node)
    }

    /// Whether the node looks for others elsewhere than at the seeds.
    #[cfg(test)]
    pub(crate) fn has_sources(&self) -> bool {
        !self.values.discovery.is_empty()
    }

    /// The value of a key as TOML; `None` where nothing is set.
    pub(crate) fn shown(&self, key: &Key) -> Option<String> {
        match key.field {
            Field::Cluster => Some(literal(&self.cluster)),
            Field::Profile => Some(literal(&self.profile.to_string())),
            // One line, to compare it by.
            Field::Tags(_) => Some(format!("{:?}", self.values.config.tags)),
            // The lens wants something that it could change.
            field => field.shown(&mut self.values.clone()),
        }
    }

    fn line(&self, key: &Key) -> String {
        let origin = draft::origin(&self.origins, self.profile, &key.path());
        match self.shown(key) {
            Some(_) if key.secret => format!("{} = {HIDDEN} # {origin}\n", key.name),
            Some(value) => format!("{} = {value} # {origin}\n", key.name),
            None => format!("# {} is not set\n", key.name),
        }
    }
}

/// Without the values, among which there may be secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("cluster", &self.cluster)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |key: &&Key| !matches!(key.field, Field::Tags(_));
        for key in KEYS.iter().filter(|key| key.section.is_empty()).filter(plain) {
            f.write_str(&self.line(key))?;
        }
        if !self.values.config.tags.is_empty() {
            f.write_str("\n[tags]\n")?;
        }
        for (tag, value) in &self.values.config.tags {
            let origin = draft::origin(&self.origins, self.profile, &format!("tags.{tag}"));
            writeln!(f, "{} = {} # {origin}", literal(tag), literal(value))?;
        }
        for section in keys::sections() {
            write!(f, "\n[{section}]\n")?;
            for key in KEYS.iter().filter(|key| key.section == section) {
                f.write_str(&self.line(key))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let settings = Loader::new().cluster("shop").load().unwrap();
        let listen = keys::find("", "listen").unwrap();
        assert_eq!(settings.line(listen), "listen = \"127.0.0.1:0\" # default\n");
        let secret = Key { secret: true, ..*listen };
        assert_eq!(settings.line(&secret), "listen = \"(hidden)\" # default\n");
    }
}
