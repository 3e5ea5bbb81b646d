//! The whole log on simulated disks, and on a real one.

mod crashes;
mod damage;
mod failures;
mod journal;
mod play;
mod random;
mod real;
mod story;
