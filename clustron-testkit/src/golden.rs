//! Values whose bytes must stay what they are: nodes of two versions talk to each other while a
//! service is being updated, and a file outlives the program that wrote it.
//!
//! Like the metre bar in Paris: nobody measures with it every day, but whoever makes rulers
//! compares them with it. A [`Golden`] file has a name, the bytes and the value of each, as text
//! that people can read in a review:
//!
//! ```text
//! leave: 0402
//!     Leave { node: NodeId(0000000000000002) }
//! ```
//!
//! A test gives the same values again. Each must have the file's bytes, and come back from them.
//! And of each enum that stands in them, all variants must have been given, those of nested enums
//! too: so a new variant needs a line of its own before it travels.

mod variants;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use clustron_core::codec;
use serde::{Serialize, de::DeserializeOwned};

use variants::{Variants, Watched};

/// What every file begins with.
const HEAD: &str = "\
# The bytes of these values are frozen: see `clustron_testkit::golden`. A value that is new here is
# added by running its test with CLUSTRON_REWRITE=1. Bytes that change need a new version of the
# protocol or of the file that has them, and an entry in CHANGELOG.md.
";

/// Values, to be compared with a file.
#[derive(Debug)]
pub struct Golden {
    path: PathBuf,
    lines: Vec<(String, String)>,
    variants: Variants,
    rewrite: bool,
}

impl Golden {
    /// Compares with this file, which exists unless the test runs with `CLUSTRON_REWRITE=1`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let rewrite = std::env::var_os("CLUSTRON_REWRITE").is_some();
        let (lines, variants) = (Vec::new(), Variants::default());
        Self { path: path.into(), lines, variants, rewrite }
    }

    /// Adds a value under a name that no other one of the file has, without a colon.
    ///
    /// # Panics
    /// When the value does not come back from its bytes as it was.
    pub fn add<T: Serialize + DeserializeOwned + Debug>(&mut self, name: &str, value: &T) {
        let bytes = codec::encode(value).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (decoded, variants) = variants::watch(|| codec::decode::<Watched<T>>(&bytes));
        let Watched(decoded) = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(format!("{decoded:?}"), format!("{value:?}"), "{name} does not come back");
        let again = codec::encode(&decoded).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again, bytes, "{name} does not come back");
        self.variants.extend(variants);
        self.add_bytes(name, value, &bytes);
    }

    /// Adds bytes that something else than the codec makes. That they can be read again is for the
    /// caller to check.
    ///
    /// # Panics
    /// When the file has the name already.
    pub fn add_bytes(&mut self, name: &str, value: &dyn Debug, bytes: &[u8]) {
        assert!(!name.contains(':'), "{name:?} has a colon");
        let known = self.lines.iter().any(|(known, _)| known == name);
        assert!(!known, "{name:?} is there already");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.lines.push((name.to_owned(), format!("{hex}\n    {value:?}\n")));
    }

    /// Compares. With `CLUSTRON_REWRITE=1` in the environment it writes the file instead.
    ///
    /// # Panics
    /// When the file has other bytes, other values, or others than were added; and when a variant
    /// of an enum was in none of them.
    pub fn check(self) {
        let lacking = self.variants.lacking();
        assert!(lacking.is_empty(), "no golden value has {lacking:?}: add one to {:?}", self.path);
        let text: String =
            self.lines.iter().map(|(name, rest)| format!("{name}: {rest}")).collect();
        if self.rewrite {
            let written = std::fs::write(&self.path, format!("{HEAD}{text}"));
            written.unwrap_or_else(|error| panic!("{:?}: {error}", self.path));
        }
        let golden = std::fs::read_to_string(&self.path)
            .unwrap_or_else(|error| panic!("{:?}: {error}; see CLUSTRON_REWRITE", self.path));
        let mut golden = parsed(&golden);
        for (name, rest) in &self.lines {
            let was = golden.remove(name.as_str());
            let Some(was) = was else { panic!("add {name:?} to {:?}", self.path) };
            assert_eq!(
                rest, &was,
                "{name} is not what it was: see the beginning of {:?} (now, and then)",
                self.path
            );
        }
        assert!(golden.is_empty(), "{:?} has what is not tested: {golden:?}", self.path);
    }
}

/// What stands behind each name of a file.
fn parsed(text: &str) -> BTreeMap<&str, String> {
    let mut entries: BTreeMap<&str, String> = BTreeMap::new();
    let mut last = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(": ") {
            Some((name, hex)) if !line.starts_with(' ') => {
                last = name;
                entries.insert(name, format!("{hex}\n"));
            }
            _ => *entries.entry(last).or_default() += &format!("{line}\n"),
        }
    }
    entries
}

#[cfg(test)]
mod tests;
