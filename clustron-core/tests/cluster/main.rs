//! Several nodes in one process: they find each other, agree, survive crashes and cuts, and keep
//! the core's promises meanwhile.

mod crashes;
mod cuts;
mod describing;
mod disk;
mod flapping;
mod formation;
mod leaving;
mod messages;
mod metrics;
mod mishaps;
mod reach;
mod roles;
mod snapshots;
mod why;
mod world;
