//! What differs between two settings, and what of it a running node takes.

use std::collections::{BTreeMap, BTreeSet};

use clustron_core::{Metadata, Role};

use crate::keys::KEYS;
use crate::settings::Settings;

/// The difference between the settings that are in force and those that the files hold now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    roles_added: BTreeSet<Role>,
    roles_removed: BTreeSet<Role>,
    tags_set: BTreeMap<String, String>,
    tags_removed: BTreeSet<String>,
    /// Keys that take a restart, and their new values.
    pub(crate) restart: BTreeMap<String, String>,
}

impl Change {
    pub(crate) fn between(before: &Settings, after: &Settings) -> Self {
        let (old, new) = (before.config(), after.config());
        let mut restart = BTreeMap::new();
        for key in KEYS.iter().filter(|key| !key.live) {
            let value = after.shown(key);
            if before.shown(key) != value {
                let told = if key.secret { Some("another secret".to_owned()) } else { value };
                restart.insert(key.path(), told.unwrap_or_else(|| "not set".to_owned()));
            }
        }
        let tags_set = new.tags.iter().filter(|(tag, value)| old.tags.get(*tag) != Some(value));
        Self {
            roles_added: new.roles.difference(&old.roles).cloned().collect(),
            roles_removed: old.roles.difference(&new.roles).cloned().collect(),
            tags_set: tags_set.map(|(tag, value)| (tag.clone(), value.clone())).collect(),
            tags_removed: old
                .tags
                .keys()
                .filter(|tag| !new.tags.contains_key(*tag))
                .cloned()
                .collect(),
            restart,
        }
    }

    pub(crate) fn has_roles(&self) -> bool {
        !self.roles_added.is_empty() || !self.roles_removed.is_empty()
    }

    pub(crate) fn has_tags(&self) -> bool {
        !self.tags_set.is_empty() || !self.tags_removed.is_empty()
    }

    /// Changes what differs, and leaves alone what the program has set otherwise.
    pub(crate) fn apply_roles(&self, node: &mut Metadata) {
        node.roles.retain(|role| !self.roles_removed.contains(role));
        node.roles.extend(self.roles_added.iter().cloned());
    }

    /// As [`apply_roles`](Self::apply_roles).
    pub(crate) fn apply_tags(&self, node: &mut Metadata) {
        node.tags.retain(|tag, _| !self.tags_removed.contains(tag));
        node.tags.extend(self.tags_set.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::Loader;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Loader::new().cluster("shop").env_from(variables.iter().copied()).load().unwrap()
    }

    #[test]
    fn equal_settings_do_not_differ() {
        let one = settings(&[("CLUSTRON__TAGS__ZONE", "eu")]);
        assert_eq!(Change::between(&one, &one), Change::default());
    }

    #[test]
    fn what_the_program_has_set_otherwise_stays() {
        let before = settings(&[("CLUSTRON__TAGS__ZONE", "eu"), ("CLUSTRON__TAGS__RACK", "1")]);
        let after =
            settings(&[("CLUSTRON__TAGS__ZONE", "us"), ("CLUSTRON__ROLES", "member,custom:gpu")]);
        let change = Change::between(&before, &after);
        assert!(change.has_roles() && change.has_tags());
        let tags = [("zone", "eu"), ("rack", "1"), ("version", "7")];
        let mut node = Metadata {
            roles: [Role::Member, Role::Custom("blue".into())].into(),
            tags: tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).into(),
        };
        change.apply_roles(&mut node);
        change.apply_tags(&mut node);
        let tags = [("version", "7"), ("zone", "us")];
        assert_eq!(node.tags, tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).into());
        let custom = |name: &str| Role::Custom(name.to_owned());
        assert_eq!(node.roles, [Role::Member, custom("blue"), custom("gpu")].into());
    }

    #[test]
    fn what_takes_a_restart_is_named_with_its_new_value() {
        let before = settings(&[("CLUSTRON__NAME", "a")]);
        let after = settings(&[("CLUSTRON__TIMING__LEADER_LEASE", "400ms")]);
        let restart = Change::between(&before, &after).restart;
        let expected = [("name", "not set"), ("timing.leader_lease", "\"400ms\"")];
        assert_eq!(restart, expected.map(|(key, value)| (key.into(), value.into())).into());
    }
}
