//! The TCP backend.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::address::{Address, Endpoint};
use crate::backend::{
    Backend, Connection, ConnectionInfo, Incoming, ListenFailure, Listener, ServerSide,
};
use crate::event_loop::{Interest, Source};
use crate::options::ServerOptions;
use crate::resolve;
use crate::socket::{self, SocketConnection};

pub static BACKEND: Backend = Backend {
    name: "tcp",
    title: "TCP",
    is_unix_socket: false,
    reports_failures: false,
    closing_note: None,
    server: |options| Box::new(TcpServer(TcpOptions::new(options))),
    listen_failure: |address, reason| {
        let text = "Could not create server TCP listening socket";
        let warning = format!("Warning: {text} {address}: bind: {reason}");
        ListenFailure::on_port(&BACKEND, address, warning)
    },
    connect: |address, _| Box::pin(connect(address)),
};

/// Options of a TCP listener.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Length of the queue of connections that wait to be accepted.
    pub backlog: i32,
    /// Seconds of silence before the kernel probes a peer; 0 turns probing off. A change holds for
    /// connections accepted afterwards.
    pub keepalive: Arc<AtomicU32>,
    /// Several paths at once for a connection, where the kernel can.
    pub mptcp: bool,
    /// The mark of the listener; 0 for none.
    pub mark: u32,
}

impl TcpOptions {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        TcpOptions {
            backlog: options.backlog,
            keepalive: Arc::new(AtomicU32::new(options.tcp_keepalive)),
            mptcp: options.mptcp,
            mark: options.socket_mark,
        }
    }

    pub(crate) fn adjust(&self, options: &ServerOptions) {
        self.keepalive.store(options.tcp_keepalive, Ordering::Relaxed);
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions::new(&ServerOptions::default())
    }
}

struct TcpServer(TcpOptions);

impl ServerSide for TcpServer {
    fn listen(&self, address: &Address, _: &ServerOptions) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(listen_socket(address, &self.0)?))
    }

    fn adjust(&self, options: &ServerOptions) {
        self.0.adjust(options);
    }
}

/// Listens on an address of a configuration.
pub(crate) fn listen_socket(address: &Address, options: &TcpOptions) -> io::Result<TcpListener> {
    let (name, port) = address.host()?;
    listen_to(resolve::listen_address(name, port)?, options)
}

/// Listens on `addr`. The listener belongs to the event loop or tokio runtime of the calling thread.
pub fn listen(addr: SocketAddr, options: &TcpOptions) -> io::Result<Box<dyn Listener>> {
    Ok(Box::new(listen_to(addr, options)?))
}

fn listen_to(addr: SocketAddr, options: &TcpOptions) -> io::Result<TcpListener> {
    let socket = listening_socket(addr, options.mptcp)?;
    if options.mark != 0 {
        socket.set_mark(options.mark)?;
    }
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // An IPv6 wildcard must leave the IPv4 wildcard to its own listener.
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(options.backlog)?;
    let local = socket.local_addr()?.as_socket().unwrap_or(addr);
    let socket = socket::watch_listener(socket)?;
    Ok(TcpListener { socket, local, keepalive: options.keepalive.clone() })
}

/// A socket of MPTCP, if that is wanted and the kernel has it, or of TCP.
fn listening_socket(addr: SocketAddr, mptcp: bool) -> io::Result<Socket> {
    let socket = |protocol| Socket::new(Domain::for_address(addr), Type::STREAM, Some(protocol));
    if mptcp && let Ok(socket) = socket(Protocol::MPTCP) {
        return Ok(socket);
    }
    socket(Protocol::TCP)
}

async fn connect(address: &Address) -> io::Result<Box<dyn Connection>> {
    let (name, port) = address.host()?;
    Ok(Box::new(resolve::connect_any(name, port, connect_socket).await?))
}

/// Connects to one address.
pub(crate) async fn connect_socket(addr: SocketAddr) -> io::Result<SocketConnection> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    let socket = socket::connect(socket, &addr.into()).await?;
    let local = socket.get_ref().local_addr()?.as_socket();
    let local = local.ok_or_else(|| io::Error::other("the socket has no IP address"))?;
    let info = info(socket.get_ref(), local, addr);
    Ok(SocketConnection::new(socket, info))
}

pub(crate) struct TcpListener {
    socket: Source<Socket>,
    local: SocketAddr,
    keepalive: Arc<AtomicU32>,
}

impl TcpListener {
    pub(crate) fn poll_accept_socket(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<TcpIncoming>> {
        let (socket, peer) = ready!(socket::poll_accept(&self.socket, cx))?;
        let keepalive = self.keepalive.load(Ordering::Relaxed);
        if keepalive > 0 {
            // The kernel probes three times, a third of the interval apart, as Valkey asks it to.
            let interval = Duration::from_secs((keepalive / 3).max(1).into());
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(keepalive.into()))
                .with_interval(interval)
                .with_retries(3);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        let peer = peer.ok_or_else(|| io::Error::other("the peer has no IP address"))?;
        let local = socket.local_addr().ok().and_then(|addr| addr.as_socket());
        let info = info(&socket, local.unwrap_or(self.local), peer);
        Poll::Ready(Ok(TcpIncoming { socket, info }))
    }
}

impl Listener for TcpListener {
    fn local(&self) -> Endpoint {
        Endpoint::Ip(self.local)
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Incoming>>> {
        let incoming = ready!(self.poll_accept_socket(cx))?;
        Poll::Ready(Ok(Box::new(incoming)))
    }
}

pub(crate) struct TcpIncoming {
    socket: Socket,
    info: ConnectionInfo,
}

impl TcpIncoming {
    /// Binds the connection to the event loop or tokio runtime of the calling thread.
    pub(crate) fn attach_socket(self) -> io::Result<SocketConnection> {
        self.socket.set_tcp_nodelay(true)?;
        let socket = Source::new(self.socket, Interest::ReadWrite)?;
        Ok(SocketConnection::new(socket, self.info))
    }
}

impl Incoming for TcpIncoming {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(self.attach_socket()?))
    }
}

fn info(socket: &Socket, local: SocketAddr, peer: SocketAddr) -> ConnectionInfo {
    ConnectionInfo {
        backend: &BACKEND,
        peer: Endpoint::Ip(peer),
        local: Endpoint::Ip(local),
        fd: Some(socket.as_raw_fd()),
        certificate: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_speaks_mptcp_where_the_kernel_does() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let protocol = |mptcp| listening_socket(addr, mptcp).unwrap().protocol().unwrap();
        let kernel = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
        let best = if kernel.is_ok() { Protocol::MPTCP } else { Protocol::TCP };
        assert_eq!(protocol(true), Some(best));
        assert_eq!(protocol(false), Some(Protocol::TCP));
    }
}
