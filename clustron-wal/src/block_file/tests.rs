//! Large files that are replaced as a whole.

use super::*;
use crate::SimDisk;
use crate::error::Outcome;

/// Content of which no two blocks are alike.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 3 + at / BLOCK_BYTES) as u8).collect()
}

fn write(disk: &SimDisk, content: &[u8], part: usize) -> Result<u64, FileError> {
    let mut writer = FileWriter::create(Arc::new(disk.clone()), "snapshot")?;
    for part in content.chunks(part) {
        writer.write(part)?;
    }
    writer.finish()
}

fn read(disk: &SimDisk) -> Result<Vec<u8>, FileError> {
    let reader = FileReader::open(disk, "snapshot")?.expect("it was written");
    let bytes = reader.content_bytes();
    let blocks = reader.collect::<Result<Vec<_>, _>>()?;
    assert!(blocks.iter().all(|block| block.len() <= BLOCK_BYTES));
    assert_eq!(blocks.iter().map(|block| block.len() as u64).sum::<u64>(), bytes);
    Ok(blocks.concat())
}

#[test]
fn what_was_written_is_read_whatever_its_length_and_parts() {
    for bytes in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES + 5] {
        for part in [99_983, 5 << 20] {
            let disk = SimDisk::new(0);
            assert_eq!(write(&disk, &content(bytes), part).unwrap(), bytes as u64);
            assert_eq!(read(&disk).unwrap(), content(bytes));
        }
    }
    assert!(FileReader::open(&SimDisk::new(0), "snapshot").unwrap().is_none());
}

#[test]
fn the_bytes_of_a_small_block_file_are_frozen() {
    let disk = SimDisk::new(0);
    write(&disk, b"123456789", 4).unwrap();
    let digits: String =
        disk.content("snapshot").unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits, GOLDEN.concat());
}

/// Header, block, end.
const GOLDEN: [&str; 3] = [
    "434c57414c424c4b01000000000000000000100081fbeb9c",
    "09000000ebe26ceb313233343536373839",
    "00000000efc19c5d01000000000000000900000000000000",
];

#[test]
fn a_crash_at_any_change_leaves_the_old_file_or_the_new_one() {
    let (old, new) = (content(5000), content(BLOCK_BYTES + 5000));
    for n in 1..=11 {
        for seed in 0..2 {
            let disk = SimDisk::new(seed);
            write(&disk, &old, 1 << 20).unwrap();
            disk.crash_after(n);
            let written = write(&disk, &new, 1 << 20);
            disk.crash();
            let found = read(&disk).unwrap();
            match written.as_ref().err().map(FileError::outcome) {
                None => assert!(found == new),
                Some(Outcome::NotApplied) => assert!(found == old),
                Some(Outcome::Unknown) => assert!(found == old || found == new),
            }
        }
    }
}

#[test]
fn a_file_that_is_not_finished_changes_nothing() {
    let disk = SimDisk::new(0);
    write(&disk, b"old", 3).unwrap();
    let mut writer = FileWriter::create(Arc::new(disk.clone()), "snapshot").unwrap();
    writer.write(&content(2 * BLOCK_BYTES)).unwrap();
    let mut reader = FileReader::open(&disk, "snapshot").unwrap().unwrap();
    drop(writer);
    write(&disk, b"new", 3).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), "old", "it was opened before");
    assert_eq!(read(&disk).unwrap(), b"new");
}

#[test]
fn a_file_that_is_given_up_leaves_nothing_behind() {
    let disk = SimDisk::new(0);
    write(&disk, b"old", 3).unwrap();
    let mut writer = FileWriter::create(Arc::new(disk.clone()), "snapshot").unwrap();
    writer.write(&content(2 * BLOCK_BYTES)).unwrap();
    writer.discard().unwrap();
    assert_eq!(disk.list().unwrap(), ["snapshot"]);
    assert_eq!(read(&disk).unwrap(), b"old");
}

#[test]
fn reading_goes_on_at_any_place_and_back_again() {
    let content = content(2 * BLOCK_BYTES + 5);
    let disk = SimDisk::new(0);
    write(&disk, &content, 1 << 20).unwrap();
    let mut reader = FileReader::open(&disk, "snapshot").unwrap().unwrap();
    let end = content.len();
    for place in [end, end - 1, BLOCK_BYTES, 2 * BLOCK_BYTES, BLOCK_BYTES + 7, 3, 0, end + 1] {
        reader.go_to(place as u64);
        let read = reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
        assert!(read.iter().all(|block| !block.is_empty()), "from {place}");
        assert!(read.concat() == content[place.min(end)..], "from {place}");
    }
}

#[test]
fn any_bit_that_turns_over_is_told_with_file_and_place() {
    let disk = SimDisk::new(0);
    write(&disk, &content(40), 40).unwrap();
    let length = disk.content("snapshot").unwrap().len() as u64;
    assert_eq!(length, 24 + 8 + 40 + 24);
    for byte in 0..length {
        for bit in 0..8 {
            disk.flip_bit("snapshot", byte, bit);
            let Err(FileError::Corrupt { file, offset, .. }) = read(&disk) else {
                panic!("byte {byte}, bit {bit} passed");
            };
            let place = match byte {
                0..24 => 0,
                24..72 => 24,
                _ => 72,
            };
            assert_eq!((file.as_str(), offset), ("simulated/snapshot", place));
            disk.flip_bit("snapshot", byte, bit);
        }
        let cut = disk.copy();
        cut.truncate_file("snapshot", byte);
        assert!(matches!(read(&cut), Err(FileError::Corrupt { .. })));
    }
}

#[test]
fn damage_in_a_late_block_is_told_when_it_comes_to_it() {
    let disk = SimDisk::new(0);
    write(&disk, &content(3 * BLOCK_BYTES), BLOCK_BYTES).unwrap();
    let third = (24 + 2 * (8 + BLOCK_BYTES)) as u64;
    disk.flip_bit("snapshot", third + 1000, 0);
    let mut reader = FileReader::open(&disk, "snapshot").unwrap().unwrap();
    assert!(reader.next().unwrap().is_ok());
    assert!(reader.next().unwrap().is_ok());
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("simulated/snapshot is damaged at byte {third}: block 2 of 3 is not intact")
    );
    assert!(reader.next().is_none());
}

#[test]
fn blocks_that_changed_places_are_not_intact() {
    let disk = SimDisk::new(0);
    write(&disk, &content(2 * BLOCK_BYTES), BLOCK_BYTES).unwrap();
    let mut bytes = disk.content("snapshot").unwrap();
    let (first, second) = bytes[24..24 + 2 * (8 + BLOCK_BYTES)].split_at_mut(8 + BLOCK_BYTES);
    first.swap_with_slice(second);
    disk.put("snapshot", &bytes);
    assert!(matches!(read(&disk), Err(FileError::Corrupt { offset: 24, .. })));
}
