//! Clustron's settings from files and the environment.
//!
//! A node has some forty settings, and most services keep theirs in files. This crate reads TOML,
//! JSON, YAML, XML and the `appsettings.json` of .NET, puts layers over each other, and gives what
//! [`Cluster::builder`](clustron_core::Cluster::builder) takes:
//!
//! 1. the defaults of the `profile` (`local`, `lan` or `wan`),
//! 2. the files, in the order in which they are named,
//! 3. variables of the environment such as `CLUSTRON__TIMING__LEADER_LEASE=500ms`,
//! 4. what the program sets on the builder afterwards.
//!
//! What is wrong is told all at once, with the file and the line, the key, the value and what is
//! allowed. Every value can be asked where it comes from.
//!
//! ```
//! use clustron_config::Loader;
//!
//! # let dir = tempfile::tempdir()?;
//! # let file = dir.path().join("clustron.toml");
//! std::fs::write(&file, "cluster = 'shop'\nvoter_max = 3\n[timing]\nleader_lease = 500\n")?;
//! let error = Loader::new().file(&file).load().unwrap_err().to_string();
//! let lines: Vec<&str> = error.lines().collect();
//! assert_eq!(lines[0], "2 problems with the settings:");
//! assert!(lines[1].ends_with(".toml:2: voter_max is not a key: did you mean voters_max?"));
//! assert!(lines[2].ends_with(
//!     "clustron.toml:4: timing.leader_lease is 500: write a duration with its unit, such as \
//!      \"300ms\", \"2s\" or \"1h\": did you mean \"500ms\" or \"500s\"?"
//! ));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A node that runs can [follow](Settings::follow) its files: new roles and tags are applied, and
//! what takes a restart is named.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let file = dir.path().join("clustron.toml");
//! use clustron_config::Loader;
//!
//! std::fs::write(&file, "cluster = \"shop\"\n[tags]\nzone = \"eu\"\n")?;
//! let settings = Loader::new().file(&file).env().load()?;
//! println!("{settings}"); // what is in force, and where each value comes from
//! let cluster = settings.builder().start().await?;
//! let follower = settings.follow(&cluster); // until it is dropped, or the node ends
//! # drop(follower);
//! # Ok(()) }
//! ```
//!
//! Key rings, certificates and lists of seeds are files of their own, which settings name and the
//! node follows by itself; relative paths are relative to the file that names them.
//!
//! The README has a table of all keys.
//!
//! Cargo features, both off by default: `tls` for certificates in the section `security`, `dns` for
//! names in the section `discovery`. Without them such keys are refused, with the feature's name.

mod change;
mod draft;
mod environment;
mod field;
mod follow;
mod format;
mod keys;
mod loader;
mod looks;
mod names;
mod nearest;
mod origin;
mod problem;
mod profile;
mod quantity;
mod rule;
mod security;
mod settings;
mod sources;
mod tree;
mod values;
mod words;

pub use follow::{Follower, ReloadStatus};
pub use loader::Loader;
pub use origin::Origin;
pub use problem::{LoadError, Problem};
pub use profile::Profile;
pub use settings::Settings;
