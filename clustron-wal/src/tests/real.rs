//! The same log in a directory of the real file system.

use std::fs;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Disk, FileDisk, FileReader, FileWriter, Options, Wal, WalError, load, replace};

#[test]
fn a_log_in_a_directory_lives_on_after_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(FileDisk::open(directory.path().join("log")).unwrap());
        let options = Options { segment_bytes: 4096, ..Options::new("log", 1) };
        Wal::open(disk, options).unwrap().0
    };
    let record = |index: u64| Bytes::from(vec![index as u8; 300]);
    let mut wal = open();
    for index in 0..100 {
        wal.append(index, &[record(index)]).unwrap();
    }
    wal.truncate(90).unwrap();
    wal.purge(30).unwrap();
    let first = wal.first_index();
    assert!(first > 10, "{first}");
    drop(wal);
    let mut wal = open();
    assert_eq!((wal.first_index(), wal.next_index()), (first, 90));
    wal.append(90, &[record(90)]).unwrap();
    for (read, index) in wal.reader(first).unwrap().zip(first..) {
        assert_eq!(read.unwrap(), (index, record(index)));
    }
    wal.reset(5).unwrap();
    drop(wal);
    let wal = open();
    assert_eq!((wal.first_index(), wal.next_index()), (5, 5));
}

#[test]
fn a_torn_end_is_cut_off_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(FileDisk::open(directory.path()).unwrap());
        Wal::open(disk, Options::new("log", 1)).unwrap()
    };
    let (mut wal, _) = open();
    wal.append(0, &["one".into()]).unwrap();
    let whole = wal.bytes();
    wal.append(1, &["two".into()]).unwrap();
    drop(wal);
    let path = directory.path().join("log-00000000000000000000.wal");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(whole + 20).unwrap();
    let (wal, recovered) = open();
    assert_eq!((wal.next_index(), recovered.torn_bytes), (1, 20));
    assert_eq!(fs::metadata(path).unwrap().len(), whole);
}

#[test]
fn a_directory_that_is_in_use_is_refused_with_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    let disk = || Arc::new(FileDisk::open(directory.path()).unwrap());
    let held = Wal::open(disk(), Options::new("log", 1)).unwrap();
    let error = Wal::open(disk(), Options::new("log", 1)).map(drop).unwrap_err();
    assert!(matches!(error, WalError::Locked { .. }));
    let holder = format!("is in use by process {}:", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    assert!(!disk().list().unwrap().contains(&"LOCK".to_owned()));
    drop(held);
    Wal::open(disk(), Options::new("log", 1)).unwrap();
}

#[test]
fn names_with_directories_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(directory.path()).unwrap();
    for name in ["", ".", "..", "a/b", "/a", "a\\b", "a\0"] {
        let error = disk.create(name).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
    }
    assert_eq!(disk.open("a").map(drop).unwrap_err().kind(), io::ErrorKind::NotFound);
    disk.create("a").unwrap();
    assert_eq!(disk.create("a").map(drop).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    let parent = directory.path().join("not").join("there");
    let error = FileDisk::open(parent).unwrap_err();
    assert!(error.to_string().starts_with("cannot create the directory "), "{error}");
}

#[test]
fn whole_files_are_replaced_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::open(directory.path()).unwrap());
    replace(disk.as_ref(), "vote", b"for b").unwrap();
    replace(disk.as_ref(), "vote", b"for c").unwrap();
    assert_eq!(load(disk.as_ref(), "vote", 100).unwrap().unwrap(), "for c");
    let mut writer = FileWriter::create(disk.clone(), "snapshot").unwrap();
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    content.chunks(10_007).for_each(|part| writer.write(part).unwrap());
    assert_eq!(writer.finish().unwrap(), 3_000_000);
    let blocks = FileReader::open(disk.as_ref(), "snapshot").unwrap().unwrap();
    assert_eq!(blocks.map(Result::unwrap).collect::<Vec<_>>().concat(), content);
    let mut names = disk.list().unwrap();
    names.sort();
    assert_eq!(names, ["snapshot", "vote"]);
}
