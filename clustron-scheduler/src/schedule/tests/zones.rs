//! The stated policy in every IANA zone around every change of its clocks from 2020 to 2040.
//!
//! The oracle walks through a window of real minutes and notes what the clocks show at each. What
//! it knows of a zone is its offset at an instant, and nothing of local times; what it knows of an
//! expression are its hours and minutes.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::TZ_VARIANTS;

use super::zone::Shown;
use super::*;
use crate::simulation::Rng;

const MINUTE_S: i64 = 60;
const DAY_S: i64 = 86_400;
const FROM_S: i64 = 1_577_836_800;
const UNTIL_S: i64 = 2_240_524_800;

/// Set to look at every change of every zone instead of some of each.
const ALL: &str = "CLUSTRON_ALL_CLOCK_CHANGES";
const SOME: usize = 2;

/// The instants at which the zone's clocks are set.
fn changes(zone: &Zone) -> Vec<i64> {
    let mut changes = Vec::new();
    for day in (FROM_S..UNTIL_S).step_by(DAY_S as usize) {
        if zone.offset(day) != zone.offset(day + DAY_S) {
            changes.push(zone.change_between(day, day + DAY_S));
        }
    }
    changes
}

struct Expression {
    text: &'static str,
    hours: &'static [i64],
    minutes: &'static [i64],
}

const EVERY_HOUR: &[i64] =
    &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

const EXPRESSIONS: [Expression; 7] = [
    Expression { text: "30 2 * * *", hours: &[2], minutes: &[30] },
    Expression { text: "0 0 * * *", hours: &[0], minutes: &[0] },
    Expression { text: "5,50 1-3 * * *", hours: &[1, 2, 3], minutes: &[5, 50] },
    Expression {
        text: "0 */2 * * *",
        hours: &[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22],
        minutes: &[0],
    },
    Expression {
        text: "15 0-22 * * *",
        hours: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22],
        minutes: &[15],
    },
    Expression { text: "*/20 * * * *", hours: EVERY_HOUR, minutes: &[0, 20, 40] },
    Expression { text: "7 * * * *", hours: EVERY_HOUR, minutes: &[7] },
];

const POLICIES: [(DstGap, DstOverlap); 4] = [
    (DstGap::RunAfter, DstOverlap::First),
    (DstGap::Skip, DstOverlap::Last),
    (DstGap::RunAfter, DstOverlap::Both),
    (DstGap::RunAfter, DstOverlap::Last),
];

/// A window of minutes and what the clocks show in it.
struct Window {
    /// Real minutes, each with the civil one that is shown.
    minutes: Vec<(i64, i64)>,
    shown: BTreeMap<i64, Vec<i64>>,
}

impl Window {
    /// Wide enough that nothing in it depends on what lies outside.
    fn around(zone: &Zone, change: i64) -> Self {
        let jump = (zone.offset(change) - zone.offset(change - 1)).abs();
        let reach = jump + 5 * 3_600;
        let real = (change - reach..change + reach).step_by(MINUTE_S as usize);
        let minutes: Vec<(i64, i64)> = real.map(|at| (at, at + zone.offset(at))).collect();
        let mut shown: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (at, civil) in &minutes {
            shown.entry(*civil).or_default().push(*at);
        }
        Self { minutes, shown }
    }

    fn due(&self, expr: &Expression, gap: DstGap, overlap: DstOverlap) -> BTreeSet<i64> {
        let rhythm = expr.hours.len() == 24;
        let (first, last) = (self.shown.first_key_value(), self.shown.last_key_value());
        let (first, last) = (*first.unwrap().0, *last.unwrap().0);
        let civil = (first..=last).step_by(MINUTE_S as usize);
        let named = civil.filter(|civil| {
            expr.hours.contains(&(civil.rem_euclid(DAY_S) / 3_600))
                && expr.minutes.contains(&(civil.rem_euclid(3_600) / 60))
        });
        let mut due = BTreeSet::new();
        for civil in named {
            match self.shown.get(&civil) {
                Some(at) if rhythm || overlap == DstOverlap::Both => due.extend(at),
                Some(at) if overlap == DstOverlap::First => due.extend(at.first()),
                Some(at) => due.extend(at.last()),
                // The first minute at which the clocks show more, having shown less.
                None if !rhythm && gap == DstGap::RunAfter => {
                    let after =
                        self.minutes.windows(2).find(|two| two[0].1 < civil && civil < two[1].1);
                    due.extend(after.map(|two| two[1].0));
                }
                None => {}
            }
        }
        due
    }

    fn check(&self, zone: &Zone, expr: &Expression, (gap, overlap): (DstGap, DstOverlap)) {
        let due = self.due(expr, gap, overlap);
        let schedule = cron(expr.text, zone.name()).dst_gap(gap).unwrap();
        let schedule = schedule.dst_overlap(overlap).unwrap();
        let (begin, end) = (self.minutes[0].0, self.minutes[self.minutes.len() - 1].0);
        // From every minute that may matter: each that is due, the one before, and some others.
        let others = self.minutes.iter().map(|(at, _)| *at).step_by(23);
        let from: BTreeSet<i64> = due.iter().flat_map(|at| [*at - 1, *at]).chain(others).collect();
        for from in from.range(begin..end) {
            let next = schedule.next_after(ms(from * 1_000)).unwrap().unix_ms() / 1_000;
            let expected = due.range(from + 1..).next().copied();
            assert!(next > *from, "{schedule} after {from}: {next}");
            assert_eq!(Some(next).filter(|next| *next <= end), expected, "{schedule} after {from}");
        }
    }
}

#[test]
fn the_policy_holds_in_every_zone_around_every_change_of_its_clocks() {
    let all = std::env::var_os(ALL).is_some();
    let mut rng = Rng(7);
    let (mut seen, mut looked) = (0, 0);
    for zone in TZ_VARIANTS.iter().map(|zone| Zone::new(zone.name()).unwrap()) {
        let changes = changes(&zone);
        seen += changes.len();
        let mut chosen: Vec<i64> =
            (0..SOME.min(changes.len())).map(|_| rng.choose(&changes)).collect();
        if all {
            chosen = changes;
        }
        for change in chosen {
            let window = Window::around(&zone, change);
            for (index, expr) in EXPRESSIONS.iter().enumerate() {
                for (policy, choice) in POLICIES.iter().enumerate() {
                    // Each expression meets each policy in some zone.
                    if all || (index + looked) % POLICIES.len() == policy {
                        window.check(&zone, expr, *choice);
                    }
                }
            }
            looked += 1;
        }
    }
    println!("{looked} of {seen} changes, tables of {}", Zone::tables());
    assert!(seen > 8_000 && looked > 300, "{looked} of {seen}");
}

/// The mapping alone, also of seconds and before 2020: what is shown, and when.
#[test]
fn local_times_and_instants_agree_in_every_zone() {
    let mut rng = Rng(11);
    for zone in TZ_VARIANTS.iter().map(|zone| Zone::new(zone.name()).unwrap()) {
        for _ in 0..200 {
            let instant = rng.below(4_000_000_000) as i64;
            let local = zone.local(instant);
            match zone.shown(local) {
                Shown::Once(at) => assert_eq!(at, instant, "{zone}"),
                Shown::Twice(first, last) => {
                    assert!(first == instant || last == instant, "{zone} {instant}");
                    assert_eq!((zone.local(first), zone.local(last)), (local, local), "{zone}");
                }
                Shown::Never(_) => panic!("{zone} shows {local} at {instant}"),
            }
        }
    }
}
