use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use clustron_wal::{Disk, File, Lock, SimDisk};
use openraft::error::{Fatal, ReplicationClosed, StreamingError};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{CommittedLeaderId, LogId};

use super::super::Storage;
use super::super::content::{Content, PiecesWriter};
use super::super::machine::{Machine, Modules, Shown};
use super::super::snapshot::SnapshotWriter;
use super::super::types::{Raft, RaftNode, Snapshot, TypeConfig, Vote};
use super::*;
use crate::chance::Chance;
use crate::codec;
use crate::data_dir::{Calls, PURGED};
use crate::identity::{ClusterName, NodeId};
use crate::local::Local;
use crate::tasks::Tasks;

type RpcError = openraft::error::RPCError<NodeId, RaftNode, openraft::error::RaftError<NodeId>>;

/// Nobody is called in these tests.
struct NoNetwork;

impl RaftNetworkFactory<TypeConfig> for NoNetwork {
    type Network = Self;

    async fn new_client(&mut self, _: NodeId, _: &RaftNode) -> Self {
        Self
    }
}

impl RaftNetwork<TypeConfig> for NoNetwork {
    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        std::future::pending().await
    }

    async fn vote(
        &mut self,
        _: VoteRequest<NodeId>,
        _: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        std::future::pending().await
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: Snapshot,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        std::future::pending().await
    }
}

/// A disk on which no snapshot gets its name before the gate opens.
#[derive(Debug)]
struct Gated {
    disk: SimDisk,
    gate: Mutex<mpsc::Receiver<()>>,
}

impl Disk for Gated {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.disk.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.disk.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if to == SNAPSHOT {
            let _ = self.gate.lock().unwrap().recv();
        }
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn lock(&self) -> io::Result<Lock> {
        self.disk.lock()
    }

    fn path(&self) -> PathBuf {
        self.disk.path()
    }
}

fn data(disk: Arc<dyn Disk>) -> Arc<DataDir> {
    let cluster = ClusterName::new("orders").unwrap();
    let chance = Chance::seeded(0);
    Arc::new(DataDir::open(disk, Calls::Pool, &cluster, None, &chance).unwrap())
}

fn snapshot_at(index: u64) -> Snapshot {
    let last_log_id = Some(LogId::new(CommittedLeaderId::new(1, NodeId(2)), index));
    let snapshot_id = index.to_string();
    let meta = SnapshotMeta { last_log_id, snapshot_id, ..SnapshotMeta::default() };
    let mut content = PiecesWriter::default();
    let agreed =
        |out: &mut dyn Write| codec::encode_into(&Agreed::default(), out).map_err(io::Error::other);
    SnapshotWriter::begin(&mut content, agreed).unwrap().finish().unwrap();
    Snapshot { meta, snapshot: Box::new(Content::Encoded(Arc::new(content.finish()))) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_gives_nothing_up_before_the_snapshot_that_stands_for_it_is_durable() {
    let (disk, (open_gate, gate)) = (SimDisk::new(1), mpsc::channel());
    let data = data(Arc::new(Gated { disk: disk.clone(), gate: Mutex::new(gate) }));
    let local = Arc::new(Local::of_test(ClusterName::new("orders").unwrap()));
    let Storage { log, snapshots } = Storage::open(&data, &local).await.unwrap();
    let modules = Arc::<Modules>::default();
    let machine = Machine::new(modules, true, Tasks::default(), Shown::default());
    let machine = machine.open(snapshots.unwrap()).await.unwrap();
    let config = openraft::Config { enable_elect: false, ..Default::default() };
    let config = Arc::new(config.validate().unwrap());
    let raft = Raft::new(local.id, config, NoNetwork, log, machine).await.unwrap();
    let installing = raft.install_full_snapshot(Vote::new_committed(1, NodeId(2)), snapshot_at(9));
    tokio::pin!(installing);
    let early = async {
        while disk.content(PURGED).is_none() {
            tokio::task::yield_now().await
        }
    };
    let early = tokio::time::timeout(Duration::from_millis(500), async {
        tokio::select! {
            biased;
            () = early => {}
            _ = &mut installing => {}
        }
    });
    let early = early.await.is_ok();
    let at_a_crash = (disk.content(PURGED).is_some(), disk.content(SNAPSHOT).is_some());
    drop(open_gate);
    assert!(!early, "log given up, snapshot there: {at_a_crash:?}");
    installing.await.unwrap();
    assert!(disk.content(PURGED).is_some() && disk.content(SNAPSHOT).is_some());
    raft.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_left_of_a_broken_start_is_cleared_away_and_belongs_to_the_node() {
    let disk = SimDisk::new(1);
    let data = data(Arc::new(disk.clone()));
    let left = [ARRIVING, "arriving.new", "snapshot.new"];
    for name in left {
        disk.put(name, b"half of it");
    }
    let file = SnapshotFile::new(data);
    assert!(file.load(|_, _| Ok(())).await.unwrap().is_none());
    let files = disk.list().unwrap();
    assert!(!files.iter().any(|name| left.contains(&name.as_str())), "{files:?}");
}
