mod bounds;
mod failures;
mod modules;

use std::collections::BTreeMap;

use clustron_wal::{Disk, SimDisk};
use openraft::storage::RaftStateMachine;
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};

use super::*;
use crate::chance::Chance;
use crate::codec;
use crate::control::log_store::Log;
use crate::control::replicated::{Replicated, ReplicatedState};
use crate::data_dir::{Calls, DataDir};
use crate::identity::{ClusterName, NodeId};
use crate::late::LateCluster;
use crate::local::Local;

// The suite numbers its nodes.
impl From<u64> for NodeId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

fn data(disk: Arc<dyn Disk>) -> Arc<DataDir> {
    let (cluster, chance) = (ClusterName::new("orders").unwrap(), Chance::seeded(0));
    Arc::new(DataDir::open(disk, Calls::Pool, &cluster, None, &chance).unwrap())
}

/// The words that a module was told, in order.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Words(Vec<String>);

impl ReplicatedState for Words {
    type Command = String;
    type Reply = ();

    fn apply(&mut self, _at: Applied, word: String) {
        self.0.push(word);
    }
}

/// A machine that runs some modules, as a node has it.
struct Node {
    machine: Machine,
    tasks: Tasks,
    words: BTreeMap<&'static str, Replicated<Words>>,
    next: u64,
}

/// Whether a node may vote, and so keeps what others may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Member,
    Client,
}

impl Node {
    fn in_memory(kind: Kind, names: &[&'static str]) -> Self {
        let word = |name: &&'static str| (*name, Replicated::new(name, LateCluster::default()));
        let words: BTreeMap<_, Replicated<Words>> = names.iter().map(word).collect();
        let module = |(name, words): (&&'static str, &Replicated<Words>)| {
            (*name, Arc::new(words.clone()) as Arc<dyn AnyReplicated>)
        };
        let (modules, tasks) = (words.iter().map(module).collect(), Tasks::default());
        let machine = machine(modules, kind == Kind::Member, &tasks);
        Self { machine, tasks, words, next: 1 }
    }

    async fn on(disk: &SimDisk, kind: Kind, names: &[&'static str]) -> Result<Self, DataDirError> {
        let node = Self::in_memory(kind, names);
        let file = SnapshotFile::new(data(Arc::new(disk.clone())));
        let machine = node.machine.open(file).await?;
        let next = machine.applied.map_or(1, |applied| applied.index + 1);
        Ok(Self { machine, next, ..node })
    }

    /// Applies the next entry of the log, which tells a module a word.
    async fn tell(&mut self, module: &str, word: &str) {
        let entry = entry(self.next, module, word);
        self.next += 1;
        self.machine.apply([entry]).await.unwrap();
    }

    async fn build(&mut self) -> Result<Snapshot, StorageError> {
        self.machine.get_snapshot_builder().await.build_snapshot().await
    }

    async fn current(&mut self) -> Snapshot {
        self.machine.get_current_snapshot().await.unwrap().expect("something is applied")
    }

    async fn install(&mut self, snapshot: Snapshot) -> Result<(), StorageError> {
        let installed = self.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await;
        self.next = self.machine.applied.map_or(1, |applied| applied.index + 1);
        installed
    }

    fn said(&self, module: &str) -> Vec<String> {
        self.words[module].read_local(|words| words.0.clone())
    }
}

fn machine(modules: Modules, votes: bool, tasks: &Tasks) -> Machine {
    Machine::new(Arc::new(modules), votes, tasks.clone(), Shown::default())
}

fn log_id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, NodeId(1)), index)
}

fn entry(index: u64, module: &str, word: &str) -> Entry {
    let body = codec::encode(&word.to_owned()).unwrap().into();
    let command = ModuleCommand { module: module.to_owned(), epoch: None, body };
    Entry { log_id: log_id(index), payload: EntryPayload::Normal(Command::Batch(vec![command])) }
}

struct InMemory;

impl StoreBuilder<TypeConfig, Log, Machine> for InMemory {
    async fn build(&self) -> Result<((), Log, Machine), StorageError> {
        Ok(((), Log::default(), machine(Modules::new(), true, &Tasks::default())))
    }
}

#[test]
fn storage_in_memory_passes_openrafts_own_suite() {
    Suite::test_all(InMemory).unwrap();
}

struct OnDisk;

impl StoreBuilder<TypeConfig, Log, Machine> for OnDisk {
    async fn build(&self) -> Result<((), Log, Machine), StorageError> {
        let data = data(Arc::new(SimDisk::new(0)));
        let local = Arc::new(Local::of_test(ClusterName::new("orders").unwrap()));
        let log = Log::open(&data, &local).await.unwrap();
        let machine = machine(Modules::new(), true, &Tasks::default());
        Ok(((), log, machine.open(SnapshotFile::new(data)).await.unwrap()))
    }
}

#[test]
fn storage_on_disk_passes_openrafts_own_suite() {
    Suite::test_all(OnDisk).unwrap();
}

#[tokio::test]
async fn in_memory_nothing_is_encoded_before_a_follower_needs_it_and_then_once_for_all() {
    let mut leader = Node::in_memory(Kind::Member, &["a"]);
    leader.tell("a", "one").await;
    let built = leader.build().await.unwrap();
    assert!(matches!(*built.snapshot, Content::Unwritten));
    leader.tell("a", "two").await;
    // As it is now, which is more than Raft knows to be in a snapshot.
    let first = leader.current().await;
    assert_eq!(first.meta.last_log_id, Some(log_id(2)));
    leader.tell("a", "three").await;
    let second = leader.current().await;
    let (Content::Encoded(one), Content::Encoded(other)) = (&*first.snapshot, &*second.snapshot)
    else {
        panic!("in memory");
    };
    assert!(Arc::ptr_eq(one, other) && first.meta == second.meta);
    // Once Raft counts on more, what is under way no longer does.
    leader.build().await.unwrap();
    let third = leader.current().await;
    assert_eq!(third.meta.last_log_id, Some(log_id(3)));
    let mut follower = Node::in_memory(Kind::Member, &["a"]);
    follower.install(second).await.unwrap();
    assert_eq!(follower.said("a"), ["one", "two"]);
    drop((first, third));
    assert!(leader.machine.encoded.1.upgrade().is_none(), "nobody is sent it any more");
}

#[tokio::test]
async fn what_is_built_on_disk_is_there_at_the_next_start_and_for_followers() {
    let (disk, other) = (SimDisk::new(1), SimDisk::new(2));
    let mut node = Node::on(&disk, Kind::Member, &["a"]).await.unwrap();
    node.tell("a", "one").await;
    node.build().await.unwrap();
    node.tell("a", "two").await;
    let stored = node.current().await;
    assert_eq!(stored.meta.last_log_id, Some(log_id(1)));
    let mut follower = Node::on(&other, Kind::Member, &["a"]).await.unwrap();
    follower.install(stored).await.unwrap();
    assert_eq!(follower.said("a"), ["one"]);
    drop((node, follower));
    for disk in [disk, other] {
        disk.crash();
        let node = Node::on(&disk, Kind::Member, &["a"]).await.unwrap();
        assert_eq!((node.said("a"), node.next), (vec!["one".to_owned()], 2));
    }
}
