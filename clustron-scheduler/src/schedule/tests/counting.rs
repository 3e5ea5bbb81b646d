use super::super::count::Counted;
use super::*;

const ALL: usize = 1_000_000;

/// Some schedules of each kind, by number.
fn schedule(kind: usize) -> Schedule {
    let every = |interval, phase| {
        let ms = Duration::from_millis;
        Schedule::every_with_phase(ms(interval), ms(phase)).unwrap()
    };
    let holidays = || Exclusion::dates("2026-03-29..2026-03-31").unwrap();
    match kind {
        0 => every(700_000, 3),
        1 => Schedule::cron("*/7 * * * *").unwrap(),
        2 => cron("*/7 * * * *", "Europe/Berlin"),
        3 => cron("5,40 1-3 * * *", "Europe/Berlin"),
        4 => cron("5,40 0-3 * * *", "Africa/Cairo").dst_overlap(DstOverlap::Both).unwrap(),
        5 => cron("30 0 12 * * MON-FRI", "Australia/Lord_Howe"),
        6 => cron("0 0 13 * 5", "America/New_York"),
        7 => cron("*/20 * * * *", "Pacific/Apia").starting(at("2026-03-20T12:34:56Z")),
        8 => every(60_000, 0).ending(at("2026-03-30T12:34:56Z")),
        9 => cron("*/30 * * * *", "Europe/Berlin").excluding(holidays()),
        10 => every(600_000, 0).or(cron("*/15 * * * *", "UTC")),
        _ => Schedule::at(at("2026-03-29T12:00:00Z")),
    }
}

#[test]
fn counting_by_arithmetic_agrees_with_walking() {
    for (interval_ms, phase_ms) in [(1, 0), (7, 3), (10, 0), (250, 249)] {
        let (interval, phase) =
            (Duration::from_millis(interval_ms), Duration::from_millis(phase_ms));
        let every = Schedule::every_with_phase(interval, phase).unwrap();
        for after in -20..20 {
            for until in [after - 5, after, after + 1, after + 9, after + 500] {
                for keep in [0, 1, 3, 100] {
                    let fast = every.count_oldest(ms(after), ms(until), keep, 0);
                    let slow = every.count_by_walking(ms(after), ms(until), keep, 1_000);
                    assert_eq!(fast, Counted { steps: 0, ..slow }, "{every} {after}..{until}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn counting_agrees_with_walking_for_every_kind_around_changes_of_the_clocks(
        kind in 0usize..12,
        autumn: bool,
        after_s in -300_000i64..300_000,
        span_s in 0i64..600_000,
        keep in prop_oneof![Just(0usize), 1usize..5, 1usize..400, Just(10_000)],
        offset_ms in 0i64..1_000,
    ) {
        let schedule = schedule(kind);
        let middle = if autumn { "2026-10-25T01:00:00Z" } else { "2026-03-29T01:00:00Z" };
        let after = at(middle).unix_ms() + after_s * 1_000 + offset_ms;
        let (after, until) = (ms(after), ms(after + span_s * 1_000));
        let all: Vec<Timestamp> = schedule.between(after, until).collect();
        let dropped = all.len().saturating_sub(keep);
        let counted = schedule.count_oldest(after, until, keep, ALL);
        prop_assert_eq!(counted.count, dropped as u64, "{}", schedule);
        prop_assert!(counted.complete);
        let range = all[..dropped].first().copied().zip(all[..dropped].last().copied());
        prop_assert_eq!(counted.range, range, "{}", schedule);
    }
}

#[test]
fn a_century_of_seconds_is_counted_in_days() {
    let cron = Schedule::cron("* * * * * *").unwrap();
    let (from, until) = (at("1970-01-01T00:00:00Z"), at("2069-12-31T23:59:59Z"));
    let counted = cron.count_oldest(from, until, 1_000, ALL);
    let seconds = (until.unix_ms() - from.unix_ms()) / 1_000;
    assert_eq!(counted.count, seconds as u64 - 1_000);
    assert_eq!(counted.range, Some((ms(1_000), ms(until.unix_ms() - 1_000_000))));
    assert!(counted.complete && counted.steps == 36_525, "{counted:?}");
}

#[test]
fn counting_what_must_be_walked_stops_at_the_bound_and_says_so() {
    let walked = Schedule::cron("* * * * * *").unwrap().or(Schedule::at(ms(0)));
    let counted = walked.count_oldest(ms(0), ms(1_000_000), 2, 10);
    assert_eq!(counted.count, 8);
    assert_eq!(counted.range, Some((ms(1_000), ms(8_000))));
    assert!(!counted.complete);
    // Days are a bound too.
    let days = Schedule::cron("* * * * *").unwrap();
    let counted = days.count_oldest(ms(0), ms(i64::MAX), 2, 10);
    assert_eq!((counted.count, counted.complete), (10 * 1_440 - 3, false));
}
