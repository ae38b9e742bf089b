//! What DUMP and RESTORE promise, against the real binary: values go to the oracle and come from it.

#[path = "../common/mod.rs"]
mod common;

mod content;
mod exchange;
mod payloads;
mod replies;
mod samples;
