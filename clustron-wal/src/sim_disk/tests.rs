//! The simulated disk is as bad as it says, and no worse.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use super::*;

fn write(disk: &SimDisk, name: &str, bytes: &[u8]) -> Box<dyn File> {
    let mut file = disk.open(name).or_else(|_| disk.create(name)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

/// A disk with one durable file.
fn with_file(seed: u64, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(seed);
    write(&disk, "a", bytes).sync().unwrap();
    disk.sync().unwrap();
    disk
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in 0..50 {
        let disk = with_file(seed, &[7; 2000]);
        disk.crash();
        assert_eq!(disk.content("a").unwrap(), [7; 2000]);
    }
}

#[test]
fn what_was_not_synced_survives_in_any_sectors_and_lengths() {
    let (mut sectors, mut lengths) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..400 {
        let disk = with_file(seed, &[1; 1024]);
        let _file = write(&disk, "a", &[2; 2048]);
        assert_eq!(disk.content("a").unwrap(), [2; 2048], "it can be read before");
        disk.crash();
        let found = disk.content("a").unwrap();
        for sector in found.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is never torn");
        }
        sectors.insert(found.chunks(512).map(|sector| sector[0]).collect::<Vec<_>>());
        lengths.insert(found.len());
    }
    for expected in [&[1, 1][..], &[2, 2, 2, 2], &[1, 2], &[2, 1], &[1, 1, 0, 2], &[2, 1, 2]] {
        assert!(sectors.contains(expected), "{expected:?} is missing in {sectors:?}");
    }
    assert!(lengths.iter().any(|length| length % 512 != 0), "{lengths:?}");
    assert!(lengths.first() == Some(&1024) && lengths.last() == Some(&2048), "{lengths:?}");
}

#[test]
fn the_first_so_many_changes_of_names_survive() {
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let disk = with_file(seed, b"x");
        write(&disk, "b", b"y").sync().unwrap();
        disk.rename("b", "c").unwrap();
        disk.remove("a").unwrap();
        disk.crash();
        found.insert(disk.list().unwrap().join(" "));
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "a b", "a c", "c"]);
}

#[test]
fn one_seed_gives_one_end() {
    let ends = |seed| {
        let disk = with_file(seed, &[1; 3000]);
        let _file = write(&disk, "a", &[2; 9000]);
        disk.crash();
        disk.content("a")
    };
    assert_eq!(ends(3), ends(3));
    assert!((0..10).any(|seed| ends(seed) != ends(3)));
}

#[test]
fn a_killed_process_loses_its_handles_and_nothing_else() {
    let disk = with_file(0, b"x");
    let mut file = write(&disk, "a", b"unsynced");
    let held = disk.lock().unwrap();
    disk.kill();
    assert_eq!(disk.content("a").unwrap(), b"unsynced");
    for result in [file.sync(), file.write_at(b"y", 0), file.truncate(0), file.len().map(drop)] {
        assert_eq!(result.unwrap_err().to_string(), "the process is gone");
    }
    let again = disk.lock().unwrap();
    drop(held);
    assert_eq!(disk.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(again);
    disk.lock().unwrap();
}

#[test]
fn a_failed_sync_drops_what_it_should_have_written_behind_everybodys_back() {
    let disk = with_file(0, b"old");
    let mut file = write(&disk, "a", b"new");
    disk.fail_next_sync();
    file.sync().unwrap_err();
    assert_eq!(disk.content("a").unwrap(), b"new", "it still looks written");
    file.sync().unwrap();
    disk.crash();
    assert_eq!(disk.content("a").unwrap(), b"old");
}

#[test]
fn a_cut_lets_the_changes_before_it_happen_and_none_after() {
    for n in 1..=4 {
        let disk = SimDisk::new(0);
        disk.crash_after(n);
        let mut done = 0;
        let mut count = |worked: bool| done += u64::from(worked);
        let file = disk.create("a");
        count(file.is_ok());
        if let Ok(mut file) = file {
            count(file.write_at(b"x", 0).is_ok());
            count(file.sync().is_ok());
            count(disk.sync().is_ok());
        }
        assert_eq!(done, n - 1);
        disk.crash();
        disk.create("b").unwrap();
    }
}

#[test]
fn a_full_disk_takes_what_fits_and_overwriting_needs_no_room() {
    let disk = with_file(0, b"1234");
    disk.set_full_after(3);
    let mut file = disk.open("a").unwrap();
    let error = file.write_at(b"abcdef", 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.content("a").unwrap(), b"12abcde");
    file.write_at(b"again", 0).unwrap();
    file.truncate(1).unwrap();
    file.write_at(b"room again", 1).unwrap_err();
    file.write_at(b"room", 1).unwrap();
    disk.set_full_after(u64::MAX);
    file.write_at(&[0; 1000], 0).unwrap();
}

#[test]
fn a_read_only_disk_can_be_read() {
    let disk = with_file(0, b"x");
    disk.set_read_only(true);
    let mut file = disk.open("a").unwrap();
    let refused = [file.write_at(b"y", 0), file.sync(), disk.sync(), disk.remove("a")];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    }
    let mut byte = [0; 4];
    assert_eq!(file.read_at(&mut byte, 0).unwrap(), 1);
    assert_eq!(file.read_at(&mut byte, 9).unwrap(), 0);
}

#[test]
fn a_copy_is_a_disk_of_its_own_and_damage_is_durable() {
    let disk = with_file(0, b"abc");
    let old = disk.copy();
    disk.flip_bit("a", 0, 1);
    disk.truncate_file("a", 2);
    disk.crash();
    assert_eq!(disk.content("a").unwrap(), b"cb");
    assert_eq!(old.content("a").unwrap(), b"abc");
    disk.wipe();
    assert_eq!(disk.list().unwrap(), [""; 0]);
    assert_eq!(old.list().unwrap(), ["a"]);
    disk.put("b", b"back");
    disk.crash();
    assert_eq!(disk.content("b").unwrap(), b"back");
}

#[test]
fn latency_is_told_and_never_waited_for() {
    let disk = SimDisk::new(0);
    assert_eq!(disk.latency(), Duration::ZERO);
    disk.set_latency(Duration::from_secs(3600));
    disk.create("a").unwrap();
    assert_eq!(disk.clone().latency(), Duration::from_secs(3600));
}

#[test]
fn what_is_left_of_a_process_touches_nothing_of_the_next_one() {
    for end in [SimDisk::kill, SimDisk::crash] {
        let disk = with_file(1, &[7; 10]);
        let (before, _open) = (disk.boot(), disk.boot().open("a").unwrap());
        let held = before.lock().unwrap();
        end(&disk);
        let after = disk.boot();
        let _lock = after.lock().unwrap();
        assert!(before.create("b").is_err() && before.rename("a", "b").is_err());
        assert!(before.remove("a").is_err() && Disk::sync(&before).is_err());
        assert!(before.open("a").is_err() && before.list().is_err());
        drop(held);
        assert!(after.lock().is_err(), "the lock of the next process stays");
        assert_eq!(after.list().unwrap(), ["a"]);
    }
}
