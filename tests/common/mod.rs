//! What the tests share: servers as real processes, and a client that knows RESP and nothing else.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code, unused_imports)]

mod client;
mod comparison;
pub mod datasets;
pub mod payloads;
#[cfg(feature = "rdma")]
pub mod rdma;
mod server;
pub mod tool;
mod waiting;

pub use client::{Client, Stream, Value};
pub use comparison::{assert_same_replies, assert_same_reply};
pub use server::Server;
pub use waiting::{Ending, outcome_of_waiting};
