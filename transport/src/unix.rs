//! The Unix-socket backend.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::unistd::Group;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::{Address, Endpoint};
use crate::alarm::Alarm;
use crate::backend::{
    Backend, Connection, ConnectionInfo, Incoming, ListenFailure, Listener, ServerSide,
};
use crate::event_loop::{Interest, Source};
use crate::options::ServerOptions;
use crate::socket::{self, SocketConnection};

pub static BACKEND: Backend = Backend {
    name: "unix",
    title: "a Unix socket",
    is_unix_socket: true,
    reports_failures: false,
    closing_note: Some("Removing the unix socket file."),
    server: |_| Box::new(UnixServer),
    listen_failure: |address, reason| {
        let error = format!("Failed opening Unix socket {address}: {reason}");
        ListenFailure { warning: None, error }
    },
    connect: |address, _| Box::pin(connect(address)),
};

/// Time between two attempts to connect to a server whose queue of waiting connections is full.
const RETRY: Duration = Duration::from_millis(10);

struct UnixServer;

impl ServerSide for UnixServer {
    fn listen(&self, address: &Address, options: &ServerOptions) -> io::Result<Box<dyn Listener>> {
        let path = address.path()?;
        let listener = listen(path, options.unix_permissions, options.backlog)?;
        if !options.unix_group.is_empty() {
            give_to_group(path, &options.unix_group)?;
        }
        Ok(listener)
    }

    fn adjust(&self, _: &ServerOptions) {}
}

/// Gives a file to a group, which is named.
fn give_to_group(path: &Path, name: &str) -> io::Result<()> {
    let group = Group::from_name(name)?.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no group named {name}"))
    })?;
    std::os::unix::fs::chown(path, None, Some(group.gid.as_raw()))
}

/// Listens on `path`, replacing a socket that is there already. `permissions` are the file's mode
/// bits (0 leaves them to the umask). The listener belongs to the event loop or tokio runtime of the
/// calling thread.
pub fn listen(path: &Path, permissions: u32, backlog: i32) -> io::Result<Box<dyn Listener>> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog)?;
    if permissions != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
    }
    let socket = socket::watch_listener(socket)?;
    Ok(Box::new(UnixListener { socket, path: path.to_owned() }))
}

async fn connect(address: &Address) -> io::Result<Box<dyn Connection>> {
    let path = address.path()?;
    let addr = SockAddr::unix(path)?;
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        match socket::connect(socket, &addr).await {
            Ok(socket) => {
                let info = info(path, socket.get_ref());
                return Ok(Box::new(SocketConnection::new(socket, info)));
            }
            // The queue of the listener is full. No event tells when it no longer is.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Alarm::new()?.sleep(RETRY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

struct UnixListener {
    socket: Source<Socket>,
    path: PathBuf,
}

impl Listener for UnixListener {
    fn local(&self) -> Endpoint {
        Endpoint::Path(self.path.clone())
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Incoming>>> {
        let (socket, _) = ready!(socket::poll_accept(&self.socket, cx))?;
        let info = info(&self.path, &socket);
        Poll::Ready(Ok(Box::new(UnixIncoming { socket, info })))
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // Another process may have removed or replaced it; nothing is owed then.
        let _ = fs::remove_file(&self.path);
    }
}

struct UnixIncoming {
    socket: Socket,
    info: ConnectionInfo,
}

impl Incoming for UnixIncoming {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
        let socket = Source::new(self.socket, Interest::ReadWrite)?;
        Ok(Box::new(SocketConnection::new(socket, self.info)))
    }
}

fn info(path: &Path, socket: &Socket) -> ConnectionInfo {
    let path = Endpoint::Path(path.to_owned());
    let fd = Some(socket.as_raw_fd());
    ConnectionInfo { backend: &BACKEND, peer: path.clone(), local: path, fd, certificate: None }
}
