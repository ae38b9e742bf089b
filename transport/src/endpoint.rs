//! Names of the two ends of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;

/// What carries a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    Tcp,
    Unix,
    Rdma,
}

impl TransportKind {
    /// The name that reports use: `tcp`, `unix` or `rdma`.
    pub fn name(self) -> &'static str {
        match self {
            TransportKind::Tcp => "tcp",
            TransportKind::Unix => "unix",
            TransportKind::Rdma => "rdma",
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An IP address and a port: TCP and RDMA.
    Ip(SocketAddr),
    /// A Unix socket's path. The connecting side has none: it carries the path of the listener.
    Path(PathBuf),
}

impl Endpoint {
    /// True for a loopback IP address and for a Unix socket: what protected mode lets in.
    pub fn is_local(&self) -> bool {
        match self {
            Endpoint::Ip(addr) => match addr.ip() {
                IpAddr::V4(ip) => ip.is_loopback(),
                IpAddr::V6(ip) => {
                    ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
                }
            },
            Endpoint::Path(_) => true,
        }
    }
}

/// `127.0.0.1:6379`, `[::1]:6379` or `/run/verbena.sock:0`: the form of CLIENT LIST.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Ip(addr) => write!(f, "{addr}"),
            Endpoint::Path(path) => write!(f, "{}:0", path.display()),
        }
    }
}

/// What carries a connection, and between which addresses.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    pub kind: TransportKind,
    pub peer: Endpoint,
    pub local: Endpoint,
    /// The socket; RDMA connections have none.
    pub fd: Option<RawFd>,
}

/// Where a client connects to.
#[derive(Clone, Debug)]
pub enum Target {
    Tcp { host: String, port: u16 },
    Unix { path: PathBuf },
    Rdma { host: String, port: u16, options: RdmaClientOptions },
}

/// How a client's RDMA connection is set up.
#[derive(Clone, Debug)]
pub struct RdmaClientOptions {
    /// Bytes of the registered receive buffer: 64 KiB to 16 MiB.
    pub rx_size: usize,
    /// Spin on the completion queue for so many microseconds before sleeping on its events; 0 never
    /// spins, -1 always does.
    pub poll_us: i64,
}

impl Default for RdmaClientOptions {
    fn default() -> Self {
        RdmaClientOptions { rx_size: 1 << 20, poll_us: 0 }
    }
}
