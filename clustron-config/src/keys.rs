//! All keys there are: one table, from which files are read, settings are printed, misspellings are
//! told, and changes of a running node are judged. The README documents each of them.

use crate::field::Field;
use crate::format::SECTION;
use crate::nearest::nearest;
use crate::tree::{folded, same};

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// The table in which it stands; empty for the top level.
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    /// Where the value goes, and so what it may be.
    pub(crate) field: Field,
    /// Whether a running node takes a new value.
    pub(crate) live: bool,
    /// Whether the value must not be shown to anybody.
    pub(crate) secret: bool,
}

impl Key {
    const fn new(section: &'static str, name: &'static str, field: Field) -> Self {
        Self { section, name, field, live: false, secret: false }
    }

    const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// As messages name it: `timing.leader_lease`.
    pub(crate) fn path(&self) -> String {
        path(self.section, self.name)
    }
}

/// Every key, in the order in which settings are printed. A new section is nothing but rows with
/// its name.
pub(crate) const KEYS: &[Key] = &[
    Key::new("", "cluster", Field::Cluster),
    Key::new("", "profile", Field::Profile),
    Key::new("", "name", Field::OptionalText(|c| &mut c.name)),
    Key::new("", "listen", Field::Text(|c| &mut c.listen)),
    Key::new("", "advertise", Field::OptionalText(|c| &mut c.advertise)),
    Key::new("", "seeds", Field::Texts(|c| &mut c.seeds)),
    Key::new("", "expect", Field::OptionalCount(|c| &mut c.expect)),
    Key::new("", "roles", Field::Roles(|c| &mut c.roles)).live(),
    Key::new("", "data_dir", Field::Path(|c| &mut c.data_dir)),
    Key::new("", "snapshot_entries", Field::Long(|c| &mut c.snapshot_entries)),
    Key::new("", "voters_max", Field::Count(|c| &mut c.voters_max)),
    Key::new("", "voters_min", Field::Count(|c| &mut c.voters_min)),
    Key::new("", "frame_bytes_max", Field::Size(|c| &mut c.frame_bytes_max)),
    Key::new("", "connections_max", Field::Count(|c| &mut c.connections_max)),
    Key::new("", "connections_per_peer_max", Field::Count(|c| &mut c.connections_per_peer_max)),
    Key::new("", "data_idle_timeout", Field::Duration(|c| &mut c.data_idle_timeout)),
    Key::new("", "metrics_interval", Field::Duration(|c| &mut c.metrics_interval)),
    Key::new("", "tags", Field::Tags(|c| &mut c.tags)).live(),
    timing("heartbeat_interval", |c| &mut c.timing.heartbeat_interval),
    timing("leader_lease", |c| &mut c.timing.leader_lease),
    timing("leader_silence", |c| &mut c.timing.leader_silence),
    timing("view_stable_after", |c| &mut c.timing.view_stable_after),
    timing("voter_stable_after", |c| &mut c.timing.voter_stable_after),
    timing("connect_timeout", |c| &mut c.timing.connect_timeout),
    timing("request_deadline", |c| &mut c.timing.request_deadline),
    timing("formation_timeout", |c| &mut c.timing.formation_timeout),
    membership("detector", Field::Detector(|c| &mut c.membership.detector)),
    membership("probe_interval", Field::Duration(|c| &mut c.membership.probe_interval)),
    membership("probe_timeout", Field::Duration(|c| &mut c.membership.probe_timeout)),
    membership("indirect_probes", Field::Count(|c| &mut c.membership.indirect_probes)),
    membership("heartbeat_interval", Field::Duration(|c| &mut c.membership.heartbeat_interval)),
    membership("heartbeat_watchers", Field::Count(|c| &mut c.membership.heartbeat_watchers)),
    membership("phi_threshold", Field::Short(|c| &mut c.membership.phi_threshold)),
    membership("observers", Field::Count(|c| &mut c.membership.observers)),
    membership("suspicion_timeout", Field::Duration(|c| &mut c.membership.suspicion_timeout)),
    membership(
        "suspicion_timeout_max",
        Field::Duration(|c| &mut c.membership.suspicion_timeout_max),
    ),
    membership("gone_confirm", Field::Duration(|c| &mut c.membership.gone_confirm)),
    membership("gossip_interval", Field::Duration(|c| &mut c.membership.gossip_interval)),
    membership("gossip_fanout", Field::Count(|c| &mut c.membership.gossip_fanout)),
    membership("gossip_multiplier", Field::Short(|c| &mut c.membership.gossip_multiplier)),
    membership("sync_interval", Field::Duration(|c| &mut c.membership.sync_interval)),
    membership("local_health_max", Field::Short(|c| &mut c.membership.local_health_max)),
    membership("late_timer", Field::Duration(|c| &mut c.membership.late_timer)),
];

const fn timing(
    name: &'static str,
    lens: fn(&mut clustron_core::Config) -> &mut std::time::Duration,
) -> Key {
    Key::new("timing", name, Field::Duration(lens))
}

const fn membership(name: &'static str, field: Field) -> Key {
    Key::new("membership", name, field)
}

/// The key with this name in the section, however it is spelled.
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && same(key.name, name))
}

/// The section with this name, however it is spelled.
pub(crate) fn find_section(name: &str) -> Option<&'static str> {
    sections().find(|section| same(section, name))
}

/// The sections, in the order of the table.
pub(crate) fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    KEYS.iter()
        .map(|key| key.section)
        .filter(move |section| std::mem::replace(&mut last, section) != *section)
}

/// The full name of a key in a section.
pub(crate) fn path(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// What to do about a key that does not exist: the one that was meant, or those there are.
pub(crate) fn remedy(section: &str, name: &str) -> String {
    let word = folded(name);
    if section.is_empty() && word == SECTION {
        let text = "only an appsettings.json has such a section; write its keys at the top level";
        return text.to_owned();
    }
    let here = KEYS.iter().filter(|key| key.section == section).map(|key| (key.name, key.path()));
    let tables = sections().filter(|_| section.is_empty());
    let here: Vec<(&str, String)> =
        here.chain(tables.map(|name| (name, name.to_owned()))).collect();
    // A key of another section is meant only if it is called just so.
    let elsewhere = KEYS.iter().find(|key| word == folded(key.name) || word == folded(&key.path()));
    let near = || {
        let names: Vec<String> = here.iter().map(|(name, _)| folded(name)).collect();
        let found = nearest(&word, names.iter().map(String::as_str))?;
        let at = names.iter().position(|name| name == found)?;
        Some(here[at].1.clone())
    };
    let joined = || KEYS.iter().map(Key::path).find(|path| word == folded(&path.replace('.', "")));
    match elsewhere.map(Key::path).or_else(joined).or_else(near) {
        Some(path) => format!("did you mean {path}?"),
        None => {
            let names: Vec<&str> = here.iter().map(|(name, _)| *name).collect();
            format!("there are {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
