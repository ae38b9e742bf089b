//! The running server: the control thread that accepts, and how workers are started.

mod control;
mod listening;
mod report;
mod start;
mod workers;

pub use start::{new, prepare, run, serve};
