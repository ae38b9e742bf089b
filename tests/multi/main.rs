//! Transactions: what MULTI, EXEC, DISCARD, WATCH, UNWATCH and RESET promise, each reply compared with
//! the real Valkey's. Random ones are compared in `tests/differential`, those of several workers are
//! checked for linearizability in `tests/linearizable`.

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod limits;
mod play;
mod queueing;
mod waiting;
mod watching;
