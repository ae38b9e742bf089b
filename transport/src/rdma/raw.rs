//! A peer that uses verbs directly and posts any work request that it is given, for tests with a hostile
//! peer. Built with the feature `raw-peer` only.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::cm::{Event, EventChannel, EventKind, Id};
use super::counters::Reservation;
use super::protocol::{CONTROL_LEN, Control, Region, WorkRequest, decode_control};
use super::verbs::{
    Access, Completed, CompletionQueue, Memory, ProtectionDomain, QueuePair, QueuePairOptions,
};

const SLOTS: u32 = 1024;
const BUFFER: usize = 64 << 10;

/// A connected queue pair, with a region and a send buffer of 64 KiB.
pub struct RawPeer {
    channel: Arc<EventChannel>,
    queue: Rc<CompletionQueue>,
    queue_pair: QueuePair,
    region: Memory,
    server: Region,
}

impl RawPeer {
    /// Connects, and waits for the server's registration.
    pub async fn connect(addr: SocketAddr) -> io::Result<RawPeer> {
        let channel = EventChannel::new()?;
        let id = Id::new(&channel, 0)?;
        id.resolve_address(addr)?;
        event(&channel, EventKind::AddressResolved).await?;
        id.resolve_route()?;
        event(&channel, EventKind::RouteResolved).await?;
        let domain = ProtectionDomain::new(&id)?;
        let queue = CompletionQueue::new(&domain, 4 * SLOTS, 0)?;
        let register = |length: usize, access: Access| {
            Memory::register(&domain, length, access, Reservation::new(length, 0)?)
        };
        let region = register(BUFFER, Access::Peer)?;
        let send_buffer = register(BUFFER, Access::Local)?;
        let control = register(2 * SLOTS as usize * CONTROL_LEN, Access::Local)?;
        let options = QueuePairOptions { tag: 0, sends: SLOTS, receives: SLOTS, max_inline: 64 };
        let mut queue_pair = QueuePair::new(id, &queue, &options, &send_buffer, &region, control)?;
        queue_pair.post_receives(SLOTS)?;
        queue_pair.id().connect()?;
        event(&channel, EventKind::Established).await?;
        let server = Region { addr: 0, length: 0, rkey: 0 };
        let mut peer = RawPeer { channel, queue, queue_pair, region, server };
        peer.server = peer.registration().await?;
        Ok(peer)
    }

    async fn registration(&self) -> io::Result<Region> {
        loop {
            let mut message = None;
            self.queue.poll(|completion| {
                if completion.result == Ok(Completed::Message(CONTROL_LEN)) {
                    message = Some(completion.tag as u32);
                }
            })?;
            match message.map(|slot| decode_control(self.queue_pair.message(slot, CONTROL_LEN))) {
                Some(Ok(Control::RegisterXferMemory(region))) => return Ok(region),
                Some(other) => return Err(io::Error::other(format!("{other:?}"))),
                None => pause().await,
            }
        }
    }

    /// The server's region.
    pub fn server_region(&self) -> Region {
        self.server
    }

    /// This peer's own region, which the server may write once it is told of it.
    pub fn own_region(&self) -> Region {
        let length = self.region.len() as u32;
        Region { addr: self.region.addr(), length, rkey: self.region.rkey() }
    }

    /// Posts a work request; a write's local range is of a send buffer of 64 KiB of zeroes.
    pub fn post(&mut self, work: WorkRequest) -> io::Result<()> {
        let mut work = Some(work);
        self.queue_pair.post_sends(|| work.take()).map(|_| ())
    }

    /// Waits until the server has disconnected.
    pub async fn disconnected(&self) -> io::Result<()> {
        event(&self.channel, EventKind::Disconnected).await
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn event(channel: &Arc<EventChannel>, expected: EventKind) -> io::Result<()> {
    loop {
        match channel.next()? {
            Some(Event::Id { kind, .. }) if kind == expected => return Ok(()),
            Some(Event::Id { kind, .. }) => return Err(io::Error::other(format!("{kind:?}"))),
            Some(Event::Request(..)) => {}
            None => pause().await,
        }
    }
}
