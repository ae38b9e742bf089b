//! When the clients of one worker stop waiting.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use verbena_transport::Alarm;

use crate::state::unix_milliseconds;

/// Longest sleep: should the system's clock be set forward, times come with it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Points in time, in milliseconds of Unix time, at which tasks are to be woken.
#[derive(Default)]
pub struct Deadlines {
    /// By time, and among equal ones in the order of their making.
    pending: RefCell<BTreeMap<(i64, u64), Option<Waker>>>,
    made: Cell<u64>,
    changed: Notify,
}

impl Deadlines {
    /// Ends at `at`. It must be polled by one task only.
    pub fn reach(self: &Rc<Self>, at: i64) -> Deadline {
        let id = (at, self.made.replace(self.made.get() + 1));
        let mut pending = self.pending.borrow_mut();
        if pending.first_key_value().is_none_or(|(first, _)| id < *first) {
            self.changed.notify_one();
        }
        pending.insert(id, None);
        drop(pending);
        Deadline { deadlines: self.clone(), id }
    }

    /// Wakes the tasks when it is time, for ever.
    pub async fn run(self: Rc<Self>) {
        let alarm = Alarm::new().expect("the system has room for one more timer");
        loop {
            let now = unix_milliseconds();
            let next = self.wake(now);
            let changed = self.changed.notified();
            match next {
                Some(at) => {
                    let time = Duration::from_millis((at - now) as u64).min(LONGEST_SLEEP);
                    tokio::select! {
                        () = alarm.sleep(time) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Wakes those whose time has come; returns the next time.
    fn wake(&self, now: i64) -> Option<i64> {
        let mut pending = self.pending.borrow_mut();
        while let Some(first) = pending.first_entry() {
            let (at, _) = *first.key();
            if at > now {
                return Some(at);
            }
            if let Some(waker) = first.remove() {
                waker.wake();
            }
        }
        None
    }
}

/// A point in time that a task waits for.
pub struct Deadline {
    deadlines: Rc<Deadlines>,
    id: (i64, u64),
}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.deadlines.pending.borrow_mut().get_mut(&self.id) {
            None => Poll::Ready(()),
            Some(waker) => {
                if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                    *waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.deadlines.pending.borrow_mut().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_woken_in_the_order_of_their_times() {
        let deadlines = Rc::new(Deadlines::default());
        let mut late = Box::pin(deadlines.reach(20));
        let mut early = Box::pin(deadlines.reach(10));
        drop(deadlines.reach(5));
        let mut cx = Context::from_waker(Waker::noop());
        let mut state = |late: &mut Pin<Box<Deadline>>, early: &mut Pin<Box<Deadline>>| {
            (early.as_mut().poll(&mut cx).is_ready(), late.as_mut().poll(&mut cx).is_ready())
        };
        assert_eq!(deadlines.wake(9), Some(10));
        assert_eq!(state(&mut late, &mut early), (false, false));
        assert_eq!(deadlines.wake(10), Some(20));
        assert_eq!(state(&mut late, &mut early), (true, false));
        assert_eq!(deadlines.wake(30), None);
        assert_eq!(state(&mut late, &mut early), (true, true));
    }

    #[test]
    fn an_earlier_time_than_the_one_slept_for_is_not_missed() {
        verbena_transport::event_loop::block_on(async {
            let deadlines = Rc::new(Deadlines::default());
            verbena_transport::event_loop::spawn_local(deadlines.clone().run());
            let _late = deadlines.reach(unix_milliseconds() + 100_000);
            tokio::task::yield_now().await;
            let at = unix_milliseconds() + 20;
            deadlines.reach(at).await;
            assert!(unix_milliseconds() >= at);
        })
        .unwrap();
    }
}
