//! A big-reader lock: any number of threads are inside at the same time, each through a slot of its
//! own, or one thread has the inside to itself.
//!
//! Entering costs one uncontended atomic operation on the thread's own cache line, and so does leaving.
//! An exclusive section costs one such operation per slot. An exclusive section is a state, not only a
//! mutual exclusion: a thread that finds its slot closed learns for how long the section has lasted, and
//! waits only as long as the section says that it should ([`Section::patience`]).

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::{Condvar, Mutex, MutexGuard};

/// The slot's thread is outside.
const OUTSIDE: u8 = 0;
/// The slot's thread is inside.
const INSIDE: u8 = 1;
/// The slot's thread is inside, and closes the slot when it leaves: an exclusive section waits for it.
const WANTED: u8 = 2;
/// The slot belongs to an exclusive section.
const CLOSED: u8 = 3;

/// Attempts to close a slot before the thread sleeps: turns mostly end within microseconds.
const SPINS: usize = 200;

/// Describes an exclusive section to those who wait for its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section {
    /// How long others wait for the end of the section, counted from its beginning, before they give
    /// up. `None`: until it ends.
    pub patience: Option<Duration>,
}

/// The inside belongs to a section that has lasted longer than its patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The lock.
pub struct BigReaderLock {
    /// The first ones are taken one after the other, the last ones belong to threads that are always there.
    slots: Box<[CachePadded<AtomicU8>]>,
    /// The slots from the first one on that are taken. It changes only under `exclusive`.
    taken: AtomicUsize,
    /// The slots at the end that are always taken.
    permanent: usize,
    /// Held by the thread that has, or is about to have, the inside to itself.
    exclusive: Mutex<()>,
    section: Mutex<SectionState>,
    /// The section ends, or its slot was closed by the thread that left it.
    changed: Condvar,
}

/// The exclusive section, if there is one.
#[derive(Default)]
struct SectionState {
    /// The section that has closed slots, and when it began to.
    current: Option<(Section, Instant)>,
    /// Tasks that enter when it ends.
    waiting: Vec<Waker>,
}

impl SectionState {
    /// When others give up waiting for the end of the section. `None`: they don't, or there is none.
    fn limit(&self) -> Option<Instant> {
        self.current.and_then(|(section, since)| Some(since + section.patience?))
    }
}

impl BigReaderLock {
    /// A lock that `taken` threads enter, each by its own slot, from the first one on, and `permanent` others by
    /// the last ones. More can be [added](Self::add), until
    /// there are `most` in all.
    pub fn new(taken: usize, permanent: usize, most: usize) -> Self {
        BigReaderLock {
            slots: (0..most).map(|_| CachePadded::default()).collect(),
            taken: AtomicUsize::new(taken),
            permanent,
            exclusive: Mutex::default(),
            section: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Adds the thread that enters by `slot`, and those of the slots before, if they are not there yet. Waits for
    /// the end of an exclusive section.
    pub fn add(&self, slot: usize) {
        let _alone = self.exclusive.lock();
        self.taken.fetch_max(slot + 1, Ordering::Relaxed);
    }

    /// The slots of all threads. Only for who has `exclusive`: it does not change then.
    fn taken(&self) -> impl Iterator<Item = &AtomicU8> {
        let (first, last) = self.slots.split_at(self.slots.len() - self.permanent);
        first[..self.taken.load(Ordering::Relaxed)].iter().chain(last).map(|slot| &**slot)
    }

    /// Enters by `slot`, which must belong to the calling thread. Waits for the end of an exclusive
    /// section.
    #[inline]
    pub fn enter(&self, slot: usize) {
        if self.try_enter(slot).is_err() {
            self.wait_and_enter(slot, false).unwrap_or(());
        }
    }

    /// Enters by `slot`, which must belong to the calling thread.
    ///
    /// # Errors
    /// [`Busy`] if there is an exclusive section that has lasted longer than its patience, or comes to
    /// do so while this waits.
    #[inline]
    pub fn enter_unless_busy(&self, slot: usize) -> Result<(), Busy> {
        if self.try_enter(slot).is_ok() { Ok(()) } else { self.wait_and_enter(slot, true) }
    }

    /// Whether there is an exclusive section that has lasted longer than its patience.
    pub fn is_busy(&self) -> bool {
        self.section.lock().limit().is_some_and(|limit| Instant::now() >= limit)
    }

    #[inline]
    fn try_enter(&self, slot: usize) -> Result<u8, u8> {
        self.slots[slot].compare_exchange(OUTSIDE, INSIDE, Ordering::Acquire, Ordering::Relaxed)
    }

    #[cold]
    fn wait_and_enter(&self, slot: usize, impatient: bool) -> Result<(), Busy> {
        let mut section = self.section.lock();
        while self.try_enter(slot).is_err() {
            match section.limit().filter(|_| impatient) {
                Some(limit) if Instant::now() >= limit => return Err(Busy),
                Some(limit) => drop(self.changed.wait_until(&mut section, limit)),
                None => self.changed.wait(&mut section),
            }
        }
        Ok(())
    }

    /// Leaves by `slot`, by which the calling thread must have entered.
    #[inline]
    pub fn leave(&self, slot: usize) {
        let slot = &self.slots[slot];
        if slot.compare_exchange(INSIDE, OUTSIDE, Ordering::Release, Ordering::Relaxed).is_err() {
            self.close_behind(slot);
        }
    }

    #[cold]
    fn close_behind(&self, slot: &AtomicU8) {
        let _section = self.section.lock();
        slot.store(CLOSED, Ordering::Release);
        self.changed.notify_all();
    }

    /// Enters by `slot`, which must belong to the calling thread. While a section lasts longer than its patience
    /// this is pending, and the task is woken when that ends.
    pub fn poll_enter(&self, slot: usize, cx: &Context<'_>) -> Poll<()> {
        while self.enter_unless_busy(slot).is_err() {
            let mut section = self.section.lock();
            if section.current.is_some() {
                if !section.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    section.waiting.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Waits until every other thread has left, and keeps all outside until the result is dropped. The
    /// calling thread must be outside.
    pub fn exclusive(&self, section: Section) -> ExclusiveGuard<'_> {
        self.begin(section, self.exclusive.lock())
    }

    /// As [`exclusive`](Self::exclusive).
    ///
    /// # Errors
    /// [`Busy`] if there is another section that has lasted longer than its patience, or comes to do so while
    /// this waits.
    pub fn exclusive_unless_busy(&self, section: Section) -> Result<ExclusiveGuard<'_>, Busy> {
        /// A section may have taken the mutex and not yet said for how long it is waited for.
        const UNKNOWN: Duration = Duration::from_millis(1);
        let alone = loop {
            let limit = self.section.lock().limit();
            let until = limit.unwrap_or_else(|| Instant::now() + UNKNOWN);
            match self.exclusive.try_lock_until(until) {
                Some(alone) => break alone,
                None if limit.is_some() && self.section.lock().limit() == limit => {
                    return Err(Busy);
                }
                None => {}
            }
        };
        Ok(self.begin(section, alone))
    }

    fn begin<'a>(&'a self, section: Section, alone: MutexGuard<'a, ()>) -> ExclusiveGuard<'a> {
        self.section.lock().current = Some((section, Instant::now()));
        self.taken().for_each(|slot| self.close(slot));
        ExclusiveGuard { lock: self, _alone: alone }
    }

    fn close(&self, slot: &AtomicU8) {
        for _ in 0..SPINS {
            if slot.compare_exchange(OUTSIDE, CLOSED, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            std::hint::spin_loop();
        }
        let mut section = self.section.lock();
        loop {
            let close = |from, to| {
                slot.compare_exchange(from, to, Ordering::Acquire, Ordering::Acquire).is_ok()
            };
            if close(OUTSIDE, CLOSED) || slot.load(Ordering::Acquire) == CLOSED {
                return;
            }
            // If this fails the thread has just left.
            if close(INSIDE, WANTED) || slot.load(Ordering::Acquire) == WANTED {
                self.changed.wait(&mut section);
            }
        }
    }
}

/// The inside belongs to one thread as long as this exists.
pub struct ExclusiveGuard<'a> {
    lock: &'a BigReaderLock,
    _alone: MutexGuard<'a, ()>,
}

impl Drop for ExclusiveGuard<'_> {
    fn drop(&mut self) {
        let mut section = self.lock.section.lock();
        section.current = None;
        self.lock.taken().for_each(|slot| slot.store(OUTSIDE, Ordering::Release));
        self.lock.changed.notify_all();
        if !section.waiting.is_empty() {
            let waiting = std::mem::take(&mut section.waiting);
            drop(section);
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn an_exclusive_section_is_alone() {
        let lock = Arc::new(BigReaderLock::new(3, 1, 4));
        let inside = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (lock, inside) = (lock.clone(), inside.clone());
                std::thread::spawn(move || {
                    for round in 0..2000 {
                        lock.enter(thread);
                        inside.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        lock.leave(thread);
                        if round % 10 == thread {
                            let alone = lock.exclusive(Section::default());
                            let before = inside.swap(100, Ordering::SeqCst);
                            std::thread::yield_now();
                            let seen = (before, inside.swap(0, Ordering::SeqCst));
                            drop(alone);
                            assert_eq!(seen, (0, 100));
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_thread_that_is_added_waits_for_the_end_of_a_section_and_is_kept_out_by_the_next() {
        let lock = Arc::new(BigReaderLock::new(1, 1, 3));
        let alone = lock.exclusive(Section { patience: Some(Duration::ZERO) });
        let adds = {
            let lock = lock.clone();
            std::thread::spawn(move || lock.add(1))
        };
        assert_eq!(lock.enter_unless_busy(2), Err(Busy));
        drop(alone);
        adds.join().unwrap();
        let alone = lock.exclusive(Section { patience: Some(Duration::ZERO) });
        assert_eq!([0, 1, 2].map(|slot| lock.enter_unless_busy(slot)), [Err(Busy); 3]);
        drop(alone);
        assert_eq!(lock.enter_unless_busy(1), Ok(()));
    }

    #[test]
    fn a_section_that_outlasts_its_patience_is_reported_as_busy() {
        let lock = Arc::new(BigReaderLock::new(2, 0, 2));
        let patience = Duration::from_millis(20);
        let alone = lock.exclusive(Section { patience: Some(patience) });
        let began = Instant::now();
        assert_eq!(lock.enter_unless_busy(0), Err(Busy));
        assert!(began.elapsed() + Duration::from_millis(1) >= patience);
        // From then on nobody waits.
        assert_eq!(lock.enter_unless_busy(1), Err(Busy));
        let (sender, entered) = mpsc::channel();
        let waits = {
            let lock = lock.clone();
            std::thread::spawn(move || {
                lock.enter(1);
                sender.send(()).unwrap();
                lock.leave(1);
            })
        };
        assert!(entered.try_recv().is_err());
        drop(alone);
        entered.recv().unwrap();
        waits.join().unwrap();
        assert_eq!(lock.enter_unless_busy(0), Ok(()));
    }

    #[test]
    fn a_section_that_is_wanted_meanwhile_is_refused_too() {
        let lock = Arc::new(BigReaderLock::new(1, 0, 1));
        let alone = lock.exclusive(Section { patience: Some(Duration::from_millis(5)) });
        assert_eq!(lock.exclusive_unless_busy(Section::default()).err(), Some(Busy));
        drop(alone);
        drop(lock.exclusive_unless_busy(Section::default()).expect("nobody has it"));
        // One without patience is waited for.
        let alone = lock.exclusive(Section::default());
        let waits = {
            let lock = lock.clone();
            std::thread::spawn(move || lock.exclusive_unless_busy(Section::default()).is_ok())
        };
        std::thread::sleep(Duration::from_millis(5));
        drop(alone);
        assert!(waits.join().unwrap());
    }

    #[test]
    fn a_task_is_woken_when_a_long_section_ends() {
        struct Woken(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let woken = Arc::new(Woken(Default::default()));
        let waker = Waker::from(woken.clone());
        let cx = Context::from_waker(&waker);
        let lock = BigReaderLock::new(1, 0, 1);
        let alone = lock.exclusive(Section { patience: Some(Duration::ZERO) });
        assert!(lock.poll_enter(0, &cx).is_pending());
        assert!(!woken.0.load(Ordering::SeqCst));
        drop(alone);
        assert!(woken.0.load(Ordering::SeqCst));
        assert!(lock.poll_enter(0, &cx).is_ready());
    }

    #[test]
    fn a_section_without_patience_is_waited_for() {
        let lock = Arc::new(BigReaderLock::new(2, 0, 2));
        let alone = lock.exclusive(Section::default());
        let waits = {
            let lock = lock.clone();
            std::thread::spawn(move || lock.enter_unless_busy(1))
        };
        std::thread::yield_now();
        drop(alone);
        assert_eq!(waits.join().unwrap(), Ok(()));
    }
}
