//! Members that are started with other modules than before.

use super::*;
use crate::control::content::Content;

async fn restart(disk: &SimDisk, kind: Kind, names: &[&'static str]) -> Node {
    Node::on(disk, kind, names).await.unwrap()
}

/// A member's disk after it has run `a` and `b`.
async fn with_both() -> SimDisk {
    let disk = SimDisk::new(1);
    let mut node = restart(&disk, Kind::Member, &["a", "b"]).await;
    node.tell("a", "one").await;
    node.tell("b", "two").await;
    node.build().await.unwrap();
    disk
}

async fn refused(disk: &SimDisk, names: &[&'static str]) -> DataDirError {
    let Err(error) = Node::on(disk, Kind::Member, names).await else { panic!("it has started") };
    error
}

#[tokio::test]
async fn the_state_of_a_module_that_does_not_run_for_a_while_is_kept() {
    let disk = with_both().await;
    let mut without = restart(&disk, Kind::Member, &["a"]).await;
    // More than once, and each time from the file of the time before.
    for word in ["three", "four"] {
        without.tell("a", word).await;
        without.build().await.unwrap();
    }
    drop(without);
    let node = restart(&disk, Kind::Member, &["a", "b"]).await;
    assert_eq!(
        (node.said("a"), node.said("b")),
        (["one", "three", "four"].map(str::to_owned).to_vec(), vec!["two".to_owned()],)
    );
}

#[tokio::test]
async fn a_state_that_changed_while_its_module_did_not_run_is_known_to_be_missed() {
    let disk = with_both().await;
    let mut without = restart(&disk, Kind::Member, &["a"]).await;
    // As a log that is replayed has it.
    without.tell("b", "three").await;
    without.build().await.unwrap();
    drop(without);
    let error = refused(&disk, &["a", "b"]).await;
    assert!(matches!(&error, DataDirError::MissedModule { module, .. } if module == "b"));
    let text = error.to_string();
    assert!(text.contains("\"b\"") && text.contains("start the node with an empty one"), "{text}");
    // Without the module it starts, and does not forget what it missed.
    let mut without = restart(&disk, Kind::Member, &["a"]).await;
    without.tell("a", "four").await;
    without.build().await.unwrap();
    drop(without);
    refused(&disk, &["a", "b"]).await;
}

#[tokio::test]
async fn a_log_that_is_replayed_from_before_has_what_the_module_was_told() {
    let disk = with_both().await;
    let mut without = restart(&disk, Kind::Member, &["a"]).await;
    without.tell("b", "three").await;
    // Without a snapshot, so that the log still has it.
    drop(without);
    let mut node = restart(&disk, Kind::Member, &["a", "b"]).await;
    node.tell("b", "three").await;
    assert_eq!(node.said("b"), ["two", "three"]);
}

#[tokio::test]
async fn a_module_that_is_new_begins_with_its_default() {
    let disk = with_both().await;
    let mut node = restart(&disk, Kind::Member, &["a", "b", "c"]).await;
    assert_eq!(node.said("c"), [""; 0]);
    node.tell("c", "first").await;
    node.build().await.unwrap();
    drop(node);
    assert_eq!(restart(&disk, Kind::Member, &["a", "b", "c"]).await.said("c"), ["first"]);
}

#[tokio::test]
async fn a_client_keeps_nothing_of_modules_that_it_does_not_run() {
    let disk = with_both().await;
    let mut client = restart(&disk, Kind::Client, &["a"]).await;
    client.tell("a", "three").await;
    client.build().await.unwrap();
    drop(client);
    assert!(matches!(refused(&disk, &["a", "b"]).await, DataDirError::MissedModule { .. }));
}

#[tokio::test]
async fn what_a_member_keeps_it_hands_on_to_others() {
    let (first, second) = (with_both().await, SimDisk::new(2));
    let mut leader = restart(&first, Kind::Member, &["a"]).await;
    let mut follower = restart(&second, Kind::Member, &["a"]).await;
    follower.install(leader.current().await).await.unwrap();
    follower.tell("a", "three").await;
    follower.build().await.unwrap();
    // In memory as well.
    let mut in_memory = Node::in_memory(Kind::Member, &["a"]);
    in_memory.install(follower.current().await).await.unwrap();
    let mut runs_both = Node::in_memory(Kind::Member, &["a", "b"]);
    runs_both.install(in_memory.current().await).await.unwrap();
    assert_eq!(
        (runs_both.said("a"), runs_both.said("b")),
        (vec!["one".to_owned(), "three".to_owned()], vec!["two".to_owned()],)
    );
    drop(follower);
    assert_eq!(restart(&second, Kind::Member, &["a", "b"]).await.said("b"), ["two"]);
}

#[tokio::test]
async fn in_memory_a_command_for_a_module_that_does_not_run_makes_its_state_a_missed_one() {
    let mut runs_both = Node::in_memory(Kind::Member, &["a", "b"]);
    runs_both.tell("b", "one").await;
    for kind in [Kind::Member, Kind::Client] {
        let mut without = Node::in_memory(kind, &["a"]);
        without.install(runs_both.current().await).await.unwrap();
        if kind == Kind::Member {
            without.tell("b", "two").await;
        }
        let mut other = Node::in_memory(Kind::Member, &["a", "b"]);
        other.tell("a", "before").await;
        let text = other.install(without.current().await).await.unwrap_err().to_string();
        assert!(text.contains("lacks the state of module \"b\""), "{text}");
        assert_eq!(other.said("a"), ["before"], "nothing has taken effect");
        let why = other.tasks.panicked().expect("the node ends");
        assert!(why.contains("lacks the state of module \"b\""), "{why}");
    }
}

#[tokio::test]
async fn a_snapshot_without_a_word_of_a_module_brings_its_default() {
    let mut without = Node::in_memory(Kind::Member, &["a"]);
    without.tell("a", "one").await;
    for disk in [None, Some(SimDisk::new(1))] {
        let names = ["a", "new"];
        let mut node = match &disk {
            None => Node::in_memory(Kind::Member, &names),
            Some(disk) => restart(disk, Kind::Member, &names).await,
        };
        let snapshot = without.current().await;
        assert!(matches!(*snapshot.snapshot, Content::Encoded(_)));
        node.install(snapshot).await.unwrap();
        assert_eq!((node.said("a").len(), node.said("new").len()), (1, 0));
    }
}
