mod croner;

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    let time = DateTime::parse_from_rfc3339(&format!("{text}Z")).unwrap();
    Timestamp::from_unix_ms(time.timestamp_millis())
}

fn next(expr: &str, after: &str) -> Option<String> {
    let next =
        CronExpr::parse(expr).unwrap_or_else(|e| panic!("{expr}: {e}")).next_after(at(after));
    next.map(|t| t.to_string().trim_end_matches("Z").trim_end_matches(".000").to_owned())
}

/// 2026-01-01 is a Thursday.
#[test]
fn expressions_mean_what_vixie_cron_means() {
    const NEW_YEAR: &str = "2026-01-01T00:00:00";
    for (expr, after, expected) in [
        ("* * * * *", NEW_YEAR, "2026-01-01T00:01:00"),
        ("*/15 * * * *", NEW_YEAR, "2026-01-01T00:15:00"),
        ("*/15 * * * *", "2026-01-01T00:45:00", "2026-01-01T01:00:00"),
        ("5/20 * * * *", "2026-01-01T00:05:00", "2026-01-01T00:25:00"),
        ("5/20 * * * *", "2026-01-01T00:45:00", "2026-01-01T01:05:00"),
        ("0 8-18/5 * * *", "2026-01-01T13:00:00", "2026-01-01T18:00:00"),
        ("0 9 * * 1-5", NEW_YEAR, "2026-01-01T09:00:00"),
        ("0 9 * * 1-5", "2026-01-02T09:00:00", "2026-01-05T09:00:00"),
        ("0 0 * * 0", NEW_YEAR, "2026-01-04T00:00:00"),
        ("0 0 * * 7", NEW_YEAR, "2026-01-04T00:00:00"),
        ("0 0 * * sun", NEW_YEAR, "2026-01-04T00:00:00"),
        ("0 0 * * Sunday", "2026-01-04T00:00:00", "2026-01-11T00:00:00"),
        ("0 0 * * 1", NEW_YEAR, "2026-01-05T00:00:00"),
        ("0 0 * * 5-7", NEW_YEAR, "2026-01-02T00:00:00"),
        ("0 0 * * 5-7", "2026-01-03T00:00:00", "2026-01-04T00:00:00"),
        ("0 0 * * 5-7", "2026-01-04T00:00:00", "2026-01-09T00:00:00"),
        ("0 0 * * 6-0", NEW_YEAR, "2026-01-03T00:00:00"),
        ("0 0 * * 6-0", "2026-01-03T00:00:00", "2026-01-04T00:00:00"),
        ("0 0 * * 6-0", "2026-01-04T00:00:00", "2026-01-10T00:00:00"),
        ("0 0 * * SAT-SUN", "2026-01-04T00:00:00", "2026-01-10T00:00:00"),
        ("0 0 * * FRI-MON", "2026-01-04T00:00:00", "2026-01-05T00:00:00"),
        ("0 0 * * FRI-MON", "2026-01-05T00:00:00", "2026-01-09T00:00:00"),
        ("0 0 * * 7-2", "2026-01-06T00:00:00", "2026-01-11T00:00:00"),
        ("0 0 * * 1,3,FRI", NEW_YEAR, "2026-01-02T00:00:00"),
        ("0 0 * * 1/2", NEW_YEAR, "2026-01-02T00:00:00"),
        // Both day fields restricted: either will do.
        ("0 0 13 * 5", NEW_YEAR, "2026-01-02T00:00:00"),
        ("0 0 13 * 5", "2026-01-09T00:00:00", "2026-01-13T00:00:00"),
        ("0 0 1-7 * 0-6", "2026-01-10T00:00:00", "2026-01-11T00:00:00"),
        ("0 0 29 2 1", NEW_YEAR, "2026-02-02T00:00:00"),
        // One starts with a star: both must.
        ("0 0 */2 * MON", NEW_YEAR, "2026-01-05T00:00:00"),
        ("0 0 */2 * MON", "2026-01-05T00:00:00", "2026-01-19T00:00:00"),
        ("0 0 1 * */2", NEW_YEAR, "2026-02-01T00:00:00"),
        ("0 0 13 * ?", NEW_YEAR, "2026-01-13T00:00:00"),
        ("0 0 29 2 *", NEW_YEAR, "2028-02-29T00:00:00"),
        ("0 0 31 * *", "2026-01-31T00:00:00", "2026-03-31T00:00:00"),
        ("0 0 1 jan,JUL ?", NEW_YEAR, "2026-07-01T00:00:00"),
        ("0 0 1 January-march *", "2026-03-01T00:00:00", "2027-01-01T00:00:00"),
        ("59 23 31 12 *", NEW_YEAR, "2026-12-31T23:59:00"),
        ("59 23 31 12 *", "2026-12-31T23:59:00", "2027-12-31T23:59:00"),
        ("0 0 1 1 *", "1960-06-01T00:00:00", "1970-01-01T00:00:00"),
        ("@hourly", NEW_YEAR, "2026-01-01T01:00:00"),
        ("@daily", NEW_YEAR, "2026-01-02T00:00:00"),
        ("@Midnight", NEW_YEAR, "2026-01-02T00:00:00"),
        ("@weekly", NEW_YEAR, "2026-01-04T00:00:00"),
        ("@monthly", NEW_YEAR, "2026-02-01T00:00:00"),
        ("@yearly", NEW_YEAR, "2027-01-01T00:00:00"),
        ("@annually", NEW_YEAR, "2027-01-01T00:00:00"),
        // Six fields begin with seconds, seven end with the year.
        ("30 * * * * *", NEW_YEAR, "2026-01-01T00:00:30"),
        ("*/10 * * * * *", "2026-01-01T00:00:59.999", "2026-01-01T00:01:00"),
        ("* * * * * *", "2026-01-01T00:00:00.001", "2026-01-01T00:00:01"),
        ("0 0 12 1 1 * 2030", NEW_YEAR, "2030-01-01T12:00:00"),
        ("0 0 0 1 1 * 2020-2040/10", NEW_YEAR, "2030-01-01T00:00:00"),
        ("  0   9 * *\t1-5 ", NEW_YEAR, "2026-01-01T09:00:00"),
    ] {
        assert_eq!(next(expr, after).as_deref(), Some(expected), "{expr:?} after {after}");
    }
}

#[test]
fn expressions_that_never_fire_again_end() {
    for (expr, after) in [
        ("0 0 30 2 *", "2026-01-01T00:00:00"),
        ("0 0 31 4,6,9,11 *", "2026-01-01T00:00:00"),
        ("0 0 12 1 1 * 2020", "2026-01-01T00:00:00"),
        ("0 0 29 2 *", "2096-02-29T00:00:00"),
        ("* * * * *", "2100-12-31T23:59:00"),
        ("* * * * *", "2101-01-01T00:00:00"),
    ] {
        assert_eq!(next(expr, after), None, "{expr:?} after {after}");
    }
    let every_minute = CronExpr::parse("* * * * *").unwrap();
    assert_eq!(every_minute.next_after(Timestamp::from_unix_ms(i64::MAX)), None);
    assert_eq!(
        every_minute.next_after(Timestamp::from_unix_ms(i64::MIN)),
        Some(Timestamp::from_unix_ms(0))
    );
}

#[test]
fn wrong_expressions_name_the_field_the_value_and_what_is_allowed() {
    let long = "*".repeat(257);
    for (expr, parts) in [
        ("", &["empty"] as &[&str]),
        ("   ", &["empty"]),
        ("* * * *", &["4 fields", "use 5"]),
        ("* * * * * * * *", &["8 fields"]),
        ("@fortnightly", &["@fortnightly", "@weekly"]),
        ("@dayly", &["@dayly", "did you mean @daily?"]),
        ("@daily x", &["@daily x", "unknown"]),
        (&long, &["257 bytes", "256"]),
        ("60 * * * *", &["minute", "\"60\"", "out of range", "0-59"]),
        ("60 * * * * *", &["second", "\"60\"", "0-59"]),
        ("* 24 * * *", &["hour", "\"24\"", "0-23"]),
        ("* * 0 * *", &["day of month", "\"0\"", "1-31"]),
        ("* * 32 * *", &["day of month", "\"32\"", "1-31"]),
        ("* * * 13 *", &["month", "\"13\"", "1-12 or JAN-DEC"]),
        ("* * * 0 *", &["month", "\"0\""]),
        ("* * * * 8", &["day of week", "\"8\"", "0-7 (0 and 7 are Sunday)"]),
        ("* * * * MOO", &["day of week", "\"MOO\"", "did you mean MON?", "SUN-SAT"]),
        ("* * * Januray *", &["month", "\"Januray\"", "did you mean JANUARY?"]),
        ("* * * MON *", &["month", "\"MON\"", "JAN-DEC"]),
        ("* * * * M", &["day of week", "\"M\""]),
        ("0 0 0 1 1 * 1969", &["year", "\"1969\"", "1970-2100"]),
        ("0 0 0 1 1 * 2101", &["year", "\"2101\"", "1970-2100"]),
        ("30-10 * * * *", &["minute", "\"30-10\"", "ends before it starts"]),
        ("* * * DEC-FEB *", &["month", "\"DEC-FEB\"", "ends before it starts"]),
        ("*/0 * * * *", &["minute", "\"0\"", "step of zero"]),
        ("*/ * * * *", &["minute", "\"\"", "not a step"]),
        ("*/61 * * * *", &["minute", "\"61\"", "not a step"]),
        ("*/x * * * *", &["minute", "\"x\"", "not a step"]),
        ("*/+5 * * * *", &["minute", "\"+5\"", "not a step"]),
        ("1,,2 * * * *", &["minute", "\"\"", "empty"]),
        ("-5 * * * *", &["minute", "empty"]),
        ("1-2-3 * * * *", &["minute", "\"2-3\""]),
        ("? * * * *", &["minute", "\"?\""]),
        ("99999999999999999999 * * * *", &["minute", "out of range"]),
        ("* * L * *", &["day of month", "\"L\"", "1-31"]),
        ("* * * * 5#2", &["day of week", "\"5#2\""]),
        ("* * ü * *", &["day of month", "\"ü\""]),
        ("50~10 * * * *", &["minute", "\"50~10\"", "ends before it starts"]),
        ("~60 * * * *", &["minute", "\"60\"", "out of range"]),
        ("~/0 * * * *", &["minute", "\"0\"", "step of zero"]),
        ("1~2~3 * * * *", &["minute", "\"2~3\""]),
    ] {
        let error = CronExpr::parse(expr).expect_err(expr).to_string();
        for part in parts {
            assert!(error.contains(part), "{expr:?} says: {error}");
        }
    }
}

#[test]
fn a_wrong_place_is_marked() {
    for (expr, marked) in [
        ("60 * * * *", "60 * * * *\n^^"),
        ("0  0 1,2,32-40/5 * *", "0 0 1,2,32-40/5 * *\n        ^^"),
        ("0 0 * * MON-FRX", "0 0 * * MON-FRX\n            ^^^"),
        ("*/x * * * * *", "*/x * * * * *\n  ^"),
        ("1,,2 * * * *", "1,,2 * * * *\n  ^"),
        ("0 0 ü * *", "0 0 ü * *\n    ^"),
        ("0 0 * * * * 1969", "0 0 * * * * 1969\n            ^^^^"),
        ("0 0 5~2 * *", "0 0 5~2 * *\n    ^^^"),
    ] {
        let error = CronExpr::parse(expr).unwrap_err();
        assert_eq!(error.marked().as_deref(), Some(marked), "{error}");
    }
    assert_eq!(CronExpr::parse("* *").unwrap_err().marked(), None);
}

#[test]
fn a_tilde_is_a_number_that_follows_from_the_name_and_never_changes() {
    for (expr, job, spread) in [
        ("~ 3 * * *", "close-day", "31 3 * * *"),
        ("~ 3 * * *", "close-week", "16 3 * * *"),
        ("~ ~ * * *", "close-day", "31 20 * * *"),
        ("0~29 * * * *", "close-day", "1 * * * *"),
        ("~/15 * * * *", "close-day", "1-59/15 * * * *"),
        ("10~40/15 * * * *", "close-day", "11-40/15 * * * *"),
        ("~,~ * * * *", "close-day", "31,51 * * * *"),
        ("~ 30 2 ~ * *", "close-day", "34 30 2 15 * *"),
        ("0 0 * * MON~FRI", "close-day", "0 0 * * 4"),
        ("@daily", "close-day", "@daily"),
        ("5 4 * * SUN", "close-day", "5 4 * * SUN"),
    ] {
        let expr = CronExpr::parse(expr).unwrap();
        let plain = expr.spread_for(job);
        assert_eq!(plain.as_str(), spread, "{expr} for {job}");
        assert!(!plain.is_spread());
        assert_eq!(plain.spread_for("another"), plain);
    }
}

#[test]
fn a_tilde_stays_in_its_range_and_uses_all_of_it() {
    for (expr, numbers) in [
        ("~ 0 * * *", 0..=59),
        ("20~29 0 * * *", 20..=29),
        ("50~ 0 * * *", 50..=59),
        ("~9 0 * * *", 0..=9),
    ] {
        let expr = CronExpr::parse(expr).unwrap();
        let minute = |job: u32| {
            let plain = expr.spread_for(&format!("job-{job}")).to_string();
            plain.split(' ').next().unwrap().parse::<u32>().unwrap()
        };
        let seen: BTreeSet<u32> = (0..2_000).map(minute).collect();
        assert_eq!(seen, numbers.collect(), "{expr}");
    }
    // Each month has the day that it gives.
    let monthly = CronExpr::parse("0 0 ~ * *").unwrap();
    for job in 0..200 {
        let mut at = at("2025-12-31T23:59:59");
        let monthly = monthly.spread_for(&format!("job-{job}"));
        for month in 1..=12 {
            at = monthly.next_after(at).unwrap();
            assert!(at.to_string().starts_with(&format!("2026-{month:02}")), "{at}");
        }
    }
}

#[test]
fn an_expression_travels_as_its_text_and_a_wrong_one_does_not_decode() {
    use clustron_core::codec::{decode, encode};
    let expr = CronExpr::parse(" 0 9 * * MON-FRI ").unwrap();
    let bytes = encode(&expr).unwrap();
    assert_eq!(bytes, encode("0 9 * * MON-FRI").unwrap());
    assert_eq!(decode::<CronExpr>(&bytes).unwrap(), expr);
    let error = decode::<CronExpr>(&encode("0 25 * * *").unwrap()).unwrap_err().to_string();
    assert!(error.contains("hour"), "{error}");
}

/// One field as text, and the set of numbers that it stands for, made without the parser.
fn field(min: u32, max: u32) -> impl Strategy<Value = (String, BTreeSet<u32>)> {
    let item = prop_oneof![
        3 => (min..=max).prop_map(|n| (n.to_string(), BTreeSet::from([n]))),
        2 => (min..=max, min..=max).prop_map(|(a, b)| {
            let (a, b) = (a.min(b), a.max(b));
            (format!("{a}-{b}"), (a..=b).collect())
        }),
        1 => (min..=max, 1..=max).prop_map(move |(a, n)| {
            (format!("{a}/{n}"), (a..=max).step_by(n as usize).collect())
        }),
    ];
    let list = prop::collection::vec(item, 1..4).prop_map(|items| {
        let text: Vec<&str> = items.iter().map(|(text, _)| text.as_str()).collect();
        (text.join(","), items.iter().flat_map(|(_, set)| set.iter().copied()).collect())
    });
    prop_oneof![
        2 => Just(("*".to_owned(), (min..=max).collect())),
        1 => (1..=max).prop_map(move |n| {
            (format!("*/{n}"), (min..=max).step_by(n as usize).collect())
        }),
        4 => list,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_next_instant_agrees_with_a_walk_through_the_calendar(
        minute in field(0, 59),
        hour in field(0, 23),
        month_day in field(1, 31),
        month in field(1, 12),
        week_day in field(0, 6),
        start_ms in 0i64..4_000_000_000_000,
    ) {
        let text =
            format!("{} {} {} {} {}", minute.0, hour.0, month_day.0, month.0, week_day.0);
        let either = !month_day.0.starts_with('*') && !week_day.0.starts_with('*');
        let start = DateTime::from_timestamp_millis(start_ms).unwrap();
        let matches = |day: NaiveDate| {
            let by_month = month_day.1.contains(&day.day());
            let by_week = week_day.1.contains(&day.weekday().num_days_from_sunday());
            month.1.contains(&day.month())
                && if either { by_month || by_week } else { by_month && by_week }
        };
        let expected = (0..3_000)
            .filter_map(|n| start.date_naive().checked_add_days(Days::new(n)))
            .filter(|day| matches(*day))
            .flat_map(|day| {
                let minutes = &minute.1;
                hour.1.iter().flat_map(move |h| minutes.iter().map(move |m| (day, *h, *m)))
            })
            .filter_map(|(day, h, m)| day.and_hms_opt(h, m, 0))
            .map(|time| time.and_utc().timestamp_millis())
            .find(|ms| *ms > start_ms);
        let next = CronExpr::parse(&text).unwrap().next_after(Timestamp::from_unix_ms(start_ms));
        if expected.is_some() {
            prop_assert_eq!(next.map(Timestamp::unix_ms), expected, "{}", text);
        } else {
            let far = |t: Timestamp| t.unix_ms() - start_ms > 2_999 * 86_400_000;
            prop_assert!(next.is_none_or(far), "{}", text);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-0-9*/,?@a-zA-Z ]{0,40}", ms: i64) {
        if let Ok(expr) = CronExpr::parse(&text) {
            let t = Timestamp::from_unix_ms(ms);
            prop_assert!(expr.next_after(t).is_none_or(|next| next > t));
        }
    }
}
