//! Durations and sizes as people write them.

use std::time::Duration;

/// The longest duration that a setting may have. It leaves room for sums and multiples.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a duration looks like, for messages.
pub(crate) const DURATION: &str =
    "write a duration with its unit, such as \"300ms\", \"2s\" or \"1h\"";

/// What a size looks like, for messages.
pub(crate) const SIZE: &str = "write a number of bytes, or a size such as \"8MiB\"";

/// Units and how many nanoseconds they have. The first that fits is used to show one.
const TIMES: [(&str, u128); 7] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units and how many bytes they have.
const SIZES: [(&str, u128); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a whole number or a decimal fraction with a unit: `300ms`, `1.5 s`, `2h`.
///
/// # Errors
/// What would be right.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let Some((number, unit)) = split(text) else { return Err(DURATION.to_owned()) };
    if unit.is_empty() {
        return Err(format!(
            "{DURATION}: did you mean \"{}ms\" or \"{}s\"?",
            number.text, number.text
        ));
    }
    let Some((_, each)) = TIMES.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("{DURATION}: the units are h, min, s, ms, us and ns"));
    };
    let nanos = number.times(*each).filter(|nanos| *nanos <= DURATION_MAX.as_nanos());
    let Some(nanos) = nanos.and_then(|nanos| u64::try_from(nanos).ok()) else {
        return Err("must be at most 24h".to_owned());
    };
    Ok(Duration::from_nanos(nanos))
}

/// Reads a number of bytes, with or without a unit: `8388608`, `8MiB`, `512 KiB`.
///
/// # Errors
/// What would be right.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let Some((number, unit)) = split(text) else { return Err(SIZE.to_owned()) };
    let unit = if unit.is_empty() { "B" } else { unit };
    let Some((_, each)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        let meant = SIZES.iter().find(|(name, _)| {
            let (name, unit) = (name.to_lowercase(), unit.to_lowercase());
            name == unit || name.replace('i', "") == unit || name[..1] == unit
        });
        let meant = meant.map(|(name, _)| format!(": did you mean \"{}{name}\"?", number.text));
        let meant = meant.unwrap_or_else(|| ": the units are B, KiB, MiB and GiB".to_owned());
        return Err(format!("{SIZE}{meant}"));
    };
    let bytes = number.times(*each).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or_else(|| SIZE.to_owned())
}

/// The duration as [`duration`] reads it.
pub(crate) fn shown_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let fits = |(_, each): &&(&str, u128)| nanos.is_multiple_of(*each);
    let (unit, each) = TIMES.iter().find(fits).unwrap_or(&("ns", 1));
    format!("{}{unit}", nanos / each)
}

/// The size as [`size`] reads it.
pub(crate) fn shown_size(bytes: u64) -> String {
    let bytes = u128::from(bytes);
    let fits = |(_, each): &&(&str, u128)| bytes != 0 && bytes.is_multiple_of(*each);
    let (unit, each) = SIZES.iter().find(fits).unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / each)
}

/// A number in digits, at most nine of them after a point.
struct Number<'a> {
    text: &'a str,
    whole: u128,
    fraction: u128,
    /// Ten to the number of digits of the fraction.
    scale: u128,
}

impl Number<'_> {
    /// So many times a unit, if that is a whole number.
    fn times(&self, unit: u128) -> Option<u128> {
        let part = self.fraction.checked_mul(unit)?;
        if !part.is_multiple_of(self.scale) {
            return None;
        }
        self.whole.checked_mul(unit)?.checked_add(part / self.scale)
    }
}

fn split(text: &str) -> Option<(Number<'_>, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let short = |digits: &str, max| !digits.is_empty() && digits.len() <= max;
    if !short(whole, 20) || !short(fraction, 9) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let (whole, fraction) = (whole.parse().ok()?, fraction.parse().ok()?);
    Some((Number { text: digits, whole, fraction, scale }, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, ms) in [
            ("300ms", 300),
            ("2s", 2000),
            ("1.5 s", 1500),
            (" 1h ", 3_600_000),
            ("2min", 120_000),
            ("2m", 120_000),
            ("1000us", 1),
            ("24h", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_would_be() {
        for (text, remedy) in [
            ("300", "did you mean \"300ms\" or \"300s\"?"),
            ("", "such as \"300ms\""),
            ("ms", "such as \"300ms\""),
            ("-1s", "such as \"300ms\""),
            ("1.s", "such as \"300ms\""),
            ("1d", "the units are h, min, s, ms, us and ns"),
            ("1h30m", "the units are"),
            ("25h", "at most 24h"),
            ("99999999999999999999h", "at most 24h"),
            ("999999999999999999999s", "such as \"300ms\""),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("8388608", 8 << 20),
            ("8MiB", 8 << 20),
            ("512 KiB", 1 << 19),
            ("1.5KiB", 1536),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, remedy) in [
            ("8MB", "did you mean \"8MiB\"?"),
            ("8m", "did you mean \"8MiB\"?"),
            ("8mib", "did you mean \"8MiB\"?"),
            ("8 apples", "the units are B, KiB, MiB and GiB"),
            ("1.5B", "write a number of bytes"),
            ("99999999999999999999GiB", "write a number of bytes"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_is_read_again(nanos in 0..=DURATION_MAX.as_nanos(), bytes: u64) {
            let time = Duration::from_nanos(u64::try_from(nanos).unwrap());
            proptest::prop_assert_eq!(duration(&shown_duration(time)), Ok(time));
            proptest::prop_assert_eq!(size(&shown_size(bytes)), Ok(bytes));
        }
    }
}
