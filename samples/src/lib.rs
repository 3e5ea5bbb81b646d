//! What the sample programs are made of, so that tests can use it too. The programs themselves are
//! in `src/bin`.

#![expect(clippy::print_stdout, reason = "programs that people look at")]

pub mod scheduler;
