use std::os::unix::fs::symlink;

use super::super::fixture::Searched;
use super::*;

#[tokio::test]
async fn what_is_written_in_place_or_renamed_over_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seeds");
    fs::write(&path, "a:1\nb:1\n").unwrap();
    let mut seeds = Searched::of(FileSeeds::new(&path));
    seeds.until(&["a:1", "b:1"]).await;
    fs::write(&path, "c:1\n").unwrap();
    seeds.until(&["c:1"]).await;
    fs::write(folder.path().join("new"), "d:1\n").unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    seeds.until(&["d:1"]).await;
}

/// As the kubelet writes a ConfigMap: the file is a link into `..data`, which is a link to a
/// directory, and a new link takes the place of that one.
#[tokio::test]
async fn a_config_map_that_is_set_to_another_directory_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (dir, text) in [("..1", "a:1\n"), ("..2", "b:1\n")] {
        fs::create_dir(at(dir)).unwrap();
        fs::write(at(dir).join("seeds"), text).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/seeds", at("seeds")).unwrap();
    let mut seeds = Searched::of(FileSeeds::new(at("seeds")));
    seeds.until(&["a:1"]).await;
    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..1")).unwrap();
    seeds.until(&["b:1"]).await;
}

#[tokio::test]
async fn a_file_that_is_gone_or_wrong_leaves_what_was_known_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seeds");
    let mut seeds = Searched::of(FileSeeds::new(&path));
    let missing = seeds.fails_and_keeps(&[]).await;
    assert!(missing.contains("seeds: No such file"), "{missing}");
    fs::write(&path, "a:1\n").unwrap();
    seeds.until_at_once(&["a:1"]).await;
    for (text, said) in [("a:1\nb\n", "line 2: \"b\" is no address"), ("", "no address in it")] {
        fs::write(&path, text).unwrap();
        let error = seeds.fails_and_keeps(&["a:1"]).await;
        assert!(error.contains(said) && error.contains("seeds: "), "{error}");
    }
    fs::remove_file(&path).unwrap();
    seeds.fails_and_keeps(&["a:1"]).await;
    fs::write(&path, "b:1\n").unwrap();
    seeds.until_at_once(&["b:1"]).await;
}

#[tokio::test(start_paused = true)]
async fn while_a_read_hangs_no_other_is_begun_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seeds");
    fs::write(&path, "a:1\n").unwrap();
    let seeds = FileSeeds::new(&path);
    let hanging = seeds.turn.clone().acquire_owned().await.unwrap();
    for _ in 0..100 {
        let error = seeds.clone().find().await.unwrap_err().to_string();
        assert!(error.contains("seeds: a read that began before has not ended yet"), "{error}");
    }
    drop(hanging);
    let found = futures::future::join_all((0..100).map(|_| seeds.find())).await;
    assert!(found.iter().all(Result::is_ok), "whoever waits gets its turn");
}

#[tokio::test]
async fn what_is_no_file_or_too_large_is_refused_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seeds");
    File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let error = FileSeeds::new(&path).find().await.unwrap_err().to_string();
    assert!(error.contains("it has more than 1048576 bytes"), "{error}");
    let error = FileSeeds::new(folder.path()).find().await.unwrap_err().to_string();
    assert!(error.contains("it is no regular file"), "{error}");
}
