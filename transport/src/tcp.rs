//! The TCP backend.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::socket::SocketConnection;
use crate::{Connection, ConnectionInfo, Endpoint, Incoming, Listener, TransportKind};

/// Options of a TCP listener.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Length of the queue of connections that wait to be accepted.
    pub backlog: i32,
    /// Seconds of silence before the kernel probes a peer; 0 turns probing off. A change holds for
    /// connections accepted afterwards.
    pub keepalive: Arc<AtomicU32>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions { backlog: 511, keepalive: Arc::new(AtomicU32::new(300)) }
    }
}

/// Listens on `addr`. Must be called on a tokio runtime.
pub fn listen(addr: SocketAddr, options: &TcpOptions) -> io::Result<Box<dyn Listener>> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // An IPv6 wildcard must leave the IPv4 wildcard to its own listener.
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(options.backlog)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    Ok(Box::new(TcpAcceptor { listener, local, keepalive: options.keepalive.clone() }))
}

/// Connects to `host`, a name or an address, trying each address that it resolves to.
pub async fn connect(host: &str, port: u16) -> io::Result<Box<dyn Connection>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for addr in (host, port).to_socket_addrs()? {
        match TcpStream::connect(addr).await {
            Ok(stream) => return open(stream, addr),
            Err(error) => last = error,
        }
    }
    Err(last)
}

struct TcpAcceptor {
    listener: TcpListener,
    local: SocketAddr,
    keepalive: Arc<AtomicU32>,
}

impl Listener for TcpAcceptor {
    fn local(&self) -> Endpoint {
        Endpoint::Ip(self.local)
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Incoming>>> {
        let (stream, peer) = ready!(self.listener.poll_accept(cx))?;
        let keepalive = self.keepalive.load(Ordering::Relaxed);
        if keepalive > 0 {
            // The kernel probes three times, a third of the interval apart, as Valkey asks it to.
            let interval = Duration::from_secs((keepalive / 3).max(1).into());
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(keepalive.into()))
                .with_interval(interval)
                .with_retries(3);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        }
        let info = info(&stream, stream.local_addr().unwrap_or(self.local), peer);
        Poll::Ready(Ok(Box::new(TcpIncoming { stream: stream.into_std()?, info })))
    }
}

struct TcpIncoming {
    stream: std::net::TcpStream,
    info: ConnectionInfo,
}

impl Incoming for TcpIncoming {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
        self.stream.set_nodelay(true)?;
        Ok(Box::new(SocketConnection::new(self.stream.into(), self.info)?))
    }
}

fn open(stream: TcpStream, peer: SocketAddr) -> io::Result<Box<dyn Connection>> {
    stream.set_nodelay(true)?;
    let info = info(&stream, stream.local_addr()?, peer);
    Ok(Box::new(SocketConnection::new(stream.into_std()?.into(), info)?))
}

fn info(stream: &TcpStream, local: SocketAddr, peer: SocketAddr) -> ConnectionInfo {
    ConnectionInfo {
        kind: TransportKind::Tcp,
        peer: Endpoint::Ip(peer),
        local: Endpoint::Ip(local),
        fd: Some(stream.as_raw_fd()),
    }
}
