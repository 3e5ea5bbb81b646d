//! Disks that fail, fill up, refuse, and are taken.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::play::{Model, open, options};
use crate::{Disk, Options, Outcome, SimDisk, Wal, WalError};

fn record(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

#[test]
fn a_failed_sync_ends_the_log_and_is_never_tried_again() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    wal.append(0, &record("before")).unwrap();
    disk.fail_next_sync();
    let error = wal.append(1, &record("lost")).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(error.source().unwrap().to_string(), "the device did not write");
    let operations = disk.operations();
    let message = "simulated/log-00000000000000000000.wal failed and is not written any more: \
                   the device did not write";
    let later = [
        wal.append(2, &record("later")).unwrap_err(),
        wal.truncate(0).unwrap_err(),
        wal.purge(0).unwrap_err(),
        wal.reset(9).unwrap_err(),
        wal.reader(0).map(drop).unwrap_err(),
        wal.read(0..1, 9).map(drop).unwrap_err(),
    ];
    for error in later {
        assert!(matches!(error, WalError::Failed { .. }), "{error:?}");
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(disk.operations(), operations, "nothing may be done to the disk any more");
    drop(wal);
    disk.crash();
    assert_eq!(Model::of(&open(&disk).unwrap()).unwrap().records, record("before"));
}

#[test]
fn what_opening_reports_stays_even_where_an_earlier_sync_failed_unseen() {
    // The process dies after the failed sync; what it wrote can still be read, but the system does
    // not hold it for unwritten any more.
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    wal.append(0, &record("first")).unwrap();
    disk.fail_next_sync();
    wal.append(1, &record("second")).unwrap_err();
    drop(wal);
    disk.kill();
    let found = Model::of(&open(&disk).unwrap()).unwrap();
    disk.crash();
    assert_eq!(Model::of(&open(&disk).unwrap()).unwrap(), found);
}

#[test]
fn a_full_disk_is_told_apart_and_the_log_goes_on_once_there_is_room() {
    for room in 0..200 {
        let disk = SimDisk::new(0);
        let mut wal = open(&disk).unwrap();
        wal.append(0, &record("before")).unwrap();
        disk.set_full_after(room);
        let mut next = 1;
        let error = loop {
            match wal.append(next, &record("and more")) {
                Ok(()) => next += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, WalError::Full { .. }), "{error}");
        assert!(matches!(wal.append(next, &record("x")), Err(WalError::Full { .. })));
        drop(wal);
        disk.set_full_after(u64::MAX);
        let mut wal = open(&disk).unwrap();
        assert_eq!(wal.next_index(), next);
        wal.append(next, &record("after")).unwrap();
        assert_eq!(wal.read(next..next + 1, 9).unwrap(), [(next, Bytes::from("after"))]);
    }
}

#[test]
fn a_read_only_disk_ends_the_log() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    wal.append(0, &record("before")).unwrap();
    disk.set_read_only(true);
    let WalError::Failed { first_cause, .. } = wal.append(1, &record("x")).unwrap_err() else {
        panic!()
    };
    assert_eq!(first_cause.kind(), io::ErrorKind::ReadOnlyFilesystem);
    drop(wal);
    assert!(matches!(open(&disk), Err(WalError::Failed { .. })));
    disk.set_read_only(false);
    assert_eq!(open(&disk).unwrap().next_index(), 1);
}

#[test]
fn a_log_is_opened_once_at_a_time() {
    let disk = SimDisk::new(0);
    let wal = open(&disk).unwrap();
    let error = open(&disk).map(drop).unwrap_err();
    assert!(matches!(error, WalError::Locked { .. }), "{error}");
    drop(wal);
    let wal = open(&disk).unwrap();
    // Whoever has the lock already opens without.
    let beside = Options { lock: false, prefix: "other".to_owned(), ..options() };
    Wal::open(Arc::new(disk.clone()), beside).unwrap();
    disk.kill();
    let again = open(&disk).unwrap();
    drop(wal);
    assert!(disk.lock().is_err(), "the lock of a dead process frees nobody else's");
    drop(again);
}

#[test]
fn logs_on_one_disk_do_not_see_each_other() {
    let disk = SimDisk::new(0);
    let log = |prefix: &str| {
        let options = Options { lock: false, ..Options::new(prefix, 1) };
        Wal::open(Arc::new(disk.clone()), options).unwrap().0
    };
    for (prefix, text) in [("a", "one"), ("a-2", "two"), ("a-2-00000000000000000000", "three")] {
        log(prefix).append(0, &record(text)).unwrap();
    }
    for (prefix, text) in [("a", "one"), ("a-2", "two"), ("a-2-00000000000000000000", "three")] {
        assert_eq!(log(prefix).read(0..9, 9).unwrap(), [(0, Bytes::from(text))]);
    }
}

#[test]
fn what_cannot_be_appended_is_refused_and_harms_nothing() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    wal.append(0, &record("before")).unwrap();
    let operations = disk.operations();
    let large = Bytes::from(vec![0; 4001]);
    let error = wal.append(1, &[Bytes::new(), large]).unwrap_err();
    assert!(matches!(error, WalError::RecordTooLarge { index: 2, bytes: 4001, max: 4000 }));
    let error = wal.append(1, &vec![Bytes::from(vec![0; 4000]); 3]).unwrap_err();
    assert!(matches!(error, WalError::GroupTooLarge { max: 8192, .. }), "{error}");
    let error = wal.append(2, &record("gap")).unwrap_err();
    assert!(matches!(error, WalError::NotNext { given: 2, next: 1 }), "{error}");
    assert!(matches!(wal.append(0, &record("x")), Err(WalError::NotNext { .. })));
    assert_eq!(disk.operations(), operations);
    wal.reset(u64::MAX).unwrap();
    let error = wal.append(u64::MAX, &record("x")).unwrap_err();
    assert!(matches!(error, WalError::OutOfIndexes { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    wal.reset(5).unwrap();
    wal.append(5, &record("after")).unwrap();
    assert!(matches!(wal.truncate(4), Err(WalError::Purged { index: 4, first: 5 })));
    assert!(matches!(wal.reader(4), Err(WalError::Purged { index: 4, first: 5 })));
}
