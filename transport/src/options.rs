//! Options of both sides of a connection: plain values, which the code above fills from its configuration.

use std::sync::Arc;

use crate::security::{ClientContext, ServerContext};

/// Options of a server's listeners and of the connections that they accept. Each backend reads its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Length of the queue of connections that wait to be accepted.
    pub backlog: i32,
    /// Seconds of silence before the kernel probes a TCP peer; 0 turns probing off.
    pub tcp_keepalive: u32,
    /// TCP listeners accept several paths at once for a connection, where the kernel can (MPTCP).
    pub mptcp: bool,
    /// The mark of TCP listeners for the routes and filters of the kernel; 0 for none.
    pub socket_mark: u32,
    /// The configuration of TLS listeners; none can be opened without one.
    pub tls: Option<Arc<ServerContext>>,
    /// Steps of TLS handshakes that a thread does in one turn of its event loop.
    pub tls_handshakes_per_turn: usize,
    /// Mode bits of a Unix socket's file; 0 leaves them to the umask.
    pub unix_permissions: u32,
    /// The group that a Unix socket's file belongs to; empty leaves it to the system.
    pub unix_group: String,
    /// Bytes of an RDMA connection's registered receive buffer: 64 KiB to 16 MiB.
    pub rdma_rx_size: usize,
    /// The completion vector of a worker's RDMA completion queue; -1 takes them in turn.
    pub rdma_completion_vector: i32,
    /// Microseconds to poll a completion queue after the last completion before sleeping; 0 does not poll,
    /// -1 never sleeps.
    pub rdma_poll_us: i64,
    /// Bytes that this process may register with RDMA devices; 0 means no limit.
    pub rdma_max_registered_memory: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            backlog: 511,
            tcp_keepalive: 300,
            mptcp: false,
            socket_mark: 0,
            tls: None,
            tls_handshakes_per_turn: 1,
            unix_permissions: 0,
            unix_group: String::new(),
            rdma_rx_size: 1 << 20,
            rdma_completion_vector: -1,
            rdma_poll_us: 0,
            rdma_max_registered_memory: 0,
        }
    }
}

/// Options of a client's connection. Each backend reads its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientOptions {
    /// The configuration of TLS connections; none can be made without one.
    pub tls: Option<Arc<ClientContext>>,
    pub rdma: RdmaClientOptions,
}

/// Options of a client's RDMA connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdmaClientOptions {
    /// Bytes of the registered receive buffer: 64 KiB to 16 MiB.
    pub rx_size: usize,
    /// Microseconds to poll the completion queue after the last completion before sleeping; 0 does not poll,
    /// -1 never sleeps.
    pub poll_us: i64,
}

impl Default for RdmaClientOptions {
    fn default() -> Self {
        RdmaClientOptions { rx_size: 1 << 20, poll_us: 0 }
    }
}
