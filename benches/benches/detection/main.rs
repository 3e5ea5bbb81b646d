//! How fast a silent crash is found, how often a node is removed that lives, and what that costs:
//! our membership beside foca and chitchat, in virtual time on the same network.
//!
//! See the README of this package for what is measured and what is not the same.

#![expect(clippy::print_stdout, reason = "the result is a table for people")]

mod plan;
mod row;
mod scenarios;
mod systems;

use std::time::Instant;

use clap::Parser;
use clustron_benches::Table;

use self::row::Row;
use self::systems::System;

/// Compares failure detectors in a simulation.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only a look: fewer seeds, shorter times, and no thousand nodes.
    #[arg(long)]
    quick: bool,
    /// The sizes of the clusters.
    #[arg(long, value_delimiter = ',', default_values_t = [3, 10, 100, 1000])]
    nodes: Vec<usize>,
    /// Only the systems whose names begin so.
    #[arg(long, default_value = "")]
    only: String,
    /// `cargo bench` says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let began = Instant::now();
    for nodes in arguments.nodes {
        let mut table = Table::new(row::header(nodes));
        let mut ours = None;
        for system in System::ALL {
            if !system.name().starts_with(&arguments.only) {
                continue;
            }
            let Some(plan) = plan::plan(system, nodes, arguments.quick) else { continue };
            let row = Row::measure(system, nodes, &plan)?;
            table.row(&system.name(), row.cells(ours.as_ref()));
            ours.get_or_insert(row);
        }
        // A size may be too large for a quick look.
        if ours.is_some() {
            println!("{table}\n");
        }
    }
    println!("{:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}
