//! Each fault does what it says, and a seed tells one story.

mod faults;
mod links;
mod processes;
mod runs;
mod talker;
