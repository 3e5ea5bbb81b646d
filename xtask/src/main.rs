//! The project's own chores: `cargo xtask`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program speaks to its user there"
)]

mod tidy;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  tidy    Check what the compiler does not: file lengths, the pure wall, the crate graph,
          dead files and forbidden words. `cargo test -p xtask` checks the same.
  sim     Run simulations: `sim list`, `sim --seed N [--scenario NAME]` with every line of its
          story, `sim --seeds A..B [--scenario NAME] [--jobs N] [--twice]` on all cores; with
          `--level nodes` those of whole nodes. `sim help` tells the rest.
  help    Show this text.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(),
        ["sim", ..] => sim(&arguments[1..]),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn tidy() -> ExitCode {
    let tree = match tidy::Tree::read(&workspace_root()) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("cannot read the workspace: {error}");
            return ExitCode::FAILURE;
        }
    };
    let findings = tidy::check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => ExitCode::SUCCESS,
        n => {
            eprintln!("tidy: {n} findings");
            ExitCode::FAILURE
        }
    }
}

/// Another program does it: what runs the chores depends on nothing that they are about.
fn sim(arguments: &[String]) -> ExitCode {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "clustron-sim"]);
    if arguments.windows(2).any(|pair| pair[0] == "--level" && pair[1] == "nodes") {
        // Only so does tokio take a seed, and a run of whole nodes repeats to the byte. In a
        // directory of its own, or the two builds would take turns in throwing each other away.
        command.env("RUSTFLAGS", "--cfg tokio_unstable");
        command.args(["--profile", "sim", "--target-dir", "target/sim"]);
    } else {
        command.arg("--release");
    }
    command.arg("--").args(arguments).current_dir(workspace_root());
    match command.status() {
        // A program that was ended by a signal has no code.
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("cannot start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Cargo tells at run time where the package is, which stays right when a checkout is moved
/// together with its build directory.
fn workspace_root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}
