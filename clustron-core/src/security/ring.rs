//! The keys that a node knows, like the ring of a caretaker: the first opens doors, and whoever
//! comes with any of them is let in.

use std::fmt;
use std::path::{Path, PathBuf};

use super::file::{self, Content};
use super::{ClusterKey, SecurityError};

/// The most keys that a ring holds. Each is tried on whoever calls, and a rotation needs two.
pub const CLUSTER_KEYS_MAX: usize = 8;

/// One to eight [keys](ClusterKey). The first is used to call, all are accepted. To change the key
/// of a running cluster: add the new one as the last everywhere, then make it the first everywhere,
/// then take the old one out everywhere; each step when the one before has reached all nodes.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    keys: Vec<ClusterKey>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

impl KeyRing {
    /// A ring of these keys.
    ///
    /// # Errors
    /// There is none, or there are more than eight, or two have the same name or are the same.
    pub fn new(keys: impl IntoIterator<Item = ClusterKey>) -> Result<Self, SecurityError> {
        let keys: Vec<ClusterKey> = keys.into_iter().take(CLUSTER_KEYS_MAX + 1).collect();
        Self::check(keys).map_err(|reason| SecurityError::Value {
            key: "cluster_key",
            value: "the key ring".to_owned(),
            reason,
        })
    }

    /// Reads a ring: one key a line, `name:base64 of 32 bytes`. Empty lines, and lines that begin
    /// with `#`, count for nothing.
    ///
    /// # Errors
    /// As [`new`](Self::new), or a line is no key; the error has its number and nothing of the key.
    pub fn parse(text: &str) -> Result<Self, SecurityError> {
        Self::read_text(text).map_err(|reason| SecurityError::Value {
            key: "cluster_key",
            value: "the key ring".to_owned(),
            reason,
        })
    }

    pub(crate) fn keys(&self) -> &[ClusterKey] {
        &self.keys
    }

    /// The key to call with.
    pub(crate) fn calling(&self) -> &ClusterKey {
        // There is at least one.
        &self.keys[0]
    }

    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, SecurityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned());
        text.and_then(Self::read_text).map_err(|reason| SecurityError::Unusable {
            what: WHAT,
            path: path.to_owned(),
            reason,
        })
    }

    fn read_text(text: &str) -> Result<Self, String> {
        let mut keys = vec![];
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if keys.len() == CLUSTER_KEYS_MAX {
                return Err(format!("it has more than {CLUSTER_KEYS_MAX} keys: take old ones out"));
            }
            let key = ClusterKey::from_line(line);
            keys.push(key.map_err(|bad| format!("line {}: {bad}", at + 1))?);
        }
        Self::check(keys)
    }

    fn check(keys: Vec<ClusterKey>) -> Result<Self, String> {
        if keys.is_empty() {
            return Err("it has no key: add one line `name:key`, as `ClusterKey::generate` makes \
                        them"
                .to_owned());
        }
        if keys.len() > CLUSTER_KEYS_MAX {
            return Err(format!("it has more than {CLUSTER_KEYS_MAX} keys: take old ones out"));
        }
        for (at, key) in keys.iter().enumerate() {
            for other in &keys[..at] {
                if key.name() == other.name() || key.bytes() == other.bytes() {
                    return Err(format!(
                        "the keys {:?} and {:?} have the same name or are the same: each key needs \
                         its own line and name, once",
                        other.name(),
                        key.name()
                    ));
                }
            }
        }
        Ok(Self { keys })
    }
}

/// What a key file is called in messages.
pub(super) const WHAT: &str = "the key ring";

/// Where a node's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// A file as [`KeyRing::parse`] reads it. It is looked at again every few seconds, and new
    /// connections use what it holds by then. Only the service should be able to read it.
    File(PathBuf),
    /// Keys that the program has from elsewhere. They stay as they are while the node runs.
    Ring(KeyRing),
}

impl KeySource {
    /// What the file holds now; nothing where there is no file.
    pub(crate) fn contents(&self) -> Vec<Content> {
        match self {
            Self::File(path) => vec![file::read(WHAT, path)],
            Self::Ring(_) => vec![],
        }
    }

    /// The keys in those contents.
    pub(crate) fn keys(&self, contents: Vec<Content>) -> Result<KeyRing, SecurityError> {
        match (self, contents.into_iter().next()) {
            (Self::File(path), Some(content)) => KeyRing::read(path, &content?),
            (Self::File(path), None) => KeyRing::read(path, &[]),
            (Self::Ring(ring), _) => Ok(ring.clone()),
        }
    }
}

impl From<KeyRing> for KeySource {
    fn from(ring: KeyRing) -> Self {
        Self::Ring(ring)
    }
}

impl From<PathBuf> for KeySource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for KeySource {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> ClusterKey {
        ClusterKey::generate(name).unwrap()
    }

    #[test]
    fn a_file_with_comments_is_read_in_its_order() {
        let (new, old) = (key("new"), key("old"));
        let text = format!("# ours\n\n  {}\r\n# before spring\n{}\n", new.to_line(), old.to_line());
        let ring = KeyRing::parse(&text).unwrap();
        assert_eq!(ring.calling(), &new);
        assert_eq!(ring.keys(), [new, old]);
    }

    #[test]
    fn a_bad_file_is_named_with_its_line_and_never_with_its_key() {
        let good = key("k").to_line();
        let many: String = (0..9).map(|at| key(&format!("k{at}")).to_line() + "\n").collect();
        for (text, wanted) in [
            (String::new(), "it has no key"),
            (format!("# one\n{}", &good[..20]), "line 2: the key must be 32 bytes"),
            (format!("{good}\n{}", good.replace("k:", "l:")), "\"k\" and \"l\""),
            (many, "more than 8"),
        ] {
            let error = KeyRing::read(Path::new("/etc/ring"), text.as_bytes()).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("/etc/ring") && error.contains(wanted), "{error}");
            assert!(!error.contains(&good[2..12]), "{error}");
        }
        assert!(KeyRing::new([]).is_err() && KeyRing::new((0..9).map(|_| key("k"))).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(bytes: Vec<u8>, text: String) {
            let _ = KeyRing::read(Path::new("x"), &bytes);
            let _ = KeyRing::parse(&text);
        }
    }
}
