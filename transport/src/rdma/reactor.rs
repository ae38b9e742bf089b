//! The state that the RDMA connections of one thread share: completion queues, an event channel of the
//! connection manager, timers, and the tasks that drive them.
//!
//! There is one completion queue for each device in use; only where a device's queues are too short
//! for all connections there are more.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::cm::{Event, EventChannel, EventKind, Id};
use super::counters::WorkerCounters;
use super::link::Link;
use super::options::RdmaOptions;
use super::queue::{Share, SharedQueue};
use super::verbs::ProtectionDomain;
use super::waiter::Waiter;
use crate::alarm::Alarm;
use crate::event_loop::{Source, spawn_local};
use crate::idle::{Next, QUEUE_POLLS, TimedPolling};

/// Time that a dropped connection gets to bring its last bytes to the peer.
const LINGER: Duration = Duration::from_secs(2);

/// Granularity of timers: many connections share one pass over all of them.
const TIMER_GRAIN: Duration = Duration::from_millis(50);

thread_local! {
    static CURRENT: RefCell<Weak<Reactor>> = const { RefCell::new(Weak::new()) };
}

/// Names an entry of the reactor: its place and how often that has been used, so that a completion
/// or event of an entry that is gone is not taken for one of its successor. Its low 16 bits are free for a receive's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    place: u32,
    generation: u32,
}

const SLOT_BITS: u32 = 16;
const PLACE_BITS: u32 = 24;

impl Key {
    pub(super) fn tag(self) -> u64 {
        u64::from(self.generation) << (SLOT_BITS + PLACE_BITS) | u64::from(self.place) << SLOT_BITS
    }

    fn of(tag: u64) -> (Key, u32) {
        let place = (tag >> SLOT_BITS) as u32 & ((1 << PLACE_BITS) - 1);
        let generation = (tag >> (SLOT_BITS + PLACE_BITS)) as u32;
        (Key { place, generation }, tag as u32 & ((1 << SLOT_BITS) - 1))
    }
}

/// The state that a key names.
#[derive(Clone)]
pub(super) enum Entry {
    /// A client's connection before it has a queue pair.
    Resolving(Rc<Resolving>),
    Link(Rc<Link>),
}

/// A client's connection whose address and route are being resolved.
#[derive(Default)]
pub(super) struct Resolving {
    pub(super) event: Cell<Option<EventKind>>,
    pub(super) waiter: Waiter,
}

#[derive(Default)]
struct Entries {
    slots: Vec<(u32, Option<Entry>)>,
    free: Vec<u32>,
}

/// The RDMA side of one thread's runtime.
pub(super) struct Reactor {
    channel: Arc<EventChannel>,
    events: Source<Arc<EventChannel>>,
    queues: RefCell<Vec<Rc<SharedQueue>>>,
    entries: RefCell<Entries>,
    /// Options of the links that exist, each with their number.
    options: RefCell<Vec<(Arc<RdmaOptions>, usize)>>,
    /// Links whose stream was dropped and which are not taken down yet.
    lingering: RefCell<Vec<Key>>,
    /// Tasks that completions have woken and that have not run since.
    woken: Cell<usize>,
    driver: RefCell<Option<Waker>>,
    timer: Notify,
    alarm: Alarm,
    counters: Arc<WorkerCounters>,
}

impl Reactor {
    /// The reactor of the calling thread's runtime. It is created when it is first asked for.
    ///
    /// # Errors
    /// Where the kernel has no RDMA connection manager.
    pub(super) fn current() -> io::Result<Rc<Reactor>> {
        if let Some(reactor) = CURRENT.with_borrow(Weak::upgrade) {
            return Ok(reactor);
        }
        let channel = EventChannel::new()?;
        let events = channel.watch()?;
        let reactor = Rc::new(Reactor {
            channel,
            events,
            queues: RefCell::default(),
            entries: RefCell::default(),
            options: RefCell::default(),
            lingering: RefCell::default(),
            woken: Cell::new(0),
            driver: RefCell::default(),
            timer: Notify::new(),
            alarm: Alarm::new()?,
            counters: WorkerCounters::register(),
        });
        // These end, and with them the reactor, when the runtime does.
        spawn_local(Driver { reactor: reactor.clone(), polling: TimedPolling::default() });
        spawn_local(handle_manager_events(reactor.clone()));
        spawn_local(keep_time(reactor.clone()));
        CURRENT.set(Rc::downgrade(&reactor));
        Ok(reactor)
    }

    pub(super) fn channel(&self) -> &Arc<EventChannel> {
        &self.channel
    }

    /// A key for an entry that is to come.
    pub(super) fn reserve(&self) -> Key {
        let mut entries = self.entries.borrow_mut();
        let place = entries.free.pop().unwrap_or_else(|| {
            entries.slots.push((0, None));
            (entries.slots.len() - 1) as u32
        });
        assert!(place < 1 << PLACE_BITS);
        Key { place, generation: entries.slots[place as usize].0 }
    }

    pub(super) fn insert(&self, key: Key, entry: Entry) {
        if let Entry::Link(link) = &entry {
            self.add_options(&link.options);
        }
        self.entries.borrow_mut().slots[key.place as usize].1 = Some(entry);
        self.timer.notify_one();
        self.wake_driver();
    }

    /// Takes an entry out; its key names nothing any more.
    pub(super) fn remove(&self, key: Key) {
        let mut entries = self.entries.borrow_mut();
        let slot = &mut entries.slots[key.place as usize];
        if slot.0 != key.generation {
            return;
        }
        // 24 bits of it are in a tag.
        slot.0 = (slot.0 + 1) & 0xff_ffff;
        let entry = slot.1.take();
        entries.free.push(key.place);
        drop(entries);
        if let Some(Entry::Link(link)) = &entry {
            self.runs(link);
            self.remove_options(&link.options);
        }
    }

    fn get(&self, key: Key) -> Option<Entry> {
        let entries = self.entries.borrow();
        let (generation, entry) = entries.slots.get(key.place as usize)?;
        if *generation == key.generation { entry.clone() } else { None }
    }

    fn add_options(&self, options: &Arc<RdmaOptions>) {
        let mut all = self.options.borrow_mut();
        match all.iter_mut().find(|(known, _)| Arc::ptr_eq(known, options)) {
            Some((_, count)) => *count += 1,
            None => all.push((options.clone(), 1)),
        }
    }

    fn remove_options(&self, options: &Arc<RdmaOptions>) {
        let mut all = self.options.borrow_mut();
        if let Some(at) = all.iter().position(|(known, _)| Arc::ptr_eq(known, options)) {
            all[at].1 -= 1;
            if all[at].1 == 0 {
                all.swap_remove(at);
            }
        }
    }

    /// Options in use that `same` picks, so that connections that were asked for alike share them.
    pub(super) fn find_options(
        &self,
        same: impl Fn(&RdmaOptions) -> bool,
    ) -> Option<Arc<RdmaOptions>> {
        let all = self.options.borrow();
        all.iter().map(|(options, _)| options).find(|options| same(options)).cloned()
    }

    /// Microseconds to spin after the last completion: the most that any connection asks for.
    fn spin_us(&self) -> i64 {
        let all = self.options.borrow();
        let each = all.iter().map(|(options, _)| options.poll_us.load(Relaxed));
        each.fold(0, |most, us| if us < 0 || most < 0 { -1 } else { most.max(us) })
    }

    /// A share of a completion queue on the device of `id`, for a connection that needs `sends` and
    /// would like `receives`. A new completion queue gets `vector`, or the next one if that is -1.
    pub(super) fn share(
        &self,
        id: &Id,
        vector: i32,
        receives: u32,
        sends: u32,
    ) -> io::Result<Share> {
        let mut queues = self.queues.borrow_mut();
        let mut of_device = queues.iter().filter(|queue| queue.domain().is_of(id));
        if let Some(share) = of_device.clone().find_map(|queue| queue.share(receives, sends)) {
            return Ok(share);
        }
        let domain = match of_device.next() {
            Some(queue) => queue.domain().clone(),
            None => ProtectionDomain::new(id)?,
        };
        let queue = Rc::new(SharedQueue::new(&domain, vector)?);
        let share = queue.share(receives, sends).ok_or_else(|| {
            io::Error::other("RDMA: the device's completion queues are too short for a connection")
        })?;
        queues.push(queue);
        Ok(share)
    }

    /// Polls every completion queue once. Returns whether there were completions, and whether a task
    /// was woken.
    pub(super) fn poll_queues(&self) -> (bool, bool) {
        let (mut count, mut woke) = (0, 0);
        for queue in self.queues.borrow().iter() {
            let entries = self.entries.borrow();
            let polled = queue.poll(|completion| {
                let (key, slot) = Key::of(completion.tag);
                if let Some((generation, Some(Entry::Link(link)))) =
                    entries.slots.get(key.place as usize)
                    && *generation == key.generation
                {
                    woke += link.completed(&completion, slot);
                }
            });
            count += polled.unwrap_or(0);
        }
        self.counters.polls.add(1);
        if count > 0 {
            self.counters.completions.add(count as u64);
            self.woken.set(self.woken.get() + woke);
            self.take_down_drained(None);
        }
        (count > 0, woke > 0)
    }

    /// Polls in the place of a task that has nothing else to do, for one slice of spinning at most:
    /// until `arrived` says that something has come for it, or another task was woken. That saves the
    /// way through the runtime's scheduler. Without spinning, it polls once.
    pub(super) fn poll_for(&self, arrived: impl Fn() -> bool) -> bool {
        let spins = self.spin_us() != 0 && self.woken.get() == 0;
        for _ in 0..if spins { QUEUE_POLLS } else { 1 } {
            let (found, woke) = self.poll_queues();
            if found && arrived() {
                return true;
            }
            if woke {
                return false;
            }
        }
        false
    }

    /// Tells that a task that was woken runs.
    pub(super) fn runs(&self, link: &Link) {
        let woken = usize::from(link.reader.runs()) + usize::from(link.writer.runs());
        self.woken.set(self.woken.get() - woken);
    }

    /// Polls until no completion is left.
    fn drain_queues(&self) {
        while self.poll_queues().0 {}
    }

    /// Takes over a link whose stream was dropped: its posted work requests may still reach the peer.
    pub(super) fn linger(&self, key: Key, link: &Link) {
        link.protocol.borrow_mut().close();
        link.transmit();
        link.linger.set(Some(Instant::now() + LINGER));
        if link.is_done() {
            self.remove(key);
        } else {
            self.lingering.borrow_mut().push(key);
            self.timer.notify_one();
        }
    }

    /// Takes down the lingering links that have nothing to wait for, or whose time is up at `now`.
    fn take_down_drained(&self, now: Option<Instant>) {
        if self.lingering.borrow().is_empty() {
            return;
        }
        let mut done = Vec::new();
        self.lingering.borrow_mut().retain(|key| {
            let Some(Entry::Link(link)) = self.get(*key) else { return false };
            let late = now.is_some_and(|now| link.linger.get().is_some_and(|end| end <= now));
            let keep = !late && !link.is_done();
            if !keep {
                done.push(*key);
            }
            keep
        });
        done.into_iter().for_each(|key| self.remove(key));
    }

    fn wake_driver(&self) {
        if let Some(waker) = &*self.driver.borrow() {
            waker.wake_by_ref();
        }
    }

    fn manager_event(&self, event: Event) {
        // An id that wants to connect: this channel has no listener.
        let Event::Id { context, kind } = event else { return };
        let (key, _) = Key::of(context);
        match self.get(key) {
            Some(Entry::Resolving(resolving)) => {
                resolving.event.set(Some(kind));
                resolving.waiter.wake();
            }
            Some(Entry::Link(link)) => {
                if kind == EventKind::Disconnected {
                    // The bytes that the peer sent before it left come first.
                    self.drain_queues();
                }
                self.woken.set(self.woken.get() + link.manager_event(kind));
                self.take_down_drained(None);
            }
            None => {}
        }
    }

    /// Handles every connection's timers that are due, and returns when the next one is.
    fn check_timers(&self, now: Instant) -> Option<Instant> {
        self.take_down_drained(Some(now));
        let links: Vec<Entry> =
            self.entries.borrow().slots.iter().filter_map(|(_, entry)| entry.clone()).collect();
        let due = links.iter().filter_map(|entry| match entry {
            Entry::Link(link) => link.linger.get().or_else(|| {
                let (due, woke) = link.timeout(now);
                self.woken.set(self.woken.get() + woke);
                due
            }),
            Entry::Resolving(_) => None,
        });
        due.min()
    }
}

/// The task that polls the completion queues and, when the idle policy says so, sleeps until an event
/// of one of them.
struct Driver {
    reactor: Rc<Reactor>,
    polling: TimedPolling,
}

impl Driver {
    /// Polls for one slice of spinning, or, if no connection asks for spinning, until the queues are empty.
    /// True if a task was woken, which must run before anything else.
    ///
    /// It spins without the processor's pause hint: that delays by more than a poll takes, most of all
    /// in a virtual machine, where it may leave the guest.
    fn work(&mut self) -> bool {
        let spins = self.reactor.spin_us() != 0;
        let mut polls = if spins { QUEUE_POLLS } else { 1 };
        while polls > 0 {
            let (found, woke) = self.reactor.poll_queues();
            if found {
                self.polling.found();
            } else {
                polls -= 1;
            }
            if woke {
                return true;
            }
        }
        false
    }

    /// Waits for a completion. Ready if there may be one.
    fn sleep(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let queues: Vec<Rc<SharedQueue>> = self.reactor.queues.borrow().clone();
        for queue in &queues {
            queue.arm()?;
        }
        // A completion that came before the queue was armed raises no event.
        if self.reactor.poll_queues().0 {
            return Ok(Poll::Ready(()));
        }
        let mut ready = Poll::Pending;
        for queue in &queues {
            if queue.poll_event(cx)?.is_ready() {
                self.reactor.counters.events.add(1);
                ready = Poll::Ready(());
            }
        }
        Ok(ready)
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut driver = this.reactor.driver.borrow_mut();
        if driver.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
        drop(driver);
        loop {
            if this.work() {
                // Runs again after the tasks that were woken.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if this.polling.found_nothing(this.reactor.spin_us()) == Next::Poll {
                // Runs again after the runtime has polled its sockets and timers.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
            // An error is of a device that takes no more requests: its connections end by their timers.
            if !matches!(this.sleep(cx), Ok(Poll::Ready(()))) {
                return Poll::Pending;
            }
        }
    }
}

async fn handle_manager_events(reactor: Rc<Reactor>) {
    loop {
        let Ok(()) = poll_fn(|cx| reactor.events.poll_readable(cx)).await else { return };
        loop {
            match reactor.channel.next() {
                Ok(Some(event)) => reactor.manager_event(event),
                Ok(None) => break,
                // A failed event concerns one id; the next call takes the next one.
                Err(_) => break,
            }
        }
        reactor.events.clear_readable();
    }
}

async fn keep_time(reactor: Rc<Reactor>) {
    loop {
        let due = reactor.check_timers(Instant::now());
        let changed = reactor.timer.notified();
        match due {
            Some(due) => {
                let time = due.saturating_duration_since(Instant::now()).max(TIMER_GRAIN);
                tokio::select! {
                    () = reactor.alarm.sleep(time) => {}
                    () = changed => {}
                }
            }
            None => changed.await,
        }
    }
}
