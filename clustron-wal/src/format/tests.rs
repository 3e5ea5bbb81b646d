//! The bytes are frozen: a change here needs a new format version.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::{Disk, Options, SimDisk, Wal};

/// Two segments with all that can stand in them.
fn written() -> SimDisk {
    let disk = SimDisk::new(0);
    let options = Options { segment_bytes: 260, ..Options::new("log", 0x0123_4567_89ab_cdef) };
    let (mut wal, _) = Wal::open(Arc::new(disk.clone()), options).unwrap();
    wal.append(5, &[Bytes::from("one"), Bytes::from("")]).unwrap();
    wal.append(7, &[Bytes::from("three"), Bytes::from("four")]).unwrap();
    wal.truncate(8).unwrap();
    wal.append(8, &[Bytes::from("five")]).unwrap();
    wal.append(9, &[Bytes::from("six")]).unwrap();
    disk
}

fn hex(bytes: &[u8]) -> Vec<String> {
    bytes.chunks(8).map(|row| row.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
}

#[test]
fn the_bytes_of_a_log_are_frozen() {
    let disk = written();
    let names = disk.list().unwrap();
    assert_eq!(names, ["log-00000000000000000005.wal", "log-00000000000000000009.wal"]);
    assert_eq!(hex(&disk.content(&names[0]).unwrap()), FIRST);
    assert_eq!(hex(&disk.content(&names[1]).unwrap()), SECOND);
}

#[test]
fn the_frozen_bytes_are_read_as_what_was_written() {
    let disk = SimDisk::new(0);
    for (name, rows) in [("00000000000000000005", FIRST), ("00000000000000000009", SECOND)] {
        let digits: String = rows.concat();
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        disk.put(&format!("log-{name}.wal"), &bytes);
    }
    let (wal, recovered) = Wal::open(Arc::new(disk), Options::new("log", 0)).unwrap();
    assert_eq!((recovered.records, recovered.torn_bytes), (5, 0));
    let records: Vec<Bytes> = wal.reader(5).unwrap().map(|record| record.unwrap().1).collect();
    assert_eq!(records, ["one", "", "three", "five", "six"]);
}

#[test]
fn names_are_read_as_they_are_written_and_no_others() {
    for first in [0, 7, u64::MAX] {
        assert_eq!(first_of_name("log", &segment_name("log", first)), Some(first));
    }
    let others = [
        "log-0.wal",
        "log-00000000000000000005.wal.new",
        "log-99999999999999999999.wal",
        "log-+0000000000000000005.wal",
        "log2-00000000000000000005.wal",
        "log-2-00000000000000000005.wal",
        "00000000000000000005.wal",
    ];
    for name in others {
        assert_eq!(first_of_name("log", name), None, "{name}");
    }
}

const FIRST: &[&str] = &[
    "434c57414c534547",
    "0100000001000000",
    "efcdab8967452301",
    "0100000000000000",
    "0500000000000000",
    "0000000000000000",
    "0000000000000000",
    "000000003a4c0153",
    "4652414d01000000",
    "0500000000000000",
    "020000000b000000",
    "3a4c0153d90f3086",
    "697facd803000000",
    "6f6e650000000000",
    "4652414d01000000",
    "0700000000000000",
    "0200000011000000",
    "697facd8af888a5b",
    "ff66104c05000000",
    "7468726565040000",
    "00666f7572000000",
    "4652414d02000000",
    "0800000000000000",
    "0000000000000000",
    "ff66104c1cdf4421",
    "78e46a4d00000000",
    "4652414d01000000",
    "0800000000000000",
    "0100000008000000",
    "78e46a4dfb4bd0fc",
    "237cd6b304000000",
    "6669766500000000",
];

const SECOND: &[&str] = &[
    "434c57414c534547",
    "0100000000000000",
    "efcdab8967452301",
    "0100000000000000",
    "0900000000000000",
    "0001000000000000",
    "237cd6b300000000",
    "0000000048f65b0a",
    "4652414d01000000",
    "0900000000000000",
    "0100000007000000",
    "48f65b0a7604cbd7",
    "a448438f03000000",
    "7369780000000000",
];
