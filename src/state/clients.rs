//! The registry of connected clients: what one thread may know and change of another's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};

use bitflags::bitflags;
use bytes::Bytes;
use parking_lot::Mutex;
use verbena_transport::{ConnectionInfo, Endpoint, unix};

use super::client_memory::{ClientMemory, CountedMemory};
use super::outbox::{Outbox, OutboxClass};
use super::{Counter, Gauge};
use crate::acl;
use crate::config::{OutputLimit, OutputLimits};
use crate::keyspace::WatchState;
use crate::keyspace::parked::Parked;
use crate::log;

bitflags! {
    /// What CLIENT LIST tells of a client in letters or in one word.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Attributes: u32 {
        /// It waits, for the end of a pause.
        const BLOCKED = 1 << 0;
        const CLOSE_AFTER_REPLY = 1 << 1;
        const UNIX = 1 << 2;
        const NO_EVICT = 1 << 3;
        const NO_TOUCH = 1 << 4;
        const RESP3 = 1 << 5;
        /// It can be sent to another server (CLIENT CAPA REDIRECT).
        const REDIRECT = 1 << 6;
        /// It queues a transaction.
        const MULTI = 1 << 7;
        /// A key that it watches was changed.
        const WATCH_CHANGED = 1 << 8;
        /// It has subscribed to something.
        const PUBSUB = 1 << 9;
        /// It is shown all commands.
        const MONITOR = 1 << 10;
        /// It is told when keys change.
        const TRACKING = 1 << 11;
        /// Those with certain prefixes, that is.
        const BROADCASTS = 1 << 12;
        /// The client is gone that was to be told in its place.
        const REDIRECT_BROKEN = 1 << 13;
        /// It may read from a cluster's replica.
        const READONLY = 1 << 14;
        /// It brings data from another server, which expire there.
        const IMPORT_SOURCE = 1 << 15;
    }
}

impl Attributes {
    /// The letters of CLIENT LIST's `flags`.
    pub fn letters(self) -> String {
        let letters: String = [
            (Attributes::MONITOR, 'O'),
            (Attributes::PUBSUB, 'P'),
            (Attributes::MULTI, 'x'),
            (Attributes::BLOCKED, 'b'),
            (Attributes::TRACKING, 't'),
            (Attributes::REDIRECT_BROKEN, 'R'),
            (Attributes::BROADCASTS, 'B'),
            (Attributes::WATCH_CHANGED, 'd'),
            (Attributes::CLOSE_AFTER_REPLY, 'c'),
            (Attributes::UNIX, 'U'),
            (Attributes::READONLY, 'r'),
            (Attributes::NO_EVICT, 'e'),
            (Attributes::NO_TOUCH, 'T'),
            (Attributes::IMPORT_SOURCE, 'I'),
        ]
        .into_iter()
        .filter(|(attribute, _)| self.contains(*attribute))
        .map(|(_, letter)| letter)
        .collect();
        if letters.is_empty() { "N".into() } else { letters }
    }

    /// The letters of CLIENT LIST's `capa`.
    pub fn capabilities(self) -> &'static str {
        if self.contains(Attributes::REDIRECT) { "r" } else { "" }
    }
}

/// What a client calls itself. Empty where it has not said.
#[derive(Clone, Default)]
pub struct Labels {
    pub name: String,
    pub lib_name: String,
    pub lib_version: String,
}

/// A client's transaction, as other threads see it. Only the session's own thread writes it.
#[derive(Default)]
pub struct Multi {
    /// One more than the number of queued commands; 0 until the client first uses a transaction.
    pub queued: Gauge,
    /// Watched keys.
    pub watched: Gauge,
    /// Whether one of them was changed. It stays the same for the client's life.
    pub watch_state: OnceLock<Arc<WatchState>>,
    /// Bytes of memory that both take.
    pub memory: Gauge,
}

impl Multi {
    /// Whether a watched key was changed: EXEC will execute nothing.
    pub fn is_changed(&self) -> bool {
        self.watch_state.get().is_some_and(|state| state.is_changed())
    }

    /// Commands in the queue, of which nothing is left once a watched key was changed; -1 if the client has
    /// never used a transaction.
    fn queued(&self) -> i64 {
        let queued = self.queued.get() as i64 - 1;
        if self.is_changed() { queued.min(0) } else { queued }
    }

    /// Bytes of memory that the queue and the watches take.
    fn memory(&self) -> u64 {
        self.memory.get()
    }

    /// Keys that the client watches, if its watches have not ended.
    pub fn watched(&self) -> u64 {
        let ended = self.watch_state.get().is_some_and(|state| state.is_ended());
        if ended { 0 } else { self.watched.get() }
    }
}

/// How a connection goes on.
const OPEN: u8 = 0;
const FINISHING: u8 = 1;
const KILLED: u8 = 2;

/// One client, as other threads see it.
///
/// The session publishes its state here once per turn; only its own thread writes the gauges and
/// counters.
pub struct ClientRecord {
    /// Unique for the life of the process, ascending.
    pub id: u64,
    pub info: ConnectionInfo,
    /// Milliseconds of Unix time.
    pub created: i64,
    /// Milliseconds of Unix time.
    pub last_interaction: AtomicI64,
    /// Bytes received.
    pub net_input: Counter,
    /// Bytes sent.
    pub net_output: Gauge,
    /// Commands executed.
    pub commands: Gauge,
    pub db: Gauge,
    /// Bytes received and not yet executed, and the memory that is there for them.
    pub query: Gauge,
    pub query_memory: Gauge,
    /// Bytes of replies not yet sent, the memory that is there for them, and the most that it was.
    pub unsent: Gauge,
    pub send_memory: Gauge,
    pub send_memory_peak: Gauge,
    /// Chunks of them that wait behind the send buffer, and their bytes.
    pub queued_chunks: Gauge,
    pub queued: Gauge,
    /// Bytes of the arguments that are there of an incomplete request, or of the command that runs.
    pub arguments: Gauge,
    /// Since when more is unsent than the soft limit allows, in milliseconds of Unix time; 0 if it is
    /// not.
    pub over_soft_limit: Gauge,
    /// One more than the id of the command that ran last; 0 without one.
    last_command: AtomicU32,
    attributes: AtomicU32,
    pub labels: Mutex<Labels>,
    /// The name of its user; `None` for the default user.
    user: Mutex<Option<Box<[u8]>>>,
    /// What it waits for, if it is blocked.
    pub parked: Mutex<Option<Arc<dyn Parked>>>,
    /// Bytes that other threads have for the client.
    pub outbox: Outbox,
    class: AtomicU8,
    /// The transaction that it queues, and what it watches.
    pub multi: Multi,
    /// How many channels, patterns and shard channels it has subscribed to, and their memory in bytes.
    pub subscriptions: Gauge,
    pub pattern_subscriptions: Gauge,
    pub shard_subscriptions: Gauge,
    pub subscription_memory: Gauge,
    /// The id of the client that is told of changed keys in its place; 0 for none, -1 where it is not told.
    pub tracking_redirect: AtomicI64,
    /// Bytes that the prefixes of its keys take.
    pub tracking_memory: Gauge,
    /// Its part of the memory of all clients.
    pub(super) counted: CountedMemory,
    /// Bytes that the session takes besides its buffers.
    session_memory: usize,
    ending: AtomicU8,
    /// Wakes the session's task, which stays the same for its whole life.
    waker: OnceLock<Waker>,
}

impl ClientRecord {
    fn new(id: u64, info: ConnectionInfo, now: i64, session_memory: usize) -> Self {
        ClientRecord {
            id,
            created: now,
            last_interaction: AtomicI64::new(now),
            net_input: Counter::default(),
            net_output: Gauge::default(),
            commands: Gauge::default(),
            db: Gauge::default(),
            query: Gauge::default(),
            query_memory: Gauge::default(),
            unsent: Gauge::default(),
            send_memory: Gauge::default(),
            send_memory_peak: Gauge::default(),
            queued_chunks: Gauge::default(),
            queued: Gauge::default(),
            arguments: Gauge::default(),
            over_soft_limit: Gauge::default(),
            last_command: AtomicU32::new(0),
            attributes: AtomicU32::new(0),
            labels: Mutex::default(),
            user: Mutex::default(),
            parked: Mutex::default(),
            outbox: Outbox::default(),
            class: AtomicU8::new(OutboxClass::Normal as u8),
            multi: Multi::default(),
            subscriptions: Gauge::default(),
            pattern_subscriptions: Gauge::default(),
            shard_subscriptions: Gauge::default(),
            subscription_memory: Gauge::default(),
            tracking_redirect: AtomicI64::new(-1),
            tracking_memory: Gauge::default(),
            counted: CountedMemory::default(),
            session_memory,
            ending: AtomicU8::new(OPEN),
            waker: OnceLock::new(),
            info,
        }
    }

    /// The record of a caller that is no client: it is not among the connected ones. Its id is 0.
    pub fn unlisted(now: i64) -> Arc<ClientRecord> {
        let nowhere = Endpoint::Path(PathBuf::new());
        let local = nowhere.clone();
        let info = ConnectionInfo {
            backend: &unix::BACKEND,
            peer: nowhere,
            local,
            fd: None,
            certificate: None,
        };
        Arc::new(ClientRecord::new(0, info, now, 0))
    }

    #[inline]
    pub fn is_killed(&self) -> bool {
        self.ending.load(Ordering::Acquire) == KILLED
    }

    /// Whether the connection is to end once nothing more arrives and all replies are sent.
    #[inline]
    pub fn is_finishing(&self) -> bool {
        self.ending.load(Ordering::Acquire) == FINISHING
    }

    /// Hands the client's session a whole message to send, from any thread: the byte `first` and what
    /// follows it. Returns the bytes that wait for the peer.
    pub fn send(&self, first: u8, rest: &Bytes) -> u64 {
        if self.is_killed() {
            return 0;
        }
        let (before, waiting) = self.outbox.push(first, rest);
        if before == 0 {
            self.wake();
        }
        waiting as u64 + self.unsent.get()
    }

    /// Whether it speaks RESP3.
    #[inline]
    pub fn is_resp3(&self) -> bool {
        self.attributes.load(Ordering::Relaxed) & Attributes::RESP3.bits() != 0
    }

    /// The class whose limit (`client-output-buffer-limit`) applies to the client.
    pub fn class(&self) -> OutboxClass {
        match self.class.load(Ordering::Relaxed) {
            0 => OutboxClass::Normal,
            1 => OutboxClass::Replica,
            _ => OutboxClass::Pubsub,
        }
    }

    /// Only the session's own thread changes it.
    pub fn set_class(&self, class: OutboxClass) {
        self.class.store(class as u8, Ordering::Relaxed);
    }

    /// Has the session's task look at its state again.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    #[inline]
    pub fn set_waker(&self, cx: &Context<'_>) {
        if self.waker.get().is_none() {
            // Only the session's own task sets it, so it can't be set in between.
            let _ = self.waker.set(cx.waker().clone());
            if self.ending.load(Ordering::Acquire) != OPEN {
                cx.waker().wake_by_ref();
            }
        }
    }

    #[inline]
    pub fn set_attributes(&self, attributes: Attributes) {
        self.attributes.store(attributes.bits(), Ordering::Relaxed);
    }

    pub fn attributes(&self) -> Attributes {
        let is_unix = self.info.backend.is_unix_socket;
        let unix = if is_unix { Attributes::UNIX } else { Attributes::empty() };
        let mut attributes =
            Attributes::from_bits_truncate(self.attributes.load(Ordering::Relaxed)) | unix;
        attributes.set(Attributes::WATCH_CHANGED, self.multi.is_changed());
        attributes
    }

    /// Only the session's own thread changes it.
    pub fn set_user(&self, name: &[u8]) {
        *self.user.lock() = (*name != *acl::DEFAULT).then(|| name.into());
    }

    /// The name of its user.
    pub fn user(&self) -> Box<[u8]> {
        self.user.lock().clone().unwrap_or_else(|| acl::DEFAULT.into())
    }

    /// Whether its user has that name.
    pub fn is_user(&self, name: &[u8]) -> bool {
        self.user.lock().as_deref().unwrap_or(acl::DEFAULT) == name
    }

    /// `id` is the command's, in the order of [`Server::command_names`](super::Server::command_names).
    #[inline]
    pub fn set_last_command(&self, id: Option<usize>) {
        self.last_command.store(id.map_or(0, |id| id as u32 + 1), Ordering::Relaxed);
    }

    /// Seconds since it connected.
    pub fn age(&self, now: i64) -> i64 {
        (now - self.created).max(0) / 1000
    }

    /// Seconds since it sent something.
    pub fn idle(&self, now: i64) -> i64 {
        (now - self.last_interaction.load(Ordering::Relaxed)).max(0) / 1000
    }

    /// Logs that the client ends because it left too much unread.
    pub fn log_output_limit(&self, now: i64, command_names: &[String]) {
        log::warning(format_args!(
            "Client {} scheduled to be closed ASAP for overcoming of output buffer limits.",
            self.line(now, command_names)
        ));
    }

    /// Bytes of memory that the client takes besides its buffers, as it may change with every command.
    #[inline]
    pub fn state_memory(&self) -> u64 {
        self.multi.memory.get() + self.subscription_memory.get() + self.tracking_memory.get()
    }

    /// Bytes that wait for the peer: in the session and in the outbox.
    pub fn output(&self) -> u64 {
        self.unsent.get() + self.outbox.len() as u64
    }

    /// Whether more waits for the peer than `limit` allows, or has waited for too long.
    pub fn is_over(&self, limit: OutputLimit, now: i64) -> bool {
        let since = self.over_soft_limit.get() as i64;
        let patience = limit.soft_seconds.saturating_mul(1000) as i64;
        limit.hard > 0 && self.output() >= limit.hard
            || limit.soft > 0 && since > 0 && now.saturating_sub(since) > patience
    }

    /// Bytes of memory that the connection takes.
    pub fn memory(&self) -> u64 {
        let fixed = size_of::<ClientRecord>() + self.session_memory;
        fixed as u64
            + self.query_memory.get()
            + self.send_memory.get()
            + self.state_memory()
            + self.outbox.len() as u64
    }

    /// The client's line of CLIENT LIST, without the end of the line.
    pub fn line(&self, now: i64, command_names: &[String]) -> String {
        let labels = self.labels.lock().clone();
        let attributes = self.attributes();
        let query = self.query.get();
        let output = self.output();
        let queued = self.queued.get();
        let command = match self.last_command.load(Ordering::Relaxed) {
            0 => "NULL",
            id => &command_names[id as usize - 1],
        };
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} capa={} db={} sub={} psub={} \
             ssub={} multi={} watch={} qbuf={query} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} \
             obl={} oll={} omem={output} tot-mem={} events={} cmd={command} user={} redir={} \
             resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
            self.id,
            self.info.peer,
            self.info.local,
            self.info.fd.unwrap_or(-1),
            labels.name,
            self.age(now),
            self.idle(now),
            attributes.letters(),
            attributes.capabilities(),
            self.db.get(),
            self.subscriptions.get(),
            self.pattern_subscriptions.get(),
            self.shard_subscriptions.get(),
            self.multi.queued(),
            self.multi.watched(),
            self.query_memory.get().saturating_sub(query),
            self.arguments.get(),
            self.multi.memory(),
            self.send_memory.get().saturating_sub(queued),
            self.send_memory_peak.get(),
            self.unsent.get().saturating_sub(queued),
            self.queued_chunks.get() + u64::from(!self.outbox.is_empty()),
            self.memory(),
            if output > 0 { "rw" } else { "r" },
            String::from_utf8_lossy(&self.user()),
            self.tracking_redirect.load(Ordering::Relaxed),
            if attributes.contains(Attributes::RESP3) { 3 } else { 2 },
            labels.lib_name,
            labels.lib_version,
            self.net_input.get(),
            self.net_output.get(),
            self.commands.get(),
        )
    }
}

/// All connected clients.
#[derive(Default)]
pub struct Clients {
    pub memory: ClientMemory,
    last_id: AtomicU64,
    connected: Mutex<BTreeMap<u64, Arc<ClientRecord>>>,
}

impl Clients {
    /// Adds a client. `session_memory` is what the client's session takes besides its buffers, in bytes.
    pub fn register(
        &self,
        info: ConnectionInfo,
        now: i64,
        session_memory: usize,
    ) -> Arc<ClientRecord> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let record = Arc::new(ClientRecord::new(id, info, now, session_memory));
        self.memory.count(&record);
        self.connected.lock().insert(id, record.clone());
        record
    }

    pub fn remove(&self, id: u64) {
        let removed = self.connected.lock().remove(&id);
        removed.iter().for_each(|record| self.memory.forget(record));
    }

    /// Ends a connection, from any thread. It is no longer among the connected ones.
    pub fn kill(&self, record: &ClientRecord) {
        self.remove(record.id);
        record.ending.store(KILLED, Ordering::Release);
        record.outbox.clear();
        record.wake();
    }

    /// Ends all connections: each when its client has been sent the replies to all requests that have arrived.
    pub fn finish_all(&self) {
        for record in self.all() {
            // A killed one stays so.
            let _ = record.ending.compare_exchange(
                OPEN,
                FINISHING,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            record.wake();
        }
    }

    /// The clients that are connected now, by ascending id.
    pub fn all(&self) -> Vec<Arc<ClientRecord>> {
        self.connected.lock().values().cloned().collect()
    }

    /// The client of that id, if it is connected.
    pub fn get(&self, id: u64) -> Option<Arc<ClientRecord>> {
        self.connected.lock().get(&id).cloned()
    }

    /// Has the clients that are marked as blocked look again at what they wait for.
    pub fn wake_blocked(&self) {
        for record in self.connected.lock().values() {
            if record.attributes().contains(Attributes::BLOCKED) {
                record.wake();
            }
        }
    }

    /// Ends the connections of all clients that have said nothing since `oldest`, in milliseconds of
    /// Unix time.
    pub fn kill_idle(&self, oldest: i64) {
        let is_idle = |record: &&Arc<ClientRecord>| {
            let blocked = record.attributes().contains(Attributes::BLOCKED);
            !blocked && record.last_interaction.load(Ordering::Relaxed) < oldest
        };
        for record in self.all().iter().filter(is_idle) {
            log::verbose("Closing idle client");
            self.kill(record);
        }
    }

    /// Ends the connections of all clients that have left more unread than the limits of their classes
    /// allow, or for longer. Returns how many those were.
    pub fn kill_slow_readers(
        &self,
        limits: &OutputLimits,
        now: i64,
        command_names: &[String],
    ) -> usize {
        let is_slow = |record: &&Arc<ClientRecord>| record.is_over(limits.of(record.class()), now);
        let mut killed = 0;
        for record in self.all().iter().filter(is_slow) {
            record.log_output_limit(now, command_names);
            self.kill(record);
            killed += 1;
        }
        killed
    }

    pub fn len(&self) -> usize {
        self.connected.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
