//! The same questions to croner, which others wrote from the same manuals.
//!
//! Its reading differs in three things, which are not asked: `*/2` in a day field counts there as
//! a list and not as a star, so that the other day field is joined by "or"; `1/2` in the day of the
//! week goes on to 7 there, which is Sunday; and `*/6` in the year counts from the year 1. Ranges
//! that wrap, full names and `~` are errors there.

use ::croner::parser::{CronParser, Seconds, Year};

use super::*;
use crate::simulation::Rng;

const EXPRESSIONS: u64 = 10_000;

/// The last second of our calendar.
const END: &str = "2100-12-31T23:59:59";

fn item(rng: &mut Rng, (min, max): (usize, usize), names: &[&str]) -> String {
    let number = |rng: &mut Rng, from: usize| from + rng.below(max - from + 1);
    let low = number(rng, min);
    let name = |n: usize| names.get(n - min).map_or_else(|| n.to_string(), ToString::to_string);
    match rng.below(6) {
        0 => format!("{low}-{}", number(rng, low)),
        1 => format!("{low}-{}/{}", number(rng, low), 1 + rng.below(max.min(9))),
        // See above: in the day of the week it would go on to 7.
        2 if max != 7 => format!("{low}/{}", 1 + rng.below(9)),
        3 => name(low),
        _ => low.to_string(),
    }
}

fn field(rng: &mut Rng, bounds: (usize, usize), names: &[&str], star: usize) -> String {
    match rng.below(100) {
        n if n < star => "*".to_owned(),
        n if n < star + 10 => format!("*/{}", 1 + rng.below(bounds.1.min(30))),
        _ => {
            let items = 1 + rng.below(3);
            (0..items).map(|_| item(rng, bounds, names)).collect::<Vec<_>>().join(",")
        }
    }
}

fn expression(rng: &mut Rng) -> String {
    const MONTHS: [&str; 12] =
        ["JAN", "feb", "Mar", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "nov", "DEC"];
    const DAYS: [&str; 7] = ["SUN", "mon", "Tue", "WED", "THU", "FRI", "SAT"];
    let mut days = [field(rng, (1, 31), &[], 50), field(rng, (0, 7), &DAYS, 50)];
    // See above.
    if days.iter().any(|day| day.starts_with("*/")) {
        days[rng.below(2)] = "*".to_owned();
    }
    let [month_day, week_day] = days;
    let minute = field(rng, (0, 59), &[], 20);
    let hour = field(rng, (0, 23), &[], 30);
    let month = field(rng, (1, 12), &MONTHS, 60);
    let five = format!("{minute} {hour} {month_day} {month} {week_day}");
    let second = field(rng, (0, 59), &[], 20);
    match rng.below(3) {
        0 => five,
        1 => format!("{second} {five}"),
        _ => {
            let year = field(rng, (2000, 2099), &[], 70);
            format!("{second} {five} {}", if year.starts_with("*/") { "*" } else { &year })
        }
    }
}

#[test]
fn the_next_instant_is_that_of_croner() {
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Optional)
        .sloppy_ranges(true)
        .build();
    let mut rng = Rng(2026);
    let (mut found, mut over) = (0, 0);
    for _ in 0..EXPRESSIONS {
        let text = expression(&mut rng);
        let start = DateTime::from_timestamp(rng.below(3_000_000_000) as i64, 0).unwrap();
        let theirs = parser.parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let next = theirs.find_next_occurrence(&start, false).ok();
        let next = next.map(|t| Timestamp::from_unix_ms(t.timestamp_millis()));
        let next = next.filter(|t| *t <= at(END));
        let start = Timestamp::from_unix_ms(start.timestamp_millis());
        assert_eq!(CronExpr::parse(&text).unwrap().next_after(start), next, "{text} after {start}");
        *(if next.is_some() { &mut found } else { &mut over }) += 1;
    }
    assert!(found > 9_000 && over > 10, "found {found}, over {over}");
}
