//! When a schedule is due, for people to look before they trust it.

use anyhow::{anyhow, bail};
use clustron_core::{Clock, SystemClock, Timestamp};
use clustron_scheduler::{JobName, Rule, Schedule, ScheduleError, Zone};

/// Which schedule, and from when on.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A cron expression such as "30 2 * * MON-FRI", or a schedule such as 'every 90s' or 'cron
    /// "30 2 * * *" in Europe/Berlin; except dates 2026-12-25'.
    expr: String,

    /// The IANA time zone of the cron expressions, such as Europe/Berlin [default: UTC, or what the
    /// schedule says].
    #[arg(long)]
    zone: Option<String>,

    /// The instant after which to begin, in RFC 3339, such as 2026-03-28T00:00:00Z [default: now].
    #[arg(long, value_name = "INSTANT")]
    from: Option<Timestamp>,

    /// How many instants to show.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = instants())]
    count: u16,

    /// The name of the job, from which the numbers for each ~ follow.
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
}

fn instants() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=10_000)
}

/// Prints the instants, one a line, as the clocks of the zone show them.
///
/// # Errors
/// The schedule cannot be used, and the error says where; or it names nothing more, and the error
/// says why.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut schedule: Schedule = arguments.expr.parse().map_err(|e| pointed(&e))?;
    if let Some(zone) = &arguments.zone {
        schedule = schedule.zone(zone)?;
    }
    if let Some(job) = &arguments.job {
        schedule = schedule.spread_for(&JobName::new(job.as_str())?);
    }
    let mut zones = Vec::new();
    for rule in schedule.rules() {
        if let Rule::Cron { expr, zone, .. } = rule {
            if expr.is_spread() {
                bail!(
                    "{expr:?} has a ~, whose number follows from the job's name: give --job NAME"
                );
            }
            zones.push(zone);
        }
    }
    let shown_in = zones.first().map_or_else(Zone::utc, |zone| Zone::clone(zone));
    let from = arguments.from.unwrap_or_else(|| SystemClock.now());
    let mut last = from;
    for tick in schedule.after(from).take(arguments.count.into()) {
        println!("{}", shown_in.show(tick));
        last = tick;
    }
    // What is shown is all that there is, if there is no next.
    match schedule.find_after(last) {
        Err(why) if last == from => Err(why.into()),
        _ => Ok(()),
    }
}

/// The error, and a mark under the place that it means.
fn pointed(error: &ScheduleError) -> anyhow::Error {
    match error.marked() {
        Some(marked) => anyhow!("{error}\n{marked}"),
        None => anyhow!("{error}"),
    }
}
