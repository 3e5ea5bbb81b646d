//! Layers over each other, from files as people write them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clustron_config::{Loader, Origin, Profile, Settings};
use clustron_core::membership::DetectorKind;
use clustron_core::pipeline::LayerConfig;
use clustron_core::{FileSeeds, Role, Security};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// Loads files with these texts, in this order.
fn load(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let mut loader = Loader::new().env_from(variables.iter().copied());
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        loader = loader.file(path);
    }
    loader.load().unwrap()
}

/// Where a key comes from, with the name of a file only.
fn origin(settings: &Settings, key: &str) -> String {
    match settings.origin(key).unwrap() {
        Origin::File { path, line } => {
            format!("{}:{line}", path.file_name().unwrap().to_str().unwrap())
        }
        other => other.to_string(),
    }
}

#[test]
fn the_examples_of_all_formats_say_the_same() {
    let names = ["clustron.toml", "clustron.json", "clustron.yaml", "clustron.xml"];
    let mut all: Vec<Settings> =
        names.iter().map(|name| Loader::new().file(example(name)).load().unwrap()).collect();
    all.push(Loader::new().appsettings(example(""), None).load().unwrap());
    all.push(Loader::new().file(example("appsettings.json")).load().unwrap());
    for settings in &all {
        assert_eq!((settings.cluster(), settings.profile()), ("shop", Profile::Lan));
        assert_eq!(settings.config(), all[0].config());
    }
    let config = all[0].config();
    assert_eq!(config.name.as_deref(), Some("shop-1"));
    assert_eq!((config.seeds.len(), config.expect, config.voters_max), (3, Some(3), 3));
    assert_eq!(config.roles, [Role::Member, Role::Custom("checkout".into())].into());
    assert_eq!((&*config.tags["zone"], &*config.tags["rack"]), ("eu-1", "7"));
    assert_eq!(config.frame_bytes_max, 8 << 20);
    assert_eq!(config.timing.leader_silence, Duration::from_millis(1500));
    assert_eq!(config.membership.detector, DetectorKind::Quorum(Box::new(DetectorKind::Heartbeat)));
    assert_eq!(config.membership.phi_threshold, 10);
    let compress = LayerConfig::new("compress").with("above_bytes", 4096);
    assert_eq!(config.pipeline.data, [compress, LayerConfig::new("reliable")]);
    let keys = PathBuf::from("/etc/shop/cluster-keys");
    assert_eq!(config.security, Security::Key(keys.into()));
    for settings in &all {
        let printed = settings.to_string();
        assert!(printed.contains("\nfiles = [\"/etc/shop/seeds\"] # "), "{printed}");
    }
    let examples = fs::read_dir(example("")).unwrap().count();
    assert_eq!(examples, names.len() + 1, "each is tested");
}

#[test]
fn a_later_layer_covers_an_earlier_one_key_by_key() {
    let settings = load(
        &[
            (
                "base.toml",
                "cluster = 'shop'\nname = 'a'\nvoters_max = 3\n[tags]\nzone = 'eu'\nRack-Id = '1'",
            ),
            ("over.yaml", "name: b\nlisten: 'h:1'\nseeds: [x:1, y:1]\ntags: {disk: ssd}"),
        ],
        &[
            ("CLUSTRON__LISTEN", "h:2"),
            ("CLUSTRON__SEEDS", "z:1, y:1,w:1"),
            ("CLUSTRON__TAGS__RACK_ID", "2"),
            ("CLUSTRON__TAGS__ROOM", "7"),
            ("Clustron__Timing__LeaderLease", "400ms"),
            ("UNRELATED", "x"),
        ],
    );
    let config = settings.config();
    assert_eq!((settings.cluster(), config.name.as_deref()), ("shop", Some("b")));
    assert_eq!((&*config.listen, config.voters_max), ("h:2", 3));
    assert_eq!(config.seeds, ["z:1", "y:1", "w:1"]);
    let tags: Vec<(&str, &str)> = config.tags.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(tags, [("Rack-Id", "2"), ("disk", "ssd"), ("room", "7"), ("zone", "eu")]);
    for (key, expected) in [
        ("cluster", "base.toml:1"),
        ("name", "over.yaml:1"),
        ("VotersMax", "base.toml:3"),
        ("listen", "CLUSTRON__LISTEN"),
        ("tags.zone", "base.toml:5"),
        ("tags.rack_id", "CLUSTRON__TAGS__RACK_ID"),
        ("tags.disk", "over.yaml:4"),
        ("timing.leader_lease", "Clustron__Timing__LeaderLease"),
        ("timing.leader_silence", "profile lan"),
        ("expect", "default"),
    ] {
        assert_eq!(origin(&settings, key), expected, "{key}");
    }
    assert_eq!(settings.origin("colour"), None);
    assert_eq!(settings.origin("tags.colour"), None);
}

#[test]
fn the_profile_lies_below_all_layers_wherever_it_is_set() {
    let file = ("a.toml", "cluster = 'shop'\n[timing]\nleader_lease = '2500ms'");
    let settings = load(&[file], &[("CLUSTRON__PROFILE", "wan")]);
    assert_eq!(settings.profile(), Profile::Wan);
    assert_eq!(settings.config().timing.leader_lease, Duration::from_millis(2500));
    assert_eq!(settings.config().timing.leader_silence, Duration::from_secs(6));
    assert_eq!(settings.config().membership.probe_interval, Duration::from_secs(1));
    assert_eq!(origin(&settings, "timing.leader_silence"), "profile wan");
    let local = load(&[("a.json", "{\"cluster\": \"shop\", \"Profile\": \"Local\"}")], &[]);
    assert_eq!(local.config(), &clustron_core::Config::local());
}

#[test]
fn appsettings_of_the_environment_lie_over_the_common_ones() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("appsettings.json", "{\"Clustron\": {\"Cluster\": \"shop\", \"VotersMax\": 3}}");
    write("appsettings.Production.json", "{\"Clustron\": {\"VotersMax\": 5, /* more */ },}");
    let voters_max = |environment| {
        let settings = Loader::new().appsettings(folder.path(), environment).load().unwrap();
        settings.config().voters_max
    };
    assert_eq!(voters_max(None), 3);
    assert_eq!(voters_max(Some("Production")), 5);
    assert_eq!(voters_max(Some("Staging")), 3, "it need not have a file");
}

#[test]
fn what_is_printed_can_be_loaded_and_says_the_same() {
    let odd =
        "cluster = 'shop'\nname = 'a'\ndata_dir = 'C:\\dir \"x\"\\u'\n[tags]\n'a.b' = \"x\\ty\"";
    let secure = "cluster = 'shop'\nexpect = 3\nsecurity.cluster_keys = 'keys'\n[discovery]\n\
                  files = ['one', 'a/two']";
    for settings in [
        Loader::new().file(example("clustron.yaml")).load().unwrap(),
        load(&[("odd.toml", odd)], &[("CLUSTRON__TIMING__CONNECT_TIMEOUT", "12345us")]),
        load(&[("secure.toml", secure)], &[]),
        Loader::new().cluster("shop").load().unwrap(),
    ] {
        let printed = settings.to_string();
        let again = load(&[("again.toml", &printed)], &[]);
        assert_eq!(again.config(), settings.config(), "{printed}");
        assert_eq!(again.cluster(), settings.cluster());
        let files = |printed: &str| {
            let line = printed.lines().find(|line| line.starts_with("files = ")).unwrap();
            line.split('#').next().unwrap().to_owned()
        };
        assert_eq!(files(&again.to_string()), files(&printed));
    }
}

#[test]
fn every_line_that_is_printed_says_where_its_value_comes_from() {
    let variables = [("CLUSTRON__TIMING__LEADER_LEASE", "400ms"), ("CLUSTRON__TAGS__ZONE", "eu")];
    let settings = Loader::new().cluster("shop").env_from(variables).load().unwrap();
    let printed = settings.to_string();
    for line in [
        "cluster = \"shop\" # program",
        "profile = \"lan\" # default",
        "# name is not set",
        "frame_bytes_max = \"8MiB\" # default",
        "\"zone\" = \"eu\" # CLUSTRON__TAGS__ZONE",
        "leader_lease = \"400ms\" # CLUSTRON__TIMING__LEADER_LEASE",
        "leader_silence = \"1s\" # profile lan",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in\n{printed}");
    }
}

#[test]
fn what_the_program_calls_the_cluster_gives_way_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, "cluster = 'files'").unwrap();
    let loader = Loader::new().cluster("program");
    assert_eq!(loader.load().unwrap().cluster(), "program");
    assert_eq!(loader.file(path).load().unwrap().cluster(), "files");
}

#[test]
fn paths_are_relative_to_the_file_that_names_them_and_else_to_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("conf.d");
    fs::create_dir(&inner).unwrap();
    let (outer, inner) = (folder.path().join("a.toml"), inner.join("b.yaml"));
    let text = "cluster = 'shop'\nexpect = 3\ndata_dir = 'data'\n[discovery]\n\
                files = ['seeds', '/etc/seeds']";
    fs::write(&outer, text).unwrap();
    fs::write(&inner, "security: {cluster_keys: ../keys}").unwrap();
    let loader = Loader::new().file(&outer).file(&inner);
    let settings = loader.clone().load().unwrap();
    let at = |path: &str| folder.path().join(path);
    let config = settings.config();
    assert_eq!(config.data_dir, Some(at("data")));
    assert_eq!(config.security, Security::Key(at("conf.d/../keys").into()));
    let line = format!("files = [\"{}\", \"/etc/seeds\"] # ", at("seeds").display());
    assert!(settings.to_string().contains(&line), "{settings}");

    let variables = [("CLUSTRON__DATA_DIR", "data"), ("CLUSTRON__SECURITY__CLUSTER_KEYS", "/keys")];
    let settings = loader.env_from(variables).load().unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(settings.config().data_dir, Some(here.join("data")));
    assert_eq!(settings.config().security, Security::Key(PathBuf::from("/keys").into()));

    // A file that is named by a relative path itself: tests run where the manifest is.
    let named = Loader::new().file("examples/clustron.toml").env_from([("CLUSTRON__NAME", "b")]);
    let origin = named.load().unwrap().origin("cluster").unwrap().to_string();
    assert_eq!(origin, "examples/clustron.toml:2", "messages name it as the program does");
}

#[test]
fn a_program_with_a_discovery_of_its_own_says_so() {
    let observer = || Loader::new().cluster("shop").env_from([("CLUSTRON__ROLES", "observer")]);
    let error = observer().load().unwrap_err().to_string();
    assert!(error.contains("seeds is []") && error.contains("`discovery`"), "{error}");
    let settings = observer().program_discovery().load().unwrap();
    drop(settings.builder().discovery(FileSeeds::new("seeds")));
    let member = || Loader::new().cluster("shop").program_discovery();
    let error = member().load().unwrap_err().to_string();
    assert!(error.starts_with("default: expect is not set: with a `discovery`"), "{error}");
    member().env_from([("CLUSTRON__EXPECT", "3")]).load().unwrap();
    // The section is as good as a source of the program's.
    let sections = [("CLUSTRON__ROLES", "observer"), ("CLUSTRON__DISCOVERY__FILES", "/seeds")];
    Loader::new().cluster("shop").env_from(sections).load().unwrap();
}

#[test]
fn an_optional_file_may_be_absent() {
    let loader = Loader::new().cluster("shop").optional_file("no/such/file.toml");
    assert_eq!(loader.load().unwrap().config(), &clustron_core::Config::default());
}

#[tokio::test]
async fn the_program_has_the_last_word() {
    let file = ("a.toml", "cluster = 'shop'\nname = 'a'\n[tags]\nzone = 'eu'");
    let settings = load(&[file], &[]);
    let node = settings.builder().name("b").tag("disk", "ssd").start().await.unwrap();
    assert_eq!(node.node().name.as_str(), "b");
    assert_eq!((&*node.node().tags["zone"], &*node.node().tags["disk"]), ("eu", "ssd"));
}
