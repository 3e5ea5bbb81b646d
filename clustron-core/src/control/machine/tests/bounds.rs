//! How much of a snapshot is in memory at a time where there is a data directory.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use clustron_wal::{File, Lock};
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;

use super::*;
use crate::control::receiving::{Receiving, Step};
use crate::control::rpc::SnapshotChunk;
use crate::control::types::Vote;
use crate::identity::ClusterId;

/// What one test has read from its disk and written to it since it last began to count, and by how
/// much the state's encoder and decoder were ever apart from that.
static READ: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static APART_MAX: AtomicU64 = AtomicU64::new(0);

fn count_anew() -> u64 {
    READ.store(0, Relaxed);
    WRITTEN.store(0, Relaxed);
    APART_MAX.swap(0, Relaxed)
}

/// A disk that counts.
#[derive(Debug)]
struct Metered(SimDisk);

#[derive(Debug)]
struct MeteredFile(Box<dyn File>);

impl Disk for Metered {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.0.open(name).map(|file| Box::new(MeteredFile(file)) as Box<dyn File>)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.0.create(name).map(|file| Box::new(MeteredFile(file)) as Box<dyn File>)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn lock(&self) -> io::Result<Lock> {
        self.0.lock()
    }

    fn path(&self) -> PathBuf {
        self.0.path()
    }
}

impl File for MeteredFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buffer, offset)?;
        READ.fetch_add(read as u64, Relaxed);
        Ok(read)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        WRITTEN.fetch_add(bytes.len() as u64, Relaxed);
        self.0.write_at(bytes, offset)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

const PART: u64 = 50_000;
const PARTS: u64 = 400;

/// A large state that looks at the disk while it is encoded and decoded.
#[derive(Debug, Default)]
struct Large(u64);

impl Serialize for Large {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let part = Bytes::from(vec![7; PART as usize]);
        let mut parts = to.serialize_seq(Some(self.0 as usize))?;
        for at in 0..self.0 {
            APART_MAX.fetch_max((at * PART).saturating_sub(WRITTEN.load(Relaxed)), Relaxed);
            parts.serialize_element(&part)?;
        }
        parts.end()
    }
}

impl<'de> Deserialize<'de> for Large {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = Large;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("parts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Large, A::Error> {
                let mut at = 0;
                while let Some(part) = parts.next_element::<Bytes>()? {
                    at += 1;
                    assert_eq!(part.len() as u64, PART);
                    APART_MAX.fetch_max(READ.load(Relaxed).saturating_sub(at * PART), Relaxed);
                }
                Ok(Large(at))
            }
        }
        from.deserialize_seq(Parts)
    }
}

impl ReplicatedState for Large {
    type Command = u64;
    type Reply = ();

    fn apply(&mut self, _at: Applied, parts: u64) {
        self.0 = parts;
    }
}

async fn open(disk: &SimDisk) -> (Machine, Replicated<Large>, Arc<DataDir>) {
    let large = Replicated::<Large>::new("large", LateCluster::default());
    let modules = Modules::from([("large", Arc::new(large.clone()) as Arc<dyn AnyReplicated>)]);
    let data = data(Arc::new(Metered(disk.clone())));
    let machine = machine(modules, true, &Tasks::default());
    let machine = machine.open(SnapshotFile::new(data.clone())).await.unwrap();
    (machine, large, data)
}

#[tokio::test]
async fn a_data_directory_takes_a_few_blocks_of_memory_for_a_snapshot_of_any_size() {
    const FEW: u64 = 3 << 20;
    let (disk, other) = (SimDisk::new(1), SimDisk::new(2));
    let (mut leader, _, _) = open(&disk).await;
    let body = codec::encode(&PARTS).unwrap().into();
    let command = ModuleCommand { module: "large".to_owned(), epoch: None, body };
    let payload = EntryPayload::Normal(Command::Batch(vec![command]));
    leader.apply([Entry { log_id: log_id(1), payload }]).await.unwrap();

    count_anew();
    leader.get_snapshot_builder().await.build_snapshot().await.unwrap();
    assert!(WRITTEN.load(Relaxed) > PARTS * PART);
    let apart = count_anew();
    assert!(apart < FEW, "{apart} bytes had been encoded that were not written");

    // Sent piece by piece, each read when it is sent and written when it has come.
    let Snapshot { meta, snapshot } = leader.get_current_snapshot().await.unwrap().unwrap();
    let (mut follower, installed, data) = open(&other).await;
    let receiving = Receiving::new(Some(data));
    let (mut offset, total) = (0, snapshot.length());
    assert!(total > PARTS * PART);
    let content = loop {
        count_anew();
        let data = snapshot.piece_at(offset).await.unwrap();
        assert!(READ.load(Relaxed) < FEW, "{} bytes read for one piece", READ.load(Relaxed));
        let (cluster, vote) = (ClusterId::mint(&Chance::seeded(1)), Vote::default());
        let chunk = SnapshotChunk { cluster, vote, meta: meta.clone(), offset, total, data };
        match receiving.take(NodeId(1), chunk).await.unwrap() {
            Step::Whole(content) => break content,
            Step::Continue { offset: next } => {
                let (came, written) = (next - offset, WRITTEN.load(Relaxed));
                assert!(written + FEW > came, "of {came} bytes {written} were written");
                offset = next;
            }
        }
    };
    count_anew();
    follower.install_snapshot(&meta, Box::new(content)).await.unwrap();
    assert!(READ.load(Relaxed) > PARTS * PART);
    let apart = count_anew();
    assert!(apart < FEW, "{apart} bytes had been read that were not decoded");
    assert_eq!(installed.read_local(|large| large.0), PARTS);

    drop(follower);
    drop(receiving);
    let (_, loaded, _) = open(&other).await;
    let apart = count_anew();
    assert!(apart < FEW, "{apart} bytes had been read at the start that were not decoded");
    assert_eq!(loaded.read_local(|large| large.0), PARTS);
}
