//! The values that are one word of a few.

use clustron_core::Role;
use clustron_core::membership::DetectorKind;
use clustron_core::pipeline::LayerConfig;

use crate::nearest::nearest;
use crate::profile::Profile;
use crate::tree::folded;

/// The roles that have names of their own.
const ROLES: [(&str, Role); 5] = [
    ("member", Role::Member),
    ("client", Role::Client),
    ("observer", Role::Observer),
    ("metrics-collector", Role::MetricsCollector),
    ("witness", Role::Witness),
];

const CUSTOM: &str = "custom:";

const DETECTORS: [&str; 5] =
    ["ping-pong", "heartbeat", "quorum", "quorum:ping-pong", "quorum:heartbeat"];

/// Reads a role, however it is spelled: `member`, `MetricsCollector`, `custom:gpu`.
///
/// # Errors
/// What would be a role.
pub(crate) fn role(word: &str) -> Result<Role, String> {
    if word.get(..CUSTOM.len()).is_some_and(|start| start.eq_ignore_ascii_case(CUSTOM)) {
        return Ok(Role::Custom(word[CUSTOM.len()..].to_owned()));
    }
    let names = ROLES.iter().map(|(name, _)| *name);
    let name = one_of(word, names, "or custom:NAME")?;
    let role = ROLES.iter().find(|(known, _)| *known == name);
    role.map(|(_, role)| role.clone()).ok_or_else(|| format!("{name} is no role"))
}

/// Reads a profile, however it is spelled.
///
/// # Errors
/// What would be a profile.
pub(crate) fn profile(word: &str) -> Result<Profile, String> {
    let names = Profile::ALL.map(|profile| profile.to_string());
    let name = one_of(word, names.iter().map(String::as_str), "")?;
    let profile = Profile::ALL.into_iter().find(|profile| profile.to_string() == name);
    profile.ok_or_else(|| format!("{name} is no profile"))
}

/// Reads the kind of a failure detector; `quorum` alone is that of ping-pong.
///
/// # Errors
/// What would be a detector.
pub(crate) fn detector(word: &str) -> Result<DetectorKind, String> {
    Ok(match one_of(word, DETECTORS, "")? {
        "heartbeat" => DetectorKind::Heartbeat,
        "quorum" | "quorum:ping-pong" => DetectorKind::Quorum(Box::new(DetectorKind::PingPong)),
        "quorum:heartbeat" => DetectorKind::Quorum(Box::new(DetectorKind::Heartbeat)),
        _ => DetectorKind::PingPong,
    })
}

/// The kind of a failure detector as [`detector`] reads it.
pub(crate) fn shown_detector(kind: &DetectorKind) -> String {
    match kind {
        DetectorKind::PingPong => "ping-pong".to_owned(),
        DetectorKind::Heartbeat => "heartbeat".to_owned(),
        DetectorKind::Quorum(within) => format!("quorum:{}", shown_detector(within)),
        // A detector that the core has gained since; no file can name it.
        other => format!("{other:?}"),
    }
}

/// The one of the words that is meant, however it is spelled.
fn one_of<'a>(
    word: &str,
    words: impl IntoIterator<Item = &'a str>,
    or: &str,
) -> Result<&'a str, String> {
    let words: Vec<&str> = words.into_iter().collect();
    let meant = folded(word.trim());
    if let Some(known) = words.iter().find(|known| folded(known) == meant) {
        return Ok(known);
    }
    let list = match (or, words.split_last()) {
        ("", Some((last, others))) => format!("{} or {last}", others.join(", ")),
        _ => format!("{} {or}", words.join(", ")),
    };
    let folded: Vec<String> = words.iter().map(|known| folded(known)).collect();
    let near = nearest(&meant, folded.iter().map(String::as_str));
    let near = near.and_then(|near| folded.iter().position(|known| known == near));
    let near = near.map_or_else(String::new, |at| format!(": did you mean {}?", words[at]));
    Err(format!("must be {list}{near}"))
}

/// A layer with its settings, as words: `flow window_bytes=65536`. Which layers and settings there
/// are is not known here.
pub(crate) fn layer(text: &str) -> Result<LayerConfig, String> {
    let shape = "must be a layer, and after it its settings, such as \"compress above_bytes=4096\"";
    let mut words = text.split_whitespace();
    let name = words.next().filter(|name| !name.contains('=')).ok_or(shape)?;
    let mut layer = LayerConfig::new(name);
    for word in words {
        let (setting, value) = word
            .split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or(shape)?;
        if layer.settings.contains_key(setting) {
            return Err(format!("has {setting} twice: keep one"));
        }
        layer = layer.with(setting, value);
    }
    Ok(layer)
}

/// The same back again.
pub(crate) fn shown_layer(layer: &LayerConfig) -> String {
    let settings = layer.settings.iter().map(|(name, value)| format!(" {name}={value}"));
    layer.name.clone() + &settings.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_and_its_settings_are_words() {
        let read = layer(" flow  window_bytes=4096 other=a=b ").unwrap();
        let wanted = LayerConfig::new("flow").with("window_bytes", 4096).with("other", "a=b");
        assert_eq!(read, wanted);
        assert_eq!(shown_layer(&read), "flow other=a=b window_bytes=4096");
        for wrong in ["", " ", "a=b", "flow a", "flow =1", "flow a="] {
            assert!(layer(wrong).unwrap_err().starts_with("must be a layer"), "{wrong}");
        }
        assert_eq!(layer("flow a=1 a=2").unwrap_err(), "has a twice: keep one");
    }

    #[test]
    fn roles_are_read_as_they_are_shown_and_in_other_spellings() {
        for (name, expected) in ROLES {
            assert_eq!(expected.to_string(), name);
            assert_eq!(role(name), Ok(expected));
        }
        let custom = Role::Custom("gpu".to_owned());
        assert_eq!(role(&custom.to_string()), Ok(custom.clone()));
        assert_eq!(role("Custom:gpu"), Ok(custom));
        assert_eq!(role("MetricsCollector"), Ok(Role::MetricsCollector));
        assert_eq!(role("METRICS_COLLECTOR"), Ok(Role::MetricsCollector));
    }

    #[test]
    fn a_word_that_is_none_of_them_is_told_the_nearest() {
        assert_eq!(
            role("membr").unwrap_err(),
            "must be member, client, observer, metrics-collector, witness or custom:NAME: did you \
             mean member?"
        );
        assert_eq!(profile("moon").unwrap_err(), "must be local, lan or wan");
    }

    #[test]
    fn detectors_are_read_as_they_are_shown() {
        for name in DETECTORS.into_iter().filter(|name| *name != "quorum") {
            assert_eq!(shown_detector(&detector(name).unwrap()), name);
        }
        assert_eq!(detector("Quorum"), detector("quorum:ping-pong"));
    }
}
