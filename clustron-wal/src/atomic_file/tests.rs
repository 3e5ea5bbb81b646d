//! Small files that are replaced as a whole, on disks that fail in between.

use std::io;

use super::*;
use crate::SimDisk;
use crate::error::Outcome;

#[test]
fn the_bytes_of_a_whole_file_are_frozen() {
    let disk = SimDisk::new(0);
    replace(&disk, "vote", b"123456789").unwrap();
    let golden = b"CLWALONE\x01\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x26\x39\xf4\xcb????123456789";
    let mut golden = golden.to_vec();
    let checksum = crc32fast::hash(&golden[..28]);
    golden[28..32].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(disk.content("vote").unwrap(), golden);
    assert_eq!(load(&disk, "vote", 9).unwrap().unwrap(), "123456789");
}

#[test]
fn a_crash_at_any_change_leaves_the_old_file_or_the_new_one() {
    let (mut old, mut new) = (0, 0);
    for n in 1..=9 {
        for seed in 0..40 {
            let disk = SimDisk::new(seed);
            replace(&disk, "vote", &[1; 1000]).unwrap();
            disk.crash_after(n);
            let replaced = replace(&disk, "vote", &[2; 3000]);
            disk.crash();
            let found = load(&disk, "vote", 3000).unwrap().unwrap();
            if found == [1; 1000][..] {
                assert!(replaced.is_err(), "the new file was acknowledged");
                old += 1;
            } else {
                assert_eq!(found, [2; 3000][..]);
                let outcome = replaced.as_ref().err().map(FileError::outcome);
                assert_ne!(outcome, Some(Outcome::NotApplied), "{replaced:?}");
                new += 1;
            }
            // A leftover is no hindrance.
            replace(&disk, "vote", b"3").unwrap();
            assert_eq!(disk.list().unwrap(), ["vote"]);
        }
    }
    assert!(old > 40 && new > 40, "{old} old, {new} new");
}

#[test]
fn a_file_that_is_not_there_is_none_and_a_leftover_is_no_file() {
    let disk = SimDisk::new(0);
    disk.put("vote.new", b"half a vo");
    assert_eq!(load(&disk, "vote", 100).unwrap(), None);
}

#[test]
fn any_bit_that_turns_over_and_any_length_is_told_with_file_and_place() {
    let disk = SimDisk::new(0);
    replace(&disk, "vote", b"for somebody").unwrap();
    let length = disk.content("vote").unwrap().len() as u64;
    for byte in 0..length {
        for bit in 0..8 {
            let damaged = disk.copy();
            damaged.flip_bit("vote", byte, bit);
            let Err(FileError::Corrupt { file, offset, .. }) = load(&damaged, "vote", 100) else {
                panic!("byte {byte}, bit {bit} passed");
            };
            assert_eq!((file.as_str(), offset), ("simulated/vote", if byte < 32 { 0 } else { 32 }));
        }
        let cut = disk.copy();
        cut.truncate_file("vote", byte);
        assert!(matches!(load(&cut, "vote", 100), Err(FileError::Corrupt { .. })));
    }
    let mut longer = disk.content("vote").unwrap();
    longer.push(0);
    disk.put("vote", &longer);
    assert!(matches!(load(&disk, "vote", 100), Err(FileError::Corrupt { .. })));
}

#[test]
fn a_file_that_claims_or_holds_too_much_is_refused_before_it_is_read() {
    let disk = SimDisk::new(0);
    replace(&disk, "vote", &[0; 101]).unwrap();
    let error = load(&disk, "vote", 100).unwrap_err();
    assert!(matches!(error, FileError::TooLarge { bytes: 101, max: 100, .. }), "{error}");
    let mut bytes = disk.content("vote").unwrap();
    bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..28]);
    bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    disk.put("vote", &bytes);
    assert!(matches!(load(&disk, "vote", usize::MAX), Err(FileError::Corrupt { .. })));
    bytes[8] = 9;
    let checksum = crc32fast::hash(&bytes[..28]);
    bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    disk.put("vote", &bytes);
    let error = load(&disk, "vote", usize::MAX).unwrap_err();
    assert!(matches!(error, FileError::NewerVersion { version: 9, known: 1, .. }), "{error}");
}

#[test]
fn a_disk_that_fails_is_told_with_file_and_step_and_the_old_file_stays() {
    let disk = SimDisk::new(0);
    replace(&disk, "vote", b"old").unwrap();
    disk.fail_next_sync();
    let error = replace(&disk, "vote", b"new").unwrap_err();
    assert_eq!(error.to_string(), "simulated/vote: syncing failed: the device did not write");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    disk.set_full_after(10);
    let error = replace(&disk, "vote", &[0; 1000]).unwrap_err();
    assert!(error.is_full(), "{error}");
    disk.set_read_only(true);
    let FileError::Io { source, .. } = replace(&disk, "vote", b"new").unwrap_err() else {
        panic!()
    };
    assert_eq!(source.kind(), io::ErrorKind::ReadOnlyFilesystem);
    disk.set_read_only(false);
    assert_eq!(load(&disk, "vote", 100).unwrap().unwrap(), "old");
}
