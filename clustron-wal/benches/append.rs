//! What a durable append costs, beside the least that it can cost: a bare `write` and `fdatasync`
//! of as many bytes on the same disk in the same run. `cargo bench -p clustron-wal`.
//!
//! The two take turns in short rounds, so that what else the machine does hits both. It ends after
//! some 20 seconds.
#![expect(clippy::print_stdout, reason = "a measurement speaks to who runs it")]

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clustron_wal::{FileDisk, Options, Wal};

const RECORD_BYTES: [usize; 2] = [128, 1024];
const BATCHES: [usize; 3] = [1, 16, 256];
const ROUNDS: u32 = 4;
const ROUND: Duration = Duration::from_millis(400);
/// The most commits of a round, so that a disk that does not sync at all fills nothing up.
const COMMITS_MAX: u32 = 4000;

/// What was done in all rounds, and in what time.
#[derive(Default)]
struct Tally {
    commits: u32,
    took: Duration,
}

impl Tally {
    fn round(
        &mut self,
        mut commit: impl FnMut() -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        let mut commits = 0;
        while began.elapsed() < ROUND && commits < COMMITS_MAX {
            commit()?;
            commits += 1;
        }
        self.commits += commits;
        self.took += began.elapsed();
        Ok(())
    }

    fn per_second(&self) -> f64 {
        f64::from(self.commits) / self.took.as_secs_f64()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    println!(
        "{:>7} {:>6} {:>14} {:>10} {:>14} {:>8}",
        "record", "batch", "appends/s", "syncs/s", "bare syncs/s", "ratio"
    );
    for record_bytes in RECORD_BYTES {
        for batch in BATCHES {
            let path = directory.path().join(format!("{record_bytes}-{batch}"));
            let (ours, bare) = measure(&path, record_bytes, batch)?;
            println!(
                "{record_bytes:>5} B {batch:>6} {:>14.0} {:>10.0} {:>14.0} {:>8.2}",
                ours.per_second() * batch as f64,
                ours.per_second(),
                bare.per_second(),
                ours.per_second() / bare.per_second(),
            );
        }
    }
    Ok(())
}

fn measure(
    path: &Path,
    record_bytes: usize,
    batch: usize,
) -> Result<(Tally, Tally), Box<dyn Error>> {
    let (mut ours, mut bare) = (Tally::default(), Tally::default());
    let disk = Arc::new(FileDisk::open(path)?);
    let (mut wal, _) = Wal::open(disk, Options::new("append", 1))?;
    let records = vec![Bytes::from(vec![7; record_bytes]); batch];
    // The first one begins the log.
    wal.append(0, &records)?;
    let frame = vec![7; (wal.bytes() - 64) as usize];
    let mut file = fs::File::create(path.join("bare"))?;
    for _ in 0..ROUNDS {
        ours.round(|| Ok(wal.append(wal.next_index(), &records)?))?;
        bare.round(|| {
            file.write_all(&frame)?;
            Ok(file.sync_data()?)
        })?;
    }
    Ok((ours, bare))
}
