//! A worker: one thread, one event loop, its connections.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use verbena_transport::event_loop::{self, spawn_local};
use verbena_transport::{Alarm, Incoming};

use super::deadlines::Deadlines;
use super::eviction::{self, Evictor, Room};
use super::{Server, WorkerStats, expiry, unix_milliseconds};
use crate::allocator::ThreadCount;
use crate::config::Settings;
use crate::log;
use crate::session;

/// How long a refused peer may take to read why.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// What the sessions of one thread share.
pub struct Worker {
    pub server: &'static Server,
    pub index: usize,
    settings: RefCell<CurrentSettings>,
    now: Cell<i64>,
    clock: quanta::Clock,
    /// When its blocked clients stop waiting.
    pub deadlines: Rc<Deadlines>,
    evictor: RefCell<Evictor>,
    /// What the thread may have allocated before the memory in use is looked at again.
    granted: Cell<i64>,
    /// A client of this worker waits for the end of a pause.
    paused: Notify,
}

struct CurrentSettings {
    cache: Cache<&'static ArcSwap<Settings>, Arc<Settings>>,
    shared: Arc<Settings>,
    /// A copy of `shared`.
    own: Rc<Settings>,
}

/// A connection on its way to a worker.
pub(super) struct Handoff {
    incoming: Box<dyn Incoming>,
    /// What to say instead of serving it.
    refusal: Option<&'static str>,
    seat: Seat,
}

impl Handoff {
    pub(super) fn new(
        server: &'static Server,
        worker: usize,
        incoming: Box<dyn Incoming>,
        refusal: Option<&'static str>,
    ) -> Self {
        let load = &*server.loads[worker];
        load.fetch_add(1, Ordering::Relaxed);
        Handoff { incoming, refusal, seat: Seat(load) }
    }
}

/// A connection's part of its worker's load, as long as it exists.
struct Seat(&'static AtomicUsize);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client's place in the list of clients, as long as its session exists, however that ends.
struct Listed {
    server: &'static Server,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.server.clients.remove(self.id);
    }
}

/// Starts worker `index`; connections are handed to it through the result.
pub(super) fn start(
    server: &'static Server,
    index: usize,
) -> io::Result<mpsc::UnboundedSender<Handoff>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::Builder::new().name(format!("io_thd_{index}")).spawn(move || {
        let worker = Rc::new(Worker::new(server, index));
        event_loop::block_on(serve(worker, receiver)).expect("an event loop");
    })?;
    Ok(sender)
}

async fn serve(worker: Rc<Worker>, mut handoffs: mpsc::UnboundedReceiver<Handoff>) {
    spawn_local(expiry::run(worker.clone()));
    spawn_local(end_pauses(worker.clone()));
    spawn_local(worker.deadlines.clone().run());
    if worker.index == 0 {
        spawn_local(eviction::run(worker.clone()));
    }
    while let Some(Handoff { incoming, refusal, seat }) = handoffs.recv().await {
        let info = incoming.info().clone();
        let mut connection = match incoming.attach() {
            Ok(connection) => connection,
            Err(error) => {
                log::warning(format_args!("Error accepting a client connection: {error}"));
                continue;
            }
        };
        if let Some(text) = refusal {
            spawn_local(async move {
                connection.queue(Bytes::from_static(text.as_bytes()));
                // What a fresh connection has to send goes at once, unless the peer must say first
                // where to. One that takes too long gets no more.
                let alarm = Alarm::new().ok();
                alarm.iter().for_each(|alarm| alarm.set(REFUSAL_PATIENCE));
                poll_fn(|cx| {
                    let late = alarm.as_ref().is_none_or(|alarm| alarm.poll_ring(cx).is_ready());
                    if connection.poll_flush(cx).is_ready() || late {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                drop(seat);
            });
            continue;
        }
        let record = worker.server.clients.register(info, worker.refresh_clock());
        let listed = Listed { server: worker.server, id: record.id };
        let worker = worker.clone();
        spawn_local(async move {
            session::serve(worker, connection, record).await;
            drop((listed, seat));
        });
    }
}

/// Wakes the clients that wait for the end of a pause, when it has come.
async fn end_pauses(worker: Rc<Worker>) {
    let alarm = Alarm::new().expect("the system has room for one more timer");
    loop {
        worker.paused.notified().await;
        loop {
            match worker.server.pause.remaining(worker.refresh_clock()) {
                0 => break,
                remaining => alarm.sleep(Duration::from_millis(remaining)).await,
            }
        }
        worker.server.clients.wake_blocked();
    }
}

impl Worker {
    /// The state of worker `index`, on the thread that calls this.
    pub fn new(server: &'static Server, index: usize) -> Self {
        let shared = server.config.load();
        Worker {
            settings: RefCell::new(CurrentSettings {
                cache: Cache::new(server.config.shared()),
                own: Rc::new(Settings::clone(&shared)),
                shared,
            }),
            server,
            index,
            now: Cell::new(0),
            clock: quanta::Clock::new(),
            deadlines: Rc::default(),
            evictor: RefCell::default(),
            granted: Cell::new(i64::MIN),
            paused: Notify::new(),
        }
    }

    /// The settings in force: a copy of this thread's own, so that threads do not contend for a count
    /// of references on every turn.
    #[inline]
    pub fn settings(&self) -> Rc<Settings> {
        let mut settings = self.settings.borrow_mut();
        let CurrentSettings { cache, shared, own } = &mut *settings;
        let loaded = cache.load();
        if !Arc::ptr_eq(loaded, shared) {
            *shared = loaded.clone();
            *own = Rc::new(Settings::clone(loaded));
        }
        own.clone()
    }

    /// Evicts keys if the memory in use is above the limit, which must be set. The thread must have
    /// passed its gate, and must hold no shard.
    #[inline]
    pub fn make_room(&self, settings: &Settings, now: i64) -> Room {
        if ThreadCount::own().get() < self.granted.get() {
            return Room::Made;
        }
        let mut granted = 0;
        let room = self.evictor.borrow_mut().make_room(self, settings, now, &mut granted);
        self.granted.set(granted);
        room
    }

    /// Has the memory in use be looked at before the next command.
    #[inline]
    pub fn look_at_memory(&self) {
        self.granted.set(i64::MIN);
    }

    /// Whether there is a pause now. Its end wakes the clients that are marked as blocked.
    pub fn is_paused(&self) -> bool {
        let paused = self.server.pause.remaining(self.refresh_clock()) > 0;
        if paused {
            self.paused.notify_one();
        }
        paused
    }

    #[inline]
    pub fn stats(&self) -> &WorkerStats {
        &self.server.stats[self.index]
    }

    /// Reads the clock: milliseconds of Unix time.
    #[inline]
    pub fn refresh_clock(&self) -> i64 {
        self.now.set(unix_milliseconds());
        self.now.get()
    }

    /// Ticks of the processor's time-stamp counter.
    #[inline]
    pub fn ticks(&self) -> u64 {
        self.clock.raw()
    }
}
