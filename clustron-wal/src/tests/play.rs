//! What is done to a log, what has to be there afterwards, and what may be there when the power
//! went out in between. The model is a vector.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Options, SimDisk, Wal, WalError};

pub(super) const SALT: u64 = 0x5a17;

/// Small, so that a few records fill a segment.
pub(super) fn options() -> Options {
    Options {
        segment_bytes: 700,
        record_bytes_max: 4000,
        frame_bytes_max: 8192,
        ..Options::new("log", SALT)
    }
}

pub(super) fn open(disk: &SimDisk) -> Result<Wal, WalError> {
    Wal::open(Arc::new(disk.clone()), options()).map(|(wal, _)| wal)
}

/// Something that is done to a log; positions are told from its ends.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// One commit of records with these sizes.
    Append(Vec<usize>),
    /// Removes so many records from the end, or all there are.
    TruncateLast(u64),
    /// Gives back up to the so many-th record, or all there are.
    PurgeFirst(u64),
    /// Starts anew so far behind the end, or before it.
    Reset(i64),
    /// Closes it and opens it again.
    Reopen,
}

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) is_new: bool,
    pub(super) first: u64,
    pub(super) records: Vec<Bytes>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { is_new: true, ..Self::default() }
    }

    pub(super) fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// What a log really holds, as its reader tells.
    pub(super) fn of(wal: &Wal) -> Result<Self, String> {
        let mut model =
            Self { is_new: wal.is_new(), first: wal.first_index(), records: Vec::new() };
        for record in wal.reader(model.first).map_err(|error| error.to_string())? {
            let (index, record) = record.map_err(|error| error.to_string())?;
            if index != model.next() {
                return Err(format!("the record {index} came where {} comes next", model.next()));
            }
            model.records.push(record);
        }
        if model.next() != wal.next_index() {
            return Err(format!("{} comes next, not {}", wal.next_index(), model.next()));
        }
        Ok(model)
    }

    fn kept(&self, from: u64, to: u64) -> &[Bytes] {
        &self.records[(from - self.first) as usize..(to - self.first) as usize]
    }
}

/// A step of which nobody knows whether it was done.
#[derive(Debug, Clone)]
pub(super) enum Doubt {
    Append(Vec<Bytes>),
    Truncate(u64),
    Purge(u64),
    Reset(u64),
}

/// What is certain, and what is in doubt.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) certain: Model,
    pub(super) doubt: Option<Doubt>,
}

impl Expected {
    pub(super) fn new() -> Self {
        Self { certain: Model::new(), doubt: None }
    }

    /// Whether a log may hold this.
    pub(super) fn check(&self, found: &Model) -> Result<(), String> {
        let certain = &self.certain;
        let fits = match &self.doubt {
            _ if found == certain => true,
            None => false,
            Some(Doubt::Append(records)) => {
                let all = [&certain.records[..], records].concat();
                // A new log may have begun, and then have lost the first commit.
                found.first == certain.first
                    && (found.records == all || (certain.is_new && found.records.is_empty()))
            }
            Some(Doubt::Truncate(from)) => {
                found.first == certain.first
                    && (*from..=certain.next()).contains(&found.next())
                    && found.records == certain.kept(certain.first, found.next())
            }
            Some(Doubt::Purge(upto)) => {
                found.next() == certain.next()
                    && (certain.first..=certain.first.max(upto + 1)).contains(&found.first)
                    && found.records == certain.kept(found.first, certain.next())
            }
            Some(Doubt::Reset(next)) => {
                *found == Model { is_new: false, first: *next, records: Vec::new() }
            }
        };
        if fits { Ok(()) } else { Err(format!("expected {self:?}, found {found:?}")) }
    }
}

/// Plays steps against a log and remembers what has to be there.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) disk: SimDisk,
    pub(super) expected: Expected,
    /// Makes every record differ from all others.
    serial: u64,
}

impl Player {
    pub(super) fn new(disk: SimDisk) -> Self {
        Self { disk, expected: Expected::new(), serial: 0 }
    }

    /// Plays all steps or until one fails; the error is that of the log.
    pub(super) fn play(&mut self, steps: &[Step]) -> Result<(), WalError> {
        let mut wal = open(&self.disk)?;
        for step in steps {
            if matches!(step, Step::Reopen) {
                drop(wal);
                wal = open(&self.disk)?;
            } else {
                self.step(&mut wal, step)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, wal: &mut Wal, step: &Step) -> Result<(), WalError> {
        let mut after = self.expected.certain.clone();
        let (first, next) = (after.first, after.next());
        match step {
            Step::Append(sizes) => {
                let records: Vec<Bytes> = sizes.iter().map(|bytes| self.record(*bytes)).collect();
                self.expected.doubt = Some(Doubt::Append(records.clone()));
                wal.append(next, &records)?;
                after.is_new &= records.is_empty();
                after.records.extend(records);
            }
            Step::TruncateLast(count) => {
                let from = next - (*count).min(next - first);
                self.expected.doubt = Some(Doubt::Truncate(from));
                wal.truncate(from)?;
                after.records.truncate((from - first) as usize);
            }
            Step::PurgeFirst(count) => {
                let upto = (first + count).saturating_sub(1);
                self.expected.doubt = Some(Doubt::Purge(upto));
                wal.purge(upto)?;
                // How much comes back depends on where segments end.
                after.first = wal.first_index();
                assert!(after.first <= first.max(upto + 1) && after.first >= first);
                after.records = self.expected.certain.kept(after.first, next).to_vec();
            }
            Step::Reset(by) => {
                let to = next.saturating_add_signed(*by);
                self.expected.doubt = Some(Doubt::Reset(to));
                wal.reset(to)?;
                after = Model { is_new: false, first: to, records: Vec::new() };
            }
            Step::Reopen => unreachable!("play does it"),
        }
        self.expected = Expected { certain: after, doubt: None };
        Ok(())
    }

    fn record(&mut self, bytes: usize) -> Bytes {
        self.serial += 1;
        let serial = self.serial.to_le_bytes();
        serial.iter().copied().cycle().take(bytes).collect::<Vec<u8>>().into()
    }

    /// Opens the log, compares it, and from then on expects exactly what was found.
    pub(super) fn verify(&mut self) -> Result<(), String> {
        let wal = open(&self.disk).map_err(|error| error.to_string())?;
        let found = Model::of(&wal)?;
        self.expected.check(&found)?;
        self.expected = Expected { certain: found, doubt: None };
        Ok(())
    }
}

/// Appends, rolls, truncations within and across segments and down to the first record, purges and
/// resets to both sides, and all of it after another.
pub(super) fn script() -> Vec<Step> {
    use Step::{Append, PurgeFirst, Reopen, Reset, TruncateLast};
    vec![
        Append(vec![20, 30]),
        Append(vec![600]),
        Append(vec![10]),
        Append(vec![1500, 0, 40]),
        TruncateLast(1),
        Append(vec![50]),
        Append(vec![300, 300]),
        TruncateLast(4),
        Append(vec![90]),
        Reopen,
        Append(vec![700]),
        Append(vec![80, 80]),
        PurgeFirst(5),
        Append(vec![400]),
        TruncateLast(100),
        Append(vec![60]),
        Append(vec![900]),
        Append(vec![900]),
        Reset(-2),
        Append(vec![33]),
        Append(vec![900]),
        Reset(500),
        Append(vec![12]),
        Reset(0),
        Append(vec![600]),
        Append(vec![600]),
        Append(vec![600]),
        PurgeFirst(100),
        TruncateLast(1),
    ]
}
