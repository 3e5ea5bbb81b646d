use std::collections::BTreeSet;
use std::path::Path;

use clustron_core::pipeline::PipelineConfig;
use clustron_core::{Config, MembershipConfig, Timing, TlsConfig};

use super::*;
use crate::security::SecurityFiles;
use crate::sources::Sources;

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
        connections_max, connections_per_peer_max, data_idle_timeout, metrics_interval,
        ready_staleness_max, pipeline, timing, membership);
    let sections: BTreeSet<&str> = sections().collect();
    let top: BTreeSet<&str> = names("").union(&sections).copied().collect();
    assert_eq!(top, config.into_iter().chain(["cluster", "profile", "discovery"]).collect());
    let security = fields!(SecurityFiles: cluster_keys, certificate, key, authority, peer_name);
    assert_eq!(names("security"), security.into());
    // Does not compile when certificates have got another setting.
    let TlsConfig { certificate: _, key: _, authority: _, peer_name: _ } =
        TlsConfig::new("", "", "");
    let discovery = fields!(Sources: files, dns, srv, name_servers);
    assert_eq!(names("discovery"), discovery.into());
    let pipeline = fields!(PipelineConfig: data, bulk);
    assert_eq!(names("pipeline"), pipeline.into());
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
        // A field that two keys name would change with both.
        let others = KEYS.iter().filter(|other| other.path() != key.path());
        let mut changed = settings.clone();
        let value = match key.field {
            Field::Duration(_) => "17h",
            Field::Count(_) | Field::OptionalCount(_) | Field::Long(_) | Field::Short(_) => "1017",
            Field::Size(_) => "1017",
            Field::Texts(_) | Field::Text(_) | Field::OptionalText(_) => "h:17",
            Field::Directory(_) | Field::File(_) | Field::Files(_) => "d17",
            Field::DnsNames(_) | Field::SrvNames(_) if !cfg!(feature = "dns") => continue,
            Field::DnsNames(_) => "h.internal:17",
            Field::SrvNames(_) => "_h._tcp.internal",
            Field::Servers(_) => "10.0.0.17:53",
            Field::Roles(_) => "witness",
            Field::Detector(_) => "quorum:heartbeat",
            Field::Layers(_) => "compress above_bytes=17",
            Field::Cluster | Field::Profile | Field::Tags(_) => continue,
        };
        let value = crate::tree::Value::Text(value.to_owned());
        key.field.put(&mut changed.values, &value, Path::new("/")).unwrap();
        assert_ne!(changed.shown(key), settings.shown(key), "{}", key.path());
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
        ("", "cluster_keys", "did you mean security.cluster_keys?"),
        ("", "dns", "did you mean discovery.dns?"),
        ("security", "certificates", "did you mean security.certificate?"),
        ("timing", "leaderlease2", "did you mean timing.leader_lease?"),
    ] {
        assert_eq!(remedy(section, name), meant, "{section} {name}");
    }
    assert!(remedy("timing", "colour").starts_with("there are heartbeat_interval, leader_lease, "));
    assert!(
        remedy("", "colour").ends_with("tags, security, discovery, pipeline, timing, membership")
    );
    assert!(remedy("membership", "probe").starts_with("there are "), "profile is another matter");
    assert!(remedy("", "Clustron").starts_with("only an appsettings.json has such a section"));
}
