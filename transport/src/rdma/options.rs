//! Options of a server's RDMA side, most of which can change while it runs.

use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::options::ServerOptions;

/// Options of an RDMA listener and of the connections that it accepts.
///
/// All but `backlog` can be changed while the server runs. A change of `poll_us` reaches existing
/// connections; the others hold for connections accepted afterwards.
#[derive(Debug)]
pub struct RdmaOptions {
    /// Length of the queue of connection requests that wait to be accepted.
    pub backlog: i32,
    /// `rdma-rx-size`: bytes of a connection's registered receive buffer, 64 KiB to 16 MiB.
    pub rx_size: AtomicUsize,
    /// `rdma-completion-vector`: the device's interrupt that serves a worker's completion queue;
    /// -1 takes them in turn.
    pub completion_vector: AtomicI32,
    /// `rdma-poll-us`: microseconds to spin on the completion queue after the last completion
    /// before sleeping on its events; 0 never spins, -1 always does.
    pub poll_us: AtomicI64,
    /// `rdma-max-registered-memory`: bytes that this process may register with RDMA devices; a
    /// connection that would exceed them is refused. 0 means no limit.
    pub max_registered_memory: AtomicUsize,
    /// Milliseconds of silence after which a keepalive message probes the peer; 0 never probes.
    pub keepalive_ms: AtomicU64,
}

impl RdmaOptions {
    /// Takes over the options that may change.
    pub(super) fn adjust(&self, options: &ServerOptions) {
        self.rx_size.store(options.rdma_rx_size, Relaxed);
        self.completion_vector.store(options.rdma_completion_vector, Relaxed);
        self.poll_us.store(options.rdma_poll_us, Relaxed);
        self.max_registered_memory.store(options.rdma_max_registered_memory, Relaxed);
    }
}

impl Default for RdmaOptions {
    fn default() -> Self {
        RdmaOptions {
            backlog: 511,
            rx_size: AtomicUsize::new(1 << 20),
            completion_vector: AtomicI32::new(-1),
            poll_us: AtomicI64::new(0),
            max_registered_memory: AtomicUsize::new(0),
            keepalive_ms: AtomicU64::new(3000),
        }
    }
}
