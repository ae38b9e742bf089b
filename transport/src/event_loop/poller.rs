//! Which descriptors are ready: epoll, edge-triggered, and a slot for each descriptor.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Waker};

use rustix::event::epoll::{CreateFlags, Event, EventData, EventFlags};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use slab::Slab;

/// Descriptors that one call reports.
const EVENTS: usize = 256;

/// Stands for the descriptor by which other threads wake this one.
const WAKEUP: u64 = u64::MAX;

const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const NO_EVENT: Event = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };

pub(super) enum Wait {
    /// Not at all.
    Poll,
    /// Until something is ready.
    Sleep,
}

pub(super) struct Poller {
    epoll: OwnedFd,
    slots: RefCell<Slab<Rc<Slot>>>,
    events: RefCell<Box<[Event]>>,
}

/// One descriptor, in one direction each.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) read: Readiness,
    pub(super) write: Readiness,
}

/// Whether a descriptor is ready for one thing, and the task that waits for that.
#[derive(Default)]
pub(super) struct Readiness {
    ready: Cell<bool>,
    /// The peer has ended its side, or the descriptor has failed: it stays ready.
    ended: Cell<bool>,
    waits: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Readiness {
    /// Whether it is ready; if not, the task of `cx` is woken when it becomes so.
    #[inline]
    pub(super) fn poll(&self, cx: &Context<'_>) -> bool {
        if self.ready.get() {
            return true;
        }
        self.waits.set(true);
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }

    /// Everything was taken: it is not ready before the next event.
    #[inline]
    pub(super) fn clear(&self) {
        self.ready.set(self.ended.get());
    }

    #[inline]
    fn set(&self, ended: bool) {
        self.ready.set(true);
        if ended {
            self.ended.set(true);
        }
        if self.waits.replace(false)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Poller> {
        Ok(Poller {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            slots: RefCell::default(),
            events: RefCell::new(vec![NO_EVENT; EVENTS].into()),
        })
    }

    /// Has every write to `wakeup` end a [`wait`](Self::wait).
    pub(super) fn add_wakeup(&self, wakeup: &OwnedFd) -> io::Result<()> {
        // Edge-triggered, so it need not be read.
        let flags = EventFlags::IN | EventFlags::ET;
        Ok(epoll::add(&self.epoll, wakeup, EventData::new_u64(WAKEUP), flags)?)
    }

    /// Watches a descriptor; the slot is its place here.
    pub(super) fn add(
        &self,
        fd: BorrowedFd<'_>,
        flags: EventFlags,
    ) -> io::Result<(usize, Rc<Slot>)> {
        let slot = Rc::new(Slot::default());
        let place = self.slots.borrow_mut().insert(slot.clone());
        let data = EventData::new_u64(place as u64);
        if let Err(error) = epoll::add(&self.epoll, fd, data, flags | EventFlags::ET) {
            self.slots.borrow_mut().remove(place);
            return Err(error.into());
        }
        Ok((place, slot))
    }

    /// Watches it no longer.
    pub(super) fn remove(&self, place: usize, fd: impl AsFd) {
        // Only a watched descriptor is removed, so this can't fail; and if it did, there would be
        // nothing left to undo.
        let _ = epoll::delete(&self.epoll, fd);
        self.slots.borrow_mut().remove(place);
    }

    /// Notes which descriptors have become ready and wakes the tasks that wait for them. Returns whether there are any.
    pub(super) fn wait(&self, wait: Wait) -> io::Result<bool> {
        let timeout = match wait {
            Wait::Poll => Some(&NO_TIME),
            Wait::Sleep => None,
        };
        let mut events = self.events.borrow_mut();
        let count = match epoll::wait(&self.epoll, &mut events[..], timeout) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let slots = self.slots.borrow();
        for event in &events[..count] {
            // No slot is removed between the call and this, so the place is the right one.
            let Some(slot) = slots.get(event.data.u64() as usize) else { continue };
            let flags = event.flags;
            let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            let ended = failed || flags.contains(EventFlags::RDHUP);
            if ended || flags.contains(EventFlags::IN) {
                slot.read.set(ended);
            }
            if failed || flags.contains(EventFlags::OUT) {
                slot.write.set(failed);
            }
        }
        Ok(count > 0)
    }
}
