//! What the tasks of one worker thread share, and the tasks that no client asks for: expiry, eviction,
//! deadlines.

mod deadlines;
mod eviction;
mod expiry;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::Notify;
use verbena_transport::Alarm;
use verbena_transport::event_loop::{spawn_local, try_spawn_local};

use crate::allocator::ThreadCount;
use crate::command::{self, CommandTable, Env, Local};
use crate::config::Settings;
use crate::keyspace::{Busy, Entered};
use crate::state::{ClientRecord, OutboxSender, Room, Server, WorkerStats, unix_milliseconds};
use deadlines::Deadlines;
use eviction::Evictor;

pub use deadlines::Deadline;

/// What the sessions of one thread share.
pub struct Worker {
    pub server: &'static Server,
    pub commands: &'static CommandTable,
    pub index: usize,
    settings: RefCell<CurrentSettings>,
    now: Cell<i64>,
    local: Local,
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

/// Starts the tasks of a worker that no client asks for. Its event loop must be running.
pub fn start_tasks(worker: &Rc<Worker>) {
    spawn_local(expiry::run(worker.clone()));
    spawn_local(end_pauses(worker.clone()));
    spawn_local(worker.deadlines.clone().run());
    if worker.index == 0 {
        spawn_local(eviction::run(worker.clone()));
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
        let local = Local::new(server, index);
        local.stats.limits.set(&shared, &local.clock);
        if index == 0 {
            server.load.note_first_worker();
        }
        Worker {
            settings: RefCell::new(CurrentSettings {
                cache: Cache::new(server.config.shared()),
                own: Rc::new(Settings::clone(&shared)),
                shared,
            }),
            server,
            commands: command::table(),
            index,
            now: Cell::new(0),
            local,
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
            self.stats().limits.set(own, &self.local.clock);
        }
        own.clone()
    }

    /// Evicts keys if the memory in use is above the limit, which must be set. The thread must
    /// hold no shard.
    #[inline]
    pub fn make_room(&self, entered: &Entered<'static>, settings: &Settings, now: i64) -> Room {
        if ThreadCount::own().get() < self.granted.get() {
            return Room::Made;
        }
        let mut granted = 0;
        let room = self.evictor.borrow_mut().make_room(self, entered, settings, now, &mut granted);
        self.granted.set(granted);
        room
    }

    /// Does something within the keyspace: now, or later if it belongs to another thread for long. A thread whose
    /// event loop has ended leaves it undone then, since the process ends too.
    pub fn enter_soon(&self, work: impl FnOnce(&Entered<'static>) + 'static) {
        let (keyspace, index) = (&self.server.keyspace, self.index);
        match keyspace.enter_unless_busy(index) {
            Ok(entered) => work(&entered),
            Err(Busy) => {
                let later = async move { work(&keyspace.enter_when_free(index).await) };
                try_spawn_local(later);
            }
        }
    }

    /// Has the memory in use be looked at before the next command.
    #[inline]
    pub fn look_at_memory(&self) {
        self.granted.set(i64::MIN);
    }

    /// Whether there are keys of which others are to be told.
    #[inline]
    pub fn has_changed_keys(&self) -> bool {
        !self.local.changed_keys.is_empty()
    }

    /// Tells those who have asked for all changes of keys with a prefix of the keys that `by` has changed.
    #[cold]
    pub fn broadcast_changed_keys(&self, settings: &Settings, by: &ClientRecord) {
        let server = self.server;
        let mut sender = OutboxSender::new(&settings.client_output_buffer_limit);
        let changed = &self.local.changed_keys;
        server.tracking.broadcast(changed, Some(by), &server.clients, &mut sender);
        server.end_over_limit(sender);
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
        self.local.stats
    }

    /// Reads the clock: milliseconds of Unix time.
    #[inline]
    pub fn refresh_clock(&self) -> i64 {
        self.now.set(unix_milliseconds());
        self.now.get()
    }

    /// The surroundings of this thread's calls.
    #[inline]
    pub fn env<'e>(&'e self, settings: &'e Settings) -> Env<'e> {
        Env { local: &self.local, settings }
    }
}
