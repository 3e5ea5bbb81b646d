use std::collections::BTreeSet;

use clustron_core::{Config, MembershipConfig, Timing};

use super::*;

const README: &str = include_str!("../../README.md");

/// The names of all fields; does not compile when one is missing.
macro_rules! fields {
    ($of:ident: $($name:ident),+) => {{
        let $of { $($name: _),+ } = $of::default();
        [$(stringify!($name)),+]
    }};
}

fn names(section: &str) -> BTreeSet<&'static str> {
    KEYS.iter().filter(|key| key.section == section).map(|key| key.name).collect()
}

#[test]
fn every_field_of_the_configuration_has_a_key() {
    let config = fields!(Config: name, listen, advertise, seeds, expect, roles, tags,
        snapshot_entries, data_dir, voters_max, voters_min, frame_bytes_max, security,
        connections_max, connections_per_peer_max, data_idle_timeout, metrics_interval, timing,
        membership);
    // Not in files yet.
    let config = config.into_iter().filter(|field| *field != "security");
    let sections: BTreeSet<&str> = sections().collect();
    let top: BTreeSet<&str> = names("").union(&sections).copied().collect();
    assert_eq!(top, config.chain(["cluster", "profile"]).collect());
    let timing = fields!(Timing: heartbeat_interval, leader_lease, leader_silence,
        view_stable_after, voter_stable_after, connect_timeout, request_deadline,
        formation_timeout);
    assert_eq!(names("timing"), timing.into());
    let membership = fields!(MembershipConfig: detector, probe_interval, probe_timeout,
        indirect_probes, heartbeat_interval, heartbeat_watchers, phi_threshold, observers,
        suspicion_timeout, suspicion_timeout_max, gone_confirm, gossip_interval, gossip_fanout,
        gossip_multiplier, sync_interval, local_health_max, late_timer);
    assert_eq!(names("membership"), membership.into());
}

#[test]
fn every_key_has_a_place_of_its_own() {
    let settings = crate::Loader::new().cluster("shop").load().unwrap();
    for key in KEYS {
        let Some(shown) = settings.shown(key) else { continue };
        // A field that two keys name would change with both.
        let others = KEYS.iter().filter(|other| other.path() != key.path());
        let mut changed = settings.clone();
        let value = match key.field {
            Field::Duration(_) => "17h",
            Field::Count(_) | Field::Long(_) | Field::Short(_) | Field::Size(_) => "1017",
            Field::Texts(_) | Field::Text(_) => "h:17",
            Field::Roles(_) => "witness",
            Field::Detector(_) => "quorum:heartbeat",
            _ => continue,
        };
        let value = crate::tree::Value::Text(value.to_owned());
        key.field.put(&mut changed.config, &value).unwrap();
        assert_ne!(changed.shown(key), Some(shown), "{}", key.path());
        for other in others {
            assert_eq!(changed.shown(other), settings.shown(other), "{}", other.path());
        }
    }
}

#[test]
fn keys_differ_however_they_are_spelled() {
    let mut seen = BTreeSet::new();
    for path in KEYS.iter().map(Key::path).chain(sections().map(str::to_owned)) {
        assert!(seen.insert(folded(&path)), "{path}");
    }
}

/// Documented rows begin with the key in code quotes.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = README.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| line.split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_readme_documents_every_key_once_with_kind_default_and_whether_it_reloads() {
    let rows = rows();
    let documented: Vec<&str> = rows.iter().map(|row| row[1].trim_matches('`')).collect();
    let keys: Vec<String> = KEYS.iter().map(Key::path).collect();
    assert_eq!(documented, keys);
    let settings = crate::Loader::new().load().unwrap_err();
    assert!(settings.to_string().contains("cluster is not set"), "it alone has no default");
    let settings = crate::Loader::new().cluster("shop").load().unwrap();
    for (row, key) in rows.iter().zip(KEYS) {
        assert_eq!(row[2], key.field.kind(), "{}", key.path());
        let default = match (key.field, settings.shown(key)) {
            (Field::Cluster | Field::Tags(_), _) | (_, None) => String::new(),
            (_, Some(shown)) => format!("`{}`", shown.trim_matches('"')),
        };
        assert_eq!(row[3], default, "{}", key.path());
        assert_eq!(row[4], if key.live { "yes" } else { "" }, "{}", key.path());
        assert!(row[5].len() > 10, "{} is not explained", key.path());
    }
}

#[test]
fn a_misspelt_key_is_told_what_was_meant() {
    for (section, name, meant) in [
        ("", "voter_max", "did you mean voters_max?"),
        ("", "Datadir2", "did you mean data_dir?"),
        ("", "leader_lease", "did you mean timing.leader_lease?"),
        ("", "timing.leader_lease", "did you mean timing.leader_lease?"),
        ("", "timings", "did you mean timing?"),
        ("timing", "listen", "did you mean listen?"),
        ("timing", "ProbeInterval", "did you mean membership.probe_interval?"),
        ("", "timing_leader_lease", "did you mean timing.leader_lease?"),
        ("timing", "leaderlease2", "did you mean timing.leader_lease?"),
    ] {
        assert_eq!(remedy(section, name), meant, "{section} {name}");
    }
    assert!(remedy("timing", "colour").starts_with("there are heartbeat_interval, leader_lease, "));
    assert!(remedy("", "colour").ends_with("tags, timing, membership"));
    assert!(remedy("membership", "probe").starts_with("there are "), "profile is another matter");
    assert!(remedy("", "Clustron").starts_with("only an appsettings.json has such a section"));
}
