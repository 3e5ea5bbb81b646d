//! The record of every run of every job, kept outside the cluster.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clustron_core::{Epoch, FencingToken, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One run of a job, as the code of the job wrote it down. Fields that are not named here are
/// ignored, so that a service may write more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The job's name.
    pub job: String,
    /// The instant of the tick that this run is for. RFC 3339 in the file.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub scheduled: Timestamp,
    /// The token that authorised the run.
    pub token: FencingToken,
    /// Who ran it: a name or an id, as the service likes.
    pub node: String,
    /// The epoch of the leader that dispatched the run.
    pub epoch: Epoch,
    /// Which attempt of the tick this was, from 1.
    pub attempt: u32,
    /// When the line was written, by the writer's clock. RFC 3339 in the file.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub at: Timestamp,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} for {} with token {}, attempt {} in epoch {} by {} at {}",
            self.job, self.scheduled, self.token, self.attempt, self.epoch, self.node, self.at
        )
    }
}

/// The ledger cannot be judged. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file cannot be read.
    #[error("cannot read the ledger {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A line is not an entry: several writers mixed their lines, or one wrote nonsense.
    #[error("line {line} of the ledger is not an entry: {reason}: {text}")]
    Invalid {
        /// Which line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
        /// The line.
        text: String,
    },
    /// The last line has no end: its writer died half-way, or is still writing.
    #[error("line {line}, the last of the ledger, is torn: {text}")]
    Torn {
        /// Which line, from 1.
        line: usize,
        /// What there is of it.
        text: String,
    },
}

/// A ledger in the order of its lines: one JSON object per line, each line appended in one write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// Reads a file. A file that does not exist is an error, not an empty ledger.
    ///
    /// # Errors
    ///
    /// See [`LedgerError`].
    pub fn read(path: impl AsRef<Path>) -> Result<Ledger, LedgerError> {
        let path = path.as_ref();
        let bytes =
            fs::read(path).map_err(|source| LedgerError::Read { path: path.to_owned(), source })?;
        // Bytes that are not UTF-8 become a sign that no valid line holds outside a string.
        Ledger::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads the text of a ledger.
    ///
    /// # Errors
    ///
    /// See [`LedgerError`].
    pub fn parse(text: &str) -> Result<Ledger, LedgerError> {
        let mut entries = Vec::new();
        for (index, raw) in text.split_inclusive('\n').enumerate() {
            let line = index + 1;
            let Some(whole) = raw.strip_suffix('\n') else {
                return Err(LedgerError::Torn { line, text: raw.to_owned() });
            };
            let entry = serde_json::from_str(whole).map_err(|error| LedgerError::Invalid {
                line,
                reason: error.to_string(),
                text: whole.to_owned(),
            })?;
            entries.push(entry);
        }
        Ok(Ledger { entries })
    }

    /// All entries in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries with their line numbers, from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().map(|(index, entry)| (index + 1, entry))
    }
}

fn as_text<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(instant)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"job":"bill","scheduled":"2026-11-18T11:06:40.000Z","token":7,"node":"a","epoch":2,"attempt":1,"at":"2026-11-18T11:06:40.012Z"}"#;

    #[test]
    fn a_line_is_read_and_written_the_same() {
        let ledger = Ledger::parse(&format!("{LINE}\n")).unwrap();
        let [entry] = ledger.entries() else { panic!("one line, one entry: {ledger:?}") };
        assert_eq!(entry.token, FencingToken(7));
        assert_eq!(entry.at.unix_ms() - entry.scheduled.unix_ms(), 12);
        assert_eq!(serde_json::to_string(entry).unwrap(), LINE);
    }

    #[test]
    fn an_empty_file_is_an_empty_ledger_and_a_missing_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let error = Ledger::read(&path).unwrap_err();
        assert!(error.to_string().contains("ledger.jsonl"), "{error}");
        fs::write(&path, "").unwrap();
        assert_eq!(Ledger::read(&path).unwrap(), Ledger::default());
    }

    #[test]
    fn an_invalid_line_is_named() {
        let bad_instant = LINE.replace("2026-11-18T11:06:40.000Z", "yesterday");
        for bad in ["", "{}", &LINE[..40], &format!("{LINE}{LINE}"), &bad_instant] {
            let error = Ledger::parse(&format!("{LINE}\n{bad}\n{LINE}\n")).unwrap_err();
            assert!(matches!(error, LedgerError::Invalid { line: 2, .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn a_torn_last_line_is_named_even_if_only_its_end_is_missing() {
        for torn in [LINE, &LINE[..40]] {
            let error = Ledger::parse(&format!("{LINE}\n{torn}")).unwrap_err();
            assert!(matches!(error, LedgerError::Torn { line: 2, .. }), "{error}");
        }
    }
}
