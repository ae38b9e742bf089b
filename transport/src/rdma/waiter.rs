//! The task that waits for one condition of a connection.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// A task that waits for something; its waker is kept between waits.
#[derive(Default)]
pub(super) struct Waiter {
    waker: RefCell<Option<Waker>>,
    waits: Cell<bool>,
    woken: Cell<bool>,
}

impl Waiter {
    pub(super) fn wait(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        self.waits.set(true);
    }

    /// Wakes the task if it waits. Returns how many tasks that woke: one or none.
    pub(super) fn wake(&self) -> usize {
        if !self.waits.replace(false) {
            return 0;
        }
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
        self.woken.set(true);
        1
    }

    /// The task runs: true if it was woken for that.
    pub(super) fn runs(&self) -> bool {
        self.woken.take()
    }
}
