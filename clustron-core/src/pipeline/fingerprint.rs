//! What two ends must have in common, for the handshake.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The layers of a pipeline in their order, each with the settings that both ends must share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    layers: Vec<(String, BTreeMap<String, String>)>,
}

impl Fingerprint {
    pub(super) fn new(layers: Vec<(String, BTreeMap<String, String>)>) -> Self {
        Self { layers }
    }

    /// Whether there are no layers.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl fmt::Display for Fingerprint {
    /// `flow(window_bytes=1024) > checksum`, or `no layers`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.layers.is_empty() {
            return f.write_str("no layers");
        }
        for (place, (name, settings)) in self.layers.iter().enumerate() {
            let arrow = if place > 0 { " > " } else { "" };
            write!(f, "{arrow}{name}")?;
            let settings: Vec<String> =
                settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
            if !settings.is_empty() {
                write!(f, "({})", settings.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Two ends cannot understand each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the layers are not the same: {difference}; ours are {ours}, theirs {theirs}: give both ends \
     the same layers and shared settings"
)]
pub struct Unequal {
    /// What this end has.
    pub ours: Fingerprint,
    /// What the other end has.
    pub theirs: Fingerprint,
    /// The first difference.
    pub difference: String,
}

/// Whether two ends have the same layers.
///
/// # Errors
/// They have not. The message shows both lists and the first difference.
pub fn agree(ours: &Fingerprint, theirs: &Fingerprint) -> Result<(), Unequal> {
    match difference(ours, theirs) {
        None => Ok(()),
        Some(difference) => Err(Unequal { ours: ours.clone(), theirs: theirs.clone(), difference }),
    }
}

fn difference(ours: &Fingerprint, theirs: &Fingerprint) -> Option<String> {
    let (a, b) = (&ours.layers, &theirs.layers);
    if a.len() != b.len() {
        return Some(format!("we have {}, they {}", a.len(), b.len()));
    }
    for (place, ((our, our_settings), (their, their_settings))) in a.iter().zip(b).enumerate() {
        if our != their {
            return Some(format!("layer {} is {our:?} here, {their:?} there", place + 1));
        }
        let names = our_settings.keys().chain(their_settings.keys());
        for name in names {
            let (ours, theirs) = (our_settings.get(name), their_settings.get(name));
            if ours != theirs {
                let shown = |value: Option<&String>| value.map_or("missing".into(), String::clone);
                let (ours, theirs) = (shown(ours), shown(theirs));
                return Some(format!("{name} of {our:?} is {ours} here, {theirs} there"));
            }
        }
    }
    None
}
