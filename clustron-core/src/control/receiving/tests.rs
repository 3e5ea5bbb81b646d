use std::io::{self, Read};

use clustron_wal::{Disk, SimDisk};

use super::*;
use crate::chance::Chance;
use crate::codec;
use crate::control::snapshot::{SnapshotWriter, check_whole};
use crate::control::state::Agreed;
use crate::control::types::Vote;
use crate::data_dir::Calls;
use crate::identity::{ClusterId, ClusterName};

const LEADER: NodeId = NodeId(1);

fn on_disk(disk: &SimDisk) -> Receiving {
    let (cluster, chance) = (ClusterName::new("orders").unwrap(), Chance::seeded(0));
    let disk = Arc::new(disk.clone());
    let data = DataDir::open(disk, Calls::Pool, &cluster, None, &chance).unwrap();
    Receiving::new(Some(Arc::new(data)))
}

fn content() -> Vec<u8> {
    let mut bytes = vec![];
    let agreed =
        |out: &mut dyn Write| codec::encode_into(&Agreed::default(), out).map_err(io::Error::other);
    let mut writer = SnapshotWriter::begin(&mut bytes, agreed).unwrap();
    writer.module("a", |out| out.write_all(&[7; 10_000])).unwrap();
    writer.finish().unwrap();
    bytes
}

fn piece(of: &[u8], id: &str, from: usize, to: usize) -> SnapshotChunk {
    let meta = SnapshotMeta { snapshot_id: id.to_owned(), ..SnapshotMeta::default() };
    let (cluster, vote) = (ClusterId::mint(&Chance::seeded(1)), Vote::default());
    let (offset, total, data) = (from as u64, of.len() as u64, of[from..to].to_vec().into());
    SnapshotChunk { cluster, vote, meta, offset, total, data }
}

/// Hands it in piece by piece, as the receiver asks for them.
async fn send(receiving: &Receiving, bytes: &[u8], id: &str) -> Result<Content, NotTaken> {
    let mut from = 0;
    loop {
        let to = (from + 999).min(bytes.len());
        match receiving.take(LEADER, piece(bytes, id, from, to)).await? {
            Step::Whole(content) => return Ok(content),
            Step::Continue { offset } => from = offset as usize,
        }
    }
}

#[tokio::test]
async fn what_was_sent_in_pieces_is_whole_again_in_memory_and_on_disk() {
    for receiving in [Receiving::new(None), on_disk(&SimDisk::new(1))] {
        let mut arrived = send(&receiving, &content(), "1").await.unwrap();
        let mut reader = arrived.reader().unwrap();
        assert_eq!(check_whole(&mut reader).unwrap(), Agreed::default());
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert_eq!(receiving.pieces() as usize, content().len().div_ceil(999));
    }
}

#[tokio::test]
async fn a_piece_that_does_not_follow_is_left_out_and_the_right_one_asked_for() {
    let (receiving, bytes) = (Receiving::new(None), content());
    let take = async |from, to| match receiving.take(LEADER, piece(&bytes, "1", from, to)).await {
        Ok(Step::Continue { offset }) => offset,
        other => panic!("{other:?}"),
    };
    assert_eq!(take(0, 10).await, 10);
    assert_eq!(take(20, 30).await, 10, "a gap");
    assert_eq!(take(0, 10).await, 10, "again");
    assert_eq!(take(10, 20).await, 20);
    assert!(send(&receiving, &bytes, "1").await.is_ok(), "it goes on from there");
}

#[tokio::test]
async fn a_snapshot_of_another_time_or_leader_begins_anew() {
    for receiving in [Receiving::new(None), on_disk(&SimDisk::new(1))] {
        let bytes = content();
        receiving.take(LEADER, piece(&bytes, "1", 0, 10)).await.unwrap();
        let other = receiving.take(LEADER, piece(&bytes, "2", 10, 20)).await.unwrap();
        assert!(matches!(other, Step::Continue { offset: 0 }));
        receiving.take(LEADER, piece(&bytes, "2", 0, 10)).await.unwrap();
        let other = receiving.take(NodeId(2), piece(&bytes, "2", 10, 20)).await.unwrap();
        assert!(matches!(other, Step::Continue { offset: 0 }));
    }
}

#[tokio::test]
async fn a_damaged_or_oversized_snapshot_is_refused_and_can_be_sent_again() {
    for receiving in [Receiving::new(None), on_disk(&SimDisk::new(1))] {
        for at in [0, 5000, content().len() - 1] {
            let mut bytes = content();
            bytes[at] ^= 1;
            let error = send(&receiving, &bytes, "1").await.unwrap_err().to_string();
            assert!(error.contains("checksum"), "{error}");
        }
        let empty = receiving.take(LEADER, piece(&[], "1", 0, 0)).await.unwrap_err().to_string();
        assert!(empty.contains("cut short"), "{empty}");
        let bytes = content();
        let more = SnapshotChunk { total: 10, ..piece(&bytes, "1", 0, 20) };
        let error = receiving.take(LEADER, more).await.unwrap_err().to_string();
        assert!(error.contains("more bytes than the 10 that were announced"), "{error}");
        let claim = SnapshotChunk { total: SNAPSHOT_BYTES_MAX + 1, ..piece(&bytes, "1", 0, 20) };
        let error = receiving.take(LEADER, claim).await.unwrap_err();
        assert!(matches!(error, NotTaken::TooLarge { .. }), "{error}");
        assert!(send(&receiving, &bytes, "1").await.is_ok());
    }
}

#[tokio::test]
async fn while_one_is_taken_over_the_next_one_waits_and_what_is_not_taken_over_is_cleared_away() {
    let disk = SimDisk::new(1);
    let receiving = on_disk(&disk);
    let arrived = send(&receiving, &content(), "1").await.unwrap();
    let error = send(&receiving, &content(), "2").await.unwrap_err();
    assert!(matches!(error, NotTaken::Busy), "{error}");
    receiving.clear().await.unwrap();
    assert!(disk.content(ARRIVING).is_some(), "it is still being taken over");
    drop(arrived);
    receiving.clear().await.unwrap();
    assert!(disk.content(ARRIVING).is_none());
    assert!(send(&receiving, &content(), "2").await.is_ok());
}

#[tokio::test]
async fn a_disk_without_room_is_told_as_such() {
    let disk = SimDisk::new(1);
    let receiving = on_disk(&disk);
    disk.set_full_after(0);
    let error = send(&receiving, &content(), "1").await.unwrap_err();
    assert!(matches!(&error, NotTaken::Disk(_)), "{error}");
    assert_eq!(disk.list().unwrap().iter().filter(|name| *name == ARRIVING).count(), 0);
}

#[tokio::test]
async fn what_its_sender_gave_up_midway_is_cleared_away_when_the_log_has_got_there() {
    let disk = SimDisk::new(1);
    let receiving = on_disk(&disk);
    let bytes = content();
    let first = piece(&bytes, "1", 0, 5000);
    let last = first.meta.last_log_id.map_or(0, |id| id.index);
    receiving.take(LEADER, first).await.unwrap();
    let arriving = || disk.list().unwrap().iter().any(|file| file.starts_with(ARRIVING));
    if let Some(before) = last.checked_sub(1) {
        receiving.give_up_until(before).await.unwrap();
        assert!(arriving(), "the log still needs it");
    }
    receiving.give_up_until(last).await.unwrap();
    assert!(!arriving());
    assert!(send(&receiving, &content(), "2").await.is_ok(), "there is room for another");
}
