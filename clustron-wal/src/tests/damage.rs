//! Bits that turn over, files that shrink, vanish or come from elsewhere.

use std::sync::Arc;

use super::play::{Model, Player, SALT, Step, open, options, script};
use crate::{Disk, Options, SimDisk, Wal, WalError};

/// A disk with three segments or more, the content of its log, and the name of the last segment.
fn written() -> (SimDisk, Model, String) {
    let mut player = Player::new(SimDisk::new(1));
    player.play(&script()).unwrap();
    let more = [600, 30, 600, 40, 600, 50, 60].map(|bytes| Step::Append(vec![bytes, 9]));
    player.play(&more).unwrap();
    let names = player.disk.list().unwrap();
    assert!(names.len() >= 3, "{names:?}");
    (player.disk, player.expected.certain, names.last().unwrap().clone())
}

fn shown(name: &str) -> String {
    format!("simulated/{name}")
}

/// Where the last commit begins in the last segment: it has two records, of 60 and of 9 bytes.
fn last_frame(disk: &SimDisk, last: &str) -> u64 {
    disk.content(last).unwrap().len() as u64 - (36u64 + 4 + 60 + 4 + 9).next_multiple_of(8)
}

#[test]
fn any_bit_that_turns_over_before_the_last_commit_is_told_with_file_and_place() {
    let (disk, _, last) = written();
    let tail = last_frame(&disk, &last);
    for name in disk.list().unwrap() {
        let bytes = disk.content(&name).unwrap().len() as u64;
        let bytes = if name == last { tail } else { bytes };
        for byte in 0..bytes {
            for bit in 0..8 {
                let damaged = disk.copy();
                damaged.flip_bit(&name, byte, bit);
                let before = damaged.content(&name);
                match open(&damaged) {
                    Err(WalError::Corrupt { file, offset, .. }) => {
                        assert_eq!(file, shown(&name), "byte {byte}, bit {bit}");
                        assert!(offset <= byte, "byte {byte} was told as {offset}");
                    }
                    other => panic!("byte {byte}, bit {bit} of {name}: {other:?}"),
                }
                assert_eq!(damaged.content(&name), before, "a log that is refused stays as it is");
            }
        }
    }
}

#[test]
fn a_bit_that_turns_over_in_the_last_commit_costs_at_most_that_and_is_reported() {
    let (disk, model, last) = written();
    let (start, end) = (last_frame(&disk, &last), disk.content(&last).unwrap().len() as u64);
    let mut shorter = model;
    shorter.records.truncate(shorter.records.len() - 2);
    for byte in start..end {
        for bit in 0..8 {
            let damaged = disk.copy();
            damaged.flip_bit(&last, byte, bit);
            let (wal, recovered) = Wal::open(Arc::new(damaged), options()).unwrap();
            assert_eq!(recovered.torn_bytes, end - start);
            assert_eq!(Model::of(&wal).unwrap(), shorter);
        }
    }
}

#[test]
fn a_bit_that_turns_over_while_the_log_is_open_is_told_by_the_reader() {
    let (disk, model, last) = written();
    let wal = open(&disk).unwrap();
    for name in disk.list().unwrap() {
        let bytes = disk.content(&name).unwrap().len() as u64;
        for byte in (64..bytes).step_by(7) {
            disk.flip_bit(&name, byte, 3);
            match Model::of(&wal) {
                Err(what) => assert!(what.starts_with(&shown(&name)), "{what}"),
                // Lines that strike others out are not read again.
                Ok(found) => assert_eq!(found, model),
            }
            disk.flip_bit(&name, byte, 3);
        }
    }
    disk.truncate_file(&last, last_frame(&disk, &last) + 3);
    let error = wal.reader(wal.first_index()).unwrap().find_map(Result::err);
    assert!(matches!(error, Some(WalError::Corrupt { .. })), "{error:?}");
}

#[test]
fn any_length_that_the_last_segment_is_cut_to_loses_whole_commits_only() {
    let (disk, model, last) = written();
    let bytes = disk.content(&last).unwrap().len() as u64;
    for cut in 64..bytes {
        let shortened = disk.copy();
        shortened.truncate_file(&last, cut);
        let found = Model::of(&open(&shortened).unwrap()).unwrap();
        assert_eq!(found.first, model.first);
        assert_eq!(found.records, model.records[..found.records.len()]);
        // All commits at the end have two records.
        assert_eq!((model.records.len() - found.records.len()) % 2, 0);
    }
    for cut in 0..64 {
        let shortened = disk.copy();
        shortened.truncate_file(&last, cut);
        assert!(matches!(open(&shortened), Err(WalError::Corrupt { offset: 0, .. })));
    }
}

#[test]
fn any_length_that_an_earlier_segment_is_cut_to_is_damage() {
    let (disk, _, last) = written();
    for name in disk.list().unwrap().into_iter().filter(|name| *name != last) {
        for cut in 0..disk.content(&name).unwrap().len() as u64 {
            let shortened = disk.copy();
            shortened.truncate_file(&name, cut);
            let opened = open(&shortened).map(drop);
            assert!(matches!(opened, Err(WalError::Corrupt { .. })), "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_segment_that_is_missing_in_the_middle_is_damage() {
    let (disk, _, last) = written();
    let names = disk.list().unwrap();
    let middle = &names[names.len() - 2];
    disk.remove(middle).unwrap();
    let Err(WalError::Corrupt { file, offset: 0, what }) = open(&disk) else { panic!() };
    assert_eq!(file, shown(&last));
    assert!(what.starts_with("it begins at index "), "{what}");
}

#[test]
fn zeros_behind_the_last_commit_are_a_torn_end() {
    let (disk, model, last) = written();
    let mut bytes = disk.content(&last).unwrap();
    bytes.extend([0; 4099]);
    disk.put(&last, &bytes);
    let (wal, recovered) = Wal::open(Arc::new(disk.clone()), options()).unwrap();
    assert_eq!(recovered.torn_bytes, 4099);
    assert_eq!(Model::of(&wal).unwrap(), model);
    assert_eq!(disk.content(&last).unwrap().len(), bytes.len() - 4099);
}

/// Two disks with one beginning, whose logs have the same indexes, sizes and places after it.
fn parted(records: usize) -> [SimDisk; 2] {
    let begun = SimDisk::new(0);
    open(&begun).unwrap().append(0, &["begin".into()]).unwrap();
    ["one", "two"].map(|text| {
        let disk = begun.copy();
        let mut wal = open(&disk).unwrap();
        for _ in 0..records {
            wal.append(wal.next_index(), &[text.into()]).unwrap();
        }
        disk
    })
}

#[test]
fn a_commit_from_another_past_does_not_follow_even_in_its_own_place() {
    let [one, two] = parted(2);
    let name = &one.list().unwrap()[0];
    let (mut mixed, other) = (one.content(name).unwrap(), two.content(name).unwrap());
    let last = mixed.len() - 48;
    mixed[last..].copy_from_slice(&other[last..]);
    one.put(name, &mixed);
    let Err(WalError::Corrupt { offset, what, .. }) = open(&one) else { panic!() };
    assert_eq!(
        (offset, what.as_str()),
        (last as u64, "the frame does not follow the one before it")
    );
}

#[test]
fn a_segment_from_another_past_does_not_follow_even_with_its_own_name() {
    let [one, two] = parted(20);
    let names = one.list().unwrap();
    assert!(names.len() > 1, "{names:?}");
    one.put(&names[1], &two.content(&names[1]).unwrap());
    let Err(WalError::Corrupt { file, offset: 0, what }) = open(&one) else { panic!() };
    assert_eq!(file, shown(&names[1]));
    assert!(what.starts_with("it does not go on where "), "{what}");
}

#[test]
fn a_copy_of_the_log_inside_a_torn_record_is_no_frame() {
    let disk = SimDisk::new(0);
    // Large segments, so that all of it is in one.
    let open = || Wal::open(Arc::new(disk.clone()), Options::new("log", SALT)).unwrap().0;
    let mut wal = open();
    wal.append(0, &["begin".into()]).unwrap();
    let name = &disk.list().unwrap()[0];
    let start = wal.bytes();
    // The same bytes at all eight distances from where frames may begin.
    let copy = disk.content(name).unwrap();
    let copies: Vec<u8> = (0..8).flat_map(|gap| [&vec![0; gap][..], &copy].concat()).collect();
    wal.append(1, &[copies.into()]).unwrap();
    drop(wal);
    disk.truncate_file(name, disk.content(name).unwrap().len() as u64 - 8);
    assert_eq!(open().next_index(), 1);
    assert_eq!(disk.content(name).unwrap().len() as u64, start);
}

#[test]
fn an_older_generation_beside_one_without_its_base_is_damage() {
    let disk = SimDisk::new(0);
    let mut wal = open(&disk).unwrap();
    wal.append(0, &["old".into()]).unwrap();
    let name = disk.list().unwrap()[0].clone();
    let old = disk.content(&name).unwrap();
    wal.reset(10).unwrap();
    for index in 10..40 {
        wal.append(index, &["new".into()]).unwrap();
    }
    drop(wal);
    // With the base it is what a reset has left, and goes.
    let with_base = disk.copy();
    with_base.put(&name, &old);
    assert_eq!(open(&with_base).unwrap().first_index(), 10);
    assert_eq!(with_base.content(&name), None);
    open(&disk).unwrap().purge(30).unwrap();
    disk.put(&name, &old);
    let Err(WalError::Corrupt { what, .. }) = open(&disk) else { panic!() };
    assert!(what.starts_with("the base of its generation is missing"), "{what}");
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (disk, _, last) = written();
    let other = SimDisk::new(2);
    let names = disk.list().unwrap();
    let (mut wal, _) =
        Wal::open(Arc::new(other.clone()), Options { salt: SALT + 1, ..options() }).unwrap();
    let first: u64 = last[4..24].parse().unwrap();
    wal.reset(first).unwrap();
    drop(wal);
    disk.put(&last, &other.content(&last).unwrap());
    let Err(WalError::Corrupt { file, what, .. }) = open(&disk) else { panic!("{names:?}") };
    assert_eq!(file, shown(&last));
    assert!(what.starts_with("it belongs to another log: its salt is 0000000000005a18"), "{what}");
}

#[test]
fn an_old_log_is_opened_with_its_own_salt() {
    let (disk, model, _) = written();
    let other = Options { salt: 7, ..options() };
    let (mut wal, _) = Wal::open(Arc::new(disk.clone()), other).unwrap();
    wal.append(model.next(), &["more".into()]).unwrap();
    drop(wal);
    assert_eq!(open(&disk).unwrap().next_index(), model.next() + 1);
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let (disk, _, last) = written();
    let mut bytes = disk.content(&last).unwrap();
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
    disk.put(&last, &bytes);
    let error = open(&disk).map(drop).unwrap_err();
    let WalError::NewerVersion { file, version: 2, known: 1 } = error else { panic!("{error}") };
    assert_eq!(file, shown(&last));
}

#[test]
fn a_commit_above_the_limit_is_no_torn_end() {
    let (disk, _, last) = written();
    let length = disk.content(&last).unwrap().len();
    let lower = Options { record_bytes_max: 40, frame_bytes_max: 100, ..options() };
    let error = Wal::open(Arc::new(disk.clone()), lower).map(drop).unwrap_err();
    assert!(matches!(error, WalError::OverLimit { max: 100, .. }), "{error}");
    assert_eq!(disk.content(&last).unwrap().len(), length);
}
