//! What a log does in an ordinary life.

use std::sync::Arc;

use bytes::Bytes;

use super::play::{Model, open, options};
use crate::{Disk, Options, SimDisk, Wal};

fn numbered(range: std::ops::Range<u64>) -> Vec<Bytes> {
    range.map(|index| Bytes::from(format!("record {index}"))).collect()
}

/// Appends each record as a commit of its own.
fn append_each(wal: &mut Wal, range: std::ops::Range<u64>) {
    for index in range {
        wal.append(index, &numbered(index..index + 1)).unwrap();
    }
}

#[test]
fn a_new_log_takes_any_first_index_and_then_only_the_next() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    assert!(wal.is_new());
    assert_eq!((wal.first_index(), wal.next_index(), wal.bytes()), (0, 0, 0));
    wal.append(7, &numbered(7..10)).unwrap();
    assert_eq!((wal.first_index(), wal.next_index()), (7, 10));
    assert!(!wal.is_new());
    drop(wal);
    let (wal, recovered) = Wal::open(Arc::new(disk.clone()), options()).unwrap();
    assert_eq!((recovered.records, recovered.segments, recovered.torn_bytes), (3, 1, 0));
    assert_eq!(Model::of(&wal).unwrap().records, numbered(7..10));
}

#[test]
fn one_commit_is_one_write_and_one_sync() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    wal.append(0, &numbered(0..1)).unwrap();
    let (operations, syncs) = (disk.operations(), disk.syncs());
    wal.append(1, &numbered(1..20)).unwrap();
    assert_eq!((disk.operations() - operations, disk.syncs() - syncs), (2, 1));
}

#[test]
fn no_records_are_no_commit() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    wal.append(4, &[]).unwrap();
    assert!(wal.is_new());
    assert_eq!(disk.operations(), 1, "only the sync at opening");
}

#[test]
fn segments_end_at_their_limit_and_their_files_are_what_bytes_tells() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    append_each(&mut wal, 0..40);
    let files: Vec<usize> =
        disk.list().unwrap().iter().map(|name| disk.content(name).unwrap().len()).collect();
    assert!(files.len() > 3, "{files:?}");
    assert!(files.iter().all(|bytes| *bytes <= 700), "{files:?}");
    assert_eq!(wal.bytes(), files.iter().sum::<usize>() as u64);
}

#[test]
fn purging_gives_back_whole_segments_and_keeps_the_one_that_is_written_to() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    append_each(&mut wal, 0..40);
    let all = disk.list().unwrap().len();
    wal.purge(3).unwrap();
    assert_eq!((wal.first_index(), disk.list().unwrap().len()), (0, all));
    wal.purge(15).unwrap();
    let first = wal.first_index();
    assert!((1..=16).contains(&first), "{first}");
    wal.purge(u64::MAX).unwrap();
    assert_eq!(disk.list().unwrap().len(), 1);
    assert_eq!(wal.next_index(), 40);
    drop(wal);
    let mut wal = open(&disk).unwrap();
    append_each(&mut wal, 40..60);
    let first = wal.first_index();
    assert_eq!(Model::of(&wal).unwrap().records, numbered(first..60));
}

#[test]
fn reading_by_range_keeps_to_the_range_and_to_the_limit() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    append_each(&mut wal, 0..10);
    wal.append(10, &numbered(10..20)).unwrap();
    append_each(&mut wal, 20..30);
    let indexes = |range: std::ops::Range<u64>, bytes: usize| -> Vec<u64> {
        wal.read(range, bytes).unwrap().into_iter().map(|(index, _)| index).collect()
    };
    assert_eq!(indexes(8..12, 1000), [8, 9, 10, 11]);
    assert_eq!(indexes(0..30, usize::MAX), (0..30).collect::<Vec<_>>());
    // Each has eight or nine bytes.
    assert_eq!(indexes(5..30, 25), [5, 6, 7]);
    assert_eq!(indexes(15..30, 0), [15], "the first is given whatever its size");
    assert_eq!(indexes(28..90, 1000), [28, 29]);
    assert_eq!(indexes(30..90, 1000), []);
    assert_eq!(indexes(5..5, 1000), []);
    for start in 0..30 {
        let read: Vec<Bytes> = wal.reader(start).unwrap().map(|r| r.unwrap().1).collect();
        assert_eq!(read, numbered(start..30));
    }
}

#[test]
fn a_record_that_was_truncated_stays_away_when_others_take_its_index() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    wal.append(0, &numbered(0..10)).unwrap();
    for from in [8, 5, 3] {
        wal.truncate(from).unwrap();
        wal.append(from, &["new".into()]).unwrap();
        drop(wal);
        wal = open(&disk).unwrap();
        let mut expected = numbered(0..from);
        expected.push("new".into());
        assert_eq!(Model::of(&wal).unwrap().records, expected);
    }
    wal.truncate(100).unwrap();
    assert_eq!(wal.next_index(), 4);
}

#[test]
fn what_a_crash_has_left_of_a_start_is_removed() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    append_each(&mut wal, 0..3);
    drop(wal);
    disk.put("log-00000000000000000003.wal.new", b"unfinished");
    disk.put("log-3.wal.new", b"of somebody else");
    let (wal, recovered) = Wal::open(Arc::new(disk.clone()), options()).unwrap();
    assert_eq!(recovered.removed_files, 1);
    assert_eq!(disk.list().unwrap(), ["log-00000000000000000000.wal", "log-3.wal.new"]);
    assert_eq!(wal.next_index(), 3);
}

#[test]
fn large_records_are_read_in_pieces_as_they_were_written() {
    let disk = SimDisk::new(0);
    let (mut wal, _) = Wal::open(Arc::new(disk), Options::new("large", 1)).unwrap();
    let record = |index: u64| Bytes::from(vec![index as u8; 100_000 * index as usize]);
    for index in 0..30 {
        wal.append(index, &[record(index)]).unwrap();
    }
    for (expected, read) in wal.reader(0).unwrap().enumerate() {
        let (index, bytes) = read.unwrap();
        assert_eq!(index, expected as u64);
        assert_eq!(bytes, record(index));
    }
}
