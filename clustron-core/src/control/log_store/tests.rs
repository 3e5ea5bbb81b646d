//! A log and a snapshot between which the node ended.

use std::io::{self, Cursor, Write};
use std::sync::Arc;

use clustron_wal::SimDisk;
use openraft::CommittedLeaderId;

use super::super::log_disk::LogDisk;
use super::super::machine::{Machine, Modules, Shown};
use super::super::snapshot::SnapshotWriter;
use super::super::snapshot_file::SnapshotFile;
use super::super::state::Agreed;
use super::super::survivor::fixture::{lay_out, started};
use super::super::types::{LogId, SnapshotMeta};
use super::Log;
use crate::codec;
use crate::identity::{ClusterName, NodeId, Role};
use crate::local::Local;
use crate::tasks::Tasks;

fn content() -> Vec<u8> {
    let mut bytes = vec![];
    let agreed =
        |out: &mut dyn Write| codec::encode_into(&Agreed::default(), out).map_err(io::Error::other);
    SnapshotWriter::begin(&mut bytes, agreed).unwrap().finish().unwrap();
    bytes
}

/// The node's process ends when the snapshot is in its place and the log does not know it yet. The
/// log's end, which was never committed, is of a later term than the snapshot's, and before it.
async fn restarted_behind_a_snapshot(term: u64, index: u64) -> (u64, u64) {
    let disk = SimDisk::new(1);
    lay_out(&disk, Role::Member);
    {
        let file = SnapshotFile::new(started(&disk));
        let id = LogId::new(CommittedLeaderId::new(term, NodeId(1)), index);
        let meta = SnapshotMeta { last_log_id: Some(id), ..SnapshotMeta::default() };
        file.bring(meta, Cursor::new(content())).await.unwrap();
        file.take_over(Some(id)).await.unwrap();
    }
    disk.crash();
    let log_end = {
        let data = started(&disk);
        let mut local = Local::of_test(ClusterName::new("orders").unwrap());
        local.id = data.identity().node;
        let file = SnapshotFile::new(data.clone());
        let log = Log::open(&data, &Arc::new(local)).await.unwrap().behind(file.saved());
        let modules = Arc::new(Modules::new());
        let machine = Machine::new(modules, true, Tasks::default(), Shown::default());
        let machine = machine.open(file).await.unwrap();
        log.go_on_behind(machine.snapshot_end().unwrap()).await.unwrap();
        log.end().index
    };
    let (log, _) = LogDisk::open(started(&disk), None).unwrap();
    (log_end, log.next_index())
}

#[tokio::test]
async fn a_log_goes_on_behind_a_snapshot_that_it_does_not_reach_whatever_its_last_term() {
    assert_eq!(restarted_behind_a_snapshot(5, 9).await, (9, 10));
    assert_eq!(restarted_behind_a_snapshot(3, 9).await, (9, 10));
}

#[tokio::test]
async fn a_log_that_has_another_entry_in_the_place_of_a_snapshots_last_goes_on_behind_it() {
    // What the log has there is of term 1, and what follows it was never agreed.
    assert_eq!(restarted_behind_a_snapshot(2, 2).await, (2, 3));
}

#[tokio::test]
async fn a_log_that_has_what_a_snapshot_stands_for_stays_as_it_is() {
    assert_eq!(restarted_behind_a_snapshot(1, 2).await, (3, 4));
}
