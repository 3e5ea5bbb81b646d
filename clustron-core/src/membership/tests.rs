//! The rules one by one: exact inputs, exact effects. The promises as a whole are simulated in
//! `clustron-testkit`.

mod bounds;
mod comparing;
mod describing;
mod harness;
mod opinions;
