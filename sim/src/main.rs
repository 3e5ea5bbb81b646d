//! Runs the project's simulations over seeds: `cargo xtask sim`.
//!
//! Each scenario is one module; to add one, write the module and name it in `runner`.

mod courier;
mod relay;

use std::env;
use std::io::{self, Write};
use std::process::{self, ExitCode};

use clustron_testkit::sim::Runner;

fn main() -> ExitCode {
    runner(print).run(env::args().skip(1)).into()
}

/// All scenarios.
fn runner(print: impl Fn(&str) + Send + Sync + 'static) -> Runner {
    Runner::new("cargo xtask sim", print)
        .with(courier::Courier::default())
        .with(relay::Relay::default())
}

/// Whoever reads only the first lines of a long trace closes the pipe: nobody is left to tell.
fn print(line: &str) {
    if writeln!(io::stdout(), "{line}").is_err() {
        process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_hold_and_tell_the_same_story_twice() {
        let small = relay::Relay { nodes: 20, hops: 30 };
        let runner = Runner::new("sim", |line| println!("{line}"))
            .with(courier::Courier::default())
            .with(small);
        let outcome = runner.run(["--seeds", "0..4", "--twice"].map(String::from));
        assert_eq!((outcome.held, outcome.failed), (8, 0));
    }

    #[test]
    fn the_program_lists_all_scenarios() {
        let outcome = runner(|line| println!("{line}")).run(["list".to_owned()]);
        assert!(!outcome.misused);
    }
}
