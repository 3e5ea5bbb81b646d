//! Tests of the configuration.

use super::*;

#[test]
fn the_profiles_are_valid() {
    for config in [Config::local(), Config::lan(), Config::wan()] {
        config.check().unwrap();
    }
}

#[test]
fn wrong_values_are_refused_with_the_key_the_value_and_the_remedy() {
    let ok = Config::default;
    let timing = |change: fn(&mut Timing)| {
        let mut timing = Timing::lan();
        change(&mut timing);
        Config { timing, ..ok() }
    };
    for (config, key, value) in [
        (Config { name: Some("a b".into()), ..ok() }, "node name", "\"a b\""),
        (Config { listen: "nowhere".into(), ..ok() }, "listen", "\"nowhere\""),
        (Config { advertise: Some("a:99999".into()), ..ok() }, "advertise", "a:99999"),
        (Config { seeds: vec!["a:1".into(), ":2".into()], ..ok() }, "seeds", "\":2\""),
        (Config { roles: BTreeSet::new(), ..ok() }, "roles", "at least one"),
        (Config { metrics_interval: Duration::ZERO, ..ok() }, "metrics_interval", "100 ms"),
        (Config { roles: [Role::Client].into(), ..ok() }, "seeds", "at least one other node"),
        (
            Config {
                roles: [Role::Observer].into(),
                listen: "a:1".into(),
                seeds: vec!["a:1".into()],
                ..ok()
            },
            "seeds",
            "[\"a:1\"]",
        ),
        (
            Config {
                roles: [Role::Observer].into(),
                seeds: vec!["a:1".into()],
                data_dir: Some("/d".into()),
                ..ok()
            },
            "data_dir",
            "/d",
        ),
        (Config { seeds: vec!["a:1".into(); 1025], ..ok() }, "seeds", "a list of 1025"),
        (Config { snapshot_entries: 99, ..ok() }, "snapshot_entries", "99"),
        (Config { voters_max: 4, ..ok() }, "voters_max", "4"),
        (Config { voters_max: 9, ..ok() }, "voters_max", "must be 1, 3, 5 or 7"),
        (Config { voters_min: 2, ..ok() }, "voters_min", "2"),
        (Config { voters_min: 7, ..ok() }, "voters_min", "at most voters_max, that is 5"),
        (Config { frame_bytes_max: 1, ..ok() }, "frame_bytes_max", "2097152"),
        (Config { connections_max: 1, ..ok() }, "connections_max", "from 16 to 65536"),
        (Config { connections_per_peer_max: 3, ..ok() }, "connections_per_peer_max", "3: must"),
        (Config { data_idle_timeout: Duration::ZERO, ..ok() }, "data_idle_timeout", "1 s to"),
        (Config { expect: Some(0), ..ok() }, "expect", "at least 1"),
        (Config { expect: Some(1), seeds: vec!["a:1".into()], ..ok() }, "expect", "at least 2"),
        (timing(|t| t.heartbeat_interval = Duration::ZERO), "heartbeat_interval", "10ms"),
        (timing(|t| t.leader_lease = Duration::from_millis(150)), "leader_lease", "200ms"),
        (timing(|t| t.leader_silence = Duration::from_millis(400)), "leader_silence", "600ms"),
        (timing(|t| t.view_stable_after = Duration::MAX), "view_stable_after", "60 s"),
    ] {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(value), "{error}");
    }
}

#[test]
fn all_that_cannot_be_used_is_found_at_once() {
    let mut config = Config { listen: "nowhere".into(), voters_max: 4, ..Config::default() };
    config.timing.connect_timeout = Duration::ZERO;
    config.membership.probe_timeout = Duration::ZERO;
    config.membership.observers = 9;
    let found: Vec<String> = config.problems().iter().map(ConfigError::to_string).collect();
    let keys = ["listen", "voters_max", "connect_timeout", "membership.probe_timeout"];
    assert_eq!(found.len(), 5, "{found:?}");
    for (found, key) in found.iter().zip(keys) {
        assert!(found.starts_with(&format!("{key} is ")), "{found}");
    }
    assert_eq!(config.check().unwrap_err().to_string(), found[0]);
}

#[test]
fn durations_without_end_are_refused_and_nothing_overflows() {
    let mut config = Config::default();
    config.timing.heartbeat_interval = Duration::MAX;
    config.timing.leader_lease = Duration::MAX;
    config.timing.leader_silence = Duration::MAX;
    config.membership.probe_interval = Duration::MAX;
    config.membership.suspicion_timeout = Duration::MAX;
    assert!(config.check().is_err());
}

#[test]
fn with_a_discovery_members_say_how_many_found_the_cluster_and_nobody_needs_seeds() {
    let member = |expect| Config { expect, ..Config::default() };
    let refused = |config: Config| config.check_with(true).unwrap_err().to_string();
    let error = refused(member(None));
    assert!(error.contains("expect is not set") && error.contains("set `expect`"), "{error}");
    let error = refused(member(Some(1)));
    assert!(error.contains("expect is 1") && error.contains("at least 2"), "{error}");
    let error = refused(Config { seeds: vec!["a:1".into(), "b:1".into()], ..member(None) });
    assert!(error.contains("set `expect`"), "{error}");
    member(Some(3)).check_with(true).unwrap();
    let observer = Config { roles: [Role::Observer].into(), ..Config::default() };
    observer.check_with(true).unwrap();
    assert!(observer.check().is_err());
}

#[test]
fn as_many_founders_are_expected_as_there_are_seeds_with_this_node() {
    let seeds = |seeds: &[&str]| Config {
        listen: "h:1".into(),
        seeds: seeds.iter().map(|s| (*s).to_owned()).collect(),
        ..Config::default()
    };
    assert_eq!(seeds(&[]).expected(), 1);
    assert_eq!(seeds(&["h:1"]).expected(), 1);
    assert_eq!(seeds(&["h:2", "h:3"]).expected(), 3);
    assert_eq!(seeds(&["h:1", "h:2", "h:3", "h:3"]).expected(), 3);
    let observer = Config { roles: [Role::Observer].into(), ..seeds(&["h:2", "h:3"]) };
    assert_eq!(observer.expected(), 2);
}
