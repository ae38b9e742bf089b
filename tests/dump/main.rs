//! What DUMP and RESTORE promise, against the real binary: values go to the oracle and come from it.

#[path = "../common/mod.rs"]
mod common;

#[path = "../../fuzz/src/rdb.rs"]
mod rdb;

mod content;
mod exchange;
mod mutations;
mod payloads;
mod replies;
mod samples;
