//! What all measurements have in common: figures that were taken several times, and the table in
//! which people read them. The programs are beside this: `main.rs` and the package's `benches`.

mod figures;
mod table;

pub use figures::Figures;
pub use table::Table;
