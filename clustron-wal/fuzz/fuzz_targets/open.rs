//! Opens arbitrary bytes as a log: no panic, no more memory than the files have, and what opens can
//! be read.
//!
//! The first byte chooses. Odd: the rest is one segment with the right checksums, whose content is
//! as it comes. Even: the rest is cut into up to four files as they are.
#![no_main]

use std::sync::Arc;

use clustron_wal::{FileReader, Options, SimDisk, Wal, load, seal};
use libfuzzer_sys::fuzz_target;

const SALT: u64 = 7;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let disk = SimDisk::new(0);
    if choice & 1 == 1 {
        let mut bytes = bytes.to_vec();
        let Some(first) = seal(&mut bytes, SALT) else { return };
        disk.put(&format!("log-{first:020}.wal"), &bytes);
    } else {
        let files = usize::from(choice >> 1 & 3) + 1;
        for (first, file) in bytes.chunks(bytes.len() / files + 1).enumerate() {
            disk.put(&format!("log-{first:020}.wal"), file);
            disk.put("small", file);
        }
    }
    let options = Options {
        segment_bytes: 1024,
        record_bytes_max: 4096,
        frame_bytes_max: 8192,
        ..Options::new("log", SALT)
    };
    if let Ok((mut wal, recovered)) = Wal::open(Arc::new(disk.clone()), options) {
        let first = wal.first_index();
        let read =
            wal.reader(first).expect("it begins there").map(|record| record.expect("intact"));
        assert_eq!(read.count() as u64, recovered.records);
        let next = wal.next_index();
        if next < u64::MAX {
            wal.append(next, &["more".into()]).expect("the disk works");
        }
    }
    let _ = load(&disk, "small", 4096);
    if let Ok(Some(blocks)) = FileReader::open(&disk, "small") {
        blocks.take_while(Result::is_ok).count();
    }
});
