//! When each shard next has something to expire, readable without its lock.
//!
//! Every shard belongs to one expirer (a worker), which looks after it. A table that gets an entry
//! with an earlier expiry than any before notes it here, and rings the expirer if that one sleeps
//! for longer: so a server with nothing to expire never wakes up to look.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use tokio::sync::Notify;

use super::{NEVER, SHARDS};

/// All shards' next expiries, and their expirers' alarms. Times are in milliseconds of Unix time.
pub struct Schedule {
    /// By shard; changed only by who has the shard's lock.
    due: Box<[AtomicI64]>,
    /// Those of the expirers, and of others that may come.
    alarms: Box<[CachePadded<Alarm>]>,
    expirers: AtomicUsize,
}

/// What an expirer sleeps on.
struct Alarm {
    /// An expiry before this rings; the least number if the expirer is awake.
    armed: AtomicI64,
    ring: Notify,
}

impl Schedule {
    /// A schedule that is shared among `expirers`, which may become `most`; shard `i` belongs to
    /// `i % expirers`.
    pub fn new(expirers: usize, most: usize) -> Schedule {
        let alarm = || Alarm { armed: AtomicI64::new(i64::MIN), ring: Notify::new() }.into();
        Schedule {
            due: (0..SHARDS).map(|_| AtomicI64::new(NEVER)).collect(),
            alarms: (0..most.max(1)).map(|_| alarm()).collect(),
            expirers: AtomicUsize::new(expirers.max(1)),
        }
    }

    /// Adds an expirer, and those before it, before it begins: it looks at its shards then.
    pub fn add(&self, expirer: usize) {
        self.expirers.fetch_max(expirer + 1, Ordering::SeqCst);
        // All others have other shards now.
        for alarm in &self.alarms[..=expirer] {
            alarm.armed.store(i64::MIN, Ordering::SeqCst);
            alarm.ring.notify_one();
        }
    }

    fn expirers(&self) -> usize {
        self.expirers.load(Ordering::SeqCst)
    }

    /// The shards of one expirer.
    pub fn shards_of(&self, expirer: usize) -> impl Iterator<Item = usize> + use<> {
        (expirer..SHARDS).step_by(self.expirers())
    }

    /// When something in the shard expires next, or earlier than that.
    #[inline]
    pub fn due(&self, shard: usize) -> i64 {
        self.due[shard].load(Ordering::SeqCst)
    }

    /// Sets what [`due`](Self::due) says, after the shard was looked through under its lock.
    pub fn set_due(&self, shard: usize, at: i64) {
        self.due[shard].store(at, Ordering::SeqCst);
    }

    /// Notes that something in the shard expires at `at`. For who has the shard's lock.
    pub fn note(&self, shard: usize, at: i64) {
        if at >= self.due(shard) {
            return;
        }
        self.set_due(shard, at);
        let alarm = &self.alarms[shard % self.expirers()];
        // Either this sees the alarm armed, or the expirer, which looks at its shards once more after
        // it has armed it, sees the new time.
        if at < alarm.armed.load(Ordering::SeqCst) {
            alarm.armed.store(i64::MIN, Ordering::SeqCst);
            alarm.ring.notify_one();
        }
    }

    /// The earliest time at which a shard of `expirer` is due.
    pub fn earliest(&self, expirer: usize) -> i64 {
        self.shards_of(expirer).map(|shard| self.due(shard)).min().unwrap_or(NEVER)
    }

    /// Waits until `timer`, which ends at `until`, has ended or a shard of `expirer` has become due
    /// before that.
    pub async fn wait(&self, expirer: usize, until: i64, timer: impl Future<Output = ()>) {
        let alarm = &self.alarms[expirer];
        alarm.armed.store(until, Ordering::SeqCst);
        if self.earliest(expirer) >= until {
            tokio::select! {
                () = alarm.ring.notified() => {}
                () = timer => {}
            }
        }
        alarm.armed.store(i64::MIN, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_earlier_expiry_ends_the_wait_and_a_later_one_does_not() {
        let schedule = Schedule::new(2, 2);
        let mut wait = Box::pin(schedule.wait(1, 1000, pending()));
        assert_eq!(poll(wait.as_mut()), Poll::Pending);
        schedule.note(7, 2000);
        assert_eq!(poll(wait.as_mut()), Poll::Pending, "that is later");
        schedule.note(4, 500);
        assert_eq!(poll(wait.as_mut()), Poll::Pending, "that is the other expirer's shard");
        schedule.note(7, 999);
        assert_eq!(poll(wait.as_mut()), Poll::Ready(()));
        assert_eq!((schedule.earliest(0), schedule.earliest(1)), (500, 999));
        drop(wait);
        assert_eq!(poll(Box::pin(schedule.wait(1, 1000, pending())).as_mut()), Poll::Ready(()));
        assert_eq!(poll(Box::pin(schedule.wait(1, 900, ready(()))).as_mut()), Poll::Ready(()));
    }

    #[test]
    fn an_expirer_that_is_added_gets_its_share() {
        let schedule = Schedule::new(2, 3);
        let mut wait = Box::pin(schedule.wait(1, NEVER, pending()));
        assert_eq!(poll(wait.as_mut()), Poll::Pending);
        // The expirer of this shard is another one now than in a moment.
        schedule.note(4, 2000);
        schedule.add(2);
        assert_eq!(poll(wait.as_mut()), Poll::Ready(()), "it has other shards now");
        drop(wait);
        let earliest = [0, 1, 2].map(|expirer| schedule.earliest(expirer));
        assert_eq!(earliest, [NEVER, 2000, NEVER]);
        let mut wait = Box::pin(schedule.wait(2, 1000, pending()));
        assert_eq!(poll(wait.as_mut()), Poll::Ready(()), "it was rung when it was added");
        drop(wait);
        let mut wait = Box::pin(schedule.wait(2, 1000, pending()));
        assert_eq!(poll(wait.as_mut()), Poll::Pending);
        schedule.note(5, 500);
        assert_eq!(poll(wait.as_mut()), Poll::Ready(()));
    }

    #[test]
    fn every_shard_has_one_expirer() {
        let schedule = Schedule::new(3, 3);
        let mut shards: Vec<_> = (0..3).flat_map(|expirer| schedule.shards_of(expirer)).collect();
        shards.sort_unstable();
        assert_eq!(shards, (0..SHARDS).collect::<Vec<_>>());
    }
}
