//! Runs the project's simulations over seeds: `cargo xtask sim`.
//!
//! Two levels. On the *pure* one, machines run by the thousands a minute; on that of *nodes*, whole
//! nodes with all their tasks run in virtual time. Each scenario is a value; to add one, name it in
//! `pure` or `nodes`.

mod courier;
mod flaws;
mod hour;
mod nodes;
mod relay;
mod sizes;
mod words;

use std::env;
use std::io::{self, Write};
use std::process::{self, ExitCode};

use clustron_testkit::sim::Runner;
use clustron_testkit::swim::scenarios;

const USAGE: &str = "\
usage: cargo xtask sim [--level pure|nodes] list
       cargo xtask sim [--level pure|nodes] --seed N [--scenario NAME]
       cargo xtask sim [--level pure|nodes] --seeds A..B [--scenario NAME] [--jobs N] [--twice]
       cargo xtask sim sizes [--seeds N]             what membership costs at 3 to 1,000 nodes
       cargo xtask sim hour [--nodes N] [--seeds N] [--minutes N]  lost messages and starved nodes
       cargo xtask sim [--level nodes] flaws [--seeds N]   how soon deliberate defects are found";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    let rest = |from: usize| words[from..].to_vec();
    let ran = match texts[..] {
        ["sizes", ..] => sizes::run(rest(1)),
        ["hour", ..] => hour::run(rest(1)),
        ["flaws", ..] => flaws::run(rest(1)),
        ["--level", "pure", ..] => Ok(pure(print).run(rest(2)).into()),
        ["--level", "nodes", "flaws", ..] => flaws::of_nodes(rest(3)),
        ["--level", "nodes", ..] => Ok(nodes::runner(print).run(rest(2)).into()),
        ["--level", level, ..] => Err(format!("no level {level:?}; give pure or nodes")),
        [] | ["help" | "--help" | "-h", ..] => {
            print(USAGE);
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(pure(print).run(rest(0)).into()),
    };
    ran.unwrap_or_else(|error| {
        print(&error);
        print(USAGE);
        ExitCode::from(2)
    })
}

/// The scenarios of pure machines.
fn pure(print: impl Fn(&str) + Send + Sync + 'static) -> Runner {
    let runner = Runner::new("cargo xtask sim", print)
        .with(courier::Courier::default())
        .with(relay::Relay::default());
    scenarios::all().into_iter().fold(runner, Runner::with)
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
        let outcome =
            pure(|line| println!("{line}")).run(["--seeds", "0..4", "--twice"].map(String::from));
        assert_eq!((outcome.held, outcome.failed), (4 * 11, 0));
    }

    #[test]
    fn the_program_lists_all_scenarios() {
        for runner in [pure(|line| println!("{line}")), nodes::runner(|line| println!("{line}"))] {
            assert!(!runner.run(["list".to_owned()]).misused);
        }
    }
}
