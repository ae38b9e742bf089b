//! The RDMA backend: a byte stream over reliable-connection queue pairs, in the wire protocol of
//! Valkey's RDMA transport.

mod cm;
mod counters;
mod endpoint;
mod link;
mod options;
pub mod protocol;
#[cfg(feature = "raw-peer")]
#[doc(hidden)]
pub mod raw;
mod reactor;
mod stream;
mod verbs;

pub use endpoint::{connect, listen};
pub use options::RdmaOptions;

/// An RDMA device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, as `ibv_devices` shows it.
    pub name: String,
    /// True if at least one of its ports is active.
    pub active: bool,
}

/// What the RDMA backend of this process has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RdmaStats {
    /// Connections that exist now, those being set up included.
    pub connections: u64,
    /// Bytes of memory registered with devices now.
    pub registered_bytes: u64,
    /// Work completions handled.
    pub completions: u64,
    /// Calls that polled a completion queue.
    pub polls: u64,
    /// Completion events taken from completion channels: how often a sleeping thread was woken.
    pub events: u64,
}

/// The RDMA devices of this machine; empty where there are none, or no driver.
pub fn devices() -> Vec<Device> {
    verbs::devices()
}

/// Counters of this process.
pub fn stats() -> RdmaStats {
    counters::stats()
}
