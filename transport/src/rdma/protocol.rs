//! The stream protocol of Valkey's RDMA transport, as a state machine: events in, work requests out.
//!
//! Not in it: queue pairs, memory, sockets, clocks. The caller reports events (a
//! completion, a connection-manager event, the time), posts the work requests that [`Protocol::poll_transmit`] asks
//! for, and moves the bytes of the two buffers, of which the machine knows only positions.
//!
//! A byte stream flows into a region that its receiver has registered, from the region's start to its
//! end, and then waits until the receiver has consumed it all and registered again.

mod control;
mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

pub use control::{CONTROL_LEN, Control, ControlError, Region, decode_control};
use receive::{Credits, ReceiveRegion};
use send::{RemoteRegion, SendBuffer, SendQueue};

/// Feature bits that this server offers: none are defined.
const FEATURES: u64 = 0;

/// Slots of the send queue that stream bytes leave to control messages.
const CONTROL_SLOTS: u32 = 4;

/// Stream bytes after which the peer is told of them, although more follow at once: it works on them
/// while the rest is on its way.
const NOTIFY_BYTES: usize = 64 * 1024;

/// Control messages and empty notifications that a peer may send in a row, with no stream bytes
/// between them and within one check interval. An honest one has nothing to say more often: it
/// registers once for each region that was filled, and keeps alive every few seconds.
const CONTROL_LIMIT: u32 = 256;

/// How often an open connection is looked at where it has no keepalive.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);

/// Time in which the peer's device must acknowledge the messages sent to it. A device should give up by
/// itself after the seven retries that peers ask for; soft-RoCE was seen not to, within a minute. A
/// peer whose program hangs acknowledges all the same, until it has so many messages unread that no
/// receive is left.
const ACKNOWLEDGEMENT_LIMIT: Duration = Duration::from_secs(15);

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepted the connection: answers feature requests, and probes a peer that is silent.
    Server,
    /// Opened the connection.
    Client,
}

/// Parameters of a connection.
#[derive(Clone, Debug)]
pub struct Config {
    pub role: Role,
    /// The receive region, as the peer is to be told of it.
    pub region: Region,
    /// Receives of [`CONTROL_LEN`] bytes that are posted.
    pub receives: u32,
    /// Bytes of the send buffer; a power of two.
    pub send_buffer: usize,
    /// Work requests that the send queue can hold; 16 or more.
    pub send_queue: u32,
    /// Bytes up to which the device copies a work request's data when it is posted.
    pub max_inline: usize,
    /// Silence after which a server probes its peer; `None` never does.
    pub keepalive: Option<Duration>,
    /// Time that the peer has to register its region.
    pub handshake_timeout: Duration,
    /// Time that the peer may take nothing while something waits for it.
    pub stall_timeout: Duration,
}

/// Something to be posted to the send queue, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkRequest {
    /// A SEND of a control message.
    Control { message: [u8; CONTROL_LEN], signalled: bool },
    /// An RDMA WRITE of a range of the send buffer; with an immediate, one that tells the peer how
    /// many bytes have become available.
    Write {
        local: Range<usize>,
        remote: u64,
        rkey: u32,
        immediate: Option<u32>,
        signalled: bool,
        inline: bool,
    },
}

/// How a work request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkFailure {
    /// The peer acknowledged nothing until the retries were spent.
    RetryExceeded,
    /// The peer had no receive posted until the retries were spent.
    ReceiverNotReady,
    /// The peer's device refused the address or the key of its region.
    RemoteAccess,
    /// The peer sent a message of more than [`CONTROL_LEN`] bytes.
    MessageTooLong,
    /// The queue pair was in error already.
    Flushed,
    /// Anything else: the status code and its name.
    Status(u32, &'static str),
}

/// Why a connection has ended. Its text is written for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This side ended it.
    Local,
    /// The peer ended it: the end of the stream, not an error.
    Disconnected,
    /// The peer sent a malformed control message, or one that is not for this side.
    Control(ControlError),
    /// The peer sent a message that only the other role may send.
    Unexpected(Control),
    /// The peer asked for features that were not offered.
    Features(u64),
    /// The peer announced more bytes than were left of the receive region.
    Overrun { announced: u32, left: u32 },
    /// So many control messages in a row, with nothing between them.
    Flood(u32),
    /// The peer has not registered its region in time.
    Handshake(Duration),
    /// So many bytes waited and the peer has taken nothing for so long.
    Stalled { unsent: usize, time: Duration },
    /// No message has been acknowledged for so long: the peer is gone.
    Unacknowledged(Duration),
    /// A completion that was not due: the device and this side disagree.
    UnexpectedCompletion,
    /// A work request failed.
    Work(WorkFailure),
    /// The connection manager gave up: the event, and the error number that came with it.
    Manager(&'static str, i32),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Local => f.write_str("closed"),
            CloseReason::Disconnected => f.write_str("the peer disconnected"),
            CloseReason::Control(error) => write!(f, "the peer sent {error}"),
            CloseReason::Unexpected(message) => {
                write!(f, "the peer sent a message that is not its to send: {message:?}")
            }
            CloseReason::Features(bits) => {
                write!(f, "the peer set feature bits that were not offered: {bits:#x}")
            }
            CloseReason::Overrun { announced, left } => write!(
                f,
                "the peer announced {announced} bytes where {left} were left of the receive buffer"
            ),
            CloseReason::Flood(count) => {
                write!(f, "the peer sent {count} control messages in a row and no data")
            }
            CloseReason::Handshake(time) => {
                write!(f, "the peer registered no transfer buffer within {time:?}")
            }
            CloseReason::Stalled { unsent, time } => {
                write!(f, "the peer took nothing for {time:?} while {unsent} bytes waited")
            }
            CloseReason::Unacknowledged(time) => {
                write!(f, "the peer is gone: nothing was acknowledged for {time:?}")
            }
            CloseReason::UnexpectedCompletion => {
                f.write_str("the device completed a work request that was not outstanding")
            }
            CloseReason::Work(WorkFailure::RetryExceeded) => {
                f.write_str("the peer is gone: nothing was acknowledged, retries exceeded")
            }
            CloseReason::Work(WorkFailure::ReceiverNotReady) => {
                f.write_str("the peer posted no receives, retries exceeded")
            }
            CloseReason::Work(WorkFailure::RemoteAccess) => f.write_str(
                "the peer's transfer buffer cannot be written: its address or key is not valid",
            ),
            CloseReason::Work(WorkFailure::MessageTooLong) => {
                write!(f, "the peer sent a control message of more than {CONTROL_LEN} bytes")
            }
            CloseReason::Work(WorkFailure::Flushed) => f.write_str("the queue pair is in error"),
            CloseReason::Work(WorkFailure::Status(code, name)) => {
                write!(f, "a work request failed: {name} (status {code})")
            }
            CloseReason::Manager(what, 0) => f.write_str(what),
            CloseReason::Manager(what, code) => {
                write!(f, "{what}: {}", io::Error::from_raw_os_error(code.abs()))
            }
        }
    }
}

impl CloseReason {
    /// The error that a reader or writer of the stream gets.
    pub fn to_io_error(&self) -> io::Error {
        let kind = match self {
            CloseReason::Local => io::ErrorKind::NotConnected,
            CloseReason::Disconnected => io::ErrorKind::BrokenPipe,
            CloseReason::Control(_)
            | CloseReason::Unexpected(_)
            | CloseReason::Features(_)
            | CloseReason::Overrun { .. }
            | CloseReason::Flood(_)
            | CloseReason::Work(WorkFailure::MessageTooLong) => io::ErrorKind::InvalidData,
            CloseReason::Handshake(_)
            | CloseReason::Stalled { .. }
            | CloseReason::Unacknowledged(_)
            | CloseReason::Work(WorkFailure::RetryExceeded) => io::ErrorKind::TimedOut,
            CloseReason::UnexpectedCompletion | CloseReason::Work(_) | CloseReason::Manager(..) => {
                io::ErrorKind::ConnectionReset
            }
        };
        io::Error::new(kind, format!("RDMA: {self}"))
    }
}

/// One connection's protocol state.
///
/// Events go in by the methods named in the past tense ([`message_received`](Self::message_received)
/// and its like) and by [`handle_timeout`](Self::handle_timeout); after any of them, and after
/// [`consume`](Self::consume), [`write`](Self::write) and [`close`](Self::close), the caller takes
/// [`poll_transmit`](Self::poll_transmit) until it has nothing, and [`poll_receives`](Self::poll_receives).
#[derive(Debug)]
pub struct Protocol {
    config: Config,
    established: bool,
    closed: Option<CloseReason>,
    /// The queue pair can send nothing any more.
    lost: bool,

    region: ReceiveRegion,
    credits: Credits,

    buffer: SendBuffer,
    queue: SendQueue,
    remote: Option<RemoteRegion>,
    /// Stream bytes written to the peer's region and not yet announced by an immediate.
    unannounced: u32,
    control: VecDeque<Control>,

    /// Control messages and empty notifications since stream bytes last moved.
    idle_messages: u32,
    /// Something went either way since the last check.
    active: bool,
    /// The peer took something since the last check.
    progress: bool,
    stalled: Duration,
    /// A work request has completed since the last check.
    acknowledged: bool,
    /// How long a completion has been due and none has come; `None` if none was due at the last check.
    unacknowledged: Option<Duration>,
    handshake_deadline: Instant,
    next_check: Instant,
}

impl Protocol {
    /// A connection that is being set up.
    pub fn new(config: Config, now: Instant) -> Self {
        assert!(config.send_queue >= 16);
        let mut protocol = Protocol {
            established: false,
            closed: None,
            lost: false,
            region: ReceiveRegion::new(config.region.length),
            credits: Credits::new(config.receives),
            buffer: SendBuffer::new(config.send_buffer),
            queue: SendQueue::new(config.send_queue),
            remote: None,
            unannounced: 0,
            control: VecDeque::new(),
            idle_messages: 0,
            active: false,
            progress: false,
            stalled: Duration::ZERO,
            acknowledged: false,
            unacknowledged: None,
            handshake_deadline: now + config.handshake_timeout,
            next_check: now,
            config,
        };
        protocol.next_check = now + protocol.check_interval();
        protocol
    }

    fn check_interval(&self) -> Duration {
        self.config.keepalive.unwrap_or(CHECK_INTERVAL)
    }

    fn fail(&mut self, reason: CloseReason) {
        self.closed.get_or_insert(reason);
    }

    // Events.

    /// Both ends' queue pairs can send and receive now.
    pub fn established(&mut self) {
        if !self.established {
            self.established = true;
            self.control.push_back(Control::RegisterXferMemory(self.config.region));
        }
    }

    /// True once [`established`](Self::established) was told, or shown by a message of the peer.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// A SEND has arrived, and this is all of it.
    pub fn message_received(&mut self, message: &[u8]) {
        self.credits.consume();
        self.active = true;
        // The peer's first message may overtake the connection manager's word.
        self.established();
        match decode_control(message) {
            Ok(message) => self.control_received(message),
            Err(error) => self.fail(CloseReason::Control(error)),
        }
    }

    fn control_received(&mut self, message: Control) {
        self.count_idle_message();
        match (message, self.config.role) {
            (Control::GetServerFeature { select, .. }, Role::Server) => {
                self.control.push_back(Control::GetServerFeature { select, features: FEATURES });
            }
            (Control::SetClientFeature { features, .. }, Role::Server) => {
                if features & !FEATURES != 0 {
                    self.fail(CloseReason::Features(features));
                }
            }
            (Control::GetServerFeature { .. }, Role::Client) | (Control::Keepalive, _) => {}
            (Control::SetClientFeature { .. }, Role::Client) => {
                self.fail(CloseReason::Unexpected(message));
            }
            (Control::RegisterXferMemory(region), _) => {
                self.remote = Some(RemoteRegion::new(region));
                self.progress = true;
            }
        }
    }

    fn count_idle_message(&mut self) {
        self.idle_messages += 1;
        // Answers that cannot be sent must not pile up either.
        let waiting = self.control.len() as u32;
        if self.idle_messages.max(waiting) > CONTROL_LIMIT {
            self.fail(CloseReason::Flood(self.idle_messages));
        }
    }

    /// An RDMA WRITE WITH IMMEDIATE has arrived: `announced` more bytes are in the receive region.
    pub fn write_received(&mut self, announced: u32) {
        self.credits.consume();
        self.active = true;
        self.established();
        if announced == 0 {
            self.count_idle_message();
        } else if self.region.fill(announced) {
            self.idle_messages = 0;
        } else {
            self.fail(CloseReason::Overrun { announced, left: self.region.left() });
        }
    }

    /// The oldest signalled work request has completed.
    pub fn send_completed(&mut self) {
        match self.queue.complete() {
            Some(position) => {
                self.buffer.release(position);
                self.progress = true;
                self.acknowledged = true;
            }
            None => self.fail(CloseReason::UnexpectedCompletion),
        }
    }

    /// A work request, a receive included, has completed with an error.
    pub fn work_failed(&mut self, failure: WorkFailure) {
        self.lost = true;
        self.fail(CloseReason::Work(failure));
    }

    /// The connection manager says that the peer has disconnected.
    pub fn disconnected(&mut self) {
        self.lost = true;
        self.fail(CloseReason::Disconnected);
    }

    /// The connection manager says that the connection cannot be set up, or has been lost.
    pub fn manager_failed(&mut self, what: &'static str, code: i32) {
        self.lost = true;
        self.fail(CloseReason::Manager(what, code));
    }

    // Time.

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` if never again. Only
    /// `handle_timeout` moves it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed.is_some() {
            None
        } else if self.remote.is_none() {
            Some(self.next_check.min(self.handshake_deadline))
        } else {
            Some(self.next_check)
        }
    }

    /// Handles the timers that are due at `now`: a peer that has not registered, one that stalls, one that has
    /// been silent and must be probed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        if now >= self.next_check {
            self.next_check = now + self.check_interval();
            self.idle_messages = 0;
            self.check_stall();
            self.keep_alive();
            self.check_acknowledgements();
        }
        if self.remote.is_none() && now >= self.handshake_deadline {
            self.fail(CloseReason::Handshake(self.config.handshake_timeout));
        }
    }

    fn check_stall(&mut self) {
        let waits =
            self.remote.is_some() && (self.buffer.pending() > 0 || !self.control.is_empty());
        let progress = std::mem::take(&mut self.progress);
        if progress || !waits {
            self.stalled = Duration::ZERO;
            return;
        }
        self.stalled += self.check_interval();
        if self.stalled >= self.config.stall_timeout {
            let unsent = self.buffer.pending();
            self.fail(CloseReason::Stalled { unsent, time: self.stalled });
        }
    }

    /// Checks whether the peer's device still acknowledges messages. If nothing is due to
    /// complete that would show it, a message is sent that will.
    fn check_acknowledgements(&mut self) {
        let acknowledged = std::mem::take(&mut self.acknowledged);
        if acknowledged || self.queue.is_drained() {
            self.unacknowledged = None;
        } else if self.queue.awaits_completion() {
            let before = self.unacknowledged.map(|time| time + self.check_interval());
            let time = *self.unacknowledged.insert(before.unwrap_or_default());
            if time >= ACKNOWLEDGEMENT_LIMIT {
                self.lost = true;
                self.fail(CloseReason::Unacknowledged(time));
            }
        } else if self.control.is_empty() {
            self.control.push_back(Control::Keepalive);
        }
    }

    fn keep_alive(&mut self) {
        let silent = !std::mem::take(&mut self.active);
        let probes = self.config.role == Role::Server && self.config.keepalive.is_some();
        // A probe that still waits for a slot would not be helped by another.
        if silent && probes && self.remote.is_some() && self.control.is_empty() {
            self.control.push_back(Control::Keepalive);
        }
    }

    // The stream.

    /// The part of the receive region that holds bytes which were not consumed.
    pub fn received(&self) -> Range<usize> {
        self.region.received()
    }

    /// True if the peer can put nothing more into the receive region until all of it was consumed.
    pub fn is_full(&self) -> bool {
        self.region.left() == 0
    }

    /// Takes `n` bytes off the front of [`received`](Self::received). A region that was filled to its
    /// end and is now empty is handed to the peer again.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn consume(&mut self, n: usize) {
        if self.region.consume(n) {
            self.control.push_back(Control::RegisterXferMemory(self.config.region));
        }
    }

    /// A contiguous free part of the send buffer; empty if all of it is in use.
    pub fn space(&mut self) -> Range<usize> {
        self.buffer.space()
    }

    /// Puts the first `n` bytes of [`space`](Self::space) into the stream.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn write(&mut self, n: usize) {
        self.buffer.write(n);
    }

    /// Bytes written and not yet asked for by [`poll_transmit`](Self::poll_transmit).
    pub fn unsent(&self) -> usize {
        self.buffer.pending()
    }

    /// Ends the connection from this side, if it has not ended. Posted work requests may still complete: see
    /// [`is_drained`](Self::is_drained).
    pub fn close(&mut self) {
        self.fail(CloseReason::Local);
        self.buffer.discard();
        self.control.clear();
    }

    /// Why the connection has ended, if it has.
    pub fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }

    /// True if a connection that was closed has nothing left to wait for: all that was posted is with
    /// the peer, or will never be.
    pub fn is_drained(&self) -> bool {
        self.closed.is_some() && (self.lost || self.queue.is_drained())
    }

    // Work.

    /// Receives to post again now.
    pub fn poll_receives(&mut self) -> u32 {
        if self.closed.is_some() { 0 } else { self.credits.take() }
    }

    /// True if [`poll_transmit`](Self::poll_transmit) may have something that is not stream bytes.
    pub fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// The next work request to post. It must be posted before the send buffer is written again.
    pub fn poll_transmit(&mut self) -> Option<WorkRequest> {
        if self.closed.is_some() {
            return self.last_request();
        }
        if !self.established || self.queue.free() == 0 {
            return None;
        }
        if let Some(message) = self.control.pop_front() {
            return Some(self.control_request(message, message == Control::Keepalive));
        }
        self.write_request()
    }

    /// After a close, one more message, whose completion shows that all before it have arrived.
    fn last_request(&mut self) -> Option<WorkRequest> {
        let waits = !self.lost && !self.queue.is_covered();
        (waits && self.queue.free() > 0).then(|| self.control_request(Control::Keepalive, true))
    }

    fn control_request(&mut self, message: Control, force: bool) -> WorkRequest {
        let signalled = self.queue.post(&self.buffer, 0, force);
        WorkRequest::Control { message: message.encode(), signalled }
    }

    fn write_request(&mut self) -> Option<WorkRequest> {
        let slots = self.queue.free().saturating_sub(CONTROL_SLOTS);
        let remote = self.remote.as_mut()?;
        let (start, piece) = self.buffer.piece();
        let n = piece.min(remote.room()).min(self.buffer.size() / 4);
        if n == 0 || slots == 0 {
            return None;
        }
        let (addr, rkey) = remote.take(n);
        let inline = n <= self.config.max_inline;
        let in_use = self.buffer.post(n, inline);
        let signalled = self.queue.post(&self.buffer, in_use, false);
        self.unannounced += n as u32;
        let last = self.buffer.pending() == 0 || remote.room() == 0 || slots == 1;
        let announce = last || self.unannounced as usize >= NOTIFY_BYTES;
        let immediate = announce.then(|| std::mem::take(&mut self.unannounced));
        self.active = true;
        self.progress = true;
        self.idle_messages = 0;
        Some(WorkRequest::Write {
            local: start..start + n,
            remote: addr,
            rkey,
            immediate,
            signalled,
            inline,
        })
    }
}
