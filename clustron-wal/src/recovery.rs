//! Opening a log: what is there, whether it can be trusted, and what a crash has left unfinished.
//!
//! Everything is read and checked before anything is changed, so a log that is refused is as it
//! was. Then, in this order, each step being harmless if the next one never happens:
//!
//! 1. The torn end of the last segment is cut off, and its last frame is written once more. A frame
//!    may be there to be read and yet not on the disk, if the process died before its sync, or
//!    after one that failed (the system then takes the page for clean and would not write it). What
//!    opening reports has to stay, so the system gets a reason to write it.
//! 2. The file and the directory are synced.
//! 3. What an unfinished start of a segment or a reset left behind is removed.

use std::io;

use crate::disk::{Disk, File, read_full};
use crate::error::WalError;
use crate::format::{BadHeader, NEW, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION, first_of_name};
use crate::options::Options;
use crate::scan::Scanner;
use crate::segment::Segment;
use crate::window::Window;

/// What opening has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// How many records the log holds.
    pub records: u64,
    /// In how many files.
    pub segments: usize,
    /// How much was cut off at the end: what a crash left of a commit that was never acknowledged.
    /// Damage to the very last commit looks the same, so an owner that knows from elsewhere how far
    /// the log must reach should compare.
    pub torn_bytes: u64,
    /// How many files were removed that a crash had left unfinished or unneeded.
    pub removed_files: usize,
}

/// A log that was read and put in order.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) segments: Vec<Segment>,
    /// The last segment's.
    pub(crate) active: Option<Box<dyn File>>,
    pub(crate) recovered: Recovered,
}

/// A segment of which only the header was read.
#[derive(Debug)]
struct Candidate {
    name: String,
    file: Box<dyn File>,
    header: SegmentHeader,
}

/// How a file is called in messages.
pub(crate) fn shown(disk: &dyn Disk, name: &str) -> String {
    disk.path().join(name).display().to_string()
}

/// # Errors
/// As `Wal::open` says.
pub(crate) fn recover(disk: &dyn Disk, options: &Options) -> Result<Recovery, WalError> {
    let directory = || shown(disk, "");
    let names = disk.list().map_err(|error| WalError::io(directory(), error))?;
    let is_unfinished = |name: &String| {
        name.strip_suffix(NEW).is_some_and(|name| first_of_name(&options.prefix, name).is_some())
    };
    let mut leftovers: Vec<String> = names.iter().filter(|n| is_unfinished(n)).cloned().collect();
    let mut candidates = candidates(disk, options, names)?;
    let replaced = split_replaced(disk, &mut candidates)?;
    leftovers.extend(replaced.into_iter().map(|candidate| candidate.name));

    let mut recovered = Recovered::default();
    let (mut segments, mut active) = (Vec::<Segment>::new(), None);
    let count = candidates.len();
    for (at, candidate) in candidates.into_iter().enumerate() {
        let Candidate { name, mut file, header } = candidate;
        let file_name = shown(disk, &name);
        if let Some(before) = segments.last() {
            follows(before, &header, &file_name)?;
        }
        let window = Window::new(&*file).map_err(|error| WalError::io(&file_name, error))?;
        let scan = Scanner {
            file: &file_name,
            window,
            header,
            is_last: at + 1 == count,
            frame_bytes_max: options.frame_bytes_max as u64,
        };
        let scan = scan.scan()?;
        if at + 1 == count {
            recovered.torn_bytes = scan.torn_bytes;
            settle(&mut *file, scan.last_frame, scan.bytes, scan.torn_bytes)
                .map_err(|error| WalError::fatal(&file_name, error))?;
            if scan.torn_bytes > 0 {
                tracing::warn!(
                    file = file_name,
                    torn_bytes = scan.torn_bytes,
                    offset = scan.bytes,
                    "cut off the unfinished end of the log"
                );
            }
            active = Some(file);
        }
        let (bytes, checksum, positions) = (scan.bytes, scan.checksum, scan.positions);
        segments.push(Segment { name, header, bytes, checksum, positions });
    }
    clear(disk, &leftovers).map_err(|error| WalError::fatal(directory(), error))?;
    recovered.removed_files = leftovers.len();
    recovered.segments = segments.len();
    recovered.records = match (segments.first(), segments.last()) {
        (Some(first), Some(last)) => last.next() - first.header.first,
        _ => 0,
    };
    Ok(Recovery { segments, active, recovered })
}

/// All segments of the log in the order of their names, with headers that are intact.
fn candidates(
    disk: &dyn Disk,
    options: &Options,
    mut names: Vec<String>,
) -> Result<Vec<Candidate>, WalError> {
    names.sort();
    let mut candidates = Vec::new();
    for name in names {
        let Some(first) = first_of_name(&options.prefix, &name) else { continue };
        let shown = shown(disk, &name);
        let file = disk.open(&name).map_err(|error| WalError::io(&shown, error))?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = read_full(&*file, &mut bytes, 0).map_err(|error| WalError::io(&shown, error))?;
        let header = match SegmentHeader::decode(&bytes[..read]) {
            Ok(header) => header,
            Err(BadHeader::Damaged(what)) => return Err(WalError::corrupt(shown, 0, what)),
            Err(BadHeader::NewerVersion(version)) => {
                return Err(WalError::NewerVersion { file: shown, version, known: VERSION });
            }
        };
        if header.first != first {
            let what = format!("its header says that it begins at {}", header.first);
            return Err(WalError::corrupt(shown, 0, what));
        }
        candidates.push(Candidate { name, file, header });
    }
    Ok(candidates)
}

/// Splits off what a reset has replaced: all but the highest generation, which begins with a base.
fn split_replaced(
    disk: &dyn Disk,
    candidates: &mut Vec<Candidate>,
) -> Result<Vec<Candidate>, WalError> {
    let Some(newest) = candidates.iter().map(|c| c.header.generation).max() else {
        return Ok(Vec::new());
    };
    let salt = candidates[0].header.salt;
    if let Some(stranger) = candidates.iter().find(|c| c.header.salt != salt) {
        let what = format!(
            "it belongs to another log: its salt is {:016x}, that of {} is {salt:016x}",
            stranger.header.salt, candidates[0].name
        );
        return Err(WalError::corrupt(shown(disk, &stranger.name), 0, what));
    }
    let replaced: Vec<Candidate> =
        candidates.extract_if(.., |c| c.header.generation != newest).collect();
    if !replaced.is_empty() && candidates[0].header.previous.is_some() {
        let what = "the base of its generation is missing, and an older one is still there";
        return Err(WalError::corrupt(shown(disk, &candidates[0].name), 0, what));
    }
    Ok(replaced)
}

/// Whether a segment goes on where the one before has ended.
fn follows(before: &Segment, header: &SegmentHeader, file: &str) -> Result<(), WalError> {
    let next = before.next();
    if header.first != next {
        let what =
            format!("it begins at index {}, but {} ends before {next}", header.first, before.name);
        return Err(WalError::corrupt(file, 0, what));
    }
    if before.successor() != *header {
        let what =
            format!("it does not go on where {} ends, at byte {}", before.name, before.bytes);
        return Err(WalError::corrupt(file, 0, what));
    }
    Ok(())
}

/// Makes the last segment durable as it was read.
fn settle(
    file: &mut dyn File,
    last_frame: Option<u64>,
    bytes: u64,
    torn_bytes: u64,
) -> io::Result<()> {
    if torn_bytes > 0 {
        file.truncate(bytes)?;
    }
    if let Some(start) = last_frame {
        // At most `frame_bytes_max`.
        let mut frame = vec![0; (bytes - start) as usize];
        let read = read_full(file, &mut frame, start)?;
        file.write_at(&frame[..read], start)?;
    }
    file.sync()
}

fn clear(disk: &dyn Disk, leftovers: &[String]) -> io::Result<()> {
    // What takes their place must be certain before they go.
    disk.sync()?;
    for name in leftovers {
        disk.remove(name)?;
    }
    if leftovers.is_empty() { Ok(()) } else { disk.sync() }
}
