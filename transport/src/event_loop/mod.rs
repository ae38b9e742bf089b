//! The event loop of a server's worker: tasks, and the descriptors that they wait for, on one thread.
//!
//! It does what a tokio current-thread runtime without timers does, and serves the same futures, but
//! costs a request less: one `epoll_wait` serves all that is ready, readiness is a flag in a slot of
//! this thread alone, hardly ever is a clock read, and between two requests the loop looks at its sockets
//! a few times before it sleeps (`look.rs`), or sleeps so that nobody has to wake it (`nap.rs`), where that
//! pays off.
//!
//! What this crate offers works on either: see [`Source`] and [`spawn_local`].

mod executor;
mod look;
mod nap;
mod poller;
mod source;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use executor::{Executor, MainWaker};
use look::Looker;
use nap::Napper;
use poller::{Poller, Wait};

pub(crate) use source::{Interest, Source};

/// Turns of the loop between two looks at the descriptors while tasks keep it busy without them.
const BUSY_TURNS: u32 = 8;

thread_local! {
    static CURRENT: RefCell<Option<Rc<EventLoop>>> = const { RefCell::new(None) };
}

/// One thread's event loop.
pub(crate) struct EventLoop {
    poller: Poller,
    executor: Executor,
    looker: Looker,
    napper: Napper,
    busy_turns: Cell<u32>,
    /// Who has given way, and runs after the next look at the descriptors.
    given_way: RefCell<Vec<Waker>>,
}

impl EventLoop {
    /// The event loop that runs on the calling thread.
    fn current() -> Option<Rc<EventLoop>> {
        CURRENT.with_borrow(Clone::clone)
    }

    fn poller(&self) -> &Poller {
        &self.poller
    }

    /// One turn: runs the tasks that are ready, then sees which are next.
    fn turn(&self) -> io::Result<()> {
        self.executor.run_ready();
        self.executor.take_remote();
        if !self.given_way.borrow().is_empty() {
            self.poller.wait(Wait::Look)?;
            self.given_way.borrow_mut().drain(..).for_each(Waker::wake);
            return Ok(());
        }
        if self.executor.has_ready() {
            let turns = self.busy_turns.get() + 1;
            self.busy_turns.set(turns % BUSY_TURNS);
            if turns == BUSY_TURNS {
                self.poller.wait(Wait::Look)?;
            }
            return Ok(());
        }
        if self.poller.wait(Wait::Look)? {
            return Ok(());
        }
        let nap = self.napper.pauses(self.poller.activity());
        self.idle(nap)?;
        self.napper.resumes();
        Ok(())
    }

    /// Waits until a descriptor is ready or another thread has woken a task: first in naps of this length, or
    /// else with a few looks.
    fn idle(&self, nap: Option<Duration>) -> io::Result<()> {
        if let Some(nap) = nap {
            for _ in 0..nap::NAPS {
                nap::take(nap);
                if self.poller.wait(Wait::Look)? {
                    return Ok(());
                }
            }
        } else {
            for _ in 0..self.looker.looks() {
                if self.poller.wait(Wait::Look)? {
                    self.looker.found();
                    return Ok(());
                }
            }
            self.looker.sleeps();
        }
        self.executor.sleep(|| self.poller.wait(Wait::Sleep).map(drop))
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
    let poller = Poller::new()?;
    let executor = Executor::new(&poller)?;
    let event_loop = Rc::new(EventLoop {
        poller,
        executor,
        looker: Looker::default(),
        napper: Napper::new(),
        busy_turns: Cell::new(0),
        given_way: RefCell::default(),
    });
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

/// Lets all others run first: those that are ready, and those whose descriptors are, which a task that
/// works for long in pieces would keep waiting. On a tokio runtime it just yields.
pub async fn give_way() {
    let Some(event_loop) = EventLoop::current() else { return tokio::task::yield_now().await };
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        event_loop.given_way.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
