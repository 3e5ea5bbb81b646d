//! Whole nodes that are started from files.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clustron_config::{Loader, Settings};
#[cfg(feature = "tls")]
use clustron_core::Security;
use clustron_core::{Cluster, ClusterKey, StartError};

/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(30);

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn settings(path: &Path) -> Settings {
    Loader::new().file(path).load().unwrap()
}

async fn start(path: &Path) -> Cluster {
    let starting = tokio::time::timeout(LONG, settings(path).builder().start()).await;
    starting.expect("it finds the others").unwrap()
}

fn key(name: &str) -> String {
    ClusterKey::generate(name).unwrap().to_line()
}

/// How often a node was called by somebody who could not prove that he belongs to it.
fn unproven(cluster: &Cluster) -> u64 {
    let name = "clustron_core_handshakes_unproven_total ";
    let text = cluster.metrics_text();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn nodes_with_the_same_keys_meet_at_seeds_of_a_file_and_others_are_not_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "keys", &key("spring"));
    write(folder, "other-keys", &key("spring"));
    let base = "cluster = 'shop'\nprofile = 'local'\n";
    let first = format!("{base}name = 'a'\nsecurity.cluster_keys = 'keys'\n");
    let a = start(&write(folder, "a.toml", &first)).await;
    write(folder, "seeds", &format!("# the first\n{}\n", a.node().addr));

    let second = format!("{base}name = 'b'\nexpect = 2\nsecurity.cluster_keys = 'keys'\n");
    let found = "discovery.files = ['seeds']\n";
    let b = start(&write(folder, "b.toml", &format!("{second}{found}"))).await;
    assert_eq!(b.cluster_id(), a.cluster_id());
    assert_eq!(b.view().nodes().count(), 2);
    assert_eq!(unproven(&a), 0);

    // The same name of a key, and another key.
    let third = second.replace("'b'", "'c'").replace("'keys'", "'other-keys'");
    let third = settings(&write(folder, "c.toml", &format!("{third}{found}")));
    let stranger = tokio::spawn(async move { third.builder().start().await.map(drop) });
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let refused = async {
        while unproven(&a) == 0 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LONG, refused).await.expect("the stranger calls");
    assert!(!stranger.is_finished(), "it waits for somebody who has its key");
    stranger.abort();
    assert_eq!((a.view().nodes().count(), b.view().nodes().count()), (2, 2));
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn nodes_with_certificates_of_one_authority_meet() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write(folder, "authority.pem", &authority.pem());
    let file = |name: &str, more: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["shop.internal".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        write(folder, &format!("{name}.pem"), &certificate.pem());
        write(folder, &format!("{name}-key.pem"), &key.serialize_pem());
        let text = format!(
            "cluster = 'shop'\nprofile = 'local'\nname = '{name}'\n{more}\n[security]\n\
             certificate = '{name}.pem'\nkey = '{name}-key.pem'\nauthority = 'authority.pem'\n\
             peer_name = 'shop.internal'\n"
        );
        write(folder, &format!("{name}.toml"), &text)
    };
    let a = start(&file("a", "")).await;
    let b = start(&file("b", &format!("expect = 2\nseeds = ['{}']", a.node().addr))).await;
    assert_eq!(b.cluster_id(), a.cluster_id());
    assert!(matches!(settings(&file("c", "")).config().security, Security::Tls(_)));
}

#[tokio::test]
async fn a_key_ring_that_is_not_there_stops_the_start_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let text = "cluster = 'shop'\nsecurity.cluster_keys = 'keys'\n";
    let error = settings(&write(folder.path(), "a.toml", text)).builder().start().await;
    let Err(StartError::Security(error)) = error else { panic!("{error:?}") };
    let path = folder.path().join("keys").display().to_string();
    assert!(error.to_string().contains(&path), "{error}");
}

#[tokio::test]
async fn each_example_starts_a_node_where_its_files_and_addresses_are_those_of_this_machine() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut started = 0;
    for example in fs::read_dir(examples).unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let keys = write(folder.path(), "keys", &key("spring"));
        let data = folder.path().join("data");
        let settings = Loader::new()
            .file(example.unwrap().path())
            .env_from([
                ("CLUSTRON__LISTEN", "127.0.0.1:0"),
                ("CLUSTRON__ADVERTISE", "127.0.0.1:7000"),
                ("CLUSTRON__SEEDS", ""),
                ("CLUSTRON__DISCOVERY__FILES", ""),
                ("CLUSTRON__EXPECT", "1"),
                ("CLUSTRON__DATA_DIR", data.to_str().unwrap()),
                ("CLUSTRON__SECURITY__CLUSTER_KEYS", keys.to_str().unwrap()),
            ])
            .load()
            .unwrap();
        let cluster = tokio::time::timeout(LONG, settings.builder().start()).await;
        let cluster = cluster.expect("it founds a cluster").unwrap();
        assert_eq!(cluster.node().name.as_str(), "shop-1");
        assert!(data.is_dir());
        cluster.shutdown(LONG).await.unwrap();
        started += 1;
    }
    assert_eq!(started, 5);
}
