mod counting;
mod zones;

use clustron_core::codec::{decode, encode};
use proptest::prelude::*;

use super::*;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn ms(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

pub(super) fn cron(text: &str, zone: &str) -> Schedule {
    Schedule::cron(text).unwrap().zone(zone).unwrap()
}

/// The next instants after one, as clocks in the zone show them.
fn shown(schedule: &Schedule, zone: &str, after: &str, n: usize) -> Vec<String> {
    let zone = Zone::new(zone).unwrap();
    let shown = schedule.after(at(after)).take(n).map(|t| zone.show(t).replace(":00.000", ""));
    shown.map(|text| text[5..].to_owned()).collect()
}

#[test]
fn intervals_align_to_the_unix_epoch() {
    let every = Schedule::every_with_phase(Duration::from_secs(10), Duration::from_secs(3));
    let every = every.unwrap();
    for (after, next) in [(0, 3_000), (2_999, 3_000), (3_000, 13_000), (-1, 3_000), (-7_000, 3_000)]
    {
        assert_eq!(every.next_after(ms(after)), Some(ms(next)), "after {after}");
    }
    assert_eq!(every.next_after(ms(-7_001)), Some(ms(-7_000)));
    assert_eq!(every.next_after(ms(i64::MAX)), None);
    assert!(every.next_after(ms(i64::MIN)).is_some());
    assert_eq!(every.to_string(), "every 10s phase 3s");
}

#[test]
fn intervals_out_of_range_are_refused_with_both_numbers() {
    for bad in [
        Duration::ZERO,
        Duration::from_micros(500),
        Duration::from_micros(1_500),
        Duration::from_secs(367 * 86_400),
        Duration::MAX,
    ] {
        let error = Schedule::every(bad).unwrap_err().to_string();
        assert!(error.contains("1 ms to 366 days"), "{error}");
    }
    assert!(Schedule::every(Duration::from_secs(366 * 86_400)).is_ok());
    let second = Duration::from_secs(1);
    assert!(Schedule::every_with_phase(second, second).is_err());
}

/// In Berlin the clocks go from 02:00 to 03:00 on 2026-03-29, and from 03:00 to 02:00 on
/// 2026-10-25.
#[test]
fn moments_that_are_left_out_are_due_after_the_gap_or_not_at_all() {
    let (zone, before) = ("Europe/Berlin", "2026-03-28T12:00:00Z");
    let night = cron("30 2 * * *", zone);
    let next = shown(&night, zone, before, 2);
    assert_eq!(next, ["03-29T03:00+02:00", "03-30T02:30+02:00"]);
    let skip = night.dst_gap(DstGap::Skip).unwrap();
    assert_eq!(shown(&skip, zone, before, 1), ["03-30T02:30+02:00"]);
    // Three moments of one gap are one tick, together with what is due at its end anyway.
    let often = cron("0,20,40 2,3 * * *", zone);
    let next = shown(&often, zone, before, 3);
    assert_eq!(next, ["03-29T03:00+02:00", "03-29T03:20+02:00", "03-29T03:40+02:00"]);
    // A rhythm knows no gap.
    let rhythm = cron("*/20 * * * *", zone);
    let next = shown(&rhythm, zone, "2026-03-29T00:39:00Z", 2);
    assert_eq!(next, ["03-29T01:40+01:00", "03-29T03:00+02:00"]);
    let yearly = cron("30 2 29 3 *", zone).dst_gap(DstGap::Skip).unwrap();
    assert_eq!(shown(&yearly, zone, before, 1), ["03-29T02:30+02:00"], "2027");
}

#[test]
fn moments_that_are_shown_twice_are_due_once_or_as_often() {
    let (zone, before) = ("Europe/Berlin", "2026-10-24T12:00:00Z");
    let night = cron("30 2 * * *", zone);
    let (first, last, next_day) = ("10-25T02:30+02:00", "10-25T02:30+01:00", "10-26T02:30+01:00");
    assert_eq!(shown(&night, zone, before, 2), [first, next_day]);
    let overlap = |overlap| night.clone().dst_overlap(overlap).unwrap();
    assert_eq!(shown(&overlap(DstOverlap::Last), zone, before, 2), [last, next_day]);
    assert_eq!(shown(&overlap(DstOverlap::Both), zone, before, 3), [first, last, next_day]);
    // A rhythm goes on.
    let rhythm = cron("0,30 * * * *", zone).dst_overlap(DstOverlap::First).unwrap();
    let next = shown(&rhythm, zone, "2026-10-24T23:59:00Z", 5);
    assert_eq!(next, ["10-25T02:00+02:00", first, "10-25T02:00+01:00", last, "10-25T03:00+01:00"]);
}

#[test]
fn days_and_half_hours_that_zones_leave_out_are_gaps_like_any_other() {
    // Samoa had no 30 December in 2011.
    let noon = cron("0 12 30 12 *", "Pacific/Apia");
    assert_eq!(noon.next_after(at("2011-12-01T00:00:00Z")), Some(at("2011-12-30T10:00:00Z")));
    // Lord Howe's clocks go from 02:00 to 02:30, and back from 02:00 to 01:30.
    let howe = cron("15 2 * * *", "Australia/Lord_Howe");
    assert_eq!(howe.next_after(at("2026-10-03T00:00:00Z")), Some(at("2026-10-03T15:30:00Z")));
    // Cairo's midnight is left out.
    let cairo = cron("0 0 * * *", "Africa/Cairo");
    let next = shown(&cairo, "Africa/Cairo", "2026-04-23T12:00:00Z", 2);
    assert_eq!(next, ["04-24T01:00+03:00", "04-25T00:00+03:00"]);
}

#[test]
fn one_shots_starts_and_ends_count_with_their_own_instant() {
    let once = Schedule::at(ms(5_000));
    assert_eq!(once.next_after(ms(4_999)), Some(ms(5_000)));
    assert_eq!(once.find_after(ms(5_000)), Err(NoTick::Over));
    let bounded = Schedule::every(Duration::from_secs(1)).unwrap();
    let bounded = bounded.starting(ms(2_000)).ending(ms(4_000));
    let all: Vec<i64> = bounded.after(ms(-9)).map(Timestamp::unix_ms).collect();
    assert_eq!(all, [2_000, 3_000, 4_000]);
    assert_eq!(bounded.find_after(ms(4_000)), Err(NoTick::Ended { end: ms(4_000) }));
    let between: Vec<i64> = bounded.between(ms(2_000), ms(3_500)).map(Timestamp::unix_ms).collect();
    assert_eq!(between, [3_000]);
}

#[test]
fn several_rules_are_one_row_of_ticks() {
    let schedule = cron("0 * * * *", "UTC")
        .or(Schedule::every(Duration::from_secs(1_200)).unwrap())
        .or(Schedule::at(ms(1_000_000)));
    let next: Vec<i64> = schedule.after(ms(0)).take(5).map(|t| t.unix_ms() / 1_000).collect();
    assert_eq!(next, [1_000, 1_200, 2_400, 3_600, 4_800]);
}

#[test]
fn what_is_excluded_is_never_due() {
    let zone = "Europe/Berlin";
    let hourly = || cron("0 * * * *", zone);
    for (exclusion, after, next) in [
        // A date is that of the rule's zone, whatever the clocks do that day.
        (Exclusion::dates("2026-03-29"), "2026-03-28T22:30:00Z", "03-30T00:00+02:00"),
        (Exclusion::dates("2026-10-25"), "2026-10-24T21:30:00Z", "10-26T00:00+01:00"),
        (
            Exclusion::dates("2026-03-29").unwrap().zone("UTC"),
            "2026-03-28T23:00:00Z",
            "03-30T02:00+02:00",
        ),
        (Exclusion::dates("2026-03-01..2026-12-31"), "2026-02-28T22:30:00Z", "01-01T00:00+01:00"),
        (
            Exclusion::dates("2026-03-29, 2026-03-30..2026-04-02"),
            "2026-03-28T22:30:00Z",
            "04-03T00:00+02:00",
        ),
        // Five fields cover whole minutes.
        (Exclusion::cron("* * 25 12 *"), "2026-12-24T22:30:00Z", "12-26T00:00+01:00"),
        (Exclusion::cron("* 0-22 * * *"), "2026-10-24T22:30:00Z", "10-25T23:00+01:00"),
        (Exclusion::cron("0 2 * * *"), "2026-10-24T23:30:00Z", "10-25T03:00+01:00"),
        (
            Exclusion::window(at("2026-06-01T00:00:00Z"), at("2026-06-01T02:00:00Z")),
            "2026-05-31T23:30:00Z",
            "06-01T04:00+02:00",
        ),
    ] {
        let schedule = hourly().excluding(exclusion.unwrap());
        assert_eq!(shown(&schedule, zone, after, 1), [next], "{schedule}");
    }
}

#[test]
fn an_exclusion_covers_every_second_of_its_minutes() {
    let seconds = Schedule::every(Duration::from_millis(500)).unwrap();
    let schedule = seconds.excluding(Exclusion::cron("* 0-22 * * *").unwrap());
    let next = schedule.next_after(ms(0)).unwrap();
    assert_eq!(next, at("1970-01-01T23:00:00Z"));
    let exact = Exclusion::cron("1 * * * * *").unwrap();
    let schedule = Schedule::every(Duration::from_millis(500)).unwrap().excluding(exact);
    let next: Vec<i64> = schedule.after(ms(0)).take(3).map(Timestamp::unix_ms).collect();
    assert_eq!(next, [500, 2_000, 2_500]);
}

#[test]
fn a_schedule_that_is_all_excluded_says_so_soon() {
    let nothing = cron("0 0 30 2 *", "Europe/Berlin");
    assert_eq!(nothing.find_after(ms(0)), Err(NoTick::Over));
    let noon = Schedule::cron("0 12 * * *").unwrap();
    let never = noon.clone().excluding(Exclusion::cron("0 12 * * *").unwrap());
    assert!(matches!(never.find_after(ms(0)), Err(NoTick::Excluded { .. })));
    // Days are passed as a whole, so the end of the calendar is reached.
    let never = noon.excluding(Exclusion::cron("* * * 1-6 *").unwrap());
    let never = never.excluding(Exclusion::cron("* * * JUL-DEC *").unwrap());
    assert!(matches!(never.find_after(ms(0)), Err(NoTick::Excluded { .. })));
    let ended = never.ending(ms(86_400_000));
    assert_eq!(ended.find_after(ms(0)), Err(NoTick::Ended { end: ms(86_400_000) }));
    // What another rule names counts if it comes before what was not searched any more.
    let stuck = Schedule::cron("0 12 * * *").unwrap();
    let stuck = stuck.excluding(Exclusion::cron("0 12 * * *").unwrap());
    let (soon, far) = (at("1975-01-01T00:00:00Z"), at("2090-01-01T00:00:00Z"));
    assert_eq!(stuck.clone().or(Schedule::at(soon)).find_after(ms(0)), Ok(soon));
    let late = stuck.or(Schedule::at(far)).find_after(ms(0));
    assert!(matches!(late, Err(NoTick::Excluded { .. })), "{late:?}");
}

#[test]
fn jitter_moves_the_start_and_not_the_tick() {
    let job = |name| JobName::new(name).unwrap();
    let schedule = Schedule::cron("0 * * * *").unwrap().jitter(Duration::from_secs(60));
    let tick = schedule.next_after(ms(0)).unwrap();
    assert_eq!(tick, ms(3_600_000));
    let late = |name, tick| schedule.due_at(&job(name), tick).saturating_since(tick).as_millis();
    let seen: Vec<u128> = (1..200).map(|hour| late("a", ms(hour * 3_600_000))).collect();
    assert!(seen.iter().all(|ms| *ms <= 60_000));
    assert!(seen.iter().any(|ms| *ms < 5_000) && seen.iter().any(|ms| *ms > 55_000), "{seen:?}");
    assert_ne!(late("a", tick), late("b", tick));
    let exact = Schedule::cron("0 * * * *").unwrap();
    assert_eq!(exact.due_at(&job("a"), tick), tick);
}

#[test]
fn a_job_gets_the_numbers_of_its_name() {
    let spec = |name| crate::JobSpec::new(JobName::new(name).unwrap(), cron("~ 3 * * *", "UTC"));
    let (one, other) = (spec("close-day"), spec("close-week"));
    assert_ne!(one.schedule, other.schedule);
    assert!(!one.schedule.to_string().contains('~'), "{}", one.schedule);
    let unspread = crate::JobSpec { schedule: cron("~ 3 * * *", "UTC"), ..one };
    let error = unspread.check().unwrap_err().to_string();
    assert!(error.contains("~ 3 * * *") && error.contains("JobSpec::new"), "{error}");
}

#[test]
fn text_reads_back_as_the_same_schedule() {
    for (text, canonical) in [
        ("0 9 * * MON-FRI", "cron \"0 9 * * MON-FRI\""),
        ("@daily", "cron \"@daily\""),
        ("cron \"0  9 * * *\"  in UTC", "cron \"0 9 * * *\""),
        (
            "cron \"30 2 * * *\" in Europe/Berlin gap run_after overlap last",
            "cron \"30 2 * * *\" in Europe/Berlin overlap last",
        ),
        (
            "cron \"30 2 * * *\" gap skip overlap both; at 2026-11-18T12:06:40+01:00",
            "cron \"30 2 * * *\" gap skip overlap both; at 2026-11-18T11:06:40.000Z",
        ),
        ("every 90s", "every 90s"),
        ("every 1h30m phase 500ms", "every 90m phase 500ms"),
        ("every 7d", "every 7d"),
        (
            "jitter 30000ms; times 5; every 1d; except dates 2026-12-24..2026-12-26,2027-01-01 in Asia/Tokyo",
            "every 1d; except dates 2026-12-24..2026-12-26,2027-01-01 in Asia/Tokyo; jitter 30s; times 5",
        ),
        (
            "every 1s; except cron \"* 0-5 * * *\"; except from 1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z; from 1970-01-01T00:00:00Z; until 2026-01-01T00:00:00Z",
            "every 1s; except cron \"* 0-5 * * *\"; except from 1970-01-01T00:00:00.000Z to 1970-01-02T00:00:00.000Z; from 1970-01-01T00:00:00.000Z; until 2026-01-01T00:00:00.000Z",
        ),
    ] {
        let schedule: Schedule = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(schedule.to_string(), canonical);
        assert_eq!(canonical.parse(), Ok(schedule.clone()));
        let bytes = encode(&schedule).unwrap();
        assert_eq!(bytes, encode(canonical).unwrap(), "nodes send each other the text");
        assert_eq!(decode::<Schedule>(&bytes).unwrap(), schedule);
    }
}

#[test]
fn wrong_text_says_which_clause_and_what_to_write() {
    let long = format!("every 1s; except dates {}", ["2026-12-24"; 100].join(","));
    let many = ["every 1s"; 17].join("; ");
    for (text, parts) in [
        ("", &["empty"] as &[&str]),
        ("61 * * * *", &["minute", "\"61\"", "0-59"]),
        ("cron 0 9 * * *", &["double quotes"]),
        ("cron \"0 25 * * *\"", &["hour", "\"25\""]),
        ("cron \"0 9 * * *\" in Europe/Berlim", &["Europe/Berlim", "did you mean Europe/Berlin?"]),
        ("cron \"0 9 * * *\" in europe/berlin", &["did you mean Europe/Berlin?"]),
        ("cron \"0 9 * * *\" gap no", &["\"no\" means nothing here", "run_after, skip"]),
        ("cron \"0 9 * * *\" daily", &["\"daily\" is one word too many"]),
        ("each 5s", &["\"each 5s\"", "cron, every, at"]),
        ("every 5", &["\"5\" is no duration", "1h30m"]),
        ("every 99999999999999999999d", &["is no duration"]),
        ("every 0s", &["1 ms to 366 days"]),
        ("at noon", &["at noon", "\"noon\" is not an instant"]),
        ("jitter 5s", &["it names no instant"]),
        ("every 1s; jitter 25h", &["the jitter is 90000000 ms", "86400000"]),
        ("every 1s; jitter 1s; jitter 2s", &["given twice"]),
        ("every 1s; times 0", &["0 times"]),
        ("every 1s; times x", &["\"x\" is no whole number"]),
        (
            "every 1s; from 2026-01-02T00:00:00Z; until 2026-01-01T00:00:00Z",
            &["ends at 2026-01-01"],
        ),
        ("every 1s; except dates 2026-02-30", &["2026-02-30", "no such day"]),
        ("every 1s; except dates 2026-02-03..2026-02-01", &["ends before it starts"]),
        ("every 1s; except dates 1900-01-01", &["1970 to 2100"]),
        (
            "every 1s; except from 2026-01-02T00:00:00Z to 2026-01-01T00:00:00Z",
            &["a window ends at"],
        ),
        (&long, &["bytes as text", "1024"]),
        (&many, &["17 rules", "16"]),
    ] {
        let error = text.parse::<Schedule>().expect_err(text).to_string();
        for part in parts {
            assert!(error.contains(part), "{text:?} says: {error}");
        }
    }
}

#[test]
fn what_the_builder_takes_as_it_comes_is_checked() {
    let every = || Schedule::every(Duration::from_secs(1)).unwrap();
    for (schedule, part) in [
        (every().jitter(Duration::MAX), "the jitter is 18446744073709551615 ms"),
        (every().times(0), "0 times"),
        (every().starting(ms(1)).ending(ms(0)), "the schedule ends at"),
        (every().ending(ms(i64::MAX)), "years 0 to 9999"),
        (Schedule::at(ms(i64::MIN)), "years 0 to 9999"),
        ((0..16).fold(every(), |all, _| all.or(every())), "17 rules"),
        (
            (0..17).fold(every(), |all, _| all.excluding(Exclusion::dates("2026-01-01").unwrap())),
            "17 exclusions",
        ),
    ] {
        let error = schedule.check().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(decode::<Schedule>(&encode(&schedule).unwrap()).is_err(), "{schedule}");
    }
    assert_eq!(every().starting(ms(0)).ending(ms(0)).check(), Ok(()));
    let error = every().zone("Europe/Berlin").unwrap_err();
    assert!(error.to_string().contains("a time zone is set"), "{error}");
}

/// A node with older tables keeps a schedule as it is, and only does not compute it.
#[test]
fn a_zone_that_this_build_does_not_know_travels_and_has_no_ticks() {
    let text = "cron \"0 9 * * *\" in Mars/Olympus_Mons; every 1s";
    assert!(text.parse::<Schedule>().is_err());
    let schedule: Schedule = decode(&encode(text).unwrap()).unwrap();
    assert_eq!(encode(&schedule).unwrap(), encode(text).unwrap());
    assert_eq!(schedule.check(), Ok(()));
    let error = schedule.find_after(ms(0)).unwrap_err();
    assert!(error.to_string().contains("Mars/Olympus_Mons"), "{error}");
    assert!(!schedule.zones().all(Zone::is_known));
}

#[test]
fn the_next_instants_are_shown_from_now_on() {
    let next = Schedule::every(Duration::from_secs(1)).unwrap().next(3);
    assert_eq!(next.len(), 3);
    assert!(next[0].unix_ms() > 1_700_000_000_000 && next.is_sorted());
    assert_eq!(Schedule::at(ms(0)).next(3), []);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        text in "((cron|every|at|except|dates|from|until|times|in|gap|last\
                  |\"|;|[0-9]{1,3}[smhd]?|\\*|,|[A-Z~/-]) ?){0,20}",
        ms: i64,
    ) {
        if let Ok(schedule) = text.parse::<Schedule>() {
            let t = Timestamp::from_unix_ms(ms);
            prop_assert!(schedule.next_after(t).is_none_or(|next| next > t));
            prop_assert_eq!(schedule.to_string().parse::<Schedule>(), Ok(schedule));
        }
    }

    #[test]
    fn arbitrary_text_does_no_harm(text in "\\PC{0,80}") {
        let _either = text.parse::<Schedule>();
        let _either = Zone::new(&text);
        let _either = Exclusion::dates(&text);
    }
}
