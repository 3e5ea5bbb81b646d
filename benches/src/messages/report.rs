//! What is printed, and what must hold.

use std::collections::BTreeMap;

use clustron_benches::{Figures, Latencies, Table};

use super::stopped::Stopped;
use super::{Arguments, System};

/// A request of ours may take so many times as long as one on a bare connection.
const TO_BARE_MAX: f64 = 1.3;

/// Ours must bring so many times as many one-way messages as NATS.
const TO_NATS_MIN: f64 = 1.0;

/// A request over TLS may take so many times as long as a plain one, and plain one-way messages may
/// be so many times as many.
const TLS_TO_PLAIN_MAX: f64 = 2.0;

/// What a sender may hold for one that stands still: the queue of a connection, twice, since a
/// frame is copied for the system, and what the allocator makes of it.
const HELD_MIB_MAX: f64 = 64.0;

/// While a node stands still, requests to another may take so many times as long. A timed-out one
/// would take thousands.
const OTHERS_MAX: f64 = 3.0;

/// What one round gave.
pub(super) struct Outcome {
    pub(super) latencies: Latencies,
    pub(super) per_second: f64,
}

/// All that was measured, in rounds.
#[derive(Default)]
pub(super) struct Outcomes(BTreeMap<System, Vec<Outcome>>);

impl Outcomes {
    pub(super) fn push(&mut self, system: System, outcome: Outcome) {
        self.0.entry(system).or_default().push(outcome);
    }

    fn figures(&self, system: System, figure: impl Fn(&Outcome) -> f64) -> Figures {
        self.0.get(&system).into_iter().flatten().map(figure).collect()
    }

    /// Ours divided by theirs, round by round.
    fn ratios(&self, theirs: System, figure: impl Fn(&Outcome) -> f64) -> Figures {
        let of = |system| self.0.get(&system).into_iter().flatten();
        of(System::Clustron).zip(of(theirs)).map(|(a, b)| figure(a) / figure(b)).collect()
    }
}

fn p50_us(outcome: &Outcome) -> f64 {
    outcome.latencies.quantile_ms(0.5) * 1000.0
}

fn p99_us(outcome: &Outcome) -> f64 {
    outcome.latencies.quantile_ms(0.99) * 1000.0
}

fn per_second(outcome: &Outcome) -> f64 {
    outcome.per_second
}

/// Prints the tables.
pub(super) fn print(
    arguments: &Arguments,
    peer: Option<&str>,
    outcomes: &Outcomes,
    stopped: &Stopped,
) {
    let header = ["request and reply, µs", "p50", "min", "max", "p99"];
    let mut requests = Table::new(header);
    let mut one_way = Table::new(["one-way messages a second", "median", "min", "max"]);
    for system in outcomes.0.keys() {
        let p99 = format!("{:.0}", outcomes.figures(*system, p99_us).median());
        let p50 = outcomes.figures(*system, p50_us).cells(0);
        requests.row(&system.to_string(), p50.into_iter().chain([p99]));
        let rates = outcomes.figures(*system, per_second).cells(0);
        one_way.row(&system.to_string(), rates);
    }
    println!("\n{requests}\n\n{one_way}\n");
    let mut ratios = Table::new(["Clustron / the other", "median", "min", "max"]);
    for system in outcomes.0.keys().filter(|system| **system != System::Clustron) {
        let times = outcomes.ratios(*system, p50_us);
        ratios.row(&format!("p50 of a request: {system}"), times.cells(2));
        let rates = outcomes.ratios(*system, per_second);
        ratios.row(&format!("one-way messages: {system}"), rates.cells(2));
    }
    println!("{ratios}\n");
    let mut still = Table::new(["beside a node that stands still", "before", "meanwhile"]);
    let us = |latencies: &Latencies, share| format!("{:.0}", latencies.quantile_ms(share) * 1e3);
    for (name, share) in [("p50 of requests to another, µs", 0.5), ("p99, µs", 0.99)] {
        still.row(name, [us(&stopped.before, share), us(&stopped.meanwhile, share)]);
    }
    let mib = [stopped.mib_before, stopped.mib_meanwhile].map(|mib| format!("{mib:.1}"));
    still.row("memory of the sender, MiB", mib);
    println!("{still}\n(it got rid of {:.1} MiB, and wanted to of more)\n", stopped.taken_mib);
    println!(
        "messages of {} bytes, {} requests and {} s of one-way messages in each of {} rounds{}",
        arguments.bytes,
        arguments.requests,
        arguments.seconds,
        arguments.rounds,
        peer.map(|version| format!("; {version}")).unwrap_or_default()
    );
}

/// Says what must hold. Gives whether it does.
pub(super) fn judge(outcomes: &Outcomes, stopped: &Stopped) -> bool {
    let request = outcomes.ratios(System::Bare, p50_us).median();
    let mut holds =
        says("a request", request, "times a bare one", request <= TO_BARE_MAX, TO_BARE_MAX);
    let one_way = outcomes.ratios(System::Nats, per_second);
    if !one_way.is_empty() {
        let ratio = one_way.median();
        holds &= says(
            "one-way messages",
            ratio,
            "times those of NATS",
            ratio >= TO_NATS_MIN,
            TO_NATS_MIN,
        );
    }
    // The other way round: how long over TLS, divided by how long without.
    let (limit, request) =
        (TLS_TO_PLAIN_MAX, 1.0 / outcomes.ratios(System::ClustronTls, p50_us).median());
    holds &= says("a request over TLS", request, "times a plain one", request <= limit, limit);
    let message = outcomes.ratios(System::ClustronTls, per_second).median();
    holds &=
        says("a one-way message over TLS", message, "times a plain one", message <= limit, limit);
    let held = stopped.mib_meanwhile - stopped.mib_before;
    holds &=
        says("held for a node that stands still", held, "MiB", held <= HELD_MIB_MAX, HELD_MIB_MAX);
    let others = stopped.meanwhile.quantile_ms(0.5) / stopped.before.quantile_ms(0.5);
    holds & says("requests to others meanwhile", others, "times", others <= OTHERS_MAX, OTHERS_MAX)
}

fn says(what: &str, value: f64, unit: &str, holds: bool, limit: f64) -> bool {
    let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
    println!("{what}: {value:.2} {unit}, limit {limit}: {verdict}");
    holds
}
