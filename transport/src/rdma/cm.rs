//! The connection manager: safe, non-blocking ownership of librdmacm's event channels and ids.
//!
//! An event is copied and acknowledged, once, when it is taken from its channel, so nothing that
//! waits for acknowledgements (destroying or moving an id) ever waits long.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdma_sys::*;
use socket2::SockAddr;

use super::code::check;
use crate::event_loop::{Interest, Source};

/// Longest wait for an address or a route to resolve, in milliseconds.
const RESOLVE_MS: i32 = 5000;

/// `RDMA_OPTION_ID_REUSEADDR`, `RDMA_OPTION_ID_AFONLY` and `RDMA_OPTION_ID_ACK_TIMEOUT` of level
/// `RDMA_OPTION_ID`.
const OPTION_LEVEL_ID: i32 = 0;
const OPTION_REUSE_ADDR: i32 = 1;
const OPTION_AF_ONLY: i32 = 2;
const OPTION_ACK_TIMEOUT: i32 = 3;

/// Time without an acknowledgement after which a device sends again, as the exponent of 4.096 µs:
/// 0.54 s, so a lost last packet delays by that, and a peer that is gone is noticed after the seven
/// retries, within 4.3 s. The default for Ethernet is 2 to 4 s, and 17 to 34 s to notice.
const ACK_TIMEOUT: u8 = 17;

/// The channel on which the connection manager reports the events of its ids.
pub(super) struct EventChannel(NonNull<rdma_event_channel>);

// SAFETY: librdmacm's calls are thread-safe, and an event channel is not tied to a thread.
unsafe impl Send for EventChannel {}
// SAFETY: as above; two threads that take events from one channel each get different ones.
unsafe impl Sync for EventChannel {}

/// The meaning of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    AddressResolved,
    RouteResolved,
    Established,
    Disconnected,
    /// Setting up failed: the step that failed, and the error number that came with it.
    Failed(&'static str, i32),
    DeviceRemoved,
    Other,
}

/// An event, already acknowledged.
pub(super) enum Event {
    /// A peer wants to connect: an id for it, not yet accepted.
    Request(Id, Resources),
    /// Something happened to the id of this context.
    Id { context: u64, kind: EventKind },
}

/// How many RDMA READs the two sides may have under way, as a request proposes it. The stream
/// protocol needs none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resources {
    responder: u8,
    initiator: u8,
}

impl EventChannel {
    /// # Errors
    /// Where the kernel has no connection manager for RDMA (module `rdma_ucm`).
    pub(super) fn new() -> io::Result<Arc<Self>> {
        // SAFETY: takes nothing, returns a new channel or null.
        let raw = NonNull::new(unsafe { rdma_create_event_channel() }).ok_or_else(|| {
            let error = io::Error::last_os_error();
            let text = format!("RDMA: no connection manager (is rdma_ucm loaded?): {error}");
            io::Error::new(error.kind(), text)
        })?;
        let channel = EventChannel(raw);
        rustix::io::ioctl_fionbio(&channel, true)?;
        Ok(Arc::new(channel))
    }

    /// Takes the next event; `None` if there is none now.
    pub(super) fn next(self: &Arc<Self>) -> io::Result<Option<Event>> {
        let mut raw = ptr::null_mut();
        // SAFETY: the channel is open and `raw` has room for one pointer.
        if unsafe { rdma_get_cm_event(self.0.as_ptr(), &mut raw) } != 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        // SAFETY: the call succeeded, so `raw` is an event that lives until it is acknowledged; its
        // id cannot be destroyed before that (rdma_destroy_id waits for it), and for a request it is
        // a new one with no other owner. `conn` is the valid member of `param` for port space TCP.
        let event = unsafe {
            let event = &*raw;
            if event.event == rdma_cm_event_type::RDMA_CM_EVENT_CONNECT_REQUEST {
                let resources = Resources {
                    responder: event.param.conn.responder_resources,
                    initiator: event.param.conn.initiator_depth,
                };
                let raw = NonNull::new_unchecked(event.id);
                Event::Request(Id { raw, channel: self.clone() }, resources)
            } else {
                let context = (*event.id).context as u64;
                Event::Id { context, kind: kind(event.event, event.status) }
            }
        };
        // SAFETY: `raw` came from rdma_get_cm_event, is acknowledged here only, and not used again.
        unsafe { rdma_ack_cm_event(raw) };
        Ok(Some(event))
    }
}

impl AsFd for EventChannel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the channel, and its descriptor, live as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.0.as_ref().fd) }
    }
}

impl EventChannel {
    /// Has the calling thread's event loop or runtime watch for events of the channel.
    pub(super) fn watch(self: &Arc<Self>) -> io::Result<Source<Arc<EventChannel>>> {
        Source::new(self.clone(), Interest::Read)
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        // SAFETY: every id of this channel held a reference to it, so there is none left.
        unsafe { rdma_destroy_event_channel(self.0.as_ptr()) }
    }
}

fn kind(event: rdma_cm_event_type::Type, status: i32) -> EventKind {
    use rdma_cm_event_type::*;
    match event {
        RDMA_CM_EVENT_ADDR_RESOLVED => EventKind::AddressResolved,
        RDMA_CM_EVENT_ROUTE_RESOLVED => EventKind::RouteResolved,
        RDMA_CM_EVENT_ESTABLISHED => EventKind::Established,
        RDMA_CM_EVENT_DISCONNECTED => EventKind::Disconnected,
        RDMA_CM_EVENT_ADDR_ERROR => EventKind::Failed("the address does not resolve", status),
        RDMA_CM_EVENT_ROUTE_ERROR => EventKind::Failed("there is no route", status),
        RDMA_CM_EVENT_CONNECT_ERROR => EventKind::Failed("connecting failed", status),
        RDMA_CM_EVENT_UNREACHABLE => EventKind::Failed("the peer is unreachable", status),
        RDMA_CM_EVENT_REJECTED => EventKind::Failed(rejection(status), libc::ECONNREFUSED),
        RDMA_CM_EVENT_DEVICE_REMOVAL => EventKind::DeviceRemoved,
        _ => EventKind::Other,
    }
}

/// The text of a rejection, by its reason (InfiniBand Architecture Specification 1, 12.6.7.2).
fn rejection(reason: i32) -> &'static str {
    match reason {
        1..=3 => "the peer has no resources for the connection",
        4 => "the peer has waited for too long while the connection was set up",
        8 => "there is no listener",
        10 => "the peer takes the connection for one that it still has",
        28 => "the peer refused the connection",
        _ => "the peer rejected the connection",
    }
}

/// A connection manager's id: the name of one connection, or of a listener.
pub(super) struct Id {
    raw: NonNull<rdma_cm_id>,
    /// Keeps the channel open for as long as the id may be reported on.
    channel: Arc<EventChannel>,
}

// SAFETY: librdmacm's calls are thread-safe and an id is not tied to a thread; `Id` is not `Sync`,
// so its plain fields are used by one thread at a time.
unsafe impl Send for Id {}

impl Id {
    /// An id that reports to `channel`, with `context` in its events.
    pub(super) fn new(channel: &Arc<EventChannel>, context: u64) -> io::Result<Id> {
        let mut raw = ptr::null_mut();
        let space = rdma_port_space::RDMA_PS_TCP;
        // SAFETY: the channel is open; the context is a number to librdmacm, which returns it only.
        check(unsafe {
            rdma_create_id(channel.0.as_ptr(), &mut raw, context as *mut libc::c_void, space)
        })?;
        let raw = NonNull::new(raw).expect("rdma_create_id succeeded");
        Ok(Id { raw, channel: channel.clone() })
    }

    pub(super) fn as_ptr(&self) -> *mut rdma_cm_id {
        self.raw.as_ptr()
    }

    /// The device that this id is bound to; null before it is.
    pub(super) fn device(&self) -> *mut ibv_context {
        // SAFETY: the id lives as long as `self`.
        unsafe { self.raw.as_ref().verbs }
    }

    /// Listens on `addr`.
    pub(super) fn listen(&self, addr: SocketAddr, backlog: i32) -> io::Result<()> {
        self.set_option(OPTION_REUSE_ADDR, 1_i32)?;
        if addr.is_ipv6() {
            // An IPv6 wildcard must leave the IPv4 wildcard to its own listener.
            self.set_option(OPTION_AF_ONLY, 1_i32)?;
        }
        let addr = SockAddr::from(addr);
        // SAFETY: the id is open, and `addr` is a socket address that the call only reads.
        check(unsafe { rdma_bind_addr(self.as_ptr(), addr.as_ptr().cast_mut().cast()) })?;
        // SAFETY: the id is open.
        check(unsafe { rdma_listen(self.as_ptr(), backlog) })
    }

    /// Has lost packets sent again sooner than by default. To be called before connecting or
    /// accepting; a kernel that does not know the option keeps its default.
    pub(super) fn shorten_ack_timeout(&self) {
        let _ = self.set_option(OPTION_ACK_TIMEOUT, ACK_TIMEOUT);
    }

    fn set_option<T: Copy>(&self, option: i32, mut value: T) -> io::Result<()> {
        // SAFETY: the call reads as many bytes as it is told, those of `value`.
        check(unsafe {
            rdma_set_option(
                self.as_ptr(),
                OPTION_LEVEL_ID,
                option,
                (&raw mut value).cast(),
                size_of::<T>(),
            )
        })
    }

    /// Moves the id to another channel and gives it a new context.
    pub(super) fn migrate(&mut self, channel: &Arc<EventChannel>, context: u64) -> io::Result<()> {
        // SAFETY: both channels are open. The call waits for events of this id that were taken and
        // not acknowledged, which `EventChannel::next` never leaves behind.
        check(unsafe { rdma_migrate_id(self.as_ptr(), channel.0.as_ptr()) })?;
        self.channel = channel.clone();
        // SAFETY: the id's fields are written through `self` only; events are read by this thread.
        unsafe { self.raw.as_mut().context = context as *mut libc::c_void };
        Ok(())
    }

    /// Starts to find the device and address to reach `addr` by.
    pub(super) fn resolve_address(&self, addr: SocketAddr) -> io::Result<()> {
        let addr = SockAddr::from(addr);
        // SAFETY: the id is open; a null source means any; the call copies the address.
        check(unsafe {
            rdma_resolve_addr(
                self.as_ptr(),
                ptr::null_mut(),
                addr.as_ptr().cast_mut().cast(),
                RESOLVE_MS,
            )
        })
    }

    /// Starts to find the route to the resolved address.
    pub(super) fn resolve_route(&self) -> io::Result<()> {
        // SAFETY: the id is open.
        check(unsafe { rdma_resolve_route(self.as_ptr(), RESOLVE_MS) })
    }

    /// Starts to connect; the id has a queue pair.
    pub(super) fn connect(&self) -> io::Result<()> {
        let mut param = connection_param(Resources { responder: 1, initiator: 1 });
        // SAFETY: the id is open and the call copies the parameters.
        check(unsafe { rdma_connect(self.as_ptr(), &mut param) })
    }

    /// Accepts the request that this id came with; the id has a queue pair.
    pub(super) fn accept(&self, resources: Resources) -> io::Result<()> {
        let mut param = connection_param(resources);
        // SAFETY: the id is open and the call copies the parameters.
        check(unsafe { rdma_accept(self.as_ptr(), &mut param) })
    }

    /// Tells the peer that the connection has ended.
    pub(super) fn disconnect(&self) {
        // SAFETY: the id is open. An error means that there is no connection any more.
        unsafe { rdma_disconnect(self.as_ptr()) };
    }

    /// This end's address.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        // SAFETY: the storage member is valid whichever family is in it.
        socket_addr(unsafe { &self.raw.as_ref().route.addr.src_addr_union.src_storage })
    }

    /// The peer's address.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        // SAFETY: the storage member is valid whichever family is in it.
        socket_addr(unsafe { &self.raw.as_ref().route.addr.dst_addr_union.dst_storage })
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: this is the only owner; its queue pair, if it had one, was destroyed by the
        // `QueuePair` that owned this id. It waits for no event: all are acknowledged when taken.
        unsafe { rdma_destroy_id(self.as_ptr()) };
    }
}

fn socket_addr(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    // SAFETY: librdmacm fills in a socket address, or leaves the family 0, which is no IP address.
    let ((), addr) = unsafe {
        SockAddr::try_init(|to, length| {
            *to.cast::<libc::sockaddr_storage>() = *storage;
            *length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            Ok(())
        })
    }
    .ok()?;
    addr.as_socket()
}

/// Retries without end where the receiver is not ready: that is back pressure, not failure.
fn connection_param(resources: Resources) -> rdma_conn_param {
    rdma_conn_param {
        private_data: ptr::null(),
        private_data_len: 0,
        responder_resources: resources.responder.min(1),
        initiator_depth: resources.initiator.min(1),
        flow_control: 0,
        retry_count: 7,
        rnr_retry_count: 7,
        srq: 0,
        qp_num: 0,
    }
}
