//! The tasks of an event loop, and their wakers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};
use slab::Slab;

use super::poller::Poller;

type BoxedTask = Pin<Box<dyn Future<Output = ()>>>;

/// The key of the future that the loop was started for.
const MAIN: u64 = u64::MAX;

/// Tasks, and those of them that are to run next.
pub(super) struct Executor {
    tasks: RefCell<Slab<Rc<Task>>>,
    generation: Cell<u32>,
    remote: Arc<Remote>,
    /// Of the tasks that were ready, those that run in this turn.
    running: RefCell<VecDeque<u64>>,
    main: Arc<Handle>,
}

struct Task {
    /// Empty while it is being polled, and when it has ended.
    future: RefCell<Option<BoxedTask>>,
    handle: Arc<Handle>,
    waker: Waker,
}

/// The part of an executor that other threads can reach.
struct Remote {
    woken: Mutex<Vec<u64>>,
    /// `woken` is not empty.
    pending: AtomicBool,
    /// The loop's thread sleeps or is about to.
    asleep: AtomicBool,
    wakeup: OwnedFd,
}

/// The target of a waker.
struct Handle {
    /// The task's place in its slab, and above that how often a task was made before it.
    key: u64,
    scheduled: AtomicBool,
    remote: Arc<Remote>,
}

thread_local! {
    /// The executor of this thread, by the address of its `Remote`, and its tasks that are ready.
    static OWNER: Cell<usize> = const { Cell::new(0) };
    static READY: RefCell<VecDeque<u64>> = const { RefCell::new(VecDeque::new()) };
}

impl Executor {
    pub(super) fn new(poller: &Poller) -> io::Result<Executor> {
        let wakeup = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        poller.add_wakeup(&wakeup)?;
        let remote = Arc::new(Remote {
            woken: Mutex::default(),
            pending: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            wakeup,
        });
        OWNER.set(Arc::as_ptr(&remote).addr());
        let main = Handle { key: MAIN, scheduled: AtomicBool::new(true), remote: remote.clone() };
        Ok(Executor {
            tasks: RefCell::default(),
            generation: Cell::new(0),
            remote,
            running: RefCell::default(),
            main: Arc::new(main),
        })
    }

    pub(super) fn spawn(&self, future: BoxedTask) {
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let place = u32::try_from(entry.key()).expect("fewer tasks than 2^32");
        let generation = self.generation.replace(self.generation.get().wrapping_add(1));
        let handle = Arc::new(Handle {
            key: u64::from(generation & 0x7fff_ffff) << 32 | u64::from(place),
            scheduled: AtomicBool::new(false),
            remote: self.remote.clone(),
        });
        let waker = Waker::from(handle.clone());
        entry.insert(Rc::new(Task { future: RefCell::new(Some(future)), handle, waker }));
        let waker = tasks[place as usize].waker.clone();
        drop(tasks);
        waker.wake();
    }

    pub(super) fn has_ready(&self) -> bool {
        READY.with_borrow(|ready| !ready.is_empty()) || self.main.scheduled.load(Ordering::Relaxed)
    }

    /// Runs the tasks that are ready now; those that this makes ready are left for the next turn.
    pub(super) fn run_ready(&self) {
        READY.with_borrow_mut(|ready| std::mem::swap(ready, &mut self.running.borrow_mut()));
        loop {
            let next = self.running.borrow_mut().pop_front();
            let Some(key) = next else { return };
            self.run(key);
        }
    }

    /// [`run_ready`](Self::run_ready) within a task. The wakes of tasks that are being polled are kept for the next
    /// turn.
    pub(super) fn run_ready_within(&self) {
        let before = std::mem::take(&mut *self.running.borrow_mut());
        READY.with_borrow_mut(|ready| ready.extend(before));
        let ready = READY.with_borrow(VecDeque::len);
        for _ in 0..ready {
            let Some(key) = READY.with_borrow_mut(VecDeque::pop_front) else { return };
            if self.is_polled(key) {
                READY.with_borrow_mut(|ready| ready.push_back(key));
            } else {
                self.run(key);
            }
        }
    }

    /// Whether the task is being polled.
    fn is_polled(&self, key: u64) -> bool {
        let tasks = self.tasks.borrow();
        let task = tasks.get(key as u32 as usize).filter(|task| task.handle.key == key);
        task.is_some_and(|task| task.future.borrow().is_none())
    }

    fn run(&self, key: u64) {
        let place = key as u32 as usize;
        let Some(task) = self.tasks.borrow().get(place).cloned() else { return };
        if task.handle.key != key {
            return;
        }
        // A wake from here on makes it run again.
        task.handle.scheduled.swap(false, Ordering::AcqRel);
        let Some(mut future) = task.future.take() else { return };
        match future.as_mut().poll(&mut Context::from_waker(&task.waker)) {
            Poll::Pending => _ = task.future.replace(Some(future)),
            Poll::Ready(()) => {
                self.tasks.borrow_mut().remove(place);
            }
        }
    }

    /// Whether other threads have woken tasks.
    pub(super) fn has_remote(&self) -> bool {
        self.remote.pending.load(Ordering::Relaxed)
    }

    /// Makes the tasks ready that other threads have woken.
    pub(super) fn take_remote(&self) {
        if !self.has_remote() {
            return;
        }
        self.remote.pending.swap(false, Ordering::SeqCst);
        let woken = std::mem::take(&mut *self.remote.lock());
        READY.with_borrow_mut(|ready| ready.extend(woken.into_iter().filter(|key| *key != MAIN)));
    }

    /// Calls `wait`, which ends when another thread wakes a task, unless one has done so already.
    pub(super) fn sleep(&self, wait: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        // Either this thread sees the wake, or the waking thread sees that this one is asleep.
        self.remote.asleep.store(true, Ordering::SeqCst);
        if self.remote.pending.load(Ordering::SeqCst) {
            self.remote.asleep.store(false, Ordering::SeqCst);
            return Ok(());
        }
        let waited = wait();
        self.remote.asleep.store(false, Ordering::SeqCst);
        waited
    }

    /// Drops all tasks.
    pub(super) fn clear(&self) {
        // A task's drop may wake others, or find its way back here.
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        READY.with_borrow_mut(VecDeque::clear);
        OWNER.set(0);
    }
}

/// The waker of the future that the loop was started for.
pub(super) struct MainWaker {
    handle: Arc<Handle>,
    waker: Waker,
}

impl MainWaker {
    pub(super) fn new(executor: &Executor) -> MainWaker {
        let handle = executor.main.clone();
        MainWaker { waker: Waker::from(handle.clone()), handle }
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether the future is to be polled; it is not before the next wake.
    pub(super) fn take(&self) -> bool {
        self.handle.scheduled.load(Ordering::Relaxed)
            && self.handle.scheduled.swap(false, Ordering::AcqRel)
    }
}

impl Remote {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        // A list of keys is whole whatever happened to its holder.
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn wake(&self, key: u64) {
        self.lock().push(key);
        self.pending.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It can only fail by being full, and then its reader is woken anyway.
            let _ = rustix::io::write(&self.wakeup, &1u64.to_ne_bytes());
        }
    }
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        // A waker may be dropped, and wake another, while its thread ends.
        let owner = OWNER.try_with(Cell::get).unwrap_or(0);
        if owner != Arc::as_ptr(&self.remote).addr() {
            self.remote.wake(self.key);
        } else if self.key != MAIN {
            READY.with_borrow_mut(|ready| ready.push_back(self.key));
        }
    }
}
