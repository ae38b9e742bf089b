//! The client side: a server to connect to, and connecting.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::address::Address;
use crate::alarm::Alarm;
use crate::backend::{Backend, Connection};
use crate::options::{ClientOptions, RdmaClientOptions};
use crate::security::ClientContext;
use crate::{rdma, tcp, tls, unix};

/// A server to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    pub backend: &'static Backend,
    pub address: Address,
    pub options: ClientOptions,
}

impl Target {
    /// A server on TCP.
    pub fn tcp(host: impl Into<String>, port: u16) -> Target {
        let address = Address::Host { name: host.into(), port };
        Target { backend: &tcp::BACKEND, address, options: ClientOptions::default() }
    }

    /// A server on TLS.
    pub fn tls(host: impl Into<String>, port: u16, context: Arc<ClientContext>) -> Target {
        let address = Address::Host { name: host.into(), port };
        let options = ClientOptions { tls: Some(context), ..ClientOptions::default() };
        Target { backend: &tls::BACKEND, address, options }
    }

    /// A server on a Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Target {
        let address = Address::Path(path.into());
        Target { backend: &unix::BACKEND, address, options: ClientOptions::default() }
    }

    /// A server on RDMA.
    pub fn rdma(host: impl Into<String>, port: u16, options: RdmaClientOptions) -> Target {
        let address = Address::Host { name: host.into(), port };
        let options = ClientOptions { rdma: options, ..ClientOptions::default() };
        Target { backend: &rdma::BACKEND, address, options }
    }
}

/// The address, and the backend unless it is the usual one for such an address: `localhost:6379 over RDMA`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = match self.address {
            Address::Host { .. } => &tcp::BACKEND,
            Address::Path(_) => &unix::BACKEND,
        };
        self.address.fmt(f)?;
        if self.backend != usual {
            write!(f, " over {}", self.backend.title)?;
        }
        Ok(())
    }
}

/// Connects to `target` and attaches the connection to the event loop or tokio runtime of the calling
/// thread, which serves other tasks meanwhile. A host's name is resolved on a thread of its own, and each
/// address that it resolves to is tried in turn.
///
/// # Errors
/// The reason why the last address did not accept, or why the name does not resolve.
pub async fn connect(target: &Target) -> io::Result<Box<dyn Connection>> {
    (target.backend.connect)(&target.address, &target.options).await
}

/// Connects as [`connect`] does, within `limit`.
///
/// # Errors
/// As for `connect`, and `TimedOut` when the time is over.
pub async fn connect_timeout(target: &Target, limit: Duration) -> io::Result<Box<dyn Connection>> {
    let alarm = Alarm::new()?;
    alarm.set(limit);
    let mut connecting = (target.backend.connect)(&target.address, &target.options);
    poll_fn(|cx| {
        if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
            return Poll::Ready(connected);
        }
        alarm.poll_ring(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}
