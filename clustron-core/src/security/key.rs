//! A secret that all nodes of a cluster share.

use std::fmt;

use rand::TryRngCore;
use rand::rngs::OsRng;
use zeroize::Zeroize;

/// The bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

/// The characters of base64, in their order (RFC 4648, section 4).
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// 32 secret bytes with a name. The name is for people and may be shown; the bytes are shown by
/// [`to_line`](Self::to_line) only, and wiped from memory when the key is dropped.
///
/// ```
/// # fn main() -> Result<(), clustron_core::SecurityError> {
/// use clustron_core::{ClusterKey, KeyRing};
///
/// let key = ClusterKey::generate("2026-spring")?;
/// let ring = KeyRing::parse(&key.to_line())?;
/// assert_eq!(ring, KeyRing::new([key])?);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey {
    name: String,
    bytes: Box<[u8; KEY_BYTES]>,
}

/// What is wrong with a line that should be a key. Shows nothing of it but the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadKey {
    NoColon,
    Name,
    Length,
    Character,
    Zero,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoColon => "it must be `name:key`",
            Self::Name => "the name must be 1 to 64 letters, digits, `-`, `_` or `.`",
            Self::Length => "the key must be 32 bytes in base64, that is 44 characters",
            Self::Character => "the key must be base64 with `+`, `/` and one `=` at the end",
            Self::Zero => "the key is all zeros, which everybody guesses: generate one",
        })
    }
}

impl ClusterKey {
    /// A new key from the operating system's random numbers.
    ///
    /// # Errors
    /// The name has other characters than letters, digits, `-`, `_` and `.`, or not 1 to 64 of
    /// them; or the system gives no random numbers.
    pub fn generate(name: impl Into<String>) -> Result<Self, super::SecurityError> {
        let mut bytes = [0; KEY_BYTES];
        let drawn = OsRng.try_fill_bytes(&mut bytes);
        let name = name.into();
        if let Err(error) = drawn {
            let reason = format!("the system gives no random numbers: {error}");
            return Err(super::SecurityError::Value { key: "cluster key", value: name, reason });
        }
        Self::new(name, bytes)
    }

    /// A key of given bytes, which must come from a source of true random numbers: a password is no
    /// key, whatever it is made into.
    ///
    /// # Errors
    /// The name has other characters than letters, digits, `-`, `_` and `.`, or not 1 to 64 of
    /// them; or all bytes are zero.
    pub fn new(
        name: impl Into<String>,
        bytes: [u8; KEY_BYTES],
    ) -> Result<Self, super::SecurityError> {
        let name = name.into();
        Self::check(&name, bytes).map_err(|bad| super::SecurityError::Value {
            key: "cluster key",
            value: format!("{name:?}"),
            reason: bad.to_string(),
        })
    }

    fn check(name: &str, mut bytes: [u8; KEY_BYTES]) -> Result<Self, BadKey> {
        let key = Self { name: name.to_owned(), bytes: Box::new(bytes) };
        bytes.zeroize();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return Err(BadKey::Name);
        }
        if key.bytes.iter().all(|byte| *byte == 0) { Err(BadKey::Zero) } else { Ok(key) }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key as a line of a key ring: `name:base64`. Whoever reads it can join the cluster and
    /// hear all that is said in it.
    pub fn to_line(&self) -> String {
        let mut line = format!("{}:", self.name);
        for three in self.bytes.chunks(3) {
            let bits = three.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte));
            let bits = bits << (8 * (3 - three.len()));
            for place in 0..4 {
                let six = (bits >> (18 - 6 * place)) & 63;
                let shown = place <= three.len();
                line.push(if shown { char::from(BASE64[six as usize]) } else { '=' });
            }
        }
        line
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Reads a line of a key ring.
    pub(super) fn from_line(line: &str) -> Result<Self, BadKey> {
        let (name, text) = line.split_once(':').ok_or(BadKey::NoColon)?;
        let text = text.trim().as_bytes();
        if text.len() != 44 {
            return Err(BadKey::Length);
        }
        let text = text.strip_suffix(b"=").ok_or(BadKey::Character)?;
        let mut bytes = [0; KEY_BYTES];
        let (mut bits, mut held, mut at) = (0u32, 0, 0);
        for character in text {
            let six = BASE64.iter().position(|c| c == character).ok_or(BadKey::Character)?;
            bits = (bits << 6) | six as u32;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes[at] = (bits >> held) as u8;
                at += 1;
            }
        }
        // What is left over must say nothing, or two texts would be the same key.
        if bits & ((1 << held) - 1) != 0 {
            return Err(BadKey::Character);
        }
        Self::check(name.trim(), bytes)
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for ClusterKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_key_reads_and_writes_as_others_do() {
        let mut bytes = [0; KEY_BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = at as u8 * 8 + 3;
        }
        // As `base64` of the GNU tools writes it.
        let line = "k:AwsTGyMrMztDS1NbY2tze4OLk5ujq7O7w8vT2+Pr8/s=";
        let key = ClusterKey::new("k", bytes).unwrap();
        assert_eq!(key.to_line(), line);
        assert_eq!(ClusterKey::from_line(line), Ok(key));
    }

    #[test]
    fn a_bad_line_is_refused_and_says_why() {
        let key = ClusterKey::generate("k").unwrap().to_line();
        let zero = format!("k:{}=", "A".repeat(43));
        for (line, bad) in [
            (key.replace(':', " "), BadKey::NoColon),
            (key.replace("k:", ":"), BadKey::Name),
            (key.replace("k:", "a b:"), BadKey::Name),
            (key.replace('=', ""), BadKey::Length),
            (key.replace('=', "A"), BadKey::Character),
            (format!("k:{}B=", "A".repeat(42)), BadKey::Character),
            (format!("k:{}-A=", "A".repeat(41)), BadKey::Character),
            (zero, BadKey::Zero),
        ] {
            assert_eq!(ClusterKey::from_line(&line), Err(bad), "{line}");
        }
    }

    #[test]
    fn the_secret_is_never_shown() {
        let key = ClusterKey::generate("k").unwrap();
        let line = key.to_line();
        let shown = format!("{key:?} {:?}", ClusterKey::from_line(&line.replace('=', "")));
        assert!(shown.contains("\"k\""));
        assert!(!shown.contains(&line[2..10]) && !shown.contains(&format!("{:?}", key.bytes)));
        assert!(ClusterKey::generate("a b").unwrap_err().to_string().contains("\"a b\""));
    }

    proptest! {
        #[test]
        fn every_key_comes_back_from_its_line(
            bytes: [u8; KEY_BYTES],
            name in "[a-zA-Z0-9._-]{1,64}",
        ) {
            prop_assume!(bytes != [0; KEY_BYTES]);
            let key = ClusterKey::new(name, bytes).unwrap();
            prop_assert_eq!(ClusterKey::from_line(&key.to_line()), Ok(key));
        }

        #[test]
        fn arbitrary_lines_never_panic(line: String, text in "[ -~]{0,60}") {
            let _ = ClusterKey::from_line(&line);
            let _ = ClusterKey::from_line(&format!("k:{text}"));
        }
    }
}
