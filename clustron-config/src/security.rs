//! Which files secure a node's connections.
//!
//! Settings name the files, and never hold what is in them, as a note on the door says where the
//! key hangs and is not the key: settings are printed, logged, put under version control and seen
//! by whoever lists a process's environment. And a file can be replaced while the node runs.

use std::path::PathBuf;

#[cfg(feature = "tls")]
use clustron_core::SecurityError;
use clustron_core::{Security, TlsConfig};

use crate::rule::Broken;
use crate::tree::short;

const CLUSTER_KEYS: &str = "security.cluster_keys";
const CERTIFICATE: &str = "security.certificate";
const KEY: &str = "security.key";
const AUTHORITY: &str = "security.authority";
const PEER_NAME: &str = "security.peer_name";

/// From so many letters of base64 in a row on, a value looks like a key: 32 bytes have 43.
const KEY_LETTERS: usize = 40;

/// What the section `security` sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SecurityFiles {
    pub(crate) cluster_keys: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) authority: Option<PathBuf>,
    pub(crate) peer_name: Option<String>,
}

impl SecurityFiles {
    /// What it comes to.
    ///
    /// # Errors
    /// Two kinds of security are set, or half of one, or one that this program has not; or a name
    /// that can be in no certificate.
    pub(crate) fn security(&self) -> Result<Security, Broken> {
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let of_tls = [
            (CERTIFICATE, shown(&self.certificate)),
            (KEY, shown(&self.key)),
            (AUTHORITY, shown(&self.authority)),
            (PEER_NAME, self.peer_name.clone()),
        ];
        let set = of_tls.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let set: Vec<(&'static str, &str)> = set.collect();
        let broken = |(key, value): (&'static str, &str), why: String| {
            let others = set.iter().map(|(other, _)| *other).filter(|other| *other != key);
            let text = format!("{key} is {}: {why}", short(value));
            Broken { key, text, others: others.collect() }
        };
        if let Some(keys) = &self.cluster_keys {
            let Some((other, _)) = set.first() else {
                return Ok(Security::Key(keys.clone().into()));
            };
            let why = format!(
                "a cluster uses a key or certificates, and {other} is set too: leave one kind out"
            );
            return Err(broken((CLUSTER_KEYS, &keys.display().to_string()), why));
        }
        let Some(first) = set.first() else { return Ok(Security::None) };
        if !cfg!(feature = "tls") {
            let why = "this program was built without TLS: enable the cargo feature `tls` of \
                       clustron-config, or use cluster_keys";
            return Err(broken(*first, why.to_owned()));
        }
        if let (Some(certificate), Some(key), Some(authority)) =
            (&self.certificate, &self.key, &self.authority)
        {
            let mut tls = TlsConfig::new(certificate, key, authority);
            tls.peer_name.clone_from(&self.peer_name);
            check_peer_name(&tls)?;
            return Ok(Security::Tls(tls));
        }
        let missing = of_tls.iter().filter(|(key, value)| *key != PEER_NAME && value.is_none());
        let missing: Vec<&str> = missing.map(|(key, _)| *key).collect();
        let why = format!(
            "{} must be set too: give certificate, key and authority, or none of them",
            missing.join(", ")
        );
        Err(broken(*first, why))
    }
}

#[cfg(feature = "tls")]
fn check_peer_name(tls: &TlsConfig) -> Result<(), Broken> {
    tls.check_peer_name().map_err(|error| {
        let why = match error {
            SecurityError::Value { reason, .. } => reason,
            other => other.to_string(),
        };
        let name = tls.peer_name.as_deref().unwrap_or_default();
        Broken {
            key: PEER_NAME,
            text: format!("{PEER_NAME} is {}: {why}", short(name)),
            others: vec![],
        }
    })
}

/// There are no certificates, so this is never asked.
#[cfg(not(feature = "tls"))]
fn check_peer_name(_: &TlsConfig) -> Result<(), Broken> {
    Ok(())
}

/// Whether the text is no path of a file but what should be in it: a line of a key ring, a key
/// alone, or PEM.
pub(crate) fn is_key_material(text: &str) -> bool {
    let last = text.trim().rsplit(':').next().unwrap_or_default();
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    // A long path has slashes too; a key of 32 bytes ends with the sign that no path ends with.
    let base64 = last.len() >= KEY_LETTERS
        && last.bytes().all(letter)
        && (last.ends_with('=') || !last.contains('/'));
    base64 || text.contains("-----BEGIN") || text.contains('\n')
}

#[cfg(test)]
mod tests {
    use clustron_core::ClusterKey;

    use super::*;

    fn tls() -> SecurityFiles {
        SecurityFiles {
            certificate: Some("/c".into()),
            key: Some("/k".into()),
            authority: Some("/a".into()),
            ..SecurityFiles::default()
        }
    }

    #[test]
    fn one_kind_or_none_is_what_it_says() {
        assert_eq!(SecurityFiles::default().security(), Ok(Security::None));
        let keys = SecurityFiles { cluster_keys: Some("/r".into()), ..SecurityFiles::default() };
        assert_eq!(keys.security(), Ok(Security::Key(PathBuf::from("/r").into())));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn certificates_come_with_the_name_that_all_have() {
        let config = TlsConfig::new("/c", "/k", "/a");
        assert_eq!(tls().security(), Ok(Security::Tls(config.clone())));
        let named = SecurityFiles { peer_name: Some("shop".into()), ..tls() };
        assert_eq!(named.security(), Ok(Security::Tls(config.peer_name("shop"))));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn certificates_are_refused_where_the_program_was_built_without_them() {
        let broken = tls().security().unwrap_err();
        assert!(broken.text.contains("cargo feature `tls` of clustron-config"), "{}", broken.text);
        assert_eq!((broken.key, &*broken.others), (CERTIFICATE, &[KEY, AUTHORITY][..]));
    }

    #[test]
    fn two_kinds_are_refused_whatever_part_of_the_second_is_set() {
        let some = || Some(PathBuf::from("/x"));
        let keys = || SecurityFiles { cluster_keys: some(), ..SecurityFiles::default() };
        for (files, other) in [
            (SecurityFiles { certificate: some(), ..keys() }, CERTIFICATE),
            (SecurityFiles { key: some(), ..keys() }, KEY),
            (SecurityFiles { authority: some(), ..keys() }, AUTHORITY),
            (SecurityFiles { peer_name: Some("x".into()), ..keys() }, PEER_NAME),
        ] {
            let broken = files.security().unwrap_err();
            assert_eq!((broken.key, &*broken.others), (CLUSTER_KEYS, &[other][..]));
        }
    }

    #[test]
    fn keys_are_told_from_paths() {
        let key = ClusterKey::generate("spring").unwrap().to_line();
        let bare = key.split_once(':').unwrap().1;
        let pem = "-----BEGIN PRIVATE KEY-----";
        let unpadded = bare.trim_end_matches('=').replace('/', "+");
        for material in [&*key, bare, &*unpadded, pem, "a:b\nc:d", &format!("  {key}\n")] {
            assert!(is_key_material(material), "{material}");
        }
        for path in [
            "/etc/shop/cluster-keys",
            "cluster-keys",
            "/var/run/secrets/kubernetes/io/serviceaccount/clusterkeys/current",
            "C:\\ProgramData\\shop\\a-folder-with-a-long-name\\cluster-keys.txt",
            "./a/b.pem",
        ] {
            assert!(!is_key_material(path), "{path}");
        }
    }

    #[test]
    fn a_path_is_shown_short() {
        let long = SecurityFiles { cluster_keys: Some("x".repeat(500).into()), ..tls() };
        assert!(long.security().unwrap_err().text.len() < 300);
    }
}
