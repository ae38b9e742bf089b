//! The RDMA backend: a byte stream over reliable-connection queue pairs, in the wire protocol of
//! Valkey's RDMA transport.

mod cm;
mod code;
mod counters;
mod endpoint;
mod link;
mod options;
pub mod protocol;
mod queue;
#[cfg(feature = "raw-peer")]
#[doc(hidden)]
pub mod raw;
mod reactor;
mod stream;
mod verbs;
mod waiter;

pub use counters::RdmaStats;
pub use endpoint::{BACKEND, listen};
pub use options::RdmaOptions;
pub use verbs::Device;

/// The RDMA devices of this machine; empty where there are none, or no driver.
pub fn devices() -> Vec<Device> {
    verbs::devices()
}

/// Counters of this process.
pub fn stats() -> RdmaStats {
    counters::stats()
}
