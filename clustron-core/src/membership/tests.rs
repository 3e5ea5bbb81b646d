//! The rules one by one (exact inputs, exact effects), and the promises on a simulated network.

mod bounds;
mod harness;
mod opinions;
mod probing;
mod promises;
mod sim;
