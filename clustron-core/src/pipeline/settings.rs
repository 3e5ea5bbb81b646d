//! The settings of one layer, read one by one.
//!
//! Each is read with its default and its bounds, and what is read is noted: so that a setting that
//! no layer reads is an error, and that both ends can compare those that have to be the same.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::PipelineError;
use super::nearest::nearest;

/// The settings of one layer, for its constructor.
#[derive(Debug)]
pub struct Settings<'a> {
    layer: &'a str,
    given: &'a BTreeMap<String, String>,
    /// All that were read.
    known: Vec<String>,
    /// Those that both ends must share, with defaults filled in.
    shared: BTreeMap<String, String>,
}

/// One setting, about to be read.
#[derive(Debug)]
pub struct Setting<'s, 'a> {
    settings: &'s mut Settings<'a>,
    name: &'static str,
    is_shared: bool,
}

impl<'a> Settings<'a> {
    pub(super) fn new(layer: &'a str, given: &'a BTreeMap<String, String>) -> Self {
        Self { layer, given, known: Vec::new(), shared: BTreeMap::new() }
    }

    /// A setting that each end may choose for itself.
    pub fn own(&mut self, name: &'static str) -> Setting<'_, 'a> {
        Setting { settings: self, name, is_shared: false }
    }

    /// A setting that must be the same at both ends: the nodes refuse each other otherwise.
    pub fn shared(&mut self, name: &'static str) -> Setting<'_, 'a> {
        Setting { settings: self, name, is_shared: true }
    }

    /// What both ends must share, after a look for settings that nobody has read.
    pub(super) fn finish(self) -> Result<BTreeMap<String, String>, PipelineError> {
        let unread = self.given.iter().find(|(name, _)| !self.known.contains(name));
        let Some((setting, value)) = unread else { return Ok(self.shared) };
        let nearest = nearest(setting, self.known.iter().map(String::as_str));
        Err(PipelineError::UnknownSetting {
            layer: self.layer.into(),
            setting: setting.clone(),
            value: value.clone(),
            nearest: nearest.map(str::to_owned),
            known: self.known,
        })
    }
}

impl Setting<'_, '_> {
    /// A whole number within bounds.
    ///
    /// # Errors
    /// It is none, or beyond the bounds.
    pub fn number(self, default: u64, allowed: RangeInclusive<u64>) -> Result<u64, PipelineError> {
        self.within(default, allowed, "a whole number")
    }

    /// A size or a count, as [`number`](Self::number).
    ///
    /// # Errors
    /// It is none, or beyond the bounds.
    pub fn size(
        self,
        default: usize,
        allowed: RangeInclusive<usize>,
    ) -> Result<usize, PipelineError> {
        self.within(default, allowed, "a whole number")
    }

    /// A duration in milliseconds. The name of the setting says so: `_ms`.
    ///
    /// # Errors
    /// It is none, or beyond the bounds.
    pub fn duration_ms(
        self,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> Result<Duration, PipelineError> {
        self.within(default, allowed, "a whole number of milliseconds").map(Duration::from_millis)
    }

    /// A probability.
    ///
    /// # Errors
    /// It is not between 0 and 1.
    pub fn probability(self, default: f64) -> Result<f64, PipelineError> {
        self.within(default, 0.0..=1.0, "a number")
    }

    /// The text as it was given, if it was, and if it is one of these.
    ///
    /// # Errors
    /// It is another.
    pub fn one_of(self, allowed: &[&str]) -> Result<Option<String>, PipelineError> {
        let given = self.settings.given.get(self.name).cloned();
        if let Some(value) = given.as_ref().filter(|value| !allowed.contains(&value.as_str())) {
            let value = value.clone();
            return Err(self.wrong(value, format!("it may be {}", allowed.join(" or "))));
        }
        self.note(given.as_deref().unwrap_or(""));
        Ok(given)
    }

    fn within<T: FromStr + PartialOrd + Display>(
        self,
        default: T,
        allowed: RangeInclusive<T>,
        what: &str,
    ) -> Result<T, PipelineError> {
        let value = match self.settings.given.get(self.name) {
            None => default,
            Some(given) => match given.parse() {
                Ok(value) if allowed.contains(&value) => value,
                Ok(_) | Err(_) => {
                    let (value, low, high) = (given.clone(), allowed.start(), allowed.end());
                    return Err(
                        self.wrong(value, format!("it must be {what} from {low} to {high}"))
                    );
                }
            },
        };
        self.note(&value.to_string());
        Ok(value)
    }

    fn note(self, value: &str) {
        self.settings.known.push(self.name.to_owned());
        if self.is_shared {
            self.settings.shared.insert(self.name.to_owned(), value.to_owned());
        }
    }

    fn wrong(&self, value: String, allowed: String) -> PipelineError {
        let (layer, setting) = (self.settings.layer.to_owned(), self.name.to_owned());
        PipelineError::Value { layer, setting, value, allowed }
    }
}
