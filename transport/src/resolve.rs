//! Names of hosts: their IP addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::thread;

use tokio::sync::oneshot;

/// The addresses of a host's name, in the order of the system's resolver. The resolver blocks, and so it runs
/// on a thread of its own: the calling thread goes on meanwhile. Dropping the future leaves that thread to
/// end when the resolver does.
///
/// # Errors
/// If the name does not resolve, or the system has no room for one more thread.
pub(crate) async fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let (sender, receiver) = oneshot::channel();
    let owned = name.to_owned();
    thread::Builder::new().name("resolver".into()).spawn(move || {
        // A caller that has given up does not take the result.
        let _ = sender.send(lookup(&owned, port));
    })?;
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("the resolver's thread has failed")))
}

/// As [`resolve`], on the calling thread.
fn lookup(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = (name, port).to_socket_addrs()?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{name} has no address")));
    }
    Ok(found)
}

/// Connects to the addresses of a host's name in turn, until one accepts.
///
/// # Errors
/// The one of the last address, or the resolver's.
pub(crate) async fn connect_any<T>(
    name: &str,
    port: u16,
    connect: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for addr in resolve(name, port).await? {
        match connect(addr).await {
            Ok(connected) => return Ok(connected),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The address to listen on that a configuration names: an IP address, `*` or `::*` for all of a family, or a
/// host's name, of which the first IPv4 address counts, else the first one. The calling thread waits for
/// the resolver.
pub(crate) fn listen_address(name: &str, port: u16) -> io::Result<SocketAddr> {
    let ip = match name {
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        "::*" => Ipv6Addr::UNSPECIFIED.into(),
        name => match name.parse() {
            Ok(ip) => ip,
            Err(_) => {
                let found = lookup(name, port)?;
                return Ok(*found.iter().find(|addr| addr.is_ipv4()).unwrap_or(&found[0]));
            }
        },
    };
    Ok(SocketAddr::new(ip, port))
}
