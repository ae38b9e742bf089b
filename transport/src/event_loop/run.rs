//! The loop itself: its turns, and running tasks on it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::activity::Activity;
use super::executor::{Executor, MainWaker};
use super::poller::{Poller, Wait};
use crate::idle::{AdaptivePolling, BUSY_TURNS, Next};

thread_local! {
    static CURRENT: RefCell<Option<Rc<EventLoop>>> = const { RefCell::new(None) };
}

/// One thread's event loop.
pub(crate) struct EventLoop {
    poller: Poller,
    executor: Executor,
    polling: AdaptivePolling,
    busy_turns: Cell<u32>,
    /// Tasks that have yielded and run after the next poll of the descriptors.
    yielded: RefCell<Vec<Waker>>,
    activity: Option<&'static Activity>,
}

impl EventLoop {
    /// The event loop that runs on the calling thread.
    pub(super) fn current() -> Option<Rc<EventLoop>> {
        CURRENT.with_borrow(Clone::clone)
    }

    pub(super) fn poller(&self) -> &Poller {
        &self.poller
    }

    /// One turn: runs the tasks that are ready, then sees which are next.
    fn turn(&self) -> io::Result<()> {
        if let Some(activity) = self.activity {
            activity.note_turn();
        }
        self.executor.run_ready();
        self.executor.take_remote();
        if !self.yielded.borrow().is_empty() {
            self.poller.wait(Wait::Poll)?;
            self.yielded.borrow_mut().drain(..).for_each(Waker::wake);
            return Ok(());
        }
        if self.executor.has_ready() {
            let turns = self.busy_turns.get() + 1;
            self.busy_turns.set(turns % BUSY_TURNS);
            if turns == BUSY_TURNS {
                self.poller.wait(Wait::Poll)?;
            }
            return Ok(());
        }
        if self.poller.wait(Wait::Poll)? {
            return Ok(());
        }
        self.idle()
    }

    /// A turn within a task.
    fn run_others(&self) -> io::Result<()> {
        self.executor.take_remote();
        self.yielded.borrow_mut().drain(..).for_each(Waker::wake);
        self.poller.wait(Wait::Poll)?;
        self.executor.run_ready_within();
        Ok(())
    }

    /// Waits until a descriptor is ready or another thread has woken a task: by polling first, as long as
    /// the idle policy says, and then asleep.
    fn idle(&self) -> io::Result<()> {
        while self.polling.found_nothing() == Next::Poll {
            if self.poller.wait(Wait::Poll)? || self.executor.has_remote() {
                self.polling.found();
                return Ok(());
            }
        }
        self.executor.sleep(|| {
            self.activity.iter().for_each(|activity| activity.falls_asleep());
            let waited = self.poller.wait(Wait::Sleep).map(drop);
            self.activity.iter().for_each(|activity| activity.wakes_up());
            waited
        })
    }
}

/// Takes a thread's event loop from it, and with it the tasks, when it ends, however that is.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        let ended = CURRENT.take();
        if let Some(ended) = ended {
            ended.executor.clear();
        }
    }
}

/// Runs `main` to its end on an event loop of the calling thread's own, and the tasks that are spawned
/// meanwhile. These are dropped with the loop.
///
/// # Errors
/// Where the system has no room for one more event loop.
///
/// # Panics
/// On a thread that runs one already.
pub fn block_on<T>(main: impl Future<Output = T>) -> io::Result<T> {
    run(main, None)
}

/// [`block_on`], with a record of what the loop does.
///
/// # Errors
/// As [`block_on`].
///
/// # Panics
/// As [`block_on`].
pub fn block_on_observed<T>(
    activity: &'static Activity,
    main: impl Future<Output = T>,
) -> io::Result<T> {
    run(main, Some(activity))
}

fn run<T>(main: impl Future<Output = T>, activity: Option<&'static Activity>) -> io::Result<T> {
    let poller = Poller::new()?;
    let executor = Executor::new(&poller)?;
    let event_loop = Rc::new(EventLoop {
        poller,
        executor,
        polling: AdaptivePolling::default(),
        busy_turns: Cell::new(0),
        yielded: RefCell::default(),
        activity,
    });
    activity.iter().for_each(|activity| activity.wakes_up());
    let before = CURRENT.replace(Some(event_loop.clone()));
    assert!(before.is_none(), "a thread has one event loop");
    let installed = Installed;
    let mut main = pin!(main);
    let waker = MainWaker::new(&event_loop.executor);
    loop {
        if waker.take() {
            let polled = main.as_mut().poll(&mut Context::from_waker(waker.waker()));
            if let Poll::Ready(output) = polled {
                drop(installed);
                return Ok(output);
            }
        }
        event_loop.turn()?;
    }
}

/// Spawns a task on the calling thread: on its event loop, or else on its tokio local runtime.
///
/// # Panics
/// On a thread that has neither.
pub fn spawn_local(task: impl Future<Output = ()> + 'static) {
    match EventLoop::current() {
        Some(event_loop) => event_loop.executor.spawn(Box::pin(task)),
        None => drop(tokio::task::spawn_local(task)),
    }
}

/// Spawns a task on the calling thread's event loop. False if it has none, or none any more.
pub fn try_spawn_local(task: impl Future<Output = ()> + 'static) -> bool {
    let event_loop = EventLoop::current();
    event_loop.map(|event_loop| event_loop.executor.spawn(Box::pin(task))).is_some()
}

/// Runs the other tasks of the calling thread's event loop that are ready, and those whose descriptors are, once:
/// for a task that works for long and can't yield. Does nothing on a thread without an event loop.
///
/// # Errors
/// If the descriptors can't be polled.
pub fn run_others() -> io::Result<()> {
    EventLoop::current().map_or(Ok(()), |event_loop| event_loop.run_others())
}

/// Yields to the other tasks: to those that are ready, and to those whose descriptors are, which a task that
/// works for long in pieces would keep waiting. On a tokio runtime it is like tokio's `yield_now`.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        yield_task(cx);
        Poll::Pending
    })
    .await;
}

/// [`yield_now`] for a future that is written by hand: it returns `Pending` next, and is polled again after
/// the other tasks.
pub fn yield_task(cx: &Context<'_>) {
    match EventLoop::current() {
        Some(event_loop) => event_loop.yielded.borrow_mut().push(cx.waker().clone()),
        None => cx.waker().wake_by_ref(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
