//! Looking at the sockets a few times before a worker sleeps, where that pays off.
//!
//! A worker that keeps up with its clients runs out of work between any two requests. To sleep and be
//! woken takes its processor time, and that of the client that wakes it: one client with 50 connections
//! has 2 % more throughput where looks spare it that. So a worker looks a few times before it sleeps, as long as that has
//! lately spared it the sleep often enough. Where it has not (one client that waits for each reply,
//! say), it sleeps at once and only now and then tries again.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use super::stats::Counter;

/// Looks before a sleep.
const LOOKS: u32 = 3;

/// The share of the looked-at idle moments, in `CERTAIN`, that must have ended by a look.
const WORTH_IT: u32 = CERTAIN / 4;
const CERTAIN: u32 = 1 << 12;

/// How fast new experience replaces old: each idle moment counts one in so many.
const MEMORY: u32 = 16;

/// Where looking does not pay off, one in so many idle moments tries it again.
const RETRY: u32 = 64;

/// One worker's looks. Only its own thread uses it; the atomics are there because the runtime wants
/// its callbacks to be shareable.
pub(super) struct Looker {
    /// How often the worker has found something to do.
    turns: &'static Counter,
    task: OnceLock<Waker>,
    /// The task looks on and on, as opposed to waiting for [`about_to_sleep`](Self::about_to_sleep).
    active: AtomicBool,
    /// Turns when an idle moment last began.
    seen: AtomicU64,
    /// Looks since then.
    looks: AtomicU32,
    /// Of `CERTAIN`: how often looks have lately ended an idle moment.
    worth: AtomicU32,
    /// Idle moments that were not looked at, since the last that was.
    skipped: AtomicU32,
}

impl Looker {
    /// `turns` counts how often the worker has found something to do.
    pub(super) fn new(turns: &'static Counter) -> Arc<Looker> {
        Arc::new(Looker {
            turns,
            task: OnceLock::new(),
            active: AtomicBool::new(false),
            seen: AtomicU64::new(0),
            looks: AtomicU32::new(0),
            worth: AtomicU32::new(WORTH_IT),
            skipped: AtomicU32::new(0),
        })
    }

    /// The runtime has nothing to run and is about to sleep: lets it, or has the task keep it awake.
    pub(super) fn about_to_sleep(&self) {
        let turns = self.turns.get();
        if self.active.load(Relaxed) || self.seen.load(Relaxed) == turns {
            return;
        }
        if self.worth.load(Relaxed) < WORTH_IT {
            let skipped = self.skipped.load(Relaxed);
            if skipped < RETRY {
                self.skipped.store(skipped + 1, Relaxed);
                self.seen.store(turns, Relaxed);
                return;
            }
            self.skipped.store(0, Relaxed);
        }
        if let Some(task) = self.task.get() {
            self.active.store(true, Relaxed);
            self.looks.store(0, Relaxed);
            task.wake_by_ref();
        }
    }

    /// The task that keeps the runtime awake: as long as it yields, the runtime looks at its sockets
    /// without waiting whenever it has nothing to run.
    pub(super) async fn run(self: Arc<Self>) {
        poll_fn(|cx| self.poll_look(cx)).await
    }

    fn poll_look(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.get_or_init(|| cx.waker().clone());
        if !self.active.load(Relaxed) {
            return Poll::Pending;
        }
        let turns = self.turns.get();
        let mut looks = self.looks.load(Relaxed);
        if self.seen.swap(turns, Relaxed) != turns {
            if looks > 0 {
                self.learn(CERTAIN);
            }
            looks = 0;
        }
        if looks == LOOKS {
            self.learn(0);
            self.active.store(false, Relaxed);
            return Poll::Pending;
        }
        self.looks.store(looks + 1, Relaxed);
        pin!(tokio::task::yield_now())
            .poll(cx)
            .map(|()| unreachable!("a yield is not over at once"))
    }

    fn learn(&self, outcome: u32) {
        let worth = self.worth.load(Relaxed);
        self.worth.store(worth - worth / MEMORY + outcome / MEMORY, Relaxed);
    }
}
