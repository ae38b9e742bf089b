//! Addresses: of a listener or server as a user names it, and of the two ends of a connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The address of a server, as a configuration or a command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address or a host's name, and a port. A listener's name may be `*` or `::*`: every IPv4 address,
    /// and every IPv6 address.
    Host { name: String, port: u16 },
    /// A Unix socket's path.
    Path(PathBuf),
}

impl Address {
    /// # Errors
    /// `InvalidInput` if it is a path.
    pub(crate) fn host(&self) -> io::Result<(&str, u16)> {
        match self {
            Address::Host { name, port } => Ok((name, *port)),
            Address::Path(_) => Err(mismatch("a host and a port", self)),
        }
    }

    /// # Errors
    /// `InvalidInput` if it is a host.
    pub(crate) fn path(&self) -> io::Result<&Path> {
        match self {
            Address::Path(path) => Ok(path),
            Address::Host { .. } => Err(mismatch("a path", self)),
        }
    }
}

fn mismatch(expected: &str, address: &Address) -> io::Error {
    let text = format!("the address must be {expected}: {address}");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// `localhost:6379` or `/run/verbena.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Host { name, port } => write!(f, "{name}:{port}"),
            Address::Path(path) => path.display().fmt(f),
        }
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
    /// True for a loopback IP address and for a Unix socket: the peers that protected mode admits.
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
