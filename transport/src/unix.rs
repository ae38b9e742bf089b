//! The Unix-socket backend.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

use crate::socket::SocketConnection;
use crate::{Connection, ConnectionInfo, Endpoint, Incoming, Listener, TransportKind};

/// Listens on `path`, replacing a socket that is there already. `permissions` are the file's mode
/// bits (0 leaves them to the umask). Must be called on a tokio runtime.
pub fn listen(path: &Path, permissions: u32, backlog: i32) -> io::Result<Box<dyn Listener>> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    if permissions != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
    }
    let listener = UnixListener::from_std(socket.into())?;
    Ok(Box::new(UnixAcceptor { listener, path: path.to_owned() }))
}

/// Connects to the socket at `path`.
pub async fn connect(path: &Path) -> io::Result<Box<dyn Connection>> {
    let stream = UnixStream::connect(path).await?;
    let info = info(path, stream.as_raw_fd());
    Ok(Box::new(SocketConnection::new(stream.into_std()?.into(), info)?))
}

struct UnixAcceptor {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener for UnixAcceptor {
    fn local(&self) -> Endpoint {
        Endpoint::Path(self.path.clone())
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Incoming>>> {
        let (stream, _) = ready!(self.listener.poll_accept(cx))?;
        let stream = stream.into_std()?;
        let info = info(&self.path, stream.as_raw_fd());
        Poll::Ready(Ok(Box::new(UnixIncoming { stream, info })))
    }
}

impl Drop for UnixAcceptor {
    fn drop(&mut self) {
        // Another process may have removed or replaced it; nothing is owed then.
        let _ = fs::remove_file(&self.path);
    }
}

struct UnixIncoming {
    stream: std::os::unix::net::UnixStream,
    info: ConnectionInfo,
}

impl Incoming for UnixIncoming {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(SocketConnection::new(self.stream.into(), self.info)?))
    }
}

fn info(path: &Path, fd: RawFd) -> ConnectionInfo {
    let path = Endpoint::Path(path.to_owned());
    ConnectionInfo { kind: TransportKind::Unix, peer: path.clone(), local: path, fd: Some(fd) }
}
