//! Nodes that follow their files while they run.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use clustron_config::{Follower, Loader, ReloadStatus, Settings};
use clustron_core::{Cluster, Role};

/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(30);

fn loader(path: &Path) -> Loader {
    Loader::new().file(path).look_every(Duration::from_millis(5))
}

async fn start(settings: &Settings) -> (Cluster, Follower) {
    let cluster = settings.builder().tag("version", "7").start().await.unwrap();
    let follower = settings.follow(&cluster);
    (cluster, follower)
}

async fn until(
    follower: &mut Follower,
    what: &str,
    condition: impl FnMut(&ReloadStatus) -> bool,
) -> ReloadStatus {
    let waiting = tokio::time::timeout(LONG, follower.wait_for(condition)).await;
    waiting.unwrap_or_else(|_| panic!("{what} did not come")).expect("the node runs")
}

fn tags(cluster: &Cluster) -> Vec<(String, String)> {
    cluster.node().tags.into_iter().collect()
}

fn pairs<const N: usize>(tags: [(&str, &str); N]) -> Vec<(String, String)> {
    tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).into()
}

#[tokio::test]
async fn new_tags_and_roles_are_taken_and_those_of_the_program_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, "cluster = 'shop'\n[tags]\nzone = 'eu'\nrack = '1'").unwrap();
    let settings = loader(&path).load().unwrap();
    let (cluster, mut follower) = start(&settings).await;
    assert_eq!(follower.status(), ReloadStatus::default());

    let text = "cluster = 'shop'\nroles = ['member', 'custom:gpu']\n[tags]\nzone = 'us'";
    fs::write(&path, text).unwrap();
    let status = until(&mut follower, "the reload", |status| status.reloads == 1).await;
    assert_eq!((status.refused.len(), status.needs_restart.len()), (0, 0), "{status:?}");
    assert_eq!(tags(&cluster), pairs([("version", "7"), ("zone", "us")]));
    assert_eq!(cluster.node().roles, [Role::Member, Role::Custom("gpu".into())].into());

    // Another file under the name: written beside it and renamed, as editors do it.
    let beside = folder.path().join("a.toml.new");
    fs::write(&beside, "cluster = 'shop'\n[tags]\nzone = 'asia'").unwrap();
    fs::rename(&beside, &path).unwrap();
    until(&mut follower, "the second reload", |status| status.reloads == 2).await;
    assert_eq!(tags(&cluster), pairs([("version", "7"), ("zone", "asia")]));
    assert_eq!(cluster.node().roles, [Role::Member].into());
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_is_turned_is_noticed() {
    // As Kubernetes mounts settings: a link to a folder that is replaced as a whole.
    let folder = tempfile::tempdir().unwrap();
    for (version, zone) in [("v1", "eu"), ("v2", "us")] {
        let dir = folder.path().join(version);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("a.yaml"), format!("cluster: shop\ntags: {{zone: {zone}}}\n")).unwrap();
    }
    let link = folder.path().join("current");
    std::os::unix::fs::symlink("v1", &link).unwrap();
    let settings = loader(&link.join("a.yaml")).load().unwrap();
    let (cluster, mut follower) = start(&settings).await;
    let next = folder.path().join("next");
    std::os::unix::fs::symlink("v2", &next).unwrap();
    fs::rename(&next, &link).unwrap();
    until(&mut follower, "the reload", |status| status.reloads == 1).await;
    assert_eq!(tags(&cluster), pairs([("version", "7"), ("zone", "us")]));
}

#[tokio::test]
async fn files_that_are_wrong_change_nothing_until_they_are_right_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    fs::write(&path, "{\"cluster\": \"shop\", \"tags\": {\"zone\": \"eu\"}}").unwrap();
    let settings = loader(&path).load().unwrap();
    let (cluster, mut follower) = start(&settings).await;
    let before = tags(&cluster);

    fs::write(&path, "{\"cluster\": \"shop\", \"tags\": {\"zone\": \"us\"}, \"voter_max\": 3}")
        .unwrap();
    let status = until(&mut follower, "the problem", |status| !status.problems.is_empty()).await;
    assert_eq!(status.problems[0].key(), Some("voter_max"));
    assert_eq!(tags(&cluster), before);
    fs::remove_file(&path).unwrap();
    let status = until(&mut follower, "the absence", |status| status.reloads == 2).await;
    assert!(status.problems[0].to_string().ends_with("create it, or correct its name"));
    assert_eq!(tags(&cluster), before);

    fs::write(&path, "{\"cluster\": \"shop\", \"tags\": {\"zone\": \"us\"}}").unwrap();
    let status = until(&mut follower, "the right file", |status| status.problems.is_empty()).await;
    assert_eq!(status.reloads, 3);
    assert_eq!(tags(&cluster), pairs([("version", "7"), ("zone", "us")]));
}

#[tokio::test]
async fn what_takes_a_restart_is_named_and_the_rest_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, "cluster = 'shop'").unwrap();
    let settings = loader(&path).load().unwrap();
    let (cluster, mut follower) = start(&settings).await;
    let text = "cluster = 'shop'\nprofile = 'wan'\nvoters_max = 3\nexpect = 3\n\
                security.cluster_keys = 'keys'\ndiscovery.files = ['seeds']\n\
                [tags]\nzone = 'eu'";
    fs::write(&path, text).unwrap();
    let status = until(&mut follower, "the reload", |status| status.reloads == 1).await;
    assert_eq!(status.needs_restart["voters_max"], "3");
    assert_eq!(status.needs_restart["profile"], "\"wan\"");
    assert_eq!(status.needs_restart["timing.leader_lease"], "\"2s\"");
    let quoted = |name: &str| format!("\"{}\"", folder.path().join(name).display());
    assert_eq!(status.needs_restart["security.cluster_keys"], quoted("keys"));
    assert_eq!(status.needs_restart["discovery.files"], format!("[{}]", quoted("seeds")));
    assert!(!status.needs_restart.contains_key("tags"));
    assert_eq!(tags(&cluster), pairs([("version", "7"), ("zone", "eu")]));
    fs::write(&path, "cluster = 'shop'\n[tags]\nzone = 'eu'").unwrap();
    let status = until(&mut follower, "the way back", |status| status.reloads == 2).await;
    assert!(status.needs_restart.is_empty());
}

#[tokio::test]
async fn what_the_cluster_refuses_is_told_and_the_rest_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, "cluster = 'shop'\nseeds = ['h:1']\nexpect = 1\nadvertise = 'h:1'").unwrap();
    let settings = loader(&path).load().unwrap();
    let (cluster, mut follower) = start(&settings).await;
    let text = "cluster = 'shop'\nseeds = ['h:2']\nadvertise = 'h:1'\nroles = ['client']\n\
                [tags]\nzone = 'eu'";
    fs::write(&path, text).unwrap();
    let status = until(&mut follower, "the reload", |status| status.reloads == 1).await;
    assert!(status.refused["roles"].contains("the last member"), "{status:?}");
    assert_eq!(cluster.node().roles, [Role::Member].into());
    assert_eq!(tags(&cluster), pairs([("version", "7"), ("zone", "eu")]));
}

#[tokio::test]
async fn a_follower_ends_with_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, "cluster = 'shop'").unwrap();
    let settings = loader(&path).load().unwrap();
    let (cluster, mut follower) = start(&settings).await;
    cluster.shutdown(LONG).await.unwrap();
    let ended = tokio::time::timeout(LONG, follower.wait_for(|status| status.reloads > 0)).await;
    assert_eq!(ended.expect("it has ended"), None);
}
