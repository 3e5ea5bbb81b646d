//! Snapshots that cannot be made, kept or read: the node ends and says why, and nothing changes.

use super::*;
use crate::data_dir::{ARRIVING, SNAPSHOT};

/// Panics when it is encoded, or decoded, with these words.
#[derive(Debug, Default)]
struct Delicate(String);

const BAD_OUT: &str = "panics when encoded";
const BAD_IN: &str = "panics when decoded";

impl Serialize for Delicate {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != BAD_OUT, "the state is bad");
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Delicate {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        assert!(text != BAD_IN, "the bytes are bad");
        Ok(Self(text))
    }
}

impl ReplicatedState for Delicate {
    type Command = String;
    type Reply = ();

    fn apply(&mut self, _at: Applied, word: String) {
        self.0 = word;
    }
}

async fn delicate(disk: Option<&SimDisk>) -> (Result<Machine, DataDirError>, Tasks) {
    let (module, tasks) =
        (Replicated::<Delicate>::new("thin", LateCluster::default()), Tasks::default());
    let modules = Modules::from([("thin", Arc::new(module) as Arc<dyn AnyReplicated>)]);
    let machine = machine(modules, true, &tasks);
    let machine = match disk {
        None => Ok(machine),
        Some(disk) => machine.open(SnapshotFile::new(data(Arc::new(disk.clone())))).await,
    };
    (machine, tasks)
}

async fn built(machine: &mut Machine) -> Result<Snapshot, StorageError> {
    machine.get_snapshot_builder().await.build_snapshot().await
}

fn said(tasks: &Tasks) -> String {
    tasks.panicked().expect("the node ends")
}

#[tokio::test]
async fn a_panic_while_a_state_is_encoded_ends_the_node_and_says_where() {
    let disk = SimDisk::new(1);
    let (machine, tasks) = delicate(Some(&disk)).await;
    let mut machine = machine.unwrap();
    machine.apply([entry(1, "thin", BAD_OUT)]).await.unwrap();
    let text = built(&mut machine).await.unwrap_err().to_string();
    let wanted = "module \"thin\" panicked while its state was encoded: the state is bad";
    assert!(text.contains(wanted), "{text}");
    assert!(said(&tasks).contains(wanted), "{}", said(&tasks));
    assert!(disk.content(SNAPSHOT).is_none());
    // In memory the same, when a follower asks.
    let (machine, tasks) = delicate(None).await;
    let mut machine = machine.unwrap();
    machine.apply([entry(1, "thin", BAD_OUT)]).await.unwrap();
    built(&mut machine).await.expect("nothing is encoded");
    let text = machine.get_current_snapshot().await.unwrap_err().to_string();
    assert!(text.contains(wanted) && said(&tasks).contains(wanted), "{text}");
}

#[tokio::test]
async fn a_panic_while_a_state_is_decoded_ends_the_node_and_changes_nothing() {
    let wanted = "module \"thin\" panicked while its state was decoded: the bytes are bad";
    let (disk, other) = (SimDisk::new(1), SimDisk::new(2));
    let (leader, _) = delicate(Some(&disk)).await;
    let mut leader = leader.unwrap();
    leader.apply([entry(1, "thin", BAD_IN)]).await.unwrap();
    built(&mut leader).await.unwrap();
    for disk in [None, Some(&other)] {
        let (follower, tasks) = delicate(disk).await;
        let mut follower = follower.unwrap();
        let Snapshot { meta, snapshot } = leader.get_current_snapshot().await.unwrap().unwrap();
        let text = follower.install_snapshot(&meta, snapshot).await.unwrap_err().to_string();
        assert!(text.contains(wanted) && said(&tasks).contains(wanted), "{text}");
        assert_eq!(follower.applied, None);
    }
    assert!(other.content(SNAPSHOT).is_none());
    drop(leader);
    let text = delicate(Some(&disk)).await.0.err().expect("it does not start").to_string();
    assert!(text.contains(wanted), "{text}");
}

#[tokio::test]
async fn a_disk_without_room_for_a_snapshot_ends_the_node_and_says_so() {
    for room in [0, 100] {
        let disk = SimDisk::new(1);
        let mut node = Node::on(&disk, Kind::Member, &["a"]).await.unwrap();
        node.tell("a", "one").await;
        node.build().await.unwrap();
        node.tell("a", &"x".repeat(500)).await;
        disk.set_full_after(room);
        node.build().await.unwrap_err();
        let why = said(&node.tasks);
        assert!(why.contains("no snapshot could be saved: data directory"), "{why}");
        assert!(why.contains("no room") && why.contains("free some space"), "{why}");
        assert_eq!(node.current().await.meta.last_log_id, Some(log_id(1)), "the old one stays");
    }
}

#[tokio::test]
async fn a_sync_that_fails_ends_the_node_and_says_so() {
    let disk = SimDisk::new(1);
    let mut node = Node::on(&disk, Kind::Member, &["a"]).await.unwrap();
    node.tell("a", "one").await;
    disk.fail_next_sync();
    node.build().await.unwrap_err();
    assert!(said(&node.tasks).contains("syncing failed"), "{}", said(&node.tasks));
    // One that arrives, the same.
    let mut leader = Node::in_memory(Kind::Member, &["a"]);
    leader.tell("a", "one").await;
    let other = SimDisk::new(2);
    let mut node = Node::on(&other, Kind::Member, &["a"]).await.unwrap();
    other.fail_next_sync();
    node.install(leader.current().await).await.unwrap_err();
    assert!(said(&node.tasks).contains("syncing failed"), "{}", said(&node.tasks));
    assert_eq!(node.said("a"), [""; 0]);
}

#[tokio::test]
async fn a_snapshot_that_was_long_under_way_does_not_replace_a_newer_one() {
    let disk = SimDisk::new(1);
    let mut node = Node::on(&disk, Kind::Member, &["a"]).await.unwrap();
    node.tell("a", "old").await;
    let mut slow = node.machine.get_snapshot_builder().await;
    let mut leader = Node::in_memory(Kind::Member, &["a"]);
    for word in ["old", "new"] {
        leader.tell("a", word).await;
    }
    node.install(leader.current().await).await.unwrap();
    slow.build_snapshot().await.unwrap();
    assert_eq!(node.current().await.meta.last_log_id, Some(log_id(2)));
    assert!(disk.list().unwrap().iter().all(|file| file != "snapshot.new"), "no draft is left");
    drop((slow, node));
    assert_eq!(Node::on(&disk, Kind::Member, &["a"]).await.unwrap().said("a"), ["old", "new"]);
}

#[tokio::test]
async fn wherever_the_power_fails_while_one_arrives_the_old_one_or_the_new_one_is_there() {
    let install = async |disk: &SimDisk, power_fails_at: Option<u64>| {
        let mut node = Node::on(disk, Kind::Member, &["a"]).await.unwrap();
        node.tell("a", "one").await;
        node.build().await.unwrap();
        let mut leader = Node::in_memory(Kind::Member, &["a"]);
        for word in ["one", "two"] {
            leader.tell("a", word).await;
        }
        if let Some(step) = power_fails_at {
            disk.crash_after(step);
        }
        let before = disk.operations();
        let installed = node.install(leader.current().await).await;
        (installed.is_ok(), disk.operations() - before)
    };
    let (installed, steps) = install(&SimDisk::new(1), None).await;
    assert!(installed && steps > 3, "{steps} steps");
    for step in 0..steps {
        let disk = SimDisk::new(step);
        let (installed, _) = install(&disk, Some(step)).await;
        assert!(!installed, "step {step} was not reached");
        disk.crash();
        let node = Node::on(&disk, Kind::Member, &["a"]).await.unwrap();
        let said = node.said("a");
        assert!(said == ["one"] || said == ["one", "two"], "cut off at step {step}: {said:?}");
        let left = [ARRIVING, "arriving.new", "snapshot.new"];
        let files = disk.list().unwrap();
        assert!(!files.iter().any(|file| left.contains(&file.as_str())), "{files:?}");
    }
}
