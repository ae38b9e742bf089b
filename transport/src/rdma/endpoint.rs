//! Setting up connections: listening and accepting, and connecting.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::cm::{Event, EventChannel, EventKind, Id, Resources};
use super::counters::Reservation;
use super::link::Link;
use super::options::RdmaOptions;
use super::protocol::{CONTROL_LEN, Config, Protocol, Region, Role};
use super::reactor::{Entry, Key, Reactor, Resolving};
use super::stream::RdmaStream;
use super::verbs::{Access, Memory, QueuePair, QueuePairOptions, devices};
use crate::address::{Address, Endpoint};
use crate::backend::{
    Backend, Connection, ConnectionInfo, Incoming, ListenFailure, Listener, ServerSide,
};
use crate::event_loop::Source;
use crate::options::{RdmaClientOptions, ServerOptions};
use crate::resolve;

pub static BACKEND: Backend = Backend {
    name: "rdma",
    title: "RDMA",
    is_unix_socket: false,
    // The reason tells a peer that violates the protocol from one that is gone.
    reports_failures: true,
    closing_note: None,
    server: |options| {
        let live = RdmaOptions { backlog: options.backlog, ..RdmaOptions::default() };
        live.adjust(options);
        Box::new(RdmaServer(Arc::new(live)))
    },
    listen_failure: |address, reason| {
        let text = "Could not create server RDMA listening endpoint";
        ListenFailure::on_port(&BACKEND, address, format!("Warning: {text} {address}: {reason}"))
    },
    connect: |address, options| Box::pin(connect(address, &options.rdma)),
};

struct RdmaServer(Arc<RdmaOptions>);

impl ServerSide for RdmaServer {
    fn listen(&self, address: &Address, _: &ServerOptions) -> io::Result<Box<dyn Listener>> {
        let (name, port) = address.host()?;
        listen(resolve::listen_address(name, port)?, self.0.clone())
    }

    fn adjust(&self, options: &ServerOptions) {
        self.0.adjust(options);
    }
}

/// Bounds of `rdma-rx-size`.
const RX_SIZES: std::ops::RangeInclusive<usize> = 64 << 10..=16 << 20;

/// Bytes of a connection's send buffer: several 64 KiB writes under way while the next is built.
const SEND_BUFFER: usize = 256 << 10;

/// Work requests of a connection's send queue.
const SENDS: u32 = 128;

/// Receives that a connection posts, as is customary with this protocol.
const RECEIVES: u32 = 1024;

/// Bytes that the device should copy out of a work request at once: the replies of small values.
const INLINE: u32 = 256;

/// Time that a peer has to register its transfer buffer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that a peer may take nothing while something waits for it.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Listens on `addr`. The listener belongs to the event loop or tokio runtime of the calling thread.
///
/// # Errors
/// Where no device is active, or the address is taken or not one of an RDMA device.
pub fn listen(addr: SocketAddr, options: Arc<RdmaOptions>) -> io::Result<Box<dyn Listener>> {
    if !devices().iter().any(|device| device.active) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "RDMA: no device is active"));
    }
    let channel = EventChannel::new()?;
    let id = Id::new(&channel, 0)?;
    id.listen(addr, options.backlog)?;
    let local = id.local().unwrap_or(addr);
    let events = channel.watch()?;
    Ok(Box::new(RdmaAcceptor { _id: id, channel, events, local, options }))
}

struct RdmaAcceptor {
    _id: Id,
    channel: Arc<EventChannel>,
    events: Source<Arc<EventChannel>>,
    local: SocketAddr,
    options: Arc<RdmaOptions>,
}

impl Listener for RdmaAcceptor {
    fn local(&self) -> Endpoint {
        Endpoint::Ip(self.local)
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Incoming>>> {
        loop {
            match self.channel.next()? {
                Some(Event::Request(id, resources)) => {
                    let info = info(&id, self.local);
                    let options = self.options.clone();
                    return Poll::Ready(Ok(Box::new(RdmaIncoming {
                        id,
                        resources,
                        info,
                        options,
                    })));
                }
                // Of a request that was not attached yet: attaching it will fail.
                Some(Event::Id { .. }) => {}
                None => {
                    ready!(self.events.poll_readable(cx))?;
                    self.events.clear_readable();
                }
            }
        }
    }
}

fn info(id: &Id, local: SocketAddr) -> ConnectionInfo {
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    ConnectionInfo {
        backend: &BACKEND,
        peer: Endpoint::Ip(id.peer().unwrap_or(unknown)),
        local: Endpoint::Ip(id.local().unwrap_or(local)),
        fd: None,
        certificate: None,
    }
}

/// A connection request. Dropping it refuses the connection.
struct RdmaIncoming {
    id: Id,
    resources: Resources,
    info: ConnectionInfo,
    options: Arc<RdmaOptions>,
}

impl Incoming for RdmaIncoming {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
        let RdmaIncoming { mut id, resources, info, options } = *self;
        let slot = ReservedKey::new(Reactor::current()?);
        id.migrate(slot.reactor.channel(), slot.key.tag())?;
        id.shorten_ack_timeout();
        let stream = open(slot, id, Role::Server, options, info)?;
        stream.link().with_queue_pair(|queue_pair| queue_pair.id().accept(resources))?;
        Ok(Box::new(stream))
    }
}

/// A key of the reactor that is given back unless something is made of it.
struct ReservedKey {
    reactor: Rc<Reactor>,
    key: Key,
    keep: bool,
}

impl ReservedKey {
    fn new(reactor: Rc<Reactor>) -> Self {
        let key = reactor.reserve();
        ReservedKey { reactor, key, keep: false }
    }
}

impl Drop for ReservedKey {
    fn drop(&mut self) {
        if !self.keep {
            self.reactor.remove(self.key);
        }
    }
}

/// Registers memory, makes a queue pair for `id`, and puts both into the reactor.
fn open(
    mut slot: ReservedKey,
    id: Id,
    role: Role,
    options: Arc<RdmaOptions>,
    info: ConnectionInfo,
) -> io::Result<RdmaStream> {
    let reactor = slot.reactor.clone();
    let vector = options.completion_vector.load(Relaxed);
    let share = reactor.share(&id, vector, RECEIVES, SENDS)?;
    let rx_size = options.rx_size.load(Relaxed).clamp(*RX_SIZES.start(), *RX_SIZES.end());
    let control_size = (SENDS + share.receives) as usize * CONTROL_LEN;
    let cap = options.max_registered_memory.load(Relaxed);
    let mut reservation = Reservation::new(rx_size + SEND_BUFFER + control_size, cap)?;

    let domain = share.domain();
    let region = Memory::register(domain, rx_size, Access::Peer, reservation.split(rx_size))?;
    let local = Memory::register(domain, SEND_BUFFER + control_size, Access::Local, reservation)?;
    let (send_buffer, control) = local.split_at(SEND_BUFFER);
    let wanted = QueuePairOptions {
        tag: slot.key.tag(),
        sends: SENDS,
        receives: share.receives,
        max_inline: INLINE,
    };
    let mut queue_pair =
        QueuePair::new(id, share.queue(), &wanted, &send_buffer, &region, control)?;
    queue_pair.post_receives(share.receives)?;

    let keepalive = options.keepalive_ms.load(Relaxed);
    let config = Config {
        role,
        region: Region { addr: region.addr(), length: region.len() as u32, rkey: region.rkey() },
        receives: share.receives,
        send_buffer: SEND_BUFFER,
        send_queue: SENDS,
        max_inline: queue_pair.max_inline(),
        keepalive: (keepalive > 0).then(|| Duration::from_millis(keepalive)),
        handshake_timeout: HANDSHAKE_TIMEOUT,
        stall_timeout: STALL_TIMEOUT,
    };
    let protocol = Protocol::new(config, Instant::now());
    let link = Rc::new(Link::new(protocol, queue_pair, options, share));
    slot.keep = true;
    reactor.insert(slot.key, Entry::Link(link.clone()));
    Ok(RdmaStream::new(info, link, reactor, slot.key, region, send_buffer))
}

async fn connect(
    address: &Address,
    options: &RdmaClientOptions,
) -> io::Result<Box<dyn Connection>> {
    let (name, port) = address.host()?;
    let reactor = Reactor::current()?;
    let connect_to = async |addr| connect_to(&reactor, addr, options).await;
    let stream = resolve::connect_any(name, port, connect_to).await?;
    Ok(Box::new(stream))
}

async fn connect_to(
    reactor: &Rc<Reactor>,
    addr: SocketAddr,
    options: &RdmaClientOptions,
) -> io::Result<RdmaStream> {
    let slot = ReservedKey::new(reactor.clone());
    let id = Id::new(reactor.channel(), slot.key.tag())?;
    let resolving = Rc::new(Resolving::default());
    reactor.insert(slot.key, Entry::Resolving(resolving.clone()));
    id.shorten_ack_timeout();
    id.resolve_address(addr)?;
    resolved(&resolving, EventKind::AddressResolved).await?;
    id.resolve_route()?;
    resolved(&resolving, EventKind::RouteResolved).await?;

    let info = info(&id, addr);
    let stream = open(slot, id, Role::Client, client_options(reactor, options), info)?;
    let link = stream.link();
    link.with_queue_pair(|queue_pair| queue_pair.id().connect())?;
    poll_fn(|cx| {
        let protocol = link.protocol.borrow();
        if let Some(reason) = protocol.closed() {
            return Poll::Ready(Err(reason.to_io_error()));
        }
        if protocol.is_established() {
            return Poll::Ready(Ok(()));
        }
        link.writer.wait(cx);
        Poll::Pending
    })
    .await?;
    Ok(stream)
}

/// Waits for the connection manager to say that a step of resolving is done.
async fn resolved(resolving: &Resolving, step: EventKind) -> io::Result<()> {
    let kind = poll_fn(|cx| match resolving.event.take() {
        Some(kind) => Poll::Ready(kind),
        None => {
            resolving.waiter.wait(cx);
            Poll::Pending
        }
    })
    .await;
    match kind {
        kind if kind == step => Ok(()),
        EventKind::Failed(what, code) => {
            let error = io::Error::from_raw_os_error(code.abs());
            Err(io::Error::new(error.kind(), format!("RDMA: {what}: {error}")))
        }
        kind => Err(io::Error::other(format!("RDMA: {kind:?} while connecting"))),
    }
}

/// A client's options in the form that links share.
fn client_options(reactor: &Reactor, options: &RdmaClientOptions) -> Arc<RdmaOptions> {
    let same = |known: &RdmaOptions| {
        known.poll_us.load(Relaxed) == options.poll_us
            && known.rx_size.load(Relaxed) == options.rx_size
            && known.keepalive_ms.load(Relaxed) == 0
    };
    reactor.find_options(same).unwrap_or_else(|| {
        Arc::new(RdmaOptions {
            rx_size: AtomicUsize::new(options.rx_size),
            poll_us: AtomicI64::new(options.poll_us),
            keepalive_ms: 0.into(),
            ..RdmaOptions::default()
        })
    })
}
