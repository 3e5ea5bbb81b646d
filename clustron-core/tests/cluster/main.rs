//! Several nodes in one process: they find each other, agree, survive crashes and cuts, and keep
//! the core's promises meanwhile.

mod board;
mod crashes;
mod cuts;
mod describing;
mod discovery;
mod disk;
mod events;
mod flapping;
mod formation;
mod handing;
mod health;
mod layers;
mod leaving;
mod load;
mod messages;
mod metrics;
mod mishaps;
mod modules;
mod monitor;
mod ordered;
mod overload;
mod permits;
mod proposing;
mod queues;
mod reach;
mod reading;
mod recovery;
mod roles;
mod rolling;
mod snapshots;
mod streams;
mod why;
mod witness;
mod world;
