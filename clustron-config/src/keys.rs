//! All keys there are: one table, from which files are read, settings are printed, misspellings are
//! told, and changes of a running node are judged. The README documents each of them.

use crate::field::Field;
use crate::format::SECTION;
use crate::nearest::nearest;
use crate::tree::{folded, same};
use crate::values::Values;

/// Sources of addresses, of which rules about founding speak.
pub(crate) const DISCOVERY: &str = "discovery";
const TIMING: &str = "timing";
const MEMBERSHIP: &str = "membership";

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
    Key::new("", "name", Field::OptionalText(|v| &mut v.config.name)),
    Key::new("", "listen", Field::Text(|v| &mut v.config.listen)),
    Key::new("", "advertise", Field::OptionalText(|v| &mut v.config.advertise)),
    Key::new("", "seeds", Field::Texts(|v| &mut v.config.seeds)),
    Key::new("", "expect", Field::OptionalCount(|v| &mut v.config.expect)),
    Key::new("", "roles", Field::Roles(|v| &mut v.config.roles)).live(),
    Key::new("", "data_dir", Field::Directory(|v| &mut v.config.data_dir)),
    Key::new("", "snapshot_entries", Field::Long(|v| &mut v.config.snapshot_entries)),
    Key::new("", "voters_max", Field::Count(|v| &mut v.config.voters_max)),
    Key::new("", "voters_min", Field::Count(|v| &mut v.config.voters_min)),
    Key::new("", "frame_bytes_max", Field::Size(|v| &mut v.config.frame_bytes_max)),
    Key::new("", "connections_max", Field::Count(|v| &mut v.config.connections_max)),
    Key::new(
        "",
        "connections_per_peer_max",
        Field::Count(|v| &mut v.config.connections_per_peer_max),
    ),
    Key::new("", "data_idle_timeout", Field::Duration(|v| &mut v.config.data_idle_timeout)),
    Key::new("", "metrics_interval", Field::Duration(|v| &mut v.config.metrics_interval)),
    Key::new("", "ready_staleness_max", Field::Duration(|v| &mut v.config.ready_staleness_max)),
    Key::new("", "tags", Field::Tags(|v| &mut v.config.tags)).live(),
    security("cluster_keys", Field::File(|v| &mut v.security.cluster_keys)),
    security("certificate", Field::File(|v| &mut v.security.certificate)),
    security("key", Field::File(|v| &mut v.security.key)),
    security("authority", Field::File(|v| &mut v.security.authority)),
    security("peer_name", Field::OptionalText(|v| &mut v.security.peer_name)),
    discovery("files", Field::Files(|v| &mut v.discovery.files)),
    discovery("dns", Field::DnsNames(|v| &mut v.discovery.dns)),
    discovery("srv", Field::SrvNames(|v| &mut v.discovery.srv)),
    discovery("name_servers", Field::Servers(|v| &mut v.discovery.name_servers)),
    pipeline("data", |v| &mut v.config.pipeline.data),
    pipeline("bulk", |v| &mut v.config.pipeline.bulk),
    timing("heartbeat_interval", |v| &mut v.config.timing.heartbeat_interval),
    timing("leader_lease", |v| &mut v.config.timing.leader_lease),
    timing("leader_silence", |v| &mut v.config.timing.leader_silence),
    timing("view_stable_after", |v| &mut v.config.timing.view_stable_after),
    timing("voter_stable_after", |v| &mut v.config.timing.voter_stable_after),
    timing("connect_timeout", |v| &mut v.config.timing.connect_timeout),
    timing("request_deadline", |v| &mut v.config.timing.request_deadline),
    timing("formation_timeout", |v| &mut v.config.timing.formation_timeout),
    membership("detector", Field::Detector(|v| &mut v.config.membership.detector)),
    membership("probe_interval", Field::Duration(|v| &mut v.config.membership.probe_interval)),
    membership("probe_timeout", Field::Duration(|v| &mut v.config.membership.probe_timeout)),
    membership("indirect_probes", Field::Count(|v| &mut v.config.membership.indirect_probes)),
    membership(
        "heartbeat_interval",
        Field::Duration(|v| &mut v.config.membership.heartbeat_interval),
    ),
    membership("heartbeat_watchers", Field::Count(|v| &mut v.config.membership.heartbeat_watchers)),
    membership("phi_threshold", Field::Short(|v| &mut v.config.membership.phi_threshold)),
    membership("observers", Field::Count(|v| &mut v.config.membership.observers)),
    membership(
        "suspicion_timeout",
        Field::Duration(|v| &mut v.config.membership.suspicion_timeout),
    ),
    membership(
        "suspicion_timeout_max",
        Field::Duration(|v| &mut v.config.membership.suspicion_timeout_max),
    ),
    membership("gone_confirm", Field::Duration(|v| &mut v.config.membership.gone_confirm)),
    membership("gossip_interval", Field::Duration(|v| &mut v.config.membership.gossip_interval)),
    membership("gossip_fanout", Field::Count(|v| &mut v.config.membership.gossip_fanout)),
    membership("gossip_multiplier", Field::Short(|v| &mut v.config.membership.gossip_multiplier)),
    membership("sync_interval", Field::Duration(|v| &mut v.config.membership.sync_interval)),
    membership("local_health_max", Field::Short(|v| &mut v.config.membership.local_health_max)),
    membership("late_timer", Field::Duration(|v| &mut v.config.membership.late_timer)),
];

const fn security(name: &'static str, field: Field) -> Key {
    Key::new("security", name, field)
}

const fn discovery(name: &'static str, field: Field) -> Key {
    Key::new(DISCOVERY, name, field)
}

const fn pipeline(
    name: &'static str,
    lens: fn(&mut Values) -> &mut Vec<clustron_core::pipeline::LayerConfig>,
) -> Key {
    Key::new("pipeline", name, Field::Layers(lens))
}

const fn timing(name: &'static str, lens: fn(&mut Values) -> &mut std::time::Duration) -> Key {
    Key::new(TIMING, name, Field::Duration(lens))
}

const fn membership(name: &'static str, field: Field) -> Key {
    Key::new(MEMBERSHIP, name, field)
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

/// Whether the profile decides on the defaults of this section.
pub(crate) fn has_profile(section: &str) -> bool {
    matches!(section, TIMING | MEMBERSHIP)
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
