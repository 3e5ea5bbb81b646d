//! What all measurements have in common: figures that were taken several times, how long many calls
//! took, and the table in which people read them. The programs are beside this: `main.rs` and the
//! package's `benches`.

mod figures;
mod latencies;
mod table;

pub use figures::Figures;
pub use latencies::Latencies;
pub use table::Table;
