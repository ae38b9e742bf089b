//! What the keys commands promise, against the real binary.

#[path = "../common/mod.rs"]
mod common;

mod atomic;
mod expiry;
mod oracle;
mod scan;
